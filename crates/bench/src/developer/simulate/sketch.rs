//! A count-min sketch of 4-bit counters that are halved at intervals: the recent frequency of a key.

/// Counters per key.
const ROWS: u64 = 4;
/// Counters per word of the table.
const COUNTERS: u64 = 16;
const MOST: u64 = 15;
/// All counters are halved after this number of requests per item.
const SAMPLE: u64 = 10;

/// Frequencies up to 15, over about the last ten requests for each of `items` items.
pub(super) struct Sketch {
    table: Vec<u64>,
    counted: u64,
    sample: u64,
}

impl Sketch {
    /// A sketch for a cache of about `items` items.
    pub(super) fn new(items: u64) -> Self {
        let words = items.clamp(64, 1 << 30).next_power_of_two();
        Self {
            table: vec![0; usize::try_from(words).unwrap_or(1 << 30)],
            counted: 0,
            sample: words * SAMPLE,
        }
    }

    /// The word of a counter, and its shift within the word.
    fn counter(&self, hash: u64, row: u64) -> (usize, u64) {
        let mixed = mix(hash.wrapping_add(row.wrapping_mul(0xc3a5_c85c_97cb_3127)));
        let word = (mixed >> 8) & (self.table.len() as u64 - 1);
        // Each row has a quarter of the word, so two rows never share a counter.
        let nibble = (hash % (COUNTERS / ROWS)) * ROWS + row;
        (usize::try_from(word).unwrap_or(0), nibble * 4)
    }

    pub(super) fn frequency(&self, key: u64) -> u64 {
        let hash = mix(key);
        let counts = (0..ROWS).map(|row| {
            let (word, shift) = self.counter(hash, row);
            (self.table[word] >> shift) & MOST
        });
        counts.min().unwrap_or(0)
    }

    /// Counts a request.
    pub(super) fn count(&mut self, key: u64) {
        let hash = mix(key);
        let mut any = false;
        for row in 0..ROWS {
            let (word, shift) = self.counter(hash, row);
            if (self.table[word] >> shift) & MOST < MOST {
                self.table[word] += 1 << shift;
                any = true;
            }
        }
        self.counted += u64::from(any);
        if self.counted >= self.sample {
            for word in &mut self.table {
                *word = (*word >> 1) & 0x7777_7777_7777_7777;
            }
            self.counted /= 2;
        }
    }
}

/// splitmix64: neighbouring keys do not share counters.
fn mix(key: u64) -> u64 {
    let mut hash = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_fifteen() {
        let mut sketch = Sketch::new(64);
        assert_eq!(sketch.frequency(7), 0);
        for times in 1..=20 {
            sketch.count(7);
            assert_eq!(sketch.frequency(7), times.min(15));
        }
        assert_eq!(sketch.frequency(8), 0);
    }

    #[test]
    fn halves() {
        let mut sketch = Sketch::new(64);
        for _ in 0..8 {
            sketch.count(7);
        }
        for key in 1_000..1_000 + 64 * SAMPLE - 9 {
            sketch.count(key);
        }
        let before = sketch.frequency(7);
        sketch.count(8);
        assert!(before >= 8);
        assert_eq!((sketch.frequency(7), sketch.counted), (before / 2, 320));
    }
}
