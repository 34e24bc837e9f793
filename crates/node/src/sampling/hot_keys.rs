//! The hottest keys of the last minute.
//!
//! Each worker counts its samples in panes of 30 seconds, and keeps the present and the previous
//! pane. The panes of all workers begin at the same moments, so those of one moment can be added.
//! The report covers between 30 and 60 seconds, and a key that is no longer requested disappears
//! after at most 60.
//!
//! A worker takes its lock only for samples, and only if it is free at once. While another thread
//! reads, which takes less than a millisecond, the worker drops its samples instead of waiting.
//!
//! # Accuracy of a rate
//! A key reported with rate `r` in a window of `w` seconds was sampled at least `n = r w / 128`
//! times. The random choice of samples makes the standard error of `r` about `r / sqrt(n)`: a tenth
//! at 100 samples. Samples that the sketches cannot attribute are left out. That makes rates too
//! low, never too high, by at most one in 512 of the worker's requests in each pane, and by nothing
//! for keys that are hot all the time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use ringbinder_protocol::stats::{HotKey, HotKeys, MAX_HOT_KEYS, float};

use super::SAMPLED_EVERY;
use super::sketch::Sketch;
use crate::process::clock::Nanos;

const SECOND: Nanos = 1_000_000_000;

/// The length of a pane.
const PANE: Nanos = 30 * SECOND;

/// The shortest time over which rates are reported.
const SHORTEST: Nanos = SECOND;

/// A pane: the samples of one stretch of time.
#[derive(Debug)]
struct Pane {
    /// The number of panes before it since the node started.
    number: u64,
    sketch: Sketch,
}

/// The present pane and the previous one.
#[derive(Debug)]
struct Panes {
    present: Pane,
    before: Pane,
}

impl Panes {
    fn at(number: u64) -> Self {
        let pane = || Pane { number, sketch: Sketch::new() };
        Panes { present: pane(), before: pane() }
    }

    /// Counts a key at a time that may be a little earlier than that of the key before.
    fn count(&mut self, key: &[u8], at: Nanos) {
        let number = at / PANE;
        if number > self.present.number {
            std::mem::swap(&mut self.present, &mut self.before);
            self.present.sketch.clear();
            self.present.number = number;
        }
        self.present.sketch.count(key);
    }

    fn clear(&mut self) {
        self.present.sketch.clear();
        self.before.sketch.clear();
    }
}

/// The samples of one worker. Created with the first sample, so an idle node holds none.
#[derive(Debug, Default)]
pub(crate) struct WorkerKeyCounts(Mutex<Option<Box<Panes>>>);

impl WorkerKeyCounts {
    /// Counts a sampled key.
    pub(crate) fn count(&self, key: &[u8], at: Nanos) {
        if let Some(mut panes) = self.0.try_lock() {
            panes.get_or_insert_with(|| Box::new(Panes::at(at / PANE))).count(key, at);
        }
    }
}

/// The samples of all workers.
#[derive(Debug)]
pub(crate) struct KeyCounts {
    workers: Vec<Arc<WorkerKeyCounts>>,
    /// The time at which counting last started.
    since: AtomicU64,
}

impl KeyCounts {
    pub(crate) fn new(workers: usize) -> Self {
        let workers = (0..workers).map(|_| Arc::default()).collect();
        KeyCounts { workers, since: AtomicU64::new(0) }
    }

    pub(crate) fn of_worker(&self, index: usize) -> Arc<WorkerKeyCounts> {
        Arc::clone(&self.workers[index])
    }

