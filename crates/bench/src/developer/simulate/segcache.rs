//! Segcache with merge eviction, like Pelikan's crate. Items are in segments. If no segment is free, several
//! successive segments are merged into one, which keeps only the bytes with the most requests.
//!
//! The counters of surviving items restart. Segments have the crate's size of 1 MiB, or less so that at least
//! 64 fit into memory. All items are in one chain, like items with the same lifetime.

use std::collections::HashMap;

use super::Policy;

/// Segments that one merge combines if each keeps its share.
const MERGED: usize = 4;
/// Most segments in one merge.
const LONGEST: usize = 8;
/// Fewest segments worth a merge.
const SHORTEST: usize = 3;
/// The share of a segment that survives.
const KEPT: f64 = 1.0 / MERGED as f64;
/// A merge ends when its target is filled to this share.
const FULL: f64 = KEPT * (MERGED - 1) as f64 + 0.05;
/// Up to this number each request counts, and above it every n-th.
const EXACT: u8 = 16;
const MOST: u8 = 127;

/// A cache in segments.
pub(super) struct Segcache {
    /// Oldest first. The last segment is being written.
    chain: Vec<Segment>,
    /// The start of the next merge.
    next: usize,
    /// Request counter of each item.
    hits: HashMap<u64, u8>,
    segments: u64,
    size: u64,
    random: u64,
}

#[derive(Default)]
struct Segment {
    /// Key and bytes of each item.
    items: Vec<(u64, u64)>,
    bytes: u64,
}

impl Segment {
    fn push(&mut self, key: u64, bytes: u64) {
        self.items.push((key, bytes));
        self.bytes += bytes;
    }
}

impl Segcache {
    pub(super) fn new(capacity: u64) -> Self {
        let size = (capacity / 64).clamp(1, 1 << 20);
        Self {
            chain: Vec::new(),
            next: 0,
            hits: HashMap::new(),
            segments: capacity / size,
            size,
            random: 1,
        }
    }

    /// Number of segments from `start` on that a merge may take. The segment being written is excluded.
    fn evictable(&self, start: usize) -> usize {
        (self.chain.len() - 1).saturating_sub(start).min(LONGEST)
    }

    /// Frees at least one segment.
    fn evict(&mut self) {
        let before = self.chain.len();
        // Items that survived a merge restart at zero, so the second pass can evict them.
        for _ in 0..2 * before {
            if self.evictable(self.next) < SHORTEST {
                self.next = 0;
            }
            if self.evictable(self.next) < SHORTEST {
                break;
            }
            self.merge();
            if self.chain.len() < before {
                return;
            }
        }
        for (key, _) in self.chain.remove(0).items {
            self.hits.remove(&key);
        }
        self.next = 0;
    }

    /// Merges the segments from `next` on into the first of them.
    fn merge(&mut self) {
        let target = self.next;
        let take = self.evictable(target);
        // A chain that is too short keeps a larger share of each segment.
        let kept = if take < MERGED { 1.0 / take as f64 } else { KEPT };
        let full = FULL * self.size as f64;
        let mut cutoff = self.prune(target, 1.0, kept);
        for _ in 1..take {
            if self.chain[target].bytes as f64 >= full {
                break;
            }
            cutoff = self.prune(target + 1, cutoff, kept);
            for (key, bytes) in self.chain.remove(target + 1).items {
                if self.chain[target].bytes + bytes <= self.size {
                    self.chain[target].push(key, bytes);
                } else {
                    self.hits.remove(&key);
                }
            }
        }
        for (key, _) in &self.chain[target].items {
            self.hits.insert(*key, 0);
        }
        self.next = target + 1;
    }

