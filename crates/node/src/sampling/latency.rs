//! The latency of answers by class of command: histograms that one worker writes and any thread
//! reads.
//!
//! Like the event counters, they are words with one writer. `stats reset` remembers the sums of
//! that moment, and reports count from there. A reader may see a sample in a bucket before it is in
//! the sum.

use ringbinder_protocol::stats::{BUCKETS, Histogram};

use crate::process::clock::Nanos;
use crate::stats::{Counter, PerWorker, Summed};

macro_rules! classes {
    ($($(#[$doc:meta])* $class:ident $name:literal)*) => {
        /// A class of commands that are measured together.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Class {
            $($(#[$doc])* $class,)*
        }

        impl Class {
            /// Every class, in the order of reports.
            pub(crate) const ALL: &[Class] = &[$(Class::$class,)*];

            /// The name in reports.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Class::$class => $name,)* }
            }
        }
    };
}

classes! {
    /// `get`, `gets`.
    Get "get"
    /// `gat`, `gats`.
    GetAndTouch "gat"
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
    Set "set"
    /// `delete`.
    Delete "delete"
    /// `incr`, `decr`.
    Incr "incr"
    /// `touch`.
    Touch "touch"
    /// `mg`.
    MetaGet "meta_get"
    /// `ms`.
    MetaSet "meta_set"
    /// `md`.
    MetaDelete "meta_delete"
    /// `ma`.
    MetaArithmetic "meta_arithmetic"
    /// Everything else, except the exchange between nodes about the ring.
    Other "other"
}

/// Samples of all classes, in the order of [`Class::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LatencySums([Histogram; Class::ALL.len()]);

impl LatencySums {
    /// The classes that have samples.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Class, &Histogram)> {
        let all = Class::ALL.iter().copied().zip(&self.0);
        all.filter(|(_, histogram)| histogram.count() > 0)
    }
}

impl Summed<WorkerLatency> for LatencySums {
    fn add(&mut self, worker: &WorkerLatency) {
        for (sums, counters) in self.0.iter_mut().zip(&worker.0) {
            for (sum, counter) in sums.buckets.iter_mut().zip(&counters.buckets) {
                *sum = sum.wrapping_add(counter.get());
            }
            sums.sum = sums.sum.wrapping_add(counters.sum.get());
        }
    }

    fn since(mut self, base: &LatencySums) -> LatencySums {
        for (sums, base) in self.0.iter_mut().zip(&base.0) {
            // Counters only grow.
            *sums = sums.since(base).unwrap_or_default();
        }
        self
    }
}

#[derive(Debug, Default)]
struct Counters {
    buckets: [Counter; BUCKETS],
    sum: Counter,
}

/// The measurements of one worker.
#[derive(Debug, Default)]
pub(crate) struct WorkerLatency([Counters; Class::ALL.len()]);

impl WorkerLatency {
    /// Counts an answer that took this long.
    pub(crate) fn record(&self, class: Class, took: Nanos) {
        let counters = &self.0[class as usize];
        counters.buckets[bucket(took)].increment();
        counters.sum.add(took);
    }
}

/// The bucket of a time.
fn bucket(took: Nanos) -> usize {
    let micros = took.div_ceil(1000);
    let at = u64::BITS - micros.saturating_sub(1).leading_zeros();
    usize::try_from(at).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The measurements of all workers.
pub(crate) type Latency = PerWorker<WorkerLatency, LatencySums>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        for at in 0..BUCKETS - 1 {
            let bound = 1000 << at;
            assert_eq!(bucket(bound), at, "{bound}");
            assert_eq!(bucket(bound + 1), at + 1, "{bound}");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn sums_are_over_workers_by_class_and_since_the_reset() {
        let latency = Latency::new(2);
        latency.of_worker(0).record(Class::Get, 500);
        latency.of_worker(1).record(Class::Get, 3_000);
        latency.of_worker(1).record(Class::Other, u64::MAX / 2);
        let sums = latency.sums();
        let classes: Vec<_> =
            sums.iter().map(|(class, h)| (class.name(), h.count(), h.sum)).collect();
        assert_eq!(classes, [("get", 2, 3_500), ("other", 1, u64::MAX / 2)]);
        let (_, gets) = sums.iter().next().unwrap();
        assert_eq!(gets.buckets[..4], [1, 0, 1, 0]);
        latency.reset();
        assert_eq!(latency.sums(), LatencySums::default());
        latency.of_worker(0).record(Class::Set, 1);
        assert_eq!(latency.sums().iter().next().map(|(class, _)| class), Some(Class::Set));
    }
}
