//! The state that each node reports every second.

use std::time::Instant;

use ringbinder_client::NodeHandle;
use ringbinder_protocol::stats::{NodeReport, Rates, RingReport};

use crate::escape::words;

/// One report of a node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    /// The id of its process.
    pub(super) pid: u32,
    pub(super) report: NodeReport,
    /// Time of the report.
    at: Instant,
}

impl Figures {
    /// Asks a node. Returns `None` if it is unreachable or does not report its process.
    pub(super) async fn ask(node: &NodeHandle) -> Option<Figures> {
        let (general, ring) = tokio::join!(node.stats(""), node.stats("ring"));
        let at = Instant::now();
        let ring = ring.ok();
        Figures::of(NodeReport::read(&general.ok()?, ring.as_deref(), None, None, words), at)
    }

    fn of(report: NodeReport, at: Instant) -> Option<Figures> {
        let pid = report.general.pid.and_then(|pid| u32::try_from(pid).ok())?;
        Some(Figures { pid, report, at })
    }

    /// Gets that found a value, and all gets since its start, including gets that no owner answered.
    pub(super) fn hits_of_gets(&self) -> Option<(u64, u64)> {
        self.report.general.get_hits.zip(self.report.general.gets())
    }

    /// Open connections, without the one of this command.
    pub(super) fn connections(&self) -> Option<u64> {
        self.report.general.curr_connections.map(|all| all.saturating_sub(1))
    }

    /// Version of its ring; `None` if it has no ring.
    pub(super) fn ring_version(&self) -> Option<u64> {
        self.report.ring.as_ref()?.id.map(|id| id.version)
    }

    /// Whether it serves all the keys that it owns.
    pub(super) fn is_settled(&self) -> bool {
        self.report.ring.as_ref().is_some_and(|ring| ring.settled == Some(true))
    }

    /// Whether a node is unreachable for it.
    pub(super) fn misses(&self, name: &str) -> bool {
        let mut unreached = self.report.ring.iter().flat_map(RingReport::unreached);
        unreached.any(|(peer, _)| peer == name)
    }

    /// Gets per second since the report `before`, rounded up. `None` if that came from another
    /// process.
    pub(super) fn gets_per_second(&self, before: &Figures) -> Option<u64> {
        let took = self.at.saturating_duration_since(before.at);
        let rates = Rates::between(&before.report, &self.report, took)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        Some(rates.gets.ceil() as u64)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use ringbinder_protocol::Stamp;
    use ringbinder_protocol::stats::{General, PeerReport};

    use super::*;

    /// A possible report of a node with this many gets.
    pub(in crate::up) fn some(gets: u64, at: Instant) -> Figures {
        let general = General {
            pid: Some(4_194_304),
            curr_items: Some(12_345),
            bytes: Some(3 << 20),
            get_hits: Some(gets / 2),
            get_misses: Some(gets - gets / 2),
            curr_connections: Some(3),
            ..General::default()
        };
        let id = Some(Stamp { version: 1, digest: 0 });
        let ring = Some(RingReport { id, settled: Some(true), ..RingReport::default() });
        Figures::of(NodeReport { general, ring, ..NodeReport::default() }, at).unwrap()
    }

    #[test]
    fn a_report_is_of_a_known_process() {
        let mut report = some(8, Instant::now()).report;
        report.general.foreign_get_failed = Some(2);
        let away = PeerReport { away: Some(true), ..PeerReport::default() };
        let peers = [("cache-b".to_owned(), PeerReport::default()), ("cache-c".to_owned(), away)];
        report.ring.as_mut().unwrap().peers = peers.into();
        let figures = Figures::of(report.clone(), Instant::now()).unwrap();
        assert_eq!((figures.pid, figures.report.general.curr_items), (4_194_304, Some(12_345)));
        assert_eq!((figures.hits_of_gets(), figures.connections()), (Some((4, 10)), Some(2)));
        assert_eq!((figures.ring_version(), figures.is_settled()), (Some(1), true));
        assert!(figures.misses("cache-c") && !figures.misses("cache-b"));
        report.general.pid = None;
        assert_eq!(Figures::of(report, Instant::now()), None);
    }

    #[test]
    fn rates_are_those_of_one_process() {
        let start = Instant::now();
        let (before, after) = (some(100, start), some(350, start + Duration::from_millis(500)));
        assert_eq!(after.gets_per_second(&before), Some(500));
        assert_eq!(before.gets_per_second(&after), None);
        let mut restarted = after;
        restarted.report.general.pid = Some(1);
        assert_eq!(restarted.gets_per_second(&before), None);
    }
}
