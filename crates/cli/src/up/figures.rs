//! Figures that nodes report every second.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ringbinder_client::NodeHandle;

/// One report of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// The id of its process.
    pub(super) pid: u32,
    /// Items it holds.
    pub(super) items: u64,
    /// Memory of its items, in bytes.
    pub(super) bytes: u64,
    /// Gets since its start, including gets that no owner answered.
    pub(super) gets: u64,
    /// Gets that found a value.
    pub(super) hits: u64,
    /// Open connections.
    pub(super) connections: u64,
    /// Version of its ring; `None` if it has no ring.
    pub(super) ring_version: Option<u64>,
    /// Whether it serves all the keys that it owns.
    pub(super) settled: bool,
    /// Names of nodes that are unreachable for it.
    pub(super) misses: Vec<String>,
    /// Time of the report.
    pub(super) at: Instant,
}

impl Figures {
    /// Asks a node. Returns `None` if it is unreachable or is not Ringbinder.
    pub(super) async fn ask(node: &NodeHandle) -> Option<Figures> {
        let (general, ring) = tokio::join!(node.stats(""), node.stats("ring"));
        let at = Instant::now();
        Figures::of(&general.ok()?, &ring.unwrap_or_default(), at)
    }

    fn of(general: &[(String, String)], ring: &[(String, String)], at: Instant) -> Option<Figures> {
        let general: HashMap<&str, &str> = pairs(general).collect();
        let number = |name: &str| general.get(name).and_then(|value| value.parse().ok());
        let away = pairs(ring).filter(|&(_, state)| state == "away");
        let misses = away.filter_map(|(name, _)| {
            Some(name.strip_prefix("peer:")?.strip_suffix(":state")?.to_owned())
        });
        let misses = misses.collect();
        let ring: HashMap<&str, &str> = pairs(ring).collect();
        Some(Figures {
            pid: general.get("pid")?.parse().ok()?,
            items: number("curr_items")?,
            bytes: number("bytes")?,
            gets: number("cmd_get")?.saturating_add(number("foreign_get_failed").unwrap_or(0)),
            hits: number("get_hits")?,
            // One of them belongs to this command.
            connections: number("curr_connections").unwrap_or(0u64).saturating_sub(1),
            ring_version: ring.get("ring_version").and_then(|version| version.parse().ok()),
            settled: ring.get("ring_settled") == Some(&"yes"),
            misses,
            at,
        })
    }

    /// Gets per second since the report `before`. `None` if that came from another process.
    pub(super) fn gets_per_second(&self, before: &Figures) -> Option<u64> {
        let gets = self.gets.checked_sub(before.gets).filter(|_| self.pid == before.pid)?;
        let span = self.at.saturating_duration_since(before.at);
        let millis = u64::try_from(span.max(Duration::from_millis(1)).as_millis()).ok()?;
        Some(gets.saturating_mul(1000).div_ceil(millis))
    }
}

fn pairs(stats: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    stats.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A possible report of a node with this many gets.
    pub(in crate::up) fn some(gets: u64, at: Instant) -> Figures {
        Figures {
            pid: 4711,
            items: 12_345,
            bytes: 3 << 20,
            gets,
            hits: gets / 2,
            connections: 2,
            ring_version: Some(1),
            settled: true,
            misses: Vec::new(),
            at,
        }
    }

    #[test]
    fn figures_are_read_from_what_nodes_say() {
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let mut general = own(&[
            ("pid", "4711"),
            ("curr_items", "12345"),
            ("bytes", "3145728"),
            ("cmd_get", "8"),
            ("foreign_get_failed", "2"),
            ("get_hits", "5"),
            ("curr_connections", "3"),
        ]);
        let ring = own(&[
            ("ring_version", "1"),
            ("ring_settled", "yes"),
            ("peer:cache-b:state", "up"),
            ("peer:cache-c:state", "away"),
        ]);
        let at = Instant::now();
        let expected = Figures { misses: vec!["cache-c".to_owned()], ..some(10, at) };
        assert_eq!(Figures::of(&general, &ring, at), Some(expected));
        general.remove(0);
        assert_eq!(Figures::of(&general, &ring, at), None);
    }

    #[test]
    fn rates_are_those_of_one_process() {
        let start = Instant::now();
        let (before, after) = (some(100, start), some(350, start + Duration::from_millis(500)));
        assert_eq!(after.gets_per_second(&before), Some(500));
        assert_eq!(before.gets_per_second(&after), None);
        let restarted = Figures { pid: 1, ..after };
        assert_eq!(restarted.gets_per_second(&before), None);
    }
}
