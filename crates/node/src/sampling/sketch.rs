//! Heavy hitters of a stream of keys: Filtered Space-Saving (Homem and Carvalho, 2010), which is
//! Space-Saving (Metwally, Agrawal and El Abbadi, 2005) behind a filter of plain counters.
//!
//! [`WATCHED`] keys are watched, each with a count. Every other key counts only in the cell of the
//! filter to which it hashes. Once a cell has seen as much as the lowest count of a watched key,
//! the key that raised the cell to that replaces this watched key, and begins with the count of its
//! cell.
//!
//! With `n` keys counted and `f` the true count of a key:
//!
//! - a watched key has `count - error <= f <= count`, and `error <= n / WATCHED`;
//! - a key that is not watched has `f <= ` the count of its cell, which is at most the lowest count
//!   of a watched key, and so at most `n / WATCHED`;
//! - so every key with `f > n / WATCHED` is watched.
//!
//! The bounds hold for any stream. In usual streams, most keys are rare. The filter makes the
//! errors of such streams far smaller, and saves the cost of replacing watched keys.
//!
//! Memory: [`CELLS`] and [`WATCHED`] are fixed, so the sketch has at most 200 KiB with keys of 250
//! bytes, and 60 KiB with keys of 20. It allocates only for a key that is longer than all keys
//! before in its place.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

/// The number of watched keys.
pub(crate) const WATCHED: usize = 512;

/// The number of cells of the filter. A power of two.
const CELLS: usize = 4096;

/// One watched key.
#[derive(Debug, Default)]
struct WatchedKey {
    hash: u64,
    /// The count of the key's cell when the key took its place.
    error: u32,
    key: Vec<u8>,
}

/// The counts of a stream's most frequent keys.
#[derive(Debug)]
pub(crate) struct Sketch {
    hasher: RandomState,
    /// The place of each watched hash.
    index: HashMap<u64, u16, foldhash::fast::RandomState>,
    /// The counts of the watched keys, separate from the keys, because the search for the lowest
    /// reads them.
    counts: Vec<u32>,
    /// As long as `counts` or longer: unused watched at the end keep their memory.
    watched: Vec<WatchedKey>,
    /// The lowest count of a watched key once all places are taken; 0 before that.
    floor: u32,
    /// The number of watched keys with that count.
    at_floor: usize,
    /// The place where the search for the next of them starts. Places are replaced in turn, so that
    /// the searches cost little on the whole.
    cursor: usize,
    cells: Vec<u32>,
    total: u64,
}

impl Sketch {
    pub(crate) fn new() -> Self {
        Sketch {
            hasher: RandomState::default(),
            // Room for a removal and an insertion without growing.
            index: HashMap::with_capacity_and_hasher(WATCHED + 1, Default::default()),
            counts: Vec::with_capacity(WATCHED),
            watched: Vec::new(),
            floor: 0,
            at_floor: 0,
            cursor: 0,
            cells: vec![0; CELLS],
            total: 0,
        }
    }

    /// Counts a key.
    pub(crate) fn count(&mut self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        self.total += 1;
        let cell = cell(hash);
        match self.index.get(&hash) {
            Some(&at) => {
                let at = usize::from(at);
                if self.watched[at].key == key {
                    self.raise(at);
                } else {
                    // Two keys have one hash: the later one is never watched beside the other.
                    self.cells[cell] = self.cells[cell].saturating_add(1);
                }
            }
            None if self.counts.len() < WATCHED => self.watch(key, hash),
            None => {
                let would_be = self.cells[cell].saturating_add(1);
                if would_be < self.floor {
                    self.cells[cell] = would_be;
                } else {
                    let at = self.least();
                    self.release(at);
                    self.watch_at(at, key, hash, would_be);
                    if would_be > self.floor {
                        self.left_floor();
                    }
                }
            }
        }
    }

    /// Counts a watched key.
    fn raise(&mut self, at: usize) {
        let before = self.counts[at];
        self.counts[at] = before.saturating_add(1);
        if before == self.floor {
            self.left_floor();
        }
    }

