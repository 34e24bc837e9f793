//! A node's report at one moment: the few figures of its `stats` answers that are kept.

use super::figures::{Answer, HotKey, Latency, hot_keys, plain};
use crate::ring;
use crate::sampling;
use crate::snapshot;
use crate::stats;
use crate::worker::shared::Shared;

/// The commands sent to a node, in this order.
pub(super) const QUESTIONS: &[u8] = b"stats\r\nstats ring\r\nstats latency\r\nstats hotkeys\r\n";

/// The number of answers to them.
pub(super) const ANSWERS: usize = 4;

/// The longest text kept from a node, in bytes.
pub(super) const MAX_TEXT: usize = 300;

/// The most peers kept about which a node reports a problem.
const MAX_PEERS: usize = 32;

/// Counters and gauges of `stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Distinguishes one process from the next at the same address.
    pub(super) pid: u64,
    pub(super) uptime: u64,
    pub(super) version: String,
    pub(super) gets: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) sets: u64,
    /// Keys of gets that were misses because no owner answered.
    pub(super) failed_gets: u64,
    /// All requests that got no answer from an owner.
    pub(super) failed: u64,
    /// Requests of every kind that this node carried out.
    pub(super) requests: u64,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    pub(super) items: u64,
    pub(super) evictions: u64,
    /// Values refused for lack of memory.
    pub(super) no_memory: u64,
    pub(super) connections: u64,
    pub(super) max_connections: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
}

/// The figures of `stats ring`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stand {
    /// The node's name, as it reports it.
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) digest: String,
    pub(super) settled: bool,
    /// Its standing towards its place in the ring: `confirmed`, `unconfirmed`, `replaced`,
    /// `absent`.
    pub(super) standing: String,
    /// The problem with its standing; empty if there is none.
    pub(super) standing_reason: String,
    /// The difference between its ring's source and its ring; empty if there is none.
    pub(super) drift: String,
    /// Nodes whose name or address two processes claim, as this node sees it.
    pub(super) disputed: Vec<String>,
    /// Peers that do not answer it, and the reason.
    pub(super) unreached: Vec<(String, String)>,
    /// The reason why its source's ring is not the current one; empty if it is.
    pub(super) last_error: String,
    /// Requests for keys of other nodes that it forwarded.
    pub(super) foreign: u64,
}

/// The whole report.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) load: Load,
    /// `None` for a node without a ring.
    pub(super) stand: Option<Stand>,
    pub(super) latency: Latency,
    pub(super) hot_keys: Vec<HotKey>,
}

impl Said {
    /// Extracts the figures from the answers to [`QUESTIONS`].
    pub(super) fn of(answers: &[Vec<u8>; ANSWERS]) -> Said {
        let [general, ring, latency, hot] = answers.each_ref().map(|text| Answer::parse(text));
        Said {
            load: load(&general),
            stand: stand(&ring),
            latency: Latency::parse(&latency),
            hot_keys: hot_keys(&hot),
        }
    }

    /// This node's own report, without a connection to itself.
    pub(super) fn own(shared: &Shared) -> Said {
        let mut answers: [Vec<u8>; ANSWERS] = Default::default();
        stats::general(shared, &mut answers[0]);
        let mut written = None;
        while ring::report(shared, &mut written, &mut answers[1]) {}
        sampling::latency(shared, &mut answers[2]);
        // Data that is refused to clients is not shown on the page either.
        if !shared.settings.disable_dumping {
            sampling::hot_keys(shared, &mut answers[3]);
        }
        Said::of(&answers)
    }
}

/// This node's report about its snapshots.
pub(super) fn of_snapshots(shared: &Shared) -> Answer {
    let mut answer = Vec::new();
    snapshot::stats(&shared.snapshots, &mut answer);
    Answer::parse(&answer)
}

fn load(answer: &Answer) -> Load {
    let number = |name| answer.number(name).unwrap_or(0);
    Load {
        pid: number("pid"),
        uptime: number("uptime"),
        version: text(answer.get("ringbinder_version")),
        gets: number("cmd_get"),
        hits: number("get_hits"),
        misses: number("get_misses"),
        sets: number("cmd_set"),
        failed_gets: number("foreign_get_failed"),
        failed: number("foreign_failed"),
        requests: answer.sum(&[
            "cmd_get",
            "cmd_set",
            "cmd_touch",
            "cmd_meta",
            "delete_hits",
            "delete_misses",
            "incr_hits",
            "incr_misses",
            "decr_hits",
            "decr_misses",
        ]),
        bytes: number("bytes"),
        max_bytes: number("limit_maxbytes"),
        items: number("curr_items"),
        evictions: number("evictions"),
        no_memory: number("store_no_memory"),
        connections: number("curr_connections"),
        max_connections: number("max_connections"),
        bytes_read: number("bytes_read"),
        bytes_written: number("bytes_written"),
    }
}

