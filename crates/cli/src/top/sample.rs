//! One node's report at one moment: figures from the answers to `stats`.
//!
//! A node that does not support a question, such as an older node or memcached, leaves that part out.

use crate::escape::words;
use crate::fleet::hot::keys::NodeHeat;

use super::latency::Latency;

/// Most peers kept that a node reports a problem with.
const MAX_PEERS: usize = 32;

/// The answer to one `stats` command. `None` if the node refused it.
pub(super) type Answer = Option<Vec<(String, String)>>;

/// Figures of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) counters: Counters,
    pub(super) bytes: u64,
    pub(super) limit: u64,
    pub(super) items: u64,
    pub(super) connections: u64,
    pub(super) max_connections: u64,
    /// Uptime in seconds.
    pub(super) uptime: u64,
    pub(super) pid: u64,
    /// The version of its program.
    pub(super) program: String,
    /// Its ring, if it has one.
    pub(super) ring: Option<HeldRing>,
    pub(super) latency: Option<Latency>,
    pub(super) heat: Option<NodeHeat>,
}

/// Counters, which only grow unless they are reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) gets: u64,
    pub(super) hits: u64,
    pub(super) sets: u64,
    /// All other requests for keys.
    pub(super) others: u64,
    pub(super) evictions: u64,
    /// Requests for keys of other nodes.
    pub(super) foreign: u64,
    /// Of these, gets that no owner answered. No node counts them in `misses`.
    pub(super) failed_gets: u64,
    /// All requests that no owner answered.
    pub(super) failed: u64,
}

/// The ring that a node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldRing {
    pub(super) version: u64,
    pub(super) digest: String,
    /// Whether it serves all the keys that it owns.
    pub(super) settled: bool,
    /// The reason why it does not adopt a newer ring; empty if there is none.
    pub(super) last_error: String,
    /// Its relation to its place in the ring.
    pub(super) standing: Standing,
    /// The reason for that standing; empty if it is confirmed.
    pub(super) standing_reason: String,
    /// The difference between its source and its ring; empty if there is none.
    pub(super) drift: String,
    /// Nodes whose name or address two processes claim, by its report.
    pub(super) disputed: Vec<String>,
    /// Peers that do not answer it, with the reasons that it reports.
    pub(super) unreached: Vec<(String, String)>,
}

/// A node's relation to its place in the ring, by its own report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the node that the ring lists, or it does not report otherwise.
    #[default]
    Confirmed,
    /// It has no proof yet that its address leads to it.
    Unconfirmed,
    /// Another process has taken its place.
    Replaced,
    /// Its ring does not list it.
    Absent,
}

impl Standing {
    fn of(ring: &[(String, String)]) -> Standing {
        match (value(ring, "ring_standing"), value(ring, "ring_member")) {
            (Some("unconfirmed"), _) => Standing::Unconfirmed,
            (Some("replaced"), _) => Standing::Replaced,
            (Some("absent"), _) | (None, Some("no")) => Standing::Absent,
            _ => Standing::Confirmed,
        }
    }

    /// The name of this standing.
    pub(super) fn word(self) -> &'static str {
        match self {
            Standing::Confirmed => "confirmed",
            Standing::Unconfirmed => "unconfirmed",
            Standing::Replaced => "replaced",
            Standing::Absent => "absent",
        }
    }
}

impl Sample {
    /// Parses the answers to `stats`, `stats ring`, `stats hotkeys` and `stats latency`.
    pub(super) fn parse(
        general: &[(String, String)],
        ring: &Answer,
        heat: &Answer,
        latency: &Answer,
    ) -> Sample {
        let number = |name: &str| value(general, name).and_then(|text| text.parse().ok());
        let count = |name: &str| number(name).unwrap_or(0);
        let sum =
            |names: &[&str]| names.iter().fold(0u64, |sum, name| sum.saturating_add(count(name)));
        let program = value(general, "ringbinder_version").or(value(general, "version"));
        let held = ring.as_deref().and_then(held);
        let foreign = ring.as_deref().map_or(0, |ring| {
            let names = ["foreign_gets", "foreign_requests", "foreign_refused"];
            let numbers = names.iter().filter_map(|name| value(ring, name)?.parse::<u64>().ok());
            numbers.fold(0, u64::saturating_add)
        });
        Sample {
            counters: Counters {
                gets: count("cmd_get"),
                hits: count("get_hits"),
                sets: count("cmd_set"),
                others: sum(&[
                    "cmd_touch",
                    "cmd_meta",
                    "delete_hits",
                    "delete_misses",
                    "incr_hits",
                    "incr_misses",
                    "decr_hits",
                    "decr_misses",
                ]),
                evictions: count("evictions"),
                foreign,
                failed_gets: count("foreign_get_failed"),
                failed: count("foreign_failed"),
            },
            bytes: count("bytes"),
            limit: count("limit_maxbytes"),
            items: count("curr_items"),
            connections: count("curr_connections"),
            max_connections: count("max_connections"),
            uptime: count("uptime"),
            pid: count("pid"),
            program: words(program.unwrap_or_default()),
            ring: held,
            latency: latency.as_deref().map(Latency::parse),
            heat: heat.as_deref().map(NodeHeat::parse),
        }
    }

    /// Whether it comes from the same process as an earlier sample, so that counters are comparable.
    pub(super) fn follows(&self, before: &Sample) -> bool {
        self.pid == before.pid && self.uptime >= before.uptime
    }
}