    /// The hottest keys of all workers at this time.
    pub(crate) fn hottest(&self, now: Nanos) -> HotKeys {
        let oldest = (now / PANE).saturating_sub(1);
        let mut counts: HashMap<Box<[u8]>, u64> = HashMap::new();
        let mut total = 0;
        for worker in &self.workers {
            let panes = worker.0.lock();
            let panes = panes.iter().flat_map(|panes| [&panes.present, &panes.before]);
            for pane in panes.filter(|pane| pane.number >= oldest) {
                total += pane.sketch.total();
                for (key, count, error) in pane.sketch.watched() {
                    let sure = u64::from(count - error);
                    match counts.get_mut(key) {
                        Some(count) => *count += sure,
                        None => {
                            counts.insert(key.into(), sure);
                        }
                    }
                }
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        // Equally hot keys are sorted by key, so that the order stays the same from one report to
        // the next.
        counts.sort_unstable_by(|(a, many), (b, more)| {
            Reverse(many).cmp(&Reverse(more)).then(a.cmp(b))
        });
        counts.truncate(MAX_HOT_KEYS);
        let from = (oldest * PANE).max(self.since.load(Relaxed));
        let window = now.saturating_sub(from).max(SHORTEST);
        let keys = counts.into_iter().map(|(key, count)| HotKey {
            key,
            rate: float(count * u64::from(SAMPLED_EVERY)) / (float(window) / 1e9),
            share: Some(float(count) / float(total)),
        });
        let seconds = (window + SECOND / 2) / SECOND;
        HotKeys { window: seconds, keys: keys.collect() }
    }

    /// Drops all counts.
    pub(crate) fn reset(&self, now: Nanos) {
        for worker in &self.workers {
            if let Some(panes) = &mut *worker.0.lock() {
                panes.clear();
            }
        }
        self.since.store(now, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(counts: &KeyCounts, now: Nanos) -> Vec<(String, f64)> {
        let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
        counts.hottest(now).keys.iter().map(|hot| (text(&hot.key), hot.rate)).collect()
    }

    #[test]
    fn rates_are_of_all_workers_and_of_the_time_that_is_covered() {
        let counts = KeyCounts::new(2);
        for _ in 0..10 {
            counts.of_worker(0).count(b"a", 2 * SECOND);
            counts.of_worker(1).count(b"a", 3 * SECOND);
            counts.of_worker(1).count(b"b", 3 * SECOND);
        }
        let hottest = counts.hottest(10 * SECOND);
        assert_eq!(hottest.window, 10);
        let [a, b] = &hottest.keys[..] else { panic!("{hottest:?}") };
        assert_eq!((&a.key[..], &b.key[..]), (&b"a"[..], &b"b"[..]));
        assert!((a.rate - 20.0 * 128.0 / 10.0).abs() < 1e-9, "{}", a.rate);
        assert_eq!((a.share, b.share), (Some(2.0 / 3.0), Some(1.0 / 3.0)));
    }

    #[test]
    fn a_key_that_is_no_longer_asked_for_fades_and_is_gone_within_a_minute() {
        let counts = KeyCounts::new(1);
        let worker = counts.of_worker(0);
        for second in 0..60 {
            worker.count(b"old", second * SECOND);
        }
        let rate = |now| rates(&counts, now * SECOND).first().map(|(_, rate)| *rate);
        assert!((rate(60).unwrap() - 128.0 * 30.0 / 30.0).abs() < 1e-9);
        assert!(rate(75).unwrap() < 0.7 * 128.0);
        assert_eq!(rate(90), None);
        // Another key's samples advance the panes.
        worker.count(b"new", 100 * SECOND);
        assert_eq!(rates(&counts, 101 * SECOND).len(), 1);
        worker.count(b"new", 1000 * SECOND);
        assert_eq!(rates(&counts, 1001 * SECOND), [("new".to_owned(), 128.0 / 41.0)]);
    }

    #[test]
    fn samples_that_come_a_little_late_count_in_the_present_pane() {
        let counts = KeyCounts::new(1);
        counts.of_worker(0).count(b"a", 31 * SECOND);
        counts.of_worker(0).count(b"a", 29 * SECOND);
        assert_eq!(rates(&counts, 32 * SECOND), [("a".to_owned(), 256.0 / 32.0)]);
    }

    #[test]
    fn the_first_second_and_a_reset_make_no_rates_out_of_nothing() {
        let counts = KeyCounts::new(1);
        assert_eq!(counts.hottest(0), HotKeys { window: 1, keys: Vec::new() });
        counts.of_worker(0).count(b"a", 1000);
        assert_eq!(rates(&counts, 2000), [("a".to_owned(), 128.0)]);
        counts.reset(20 * SECOND);
        assert!(rates(&counts, 20 * SECOND).is_empty());
        counts.of_worker(0).count(b"b", 21 * SECOND);
        assert_eq!(rates(&counts, 22 * SECOND), [("b".to_owned(), 64.0)]);
    }

    #[test]
    fn no_more_keys_are_reported_than_the_limit() {
        let counts = KeyCounts::new(1);
        for number in 0..200 {
            for _ in 0..=number {
                counts.of_worker(0).count(format!("{number:03}").as_bytes(), SECOND);
            }
        }
        let keys = rates(&counts, 2 * SECOND);
        assert_eq!(keys.len(), MAX_HOT_KEYS);
        assert_eq!(keys[0].0, "199");
        assert_eq!(keys[49].0, "150");
    }

    #[test]
    fn a_sample_taken_during_a_report_is_dropped_and_does_not_wait() {
        let counts = KeyCounts::new(1);
        let worker = counts.of_worker(0);
        let reader = worker.0.lock();
        worker.count(b"a", 1);
        drop(reader);
        assert!(rates(&counts, SECOND).is_empty());
    }
}