    /// Records that one watched key less has the lowest count.
    fn left_floor(&mut self) {
        self.at_floor = self.at_floor.saturating_sub(1);
        if self.at_floor == 0 {
            self.find_floor();
        }
    }

    fn find_floor(&mut self) {
        let least = self.counts.iter().copied().fold(u32::MAX, u32::min);
        self.floor = least;
        self.at_floor = self.counts.iter().filter(|&&count| count == least).count();
    }

    /// Watches another key.
    fn watch(&mut self, key: &[u8], hash: u64) {
        let at = self.counts.len();
        let would_be = self.cells[cell(hash)].saturating_add(1);
        self.counts.push(0);
        if at == self.watched.len() {
            self.watched.push(WatchedKey::default());
        }
        self.watch_at(at, key, hash, would_be);
        if self.counts.len() == WATCHED {
            self.find_floor();
        }
    }

    fn watch_at(&mut self, at: usize, key: &[u8], hash: u64, count: u32) {
        self.counts[at] = count;
        let entry = &mut self.watched[at];
        entry.hash = hash;
        entry.error = count - 1;
        entry.key.clear();
        entry.key.extend_from_slice(key);
        self.index.insert(hash, u16::try_from(at).unwrap_or(u16::MAX));
    }

    /// Returns the count of a key to its cell.
    fn release(&mut self, at: usize) {
        let hash = self.watched[at].hash;
        self.index.remove(&hash);
        let cell = &mut self.cells[cell(hash)];
        *cell = self.counts[at].max(*cell);
    }

    /// A watched key with the lowest count.
    fn least(&mut self) -> usize {
        let (before, from) = self.counts.split_at(self.cursor.min(self.counts.len()));
        let is_least = |&count: &u32| count == self.floor;
        let found = from.iter().position(is_least).map(|at| at + before.len());
        let at = found.or_else(|| before.iter().position(is_least)).unwrap_or(0);
        self.cursor = at + 1;
        at
    }

