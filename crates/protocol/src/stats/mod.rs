//! Reads the answers to `stats` commands: lines in, typed reports out.
//!
//! A node's answer is not trusted. A line that is missing, malformed or out of range counts as not
//! reported, and unknown lines are skipped. If a line occurs twice, the first one counts. Every
//! report is bounded, however long the answer is. The caller passes in [`Words`], which makes a
//! node's text safe to show, so no report holds a text that could control a terminal.
//!
//! | file | what it reads |
//! |---|---|
//! | `general` | `stats`: [`General`] |
//! | `ring` | `stats ring`: [`RingReport`] |
//! | `latency` | `stats latency`: [`Latency`], made of [`Histogram`]s |
//! | `hot_keys` | `stats hotkeys`: [`HotKeys`], and those of a whole ring |
//! | `rates` | differences between two reports: [`Rates`] |

mod general;
mod hot_keys;
mod latency;
mod rates;
mod ring;

pub use general::General;
pub use hot_keys::{HotKey, HotKeys, MAX_HOT_KEYS, RingHotKey, key_text, merge};
pub use latency::{BUCKETS, Histogram, Latency};
pub use rates::Rates;
pub use ring::{PeerReport, RingReport, is_reported};

/// The lines of one answer, as names and values.
pub type Lines = [(String, String)];

/// Makes a node's text safe to show, and bounds its length.
pub type Words = fn(&str) -> String;

/// Most peers with a problem that a [`NodeReport`] keeps.
pub const MAX_PEERS: usize = 32;

/// Reads the `STAT name value` lines of an answer and skips all others.
pub fn lines(answer: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(answer);
    let stat = |line: &str| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(stat).collect()
}

/// The state of one node at one moment: its answers to four `stats` commands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeReport {
    /// `stats`
    pub general: General,
    /// `stats ring`, with at most [`MAX_PEERS`] peers, all of which have a problem. `None` for a
    /// node without a ring.
    pub ring: Option<RingReport>,
    /// `stats latency`; `None` if the node refuses it.
    pub latency: Option<Latency>,
    /// `stats hotkeys`; `None` if the node refuses it.
    pub hot_keys: Option<HotKeys>,
}

impl NodeReport {
    /// Reads the four answers; `None` for an answer that the node refused.
    pub fn read(
        general: &Lines,
        ring: Option<&Lines>,
        latency: Option<&Lines>,
        hot_keys: Option<&Lines>,
        words: Words,
    ) -> NodeReport {
        let ring = ring.map(|lines| {
            let mut ring = RingReport::read(lines, words, |_, peer| peer.has_problem());
            ring.peers = std::mem::take(&mut ring.peers).into_iter().take(MAX_PEERS).collect();
            ring
        });
        NodeReport {
            general: General::read(general, words),
            ring: ring.filter(|ring| ring.id.is_some()),
            latency: latency.map(Latency::read),
            hot_keys: hot_keys.map(HotKeys::read),
        }
    }

    /// Whether this report comes from the same process as an earlier one. Without that, their
    /// counters cannot be compared. Processes in containers often share a process id, so the uptime
    /// counts too.
    pub fn follows(&self, before: &NodeReport) -> bool {
        self.general.pid == before.general.pid && self.general.uptime >= before.general.uptime
    }
}

/// A number as a float, for ratios and rates.
#[expect(clippy::cast_precision_loss, reason = "statistics for people and for Prometheus")]
pub fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines from text: `name value`, one a line.
    pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn only_stat_lines_with_a_value_are_read() {
        let answer = b"STAT a x y\r\nSTAT b\r\nnothing\r\n\xff\xfe\r\nSTAT  c\r\nEND\r\n";
        assert_eq!(lines(answer), pairs("a x y\n c\n"));
    }

    #[test]
    fn a_node_without_a_ring_has_no_ring_report() {
        let of = |ring: Option<&str>| {
            let ring = ring.map(pairs);
            NodeReport::read(&[], ring.as_deref(), None, None, str::to_owned).ring
        };
        assert_eq!(of(None), None);
        assert_eq!(of(Some("")), None);
        assert_eq!(of(Some("ring_version 2\nring_digest x\n")), None);
        assert!(of(Some("ring_version 2\nring_digest 000000000000001f\n")).is_some());
    }

    #[test]
    fn the_peers_kept_are_bounded() {
        let many: String = (0..1000)
            .map(|peer| format!("peer:{peer}:rival 000000000000001f\npeer:{peer}:state away\n"))
            .collect();
        let lines = pairs(&format!("ring_version 2\nring_digest 000000000000001f\n{many}"));
        let ring = NodeReport::read(&[], Some(&lines), None, None, str::to_owned).ring.unwrap();
        assert_eq!((ring.disputed().count(), ring.unreached().count()), (MAX_PEERS, MAX_PEERS));
    }

    #[test]
    fn a_new_process_is_distinguished_from_the_old() {
        let of = |pid, uptime| {
            let general = General { pid: Some(pid), uptime: Some(uptime), ..General::default() };
            NodeReport { general, ..NodeReport::default() }
        };
        assert!(of(1, 10).follows(&of(1, 9)) && of(1, 9).follows(&of(1, 9)));
        assert!(!of(2, 10).follows(&of(1, 9)));
        assert!(!of(1, 1).follows(&of(1, 9)), "containers share process ids");
    }
}
