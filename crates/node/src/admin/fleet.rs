//! The state of every node of the ring: its last report, and its history of the last minutes.
//!
//! All of it is bounded: as many nodes as the ring has, and [`WINDOW`] of points for each. The more
//! nodes there are, the fewer points, because nodes are asked less often.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use ringbinder_protocol::stats::{Latency, NodeReport, Rates};
use tokio::time::Instant;

/// The length of the history.
pub(super) const WINDOW: Duration = Duration::from_secs(600);

/// The period from which the present latency is computed.
const PRESENT: Duration = Duration::from_secs(60);

/// The shortest interval at which a node is asked.
const SOONEST: Duration = Duration::from_secs(5);

/// The bound on how often all other nodes together ask one node, per second.
const ASKED_PER_SECOND: usize = 20;

/// The interval at which to ask a node, in a ring of this many nodes that all ask each other.
pub(super) fn interval(nodes: usize) -> Duration {
    SOONEST.max(Duration::from_secs(nodes.div_ceil(ASKED_PER_SECOND) as u64))
}

/// A moment by the wall clock, for people, and by a monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Milliseconds since the Unix epoch.
    pub(super) wall: u64,
    pub(super) steady: Instant,
}

/// What happened between two reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Stretch {
    /// Its end, in milliseconds since the Unix epoch.
    pub(super) at: u64,
    pub(super) rates: Rates,
    /// Bytes in use at its end.
    pub(super) bytes: u64,
    /// Microseconds; `None` if no request was timed.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// One node.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// Its last report, if there is any.
    pub(super) report: Option<NodeReport>,
    /// The time of that report.
    reported_at: Option<Moment>,
    /// The reason why the last question got no answer.
    pub(super) fault: Option<String>,
    /// The time since which it answers, or does not answer, in milliseconds since the Unix epoch.
    pub(super) since: u64,
    /// Oldest first.
    pub(super) stretches: VecDeque<Stretch>,
    /// Cumulative latencies of [`PRESENT`], oldest first.
    recent: VecDeque<(Instant, Latency)>,
}

impl Record {
    /// The time of its last report, in milliseconds since the Unix epoch.
    pub(super) fn heard(&self) -> Option<u64> {
        self.reported_at.map(|moment| moment.wall)
    }

    /// The last stretch.
    pub(super) fn last(&self) -> Option<&Stretch> {
        self.stretches.back()
    }

    /// Latency by class over the last minute.
    pub(super) fn latency(&self) -> Latency {
        let first_and_last = self.recent.front().zip(self.recent.back());
        let both = first_and_last.filter(|_| self.recent.len() > 1);
        both.and_then(|((_, first), (_, last))| last.since(first)).unwrap_or_default()
    }

    fn take(&mut self, now: Moment, report: Result<NodeReport, String>) {
        let was_well = self.fault.is_none();
        let report = match report {
            Ok(report) => report,
            Err(fault) => {
                if was_well || self.since == 0 {
                    self.since = now.wall;
                }
                self.fault = Some(fault);
                return;
            }
        };
        self.fault = None;
        if !was_well || self.since == 0 {
            self.since = now.wall;
        }
        let latency = report.latency.clone().unwrap_or_default();
        let before = self.report.as_ref().zip(self.reported_at);
        let stretch = before.and_then(|(before, then)| {
            let rates = Rates::between(before, &report, now.steady - then.steady)?;
            let new = latency.since(&before.latency.clone().unwrap_or_default())?.together();
            Some(Stretch {
                at: now.wall,
                rates,
                bytes: report.general.bytes.unwrap_or(0),
                p50: new.quantile(0.5),
                p99: new.quantile(0.99),
            })
        });
        // Without a stretch, this is another process or its counters were reset.
        if stretch.is_none() {
            self.recent.clear();
        }
        self.stretches.extend(stretch);
        let oldest = now.wall.saturating_sub(WINDOW.as_secs() * 1000);
        while self.stretches.front().is_some_and(|first| first.at < oldest) {
            self.stretches.pop_front();
        }
        self.recent.push_back((now.steady, latency));
        while self.recent.len() > 2 && now.steady - self.recent[0].0 > PRESENT {
            self.recent.pop_front();
        }
        self.report = Some(report);
        self.reported_at = Some(now);
    }
}

