//! The latency of answers by class of command: histograms that one worker writes and any thread
//! reads.
//!
//! Like the event counters, they are words with one writer. `stats reset` remembers the sums of
//! that moment, and reports count from there. A reader may see a sample in a bucket before it is in
//! the sum.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::process::clock::Nanos;
use crate::stats::Counter;

/// Bounds of the buckets: 1 us, 2 us, 4 us, ... 2^20 us. The last bucket has no bound.
pub(crate) const BOUNDS: usize = 21;

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

/// Samples of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    /// Samples in each bucket, not cumulative: up to 1 us, up to 2 us, ... up to 2^20 us, more.
    pub(crate) buckets: [u64; BOUNDS + 1],
    /// The sum of all samples, in nanoseconds.
    pub(crate) sum: Nanos,
}

impl Histogram {
    /// Number of samples.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Buckets as `(upper bound in microseconds, samples up to it)`, without the unbounded one.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut sum = 0;
        self.buckets[..BOUNDS].iter().enumerate().map(move |(at, samples)| {
            sum += samples;
            (1 << at, sum)
        })
    }
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
            for (sum, base) in sums.buckets.iter_mut().zip(base.buckets) {
                *sum = sum.wrapping_sub(base);
            }
            sums.sum = sums.sum.wrapping_sub(base.sum);
        }
        self
    }
}

#[derive(Debug, Default)]
struct Counters {
    buckets: [Counter; BOUNDS + 1],
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
    usize::try_from(at).unwrap_or(BOUNDS).min(BOUNDS)
}

/// The measurements of all workers.
#[derive(Debug)]
pub(crate) struct Latency {
    workers: Vec<Arc<WorkerLatency>>,
    base: Mutex<LatencySums>,
}

impl Latency {
    pub(crate) fn new(workers: usize) -> Self {
        let workers = (0..workers).map(|_| Arc::default()).collect();
        Latency { workers, base: Mutex::default() }
    }

    pub(crate) fn of_worker(&self, index: usize) -> Arc<WorkerLatency> {
        Arc::clone(&self.workers[index])
    }

    fn total(&self) -> LatencySums {
        let mut sums = LatencySums::default();
        for worker in &self.workers {
            sums.add(worker);
        }
        sums
    }

    /// Sums since start or the last reset.
    pub(crate) fn sums(&self) -> LatencySums {
        let base = self.base.lock();
        self.total().since(&base)
    }

    pub(crate) fn reset(&self) {
        let mut base = self.base.lock();
        *base = self.total();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        for at in 0..BOUNDS {
            let bound = 1000 << at;
            assert_eq!(bucket(bound), at, "{bound}");
            assert_eq!(bucket(bound + 1), at + 1, "{bound}");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BOUNDS);
    }

    #[test]
    fn sums_are_over_workers_by_class_and_since_the_reset() {
        let latency = Latency::new(2);
        latency.of_worker(0).record(Class::Get, 500);
        latency.of_worker(1).record(Class::Get, 3_000);
        latency.of_worker(1).record(Class::Other, u64::MAX / 2);
        let sums = latency.sums();
        let reported: Vec<_> =
            sums.iter().map(|(class, h)| (class.name(), h.count(), h.sum)).collect();
        assert_eq!(reported, [("get", 2, 3_500), ("other", 1, u64::MAX / 2)]);
        let (_, gets) = sums.iter().next().unwrap();
        let cumulative: Vec<_> = gets.cumulative().take(4).collect();
        assert_eq!(cumulative, [(1, 1), (2, 1), (4, 2), (8, 2)]);
        assert_eq!(gets.cumulative().last(), Some((1 << 20, 2)));
        latency.reset();
        assert_eq!(latency.sums(), LatencySums::default());
        latency.of_worker(0).record(Class::Set, 1);
        assert_eq!(latency.sums().iter().next().map(|(class, _)| class), Some(Class::Set));
    }
}