    /// Drops all counts but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.index.clear();
        self.counts.clear();
        self.cells.fill(0);
        self.floor = 0;
        self.at_floor = 0;
        self.cursor = 0;
        self.total = 0;
    }

    /// The number of keys counted.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The watched keys, each with its count and the amount by which that may be too high.
    pub(crate) fn watched(&self) -> impl Iterator<Item = (&[u8], u32, u32)> {
        let watched = self.watched.iter().zip(&self.counts);
        watched.map(|(entry, &count)| (&entry.key[..], count, entry.error))
    }

    /// Recounts all bookkeeping.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        assert!(self.counts.len() <= WATCHED && self.counts.len() <= self.watched.len());
        assert_eq!(self.index.len(), self.counts.len());
        for (at, (entry, &count)) in self.watched.iter().zip(&self.counts).enumerate() {
            assert_eq!(self.hasher.hash_one(&entry.key[..]), entry.hash);
            assert_eq!(self.index.get(&entry.hash).map(|&at| usize::from(at)), Some(at));
            assert!(entry.error < count);
        }
        let counted: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        assert!(counted <= self.total, "{counted} of {}", self.total);
        let highest = self.cells.iter().copied().max().unwrap_or(0);
        if self.counts.len() == WATCHED {
            assert_eq!(self.counts.iter().min(), Some(&self.floor));
            let least = self.counts.iter().filter(|&&count| count == self.floor).count();
            assert_eq!(self.at_floor, least);
            assert!(highest <= self.floor, "a cell holds more than a watched key");
        } else {
            assert_eq!(highest, 0, "a key in the filter while there is room");
            assert_eq!((self.floor, self.at_floor), (0, 0));
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the remainder is small")]
fn cell(hash: u64) -> usize {
    (hash % CELLS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Feeds a stream, and compares the sketch with exact counts within the bounds.
    fn check(stream: impl IntoIterator<Item = u32>) -> (Sketch, HashMap<Vec<u8>, u32>) {
        let mut sketch = Sketch::new();
        let mut exact: HashMap<Vec<u8>, u32> = HashMap::new();
        for number in stream {
            let key = format!("key:{number}").into_bytes();
            sketch.count(&key);
            *exact.entry(key).or_default() += 1;
        }
        sketch.validate();
        let total: u64 = exact.values().map(|&count| u64::from(count)).sum();
        assert_eq!(sketch.total(), total);
        let bound = total / WATCHED as u64;
        let mut watched = HashMap::new();
        for (key, count, error) in sketch.watched() {
            let true_count = exact[key];
            assert!(count - error <= true_count && true_count <= count, "{count} {error}");
            assert!(u64::from(error) <= bound, "{error} of {total}");
            assert!(watched.insert(key.to_vec(), count).is_none(), "watched twice");
        }
        for (key, &count) in &exact {
            if u64::from(count) > bound {
                assert!(watched.contains_key(key), "{count} of {total} and not watched");
            }
        }
        (sketch, exact)
    }

    /// Ranks by Zipf's law with exponent `s`, by the inverse of its sums.
    fn zipf(s: f64, keys: u32, len: usize, seed: u64) -> Vec<u32> {
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += f64::from(rank).powf(-s);
                sum
            })
            .collect();
        let mut random = StdRng::seed_from_u64(seed);
        let draw = |random: &mut StdRng| {
            let at = random.random::<f64>() * sum;
            u32::try_from(sums.partition_point(|&sum| sum < at)).unwrap()
        };
        (0..len).map(|_| draw(&mut random)).collect()
    }

    #[test]
    fn the_hottest_of_a_zipf_stream_are_found_in_order_with_small_errors() {
        for (s, seed) in [(0.8, 1), (0.99, 2), (1.2, 3)] {
            let (sketch, exact) = check(zipf(s, 100_000, 200_000, seed));
            let mut truly: Vec<(u32, &Vec<u8>)> = exact.iter().map(|(k, &c)| (c, k)).collect();
            truly.sort_unstable_by(|a, b| b.cmp(a));
            let counted: HashMap<&[u8], u32> =
                sketch.watched().map(|(key, count, error)| (key, count - error)).collect();
            for (count, key) in truly.iter().take(50) {
                let counted = counted.get(&key[..]).copied().unwrap_or(0);
                assert!(counted * 10 >= count * 9, "{counted} of {count} at exponent {s}");
            }
        }
    }

    #[test]
    fn keys_that_are_all_different_are_told_as_what_they_are() {
        let (sketch, _) = check(0..100_000);
        assert!(sketch.watched().all(|(_, count, error)| count - error == 1));
    }

    #[test]
    fn a_key_that_is_hot_among_different_ones_stays_watched() {
        let stream = (0..100_000).map(|at| if at % 100 == 0 { 7 } else { 1_000_000 + at });
        let (sketch, _) = check(stream);
        let hot = sketch.watched().find(|(key, _, _)| *key == b"key:7").unwrap();
        assert_eq!((hot.1, hot.2), (1000, 0));
    }

    #[test]
    fn hot_keys_that_come_last_are_found() {
        let (sketch, _) = check((0..50_000).chain((0..20_000).map(|at| 60_000 + at % 20)));
        let hot = sketch.watched().filter(|(_, count, error)| count - error > 900).count();
        assert_eq!(hot, 20);
    }

    #[test]
    fn a_cleared_sketch_is_a_new_one() {
        let mut sketch = Sketch::new();
        for round in 0..3 {
            for number in 0..2000 {
                sketch.count(format!("{round}:{}", number % 700).as_bytes());
            }
            sketch.validate();
            sketch.clear();
            sketch.validate();
            assert_eq!((sketch.total(), sketch.watched().count()), (0, 0));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn bounds_hold_for_any_stream(
            pieces in prop::collection::vec((0u32..3000, 1u32..2000, 1u32..4), 1..60)
        ) {
            // Runs over ranges, each repeated: floods, repetitions and their mixtures.
            let stream = pieces.into_iter().flat_map(|(from, len, times)| {
                (0..times).flat_map(move |_| from..from + len)
            });
            check(stream);
        }
    }
}