/// All nodes, by their addresses.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    records: Mutex<HashMap<String, Record>>,
    /// The address on which this node listens.
    pub(super) serves: String,
}

impl Fleet {
    pub(super) fn new(serves: String) -> Fleet {
        Fleet { records: Mutex::default(), serves }
    }

    /// Records the result of asking a node.
    pub(super) fn take(&self, address: &str, now: Moment, report: Result<NodeReport, String>) {
        let mut records = self.records.lock();
        if !records.contains_key(address) {
            records.insert(address.to_owned(), Record::default());
        }
        if let Some(record) = records.get_mut(address) {
            record.take(now, report);
        }
    }

    /// Drops all nodes but these.
    pub(super) fn keep(&self, addresses: &[String]) {
        let kept: std::collections::HashSet<&String> = addresses.iter().collect();
        self.records.lock().retain(|address, _| kept.contains(address));
    }

    /// Calls `look` with a node's record.
    pub(super) fn with<R>(&self, address: &str, look: impl FnOnce(Option<&Record>) -> R) -> R {
        look(self.records.lock().get(address))
    }
}

#[cfg(test)]
mod tests {
    use ringbinder_protocol::stats::General;

    use super::*;

    fn report(requests: u64, hits: u64, pid: u64) -> NodeReport {
        let general = General {
            pid: Some(pid),
            cmd_get: Some(requests),
            get_hits: Some(hits),
            get_misses: Some(requests - hits),
            ..General::default()
        };
        NodeReport { general, ..NodeReport::default() }
    }

    fn moments() -> impl Iterator<Item = Moment> {
        let start = Instant::now();
        (0..).map(move |step| Moment {
            wall: 1_000_000 + step * 5000,
            steady: start + Duration::from_secs(5 * step),
        })
    }

    #[test]
    fn rates_are_differences_and_a_new_process_starts_anew() {
        let mut record = Record::default();
        let mut moments = moments();
        let mut take = |record: &mut Record, report| record.take(moments.next().unwrap(), report);
        take(&mut record, Ok(report(100, 50, 1)));
        assert_eq!(record.last(), None);
        take(&mut record, Ok(report(200, 125, 1)));
        let last = *record.last().unwrap();
        assert_eq!((last.rates.requests, last.rates.hit_ratio()), (20.0, Some(0.75)));
        take(&mut record, Err("it is gone".to_owned()));
        assert_eq!((record.fault.as_deref(), record.stretches.len()), (Some("it is gone"), 1));
        let since = record.since;
        take(&mut record, Err("it is gone".to_owned()));
        assert_eq!(record.since, since, "since it was gone");
        take(&mut record, Ok(report(5, 5, 2)));
        assert_eq!((record.fault.clone(), record.stretches.len()), (None, 1), "nothing to compare");
        take(&mut record, Ok(report(10, 10, 2)));
        assert_eq!(record.last().unwrap().rates.requests, 1.0);
    }

    #[test]
    fn the_history_is_bounded() {
        let mut record = Record::default();
        for (step, now) in (0..1000).zip(moments()) {
            record.take(now, Ok(report(step, 0, 1)));
        }
        let most = WINDOW.as_secs() / SOONEST.as_secs() + 1;
        assert_eq!(record.stretches.len() as u64, most);
        assert!(record.recent.len() as u64 <= PRESENT.as_secs() / SOONEST.as_secs() + 2);
    }

    #[test]
    fn many_nodes_are_asked_less_often() {
        assert_eq!(interval(1), SOONEST);
        assert_eq!(interval(100), SOONEST);
        assert_eq!(interval(1000), Duration::from_secs(50));
    }
}