fn held(ring: &[(String, String)]) -> Option<HeldRing> {
    Some(HeldRing {
        version: value(ring, "ring_version")?.parse().ok()?,
        digest: words(value(ring, "ring_digest")?),
        settled: value(ring, "ring_settled") != Some("no"),
        last_error: said(ring, "ring_last_error"),
        standing: Standing::of(ring),
        standing_reason: said(ring, "ring_standing_reason"),
        drift: said(ring, "ring_drift"),
        disputed: own_dispute(ring)
            .into_iter()
            .chain(peers(ring, "rival", |rival| rival != "-").map(|(peer, _)| peer))
            .collect(),
        unreached: peers(ring, "state", |state| state == "away")
            .map(|(peer, raw)| (peer, said(ring, &format!("peer:{raw}:reason"))))
            .collect(),
    })
}

/// The node's own name, if it sees another process claim its place.
fn own_dispute(ring: &[(String, String)]) -> Option<String> {
    value(ring, "ring_rival").filter(|&rival| rival != "-")?;
    value(ring, "ring_node").map(words)
}

/// A text that a node reports; empty if there is none.
fn said(ring: &[(String, String)], name: &str) -> String {
    words(value(ring, name).filter(|&text| text != "-").unwrap_or(""))
}

/// Peers for which a node reports a matching value under this name, with their names as it writes them.
fn peers<'a>(
    ring: &'a [(String, String)],
    what: &'a str,
    is_told: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (String, &'a str)> {
    let told = ring.iter().filter_map(move |(name, value)| {
        let peer = name.strip_prefix("peer:")?.strip_suffix(what)?.strip_suffix(':')?;
        is_told(value).then(|| (words(peer), peer))
    });
    told.take(MAX_PEERS)
}

fn value<'a>(stats: &'a [(String, String)], name: &str) -> Option<&'a str> {
    stats.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::top) fn pairs(text: &str) -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn figures_come_from_all_answers() {
        let general = pairs(
            "pid 7\nuptime 60\nversion 1.6.45\nringbinder_version 0.1.0\ncmd_get 10\nget_hits 9\n\
             cmd_set 3\ncmd_touch 1\ndelete_hits 2\nincr_misses 4\nbytes 100\nlimit_maxbytes 200\n\
             curr_items 5\ncurr_connections 2\nmax_connections 1024\nevictions 6\n\
             foreign_get_failed 2\nforeign_failed 3\n",
        );
        let ring = pairs(
            "ring_version 3\nring_digest 00ff\nring_settled no\nring_last_error -\n\
             foreign_gets 1\nforeign_requests 2\nforeign_refused 4\n",
        );
        let sample = Sample::parse(&general, &Some(ring), &None, &None);
        let counters = Counters {
            gets: 10,
            hits: 9,
            sets: 3,
            others: 7,
            evictions: 6,
            foreign: 7,
            failed_gets: 2,
            failed: 3,
        };
        assert_eq!(sample.counters, counters);
        assert_eq!((sample.bytes, sample.limit, sample.items), (100, 200, 5));
        assert_eq!(sample.program, "0.1.0");
        let ring = sample.ring.unwrap();
        assert_eq!((ring.version, ring.settled, ring.last_error.as_str()), (3, false, ""));
        assert!(sample.latency.is_none() && sample.heat.is_none());
    }

    #[test]
    fn another_server_shows_less() {
        let sample = Sample::parse(&pairs("version 1.6.18\ncmd_get x\n"), &None, &None, &None);
        assert_eq!((sample.program.as_str(), sample.counters.gets), ("1.6.18", 0));
        assert_eq!(sample.ring, None);
        assert_eq!(Sample::parse(&[], &Some(Vec::new()), &None, &None), Sample::default());
    }

    #[test]
    fn a_node_says_how_it_stands_and_what_it_makes_of_the_others() {
        let of =
            |text: &str| held(&pairs(&format!("ring_version 2\nring_digest a\n{text}"))).unwrap();
        let ring = of("ring_standing replaced\nring_standing_reason \u{9b}31mnot me\n\
                       ring_drift the file has ring 1\nring_node a\nring_rival 2f\npeer:b:rival 1f\npeer:b:state up\n\
                       peer:c:rival -\npeer:c:state away\npeer:c:reason it is late\n\
                       peer:d\u{1b}:state away\npeer:d\u{1b}:reason -\n");
        assert_eq!(
            (ring.standing, ring.drift.as_str()),
            (Standing::Replaced, "the file has ring 1")
        );
        assert_eq!(ring.standing_reason, "\\u{9b}31mnot me", "nothing in it can steer a terminal");
        assert_eq!(ring.disputed, ["a", "b"]);
        let unreached = [("c", "it is late"), ("d\\u{1b}", "")];
        assert_eq!(ring.unreached, unreached.map(|(peer, why)| (peer.to_owned(), why.to_owned())));
        // An older node reports less.
        assert_eq!(of("ring_member no\n").standing, Standing::Absent);
        assert_eq!(of("ring_member yes\n"), of(""));
        let many: String = (0..1000).map(|peer| format!("peer:{peer}:rival 1f\n")).collect();
        assert_eq!(of(&many).disputed.len(), MAX_PEERS);
    }

    #[test]
    fn a_new_process_is_told_from_the_old() {
        let of = |pid, uptime| Sample { pid, uptime, ..Sample::default() };
        assert!(of(1, 10).follows(&of(1, 9)) && of(1, 9).follows(&of(1, 9)));
        assert!(!of(2, 10).follows(&of(1, 9)) && !of(1, 1).follows(&of(1, 9)));
    }
}
