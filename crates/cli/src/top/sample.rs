//! What one node says of itself at one moment: numbers out of the answers to `stats`.
//!
//! A node that does not know a question, an older one or memcached, leaves its part out.

use crate::fleet::hot::keys::NodeHeat;

use super::latency::Latency;

/// The answer to one `stats` command; none where the node refused it.
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
    /// Seconds.
    pub(super) uptime: u64,
    pub(super) pid: u64,
    /// The version of its program.
    pub(super) program: String,
    /// Of a node that has one.
    pub(super) ring: Option<HeldRing>,
    pub(super) latency: Option<Latency>,
    pub(super) heat: Option<NodeHeat>,
}

/// What only ever grows, unless it is counted anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) gets: u64,
    pub(super) hits: u64,
    pub(super) sets: u64,
    /// All other requests about keys.
    pub(super) others: u64,
    pub(super) evictions: u64,
    /// Requests about keys of other nodes.
    pub(super) foreign: u64,
}

/// The ring that a node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldRing {
    pub(super) version: u64,
    pub(super) digest: String,
    /// Whether it serves all that it owns.
    pub(super) settled: bool,
    /// Why it does not follow a newer ring; empty where nothing keeps it.
    pub(super) last_error: String,
}

impl Sample {
    /// Out of the answers to `stats`, `stats ring`, `stats hotkeys` and `stats latency`.
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
            },
            bytes: count("bytes"),
            limit: count("limit_maxbytes"),
            items: count("curr_items"),
            connections: count("curr_connections"),
            max_connections: count("max_connections"),
            uptime: count("uptime"),
            pid: count("pid"),
            program: clean(program.unwrap_or_default()),
            ring: held,
            latency: latency.as_deref().map(Latency::parse),
            heat: heat.as_deref().map(NodeHeat::parse),
        }
    }

    /// Whether it is of the same process as an earlier one, so that counters can be compared.
    pub(super) fn follows(&self, before: &Sample) -> bool {
        self.pid == before.pid && self.uptime >= before.uptime
    }
}

fn held(ring: &[(String, String)]) -> Option<HeldRing> {
    Some(HeldRing {
        version: value(ring, "ring_version")?.parse().ok()?,
        digest: clean(value(ring, "ring_digest")?),
        settled: value(ring, "ring_settled") != Some("no"),
        last_error: clean(value(ring, "ring_last_error").filter(|&text| text != "-").unwrap_or("")),
    })
}

fn value<'a>(stats: &'a [(String, String)], name: &str) -> Option<&'a str> {
    stats.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
}

/// Somebody else's text, without anything that a terminal could take for an order, or that could
/// change the direction of what stands beside it.
pub(super) fn clean(text: &str) -> String {
    let plain = |c: char| match c {
        ' '..='~' => c,
        c if c.is_alphanumeric() => c,
        _ => '?',
    };
    text.chars().take(200).map(plain).collect()
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
             curr_items 5\ncurr_connections 2\nmax_connections 1024\nevictions 6\n",
        );
        let ring = pairs(
            "ring_version 3\nring_digest 00ff\nring_settled no\nring_last_error -\n\
             foreign_gets 1\nforeign_requests 2\nforeign_refused 4\n",
        );
        let sample = Sample::parse(&general, &Some(ring), &None, &None);
        let counters = Counters { gets: 10, hits: 9, sets: 3, others: 7, evictions: 6, foreign: 7 };
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
    fn text_of_others_cannot_steer_a_terminal() {
        assert_eq!(clean("a\u{1b}[31m\r\n\u{202e}ü\u{7f}"), "a?[31m???ü?");
        assert_eq!(clean(&"x".repeat(1000)).len(), 200);
    }

    #[test]
    fn a_new_process_is_told_from_the_old() {
        let of = |pid, uptime| Sample { pid, uptime, ..Sample::default() };
        assert!(of(1, 10).follows(&of(1, 9)) && of(1, 9).follows(&of(1, 9)));
        assert!(!of(2, 10).follows(&of(1, 9)) && !of(1, 1).follows(&of(1, 9)));
    }
}
