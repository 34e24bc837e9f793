//! The state of every node of the ring: its last report, and its history of the last minutes.
//!
//! All of it is bounded: as many nodes as the ring has, and [`WINDOW`] of points for each. The more
//! nodes there are, the fewer points, because nodes are asked less often.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::figures::{Histogram, Latency, as_float, together};
use super::said::Said;

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

/// The figures of the stretch between two questions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Stretch {
    /// Its end, in milliseconds since the Unix epoch.
    pub(super) at: u64,
    /// Requests carried out, per second.
    pub(super) requests: f64,
    /// Gets that hit, missed, or failed because no owner answered, per second.
    pub(super) gets: f64,
    /// The failed ones among them, per second.
    pub(super) failed_gets: f64,
    /// All requests that got no answer from an owner, per second.
    pub(super) failed: f64,
    /// The share of all gets, including failed ones, that hit, from 0 to 1; `None` if there were
    /// none.
    pub(super) hit_ratio: Option<f64>,
    /// Bytes in use at its end.
    pub(super) bytes: u64,
    /// Per second.
    pub(super) evictions: f64,
    /// Keys forwarded to other nodes, per second.
    pub(super) forwarded: f64,
    /// Values refused for lack of memory, per second.
    pub(super) no_memory: f64,
    /// Bytes to and from clients, per second.
    pub(super) traffic: f64,
    /// Microseconds; `None` if no request was timed.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// One node.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// Its last report, if there is any.
    pub(super) said: Option<Said>,
    /// The time of that report.
    said_at: Option<Moment>,
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
        self.said_at.map(|moment| moment.wall)
    }

    /// The last stretch.
    pub(super) fn last(&self) -> Option<&Stretch> {
        self.stretches.back()
    }

    /// Latency by class over the last minute.
    pub(super) fn latency(&self) -> std::collections::BTreeMap<String, Histogram> {
        match (self.recent.front(), self.recent.back()) {
            (Some((_, first)), Some((_, last))) if self.recent.len() > 1 => last.since(first),
            _ => Default::default(),
        }
    }

    fn take(&mut self, now: Moment, said: Result<Said, String>) {
        let was_well = self.fault.is_none();
        let said = match said {
            Ok(said) => said,
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
        let same = self.said.as_ref().is_some_and(|before| before.load.pid == said.load.pid);
        if !same {
            self.recent.clear();
        }
        if let (Some(before), Some(then), true) = (&self.said, self.said_at, same) {
            let took = (now.steady - then.steady).as_secs_f64();
            if took > 0.0 {
                self.stretches.push_back(stretch(before, &said, took, now.wall));
            }
        }
        let oldest = now.wall.saturating_sub(WINDOW.as_secs() * 1000);
        while self.stretches.front().is_some_and(|first| first.at < oldest) {
            self.stretches.pop_front();
        }
        self.recent.push_back((now.steady, said.latency.clone()));
        while self.recent.len() > 2 && now.steady - self.recent[0].0 > PRESENT {
            self.recent.pop_front();
        }
        self.said = Some(said);
        self.said_at = Some(now);
    }
}

fn stretch(before: &Said, after: &Said, took: f64, at: u64) -> Stretch {
    let (old, new) = (&before.load, &after.load);
    let grown = |old: u64, new: u64| as_float(if new < old { new } else { new - old });
    let rate = |old, new| grown(old, new) / took;
    let (hits, misses) = (grown(old.hits, new.hits), grown(old.misses, new.misses));
    // A get that its owner answered counts at the owner; one that got no answer counts here.
    let failed_gets = grown(old.failed_gets, new.failed_gets);
    let gets = hits + misses + failed_gets;
    let latency = together(&after.latency.since(&before.latency));
    let foreign = |said: &Said| said.stand.as_ref().map_or(0, |stand| stand.foreign);
    Stretch {
        at,
        requests: rate(old.requests, new.requests),
        gets: gets / took,
        failed_gets: failed_gets / took,
        failed: rate(old.failed, new.failed),
        hit_ratio: (gets > 0.0).then(|| hits / gets),
        bytes: new.bytes,
        evictions: rate(old.evictions, new.evictions),
        forwarded: rate(foreign(before), foreign(after)),
        no_memory: rate(old.no_memory, new.no_memory),
        traffic: rate(old.bytes_read, new.bytes_read) + rate(old.bytes_written, new.bytes_written),
        p50: latency.quantile(0.5),
        p99: latency.quantile(0.99),
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
    pub(super) fn take(&self, address: &str, now: Moment, said: Result<Said, String>) {
        let mut records = self.records.lock();
        if !records.contains_key(address) {
            records.insert(address.to_owned(), Record::default());
        }
        if let Some(record) = records.get_mut(address) {
            record.take(now, said);
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
    use super::*;

    fn said(requests: u64, hits: u64, pid: u64) -> Said {
        let mut said = Said::default();
        said.load.pid = pid;
        said.load.requests = requests;
        said.load.hits = hits;
        said.load.misses = requests - hits;
        said
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
        let mut take = |record: &mut Record, said| record.take(moments.next().unwrap(), said);
        take(&mut record, Ok(said(100, 50, 1)));
        assert_eq!(record.last(), None);
        take(&mut record, Ok(said(200, 125, 1)));
        let last = *record.last().unwrap();
        assert_eq!((last.requests, last.hit_ratio), (20.0, Some(0.75)));
        take(&mut record, Err("it is gone".to_owned()));
        assert_eq!((record.fault.as_deref(), record.stretches.len()), (Some("it is gone"), 1));
        let since = record.since;
        take(&mut record, Err("it is gone".to_owned()));
        assert_eq!(record.since, since, "since it was gone");
        take(&mut record, Ok(said(5, 5, 2)));
        assert_eq!((record.fault.clone(), record.stretches.len()), (None, 1), "nothing to compare");
        take(&mut record, Ok(said(10, 10, 2)));
        assert_eq!(record.last().unwrap().requests, 1.0);
    }

    #[test]
    fn a_get_that_no_owner_answered_is_no_hit() {
        let mut before = said(100, 50, 1);
        let mut after = said(130, 80, 1);
        before.load.failed_gets = 7;
        (after.load.failed_gets, after.load.failed) = (17, 25);
        let stretch = stretch(&before, &after, 10.0, 0);
        assert_eq!(stretch.hit_ratio, Some(0.75), "30 hits, 10 that failed");
        assert_eq!((stretch.gets, stretch.failed_gets, stretch.failed), (4.0, 1.0, 2.5));
        // A node that only forwards counts only failures.
        let mut after = said(100, 50, 1);
        after.load.failed_gets = 8;
        assert_eq!(super::stretch(&before, &after, 10.0, 0).hit_ratio, Some(0.0));
    }

    #[test]
    fn the_history_is_bounded() {
        let mut record = Record::default();
        for (step, now) in (0..1000).zip(moments()) {
            record.take(now, Ok(said(step, 0, 1)));
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