    /// Drops the items with the fewest requests for their size, until the share `kept` of the segment
    /// remains. The threshold is estimated during the pass, starting with `cutoff`. Returns the last
    /// estimate.
    fn prune(&mut self, at: usize, cutoff: f64, kept: f64) -> f64 {
        let Segment { items, bytes } = std::mem::take(&mut self.chain[at]);
        let size = self.size as f64;
        let drop = bytes as f64 - (size * kept).floor();
        let mean = bytes as f64 / items.len().max(1) as f64;
        let mut cutoff = f64::midpoint(1.0, cutoff);
        let (mut seen, mut dropped, mut retained, mut update) = (0.0, 0.0, 0.0, size / 10.0);
        for (key, bytes) in items {
            let length = bytes as f64;
            seen += length;
            if seen >= update {
                update += size / 10.0;
                let excess = (retained / seen - kept) / kept;
                if !(-0.5..=0.5).contains(&excess) {
                    cutoff *= 1.0 + excess;
                }
            }
            let requests = f64::from(self.hits.get(&key).copied().unwrap_or(0));
            if cutoff >= 0.0001 && dropped < drop && requests / (length / mean) <= cutoff {
                self.hits.remove(&key);
                dropped += length;
            } else {
                self.chain[at].push(key, bytes);
                retained += length;
            }
        }
        cutoff
    }

    /// xorshift64.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Policy for Segcache {
    fn request(&mut self, key: u64, bytes: u64) -> bool {
        if let Some(&hits) = self.hits.get(&key) {
            let counts = hits <= EXACT || self.random().is_multiple_of(u64::from(hits));
            if counts && hits < MOST {
                self.hits.insert(key, hits + 1);
            }
            return true;
        }
        if bytes > self.size {
            return false;
        }
        if self.chain.last().is_none_or(|last| last.bytes + bytes > self.size) {
            while self.chain.len() as u64 >= self.segments {
                self.evict();
            }
            self.chain.push(Segment::default());
        }
        if let Some(last) = self.chain.last_mut() {
            last.push(key, bytes);
            self.hits.insert(key, 0);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers;
    use super::*;

    /// A cache of 64 segments, each with room for forty items.
    fn full() -> Segcache {
        let mut cache = Segcache::new(64 * 400);
        let keys: Vec<u64> = (0..2560).collect();
        answers(&mut cache, &keys, 10);
        assert_eq!((cache.chain.len(), cache.hits.len()), (64, 2560));
        cache
    }

    #[test]
    fn a_merge_keeps_the_most_requested() {
        let mut cache = full();
        let popular: Vec<u64> = (0..2560).step_by(4).collect();
        answers(&mut cache, &popular.repeat(3), 10);
        assert_eq!(answers(&mut cache, &[9999], 10), ".");
        assert_eq!(cache.chain.len(), 64 - (MERGED - 1) + 1, "four became one, and a new one");
        let kept: Vec<u64> = cache.chain[0].items.iter().map(|item| item.0).collect();
        assert_eq!(kept, popular[..40]);
        assert_eq!(cache.hits[&156], 0, "and starts afresh");
        assert!(!cache.hits.contains_key(&157));
        assert_eq!(answers(&mut cache, &[161, 2559, 9999], 10), "xxx", "the others are untouched");
    }

    #[test]
    fn what_was_never_requested_goes() {
        let mut cache = full();
        let new: Vec<u64> = (10_000..20_000).collect();
        answers(&mut cache, &new, 10);
        assert!(cache.chain.len() <= 64);
        let counted: usize = cache.chain.iter().map(|segment| segment.items.len()).sum();
        assert_eq!(counted, cache.hits.len());
        let bytes = |segment: &Segment| segment.items.iter().map(|item| item.1).sum::<u64>();
        assert!(cache.chain.iter().all(|s| s.bytes == bytes(s) && s.bytes <= 400));
    }

    #[test]
    fn popular_all_over_still_makes_room() {
        let mut cache = full();
        let keys: Vec<u64> = (0..2560).collect();
        answers(&mut cache, &keys.repeat(5), 10);
        assert_eq!(answers(&mut cache, &[9999, 9999], 10), ".x");
        assert!(cache.chain.len() <= 64);
    }

    #[test]
    fn items_larger_than_a_segment_are_not_kept() {
        assert_eq!(answers(&mut Segcache::new(64 * 40), &[1, 1], 41), "..");
    }
}
