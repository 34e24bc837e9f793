//! A worker's random choice of requests to sample.

use std::cell::Cell;
use std::sync::Arc;

use super::{Class, KeyCounts, Latency, WorkerKeyCounts, WorkerLatency};
use crate::process::clock::Nanos;

/// A sampled request whose answer is not written yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    pub(crate) class: Class,
    /// The time at which it was read.
    pub(crate) read_at: Nanos,
}

/// Chooses units at random, and records the measurements.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// The number of units until the next sample, that one included: at least 1.
    left: Cell<u32>,
    random: Cell<u64>,
    keys: Arc<WorkerKeyCounts>,
    latency: Arc<WorkerLatency>,
}

impl Sampler {
    /// The sampler of the worker with that index. `seed` may be any value that clients cannot know.
    pub(crate) fn new(keys: &KeyCounts, latency: &Latency, index: usize, seed: u64) -> Self {
        let sampler = Sampler {
            left: Cell::new(0),
            random: Cell::new(seed),
            keys: keys.of_worker(index),
            latency: latency.of_worker(index),
        };
        sampler.draw();
        sampler
    }

    /// Counts a unit; returns true if it must be sampled.
    #[inline]
    pub(crate) fn due(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(left);
        if left == 0 {
            self.draw();
        }
        left == 0
    }

    /// Whether that many bytes may contain a sample. A key and the space before it take at least
    /// two bytes.
    #[inline]
    pub(crate) fn is_near(&self, bytes: usize) -> bool {
        self.left.get() as usize <= bytes / 2
    }

    /// Draws the distance to the next sample: geometric, so that every unit has the same chance.
    #[cold]
    fn draw(&self) {
        let seed = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(seed);
        self.left.set(distance(uniform(seed)));
    }

    /// Counts a sampled key.
    pub(crate) fn key(&self, key: &[u8], at: Nanos) {
        self.keys.count(key, at);
    }

    /// Counts sampled requests whose answers were just handed over.
    pub(crate) fn answered(&self, timed: &mut Vec<Timed>, now: Nanos) {
        for Timed { class, read_at } in timed.drain(..) {
            self.latency.record(class, now.saturating_sub(read_at));
        }
    }
}

/// Turns a counter into a number above 0 and at most 1 (SplitMix64: Steele, Lea and Flood, 2014).
#[allow(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
fn uniform(seed: u64) -> f64 {
    let mut bits = seed;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    ((bits >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// The logarithm of the chance that a unit is not sampled, 127 in 128.
const LOG_MISS: f64 = -0.007_843_177_461_025_893;

/// The number of units until the next sample.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 53 ln 2 / (1 / 128), which is about 4,700"
)]
fn distance(uniform: f64) -> u32 {
    1 + (uniform.ln() / LOG_MISS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::SAMPLED_EVERY;

    fn sampler(seed: u64) -> Sampler {
        Sampler::new(&KeyCounts::new(1), &Latency::new(1), 0, seed)
    }

    #[test]
    fn every_unit_has_the_same_chance() {
        let sampler = sampler(7);
        // The units of a pattern that repeats with the mean distance: none of them may be favoured.
        let mut taken = [0; 128];
        for unit in 0..128 * 128 * 1000 {
            if sampler.due() {
                taken[unit % 128] += 1;
            }
        }
        // 1000 each are expected; six standard deviations are about 190.
        assert!(taken.iter().all(|&taken| (810..=1190).contains(&taken)), "{taken:?}");
        let all: i32 = taken.iter().sum();
        assert!((126_000..=130_000).contains(&all), "{all}");
    }

    #[test]
    fn distances_are_bounded_and_never_nothing() {
        let log = (-1.0 / f64::from(SAMPLED_EVERY)).ln_1p();
        assert!((LOG_MISS - log).abs() < 1e-15, "{log}");
        assert_eq!(distance(1.0), 1);
        assert!((4_000..6_000).contains(&distance(1.0 / (1u64 << 53) as f64)));
        for seed in 0..1000 {
            assert!((0.0..=1.0).contains(&uniform(seed)) && uniform(seed) > 0.0);
        }
    }

    #[test]
    fn a_sample_is_near_where_the_bytes_may_hold_it() {
        let sampler = sampler(1);
        for _ in 0..10_000 {
            let left = sampler.left.get() as usize;
            assert!(sampler.is_near(2 * left) && !sampler.is_near(2 * left - 1));
            sampler.due();
        }
    }
}