fn stand(answer: &Answer) -> Option<Stand> {
    let said = |name| answer.get(name).filter(|&text| text != "-");
    Some(Stand {
        name: text(answer.get("ring_node")),
        version: answer.number("ring_version")?,
        digest: text(answer.get("ring_digest")),
        settled: answer.get("ring_settled") == Some("yes"),
        standing: text(answer.get("ring_standing").or(by_membership(answer))),
        standing_reason: text(said("ring_standing_reason")),
        drift: text(said("ring_drift")),
        disputed: disputed(answer),
        unreached: unreached(answer),
        last_error: text(said("ring_last_error")),
        foreign: answer.sum(&["foreign_gets", "foreign_requests"]),
    })
}

/// The standing of a node of an older version, which does not report it.
fn by_membership(answer: &Answer) -> Option<&'static str> {
    Some(if answer.get("ring_member")? == "no" { "absent" } else { "confirmed" })
}

/// The nodes whose name or address two processes claim, as a node sees it, including the node
/// itself.
fn disputed(answer: &Answer) -> Vec<String> {
    let own = answer.get("ring_node").zip(answer.get("ring_rival"));
    let rivals = own.into_iter().chain(answer.of_peers("rival"));
    let rivals = rivals.filter(|&(_, rival)| rival != "-");
    rivals.map(|(node, _)| text(Some(node))).take(MAX_PEERS).collect()
}

fn unreached(answer: &Answer) -> Vec<(String, String)> {
    let away = answer.of_peers("state").into_iter().filter(|&(_, state)| state == "away");
    let reason = |peer: &str| answer.get(&format!("peer:{peer}:reason")).filter(|&it| it != "-");
    let unreached = away.map(|(peer, _)| (text(Some(peer)), text(reason(peer))));
    unreached.take(MAX_PEERS).collect()
}

/// A node's own text, cut to a readable length.
fn text(said: Option<&str>) -> String {
    plain(said.unwrap_or_default(), MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_how_it_stands_and_what_it_makes_of_the_others() {
        let of = |text: &[u8]| stand(&Answer::parse(text)).unwrap();
        let told = of(b"STAT ring_version 2\r\nSTAT ring_standing replaced\r\n\
            STAT ring_standing_reason \xc2\x9b31mnot me\r\nSTAT ring_drift the file has ring 1\r\n\
            STAT ring_node a\r\nSTAT ring_rival 00000000000000aa\r\nSTAT peer:b:state up\r\nSTAT peer:b:rival 00000000000000ff\r\n\
            STAT peer:c:state away\r\nSTAT peer:c:reason it is late\r\nSTAT peer:c:rival -\r\n\
            STAT peer:d:state away\r\nSTAT peer:d:reason -\r\n");
        assert_eq!(
            (told.standing.as_str(), told.drift.as_str()),
            ("replaced", "the file has ring 1")
        );
        assert_eq!(told.standing_reason, "?31mnot me", "nothing in it can steer a terminal");
        assert_eq!(told.disputed, ["a", "b"]);
        let unreached = [("c", "it is late"), ("d", "")];
        assert_eq!(told.unreached, unreached.map(|(peer, why)| (peer.to_owned(), why.to_owned())));
    }

    #[test]
    fn an_older_node_stands_as_its_membership_says() {
        let of = |text: &[u8]| stand(&Answer::parse(text)).unwrap().standing;
        assert_eq!(of(b"STAT ring_version 2\r\nSTAT ring_member no\r\n"), "absent");
        assert_eq!(of(b"STAT ring_version 2\r\nSTAT ring_member yes\r\n"), "confirmed");
        assert_eq!(of(b"STAT ring_version 2\r\n"), "");
    }

    #[test]
    fn what_is_kept_of_a_peer_is_bounded() {
        let text: String = (0..1000)
            .map(|peer| format!("STAT peer:{peer}:rival 1f\r\nSTAT peer:{peer}:state away\r\n"))
            .collect();
        let answer = Answer::parse(format!("STAT ring_version 2\r\n{text}").as_bytes());
        let told = stand(&answer).unwrap();
        assert_eq!((told.disputed.len(), told.unreached.len()), (MAX_PEERS, MAX_PEERS));
    }
}
