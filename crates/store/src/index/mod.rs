//! The index: finds the record of a key. A hash table that grows and shrinks in small steps.
//!
//! Extendible hashing (Fagin and others, 1979): the top bits of a tag choose a [`Leaf`], and no
//! leaf is larger than [`MAX_BUCKETS`]. A full leaf grows by about an eighth; past the largest size
//! it is split in two. A sparse leaf shrinks, and is joined with the other half of its split if
//! both are small. Each step changes one leaf and takes some microseconds, however many keys there
//! are. The index takes nine bytes per key, the larger part of an item's overhead, so its leaves
//! are kept nearly full.
//!
//! | file | purpose |
//! |---|---|
//! | `leaf` | a leaf: buckets, and the two in which a tag may be |
//! | `bucket` | a cache line of slots |

pub(crate) mod bucket;
mod leaf;

use self::bucket::{BLOCK, Slot};
use self::leaf::{Leaf, grown};
use crate::log::location::Location;

/// Buckets of the largest leaf: 16 KiB, up to 2,048 keys.
const MAX_BUCKETS: usize = 256;

/// Keys at which a leaf tries to join its other half, and the most keys of both together.
const FEW: usize = 64;
const FEW_TOGETHER: usize = 192;

/// Most bits of a tag that choose a leaf: a leaf at this depth is not split.
const MAX_DEPTH: u32 = 20;

/// The index of a shard. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Index {
    /// The leaf of each value of the top `depth` bits.
    directory: Vec<u32>,
    depth: u32,
    leaves: Vec<Leaf>,
    bytes: usize,
    len: usize,
}

impl Index {
    pub(crate) fn new() -> Index {
        let leaf = Leaf::new(0, 1);
        let bytes = leaf.bytes();
        Index { directory: vec![0], depth: 0, leaves: vec![leaf], bytes, len: 0 }
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory of the index.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
            + self.directory.capacity() * size_of::<u32>()
            + self.leaves.capacity() * size_of::<Leaf>()
    }

    #[inline]
    fn leaf_number(&self, tag: u32) -> usize {
        self.directory[self.top(tag)] as usize
    }

    /// The location of the record with this tag for which `is_it` returns true.
    #[inline(always)]
    pub(crate) fn find(&self, tag: u32, is_it: impl FnMut(Location) -> bool) -> Option<Location> {
        self.leaves[self.leaf_number(tag)].find(tag, is_it)
    }

    /// Prefetches the buckets of a tag. Calls for several tags overlap.
    #[inline]
    pub(crate) fn touch(&self, tag: u32) {
        std::hint::black_box(self.leaves[self.leaf_number(tag)].touch(tag));
    }

    /// Whether the index has this very slot.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.leaves[self.leaf_number(slot.tag())].contains(slot)
    }

    /// Adds a slot, which must not be in the index.
    pub(crate) fn insert(&mut self, slot: Slot) {
        loop {
            let number = self.leaf_number(slot.tag());
            if self.leaves[number].insert(slot) {
                self.len += 1;
                return;
            }
            self.grow(number, slot.tag());
        }
    }

    /// Changes the location of a slot. Returns whether the slot was in the index.
    #[inline]
    pub(crate) fn replace(&mut self, slot: Slot, location: Location) -> bool {
        let number = self.leaf_number(slot.tag());
        self.leaves[number].replace(slot, Slot::new(slot.tag(), location))
    }

    /// Removes a slot. Returns whether it was in the index.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        let number = self.leaf_number(slot.tag());
        let leaf = &mut self.leaves[number];
        if !leaf.remove(slot) {
            return false;
        }
        self.len -= 1;
        if leaf.is_sparse() {
            // At least one block less: otherwise every removal would rebuild the leaf.
            let buckets = (leaf.buckets() * 5 / 8).min(leaf.buckets() - BLOCK);
            self.put_leaf(number, |leaf| leaf.rebuilt(buckets));
        } else if leaf.len() <= FEW && leaf.len().is_multiple_of(FEW / 4) && leaf.depth() > 0 {
            self.join(number, slot.tag());
        }
        true
    }

    /// Joins the leaf of `tag` with its other half, if both are small.
    fn join(&mut self, number: usize, tag: u32) {
        let depth = self.leaves[number].depth();
        let entries = 1 << (self.depth - depth);
        let start = self.top(tag) / entries * entries;
        let other = self.directory[start ^ entries] as usize;
        let together = self.leaves[number].len() + self.leaves[other].len();
        if self.leaves[other].depth() != depth || together > FEW_TOGETHER {
            return;
        }
        let joined = Leaf::joined(&self.leaves[number], &self.leaves[other]);
        self.put_leaf(number, |_| joined);
        let start = start / (2 * entries) * (2 * entries);
        let kept = u32::try_from(number).unwrap_or(u32::MAX);
        self.directory[start..start + 2 * entries].fill(kept);
        self.drop_leaf(other);
        while self.leaves.iter().all(|leaf| leaf.depth() < self.depth) {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
        }
    }

    /// Drops a leaf to which no entry leads; the last leaf takes its number.
    fn drop_leaf(&mut self, number: usize) {
        self.bytes -= self.leaves.swap_remove(number).bytes();
        let moved = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        for leaf in self.directory.iter_mut().filter(|leaf| **leaf == moved) {
            *leaf = number;
        }
        if self.leaves.capacity() > 4 * self.leaves.len() {
            self.leaves.shrink_to(2 * self.leaves.len());
        }
    }

    /// Makes room in the leaf of `tag`.
    fn grow(&mut self, number: usize, tag: u32) {
        let leaf = &self.leaves[number];
        if leaf.buckets() < MAX_BUCKETS || leaf.depth() == MAX_DEPTH {
            let buckets = grown(leaf.buckets());
            self.put_leaf(number, |leaf| leaf.rebuilt(buckets));
            return;
        }
        if leaf.depth() == self.depth {
            self.directory = self.directory.iter().flat_map(|&leaf| [leaf, leaf]).collect();
            self.depth += 1;
        }
        // The directory's entries for a leaf are adjacent; the second half goes to the new leaf.
        let entries = 1 << (self.depth - leaf.depth());
        let start = self.top(tag) / entries * entries;
        let [left, right] = leaf.split();
        let added = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
        self.directory[start + entries / 2..start + entries].fill(added);
        self.bytes += right.bytes();
        self.leaves.push(right);
        self.put_leaf(number, |_| left);
    }

    fn put_leaf(&mut self, number: usize, make: impl FnOnce(&Leaf) -> Leaf) {
        let leaf = make(&self.leaves[number]);
        self.bytes = self.bytes + leaf.bytes() - self.leaves[number].bytes();
        self.leaves[number] = leaf;
    }

    /// Collects the locations of all records whose tags lie from `from` to `to`, both included. A
    /// key's tag never changes, so a walk over all tags in such steps meets every key once, even if
    /// records move meanwhile.
    pub(crate) fn collect(&self, from: u32, to: u32, locations: &mut Vec<Location>) {
        let mut last = None;
        for &number in &self.directory[self.top(from)..=self.top(to)] {
            if last.replace(number) != Some(number) {
                let slots = self.leaves[number as usize].iter();
                locations.extend(
                    slots.filter(|slot| (from..=to).contains(&slot.tag())).map(Slot::location),
                );
            }
        }
    }

    /// The directory's entry for a tag.
    #[inline]
    fn top(&self, tag: u32) -> usize {
        usize::try_from(u64::from(tag) << self.depth >> 32).unwrap_or(0)
    }

    /// All slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.leaves.iter().flat_map(Leaf::iter)
    }

    /// Recounts everything.
    pub(crate) fn validate(&self) {
        self.leaves.iter().for_each(Leaf::validate);
        let len: usize = self.leaves.iter().map(Leaf::len).sum();
        assert_eq!(len, self.len, "the index miscounts its keys");
        let bytes: usize = self.leaves.iter().map(Leaf::bytes).sum();
        assert_eq!(bytes, self.bytes, "the index miscounts its bytes");
        for (entry, &number) in self.directory.iter().enumerate() {
            let leaf = &self.leaves[number as usize];
            let entries = 1 << (self.depth - leaf.depth());
            let first = self.directory[entry / entries * entries];
            assert_eq!(first, number, "a leaf has not all entries of its tags");
        }
        for slot in self.iter() {
            assert!(self.contains(slot), "a slot is in another leaf than its tag says");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: u32) -> u32 {
        // Similar to a hash: every bit depends on all bits below it.
        let mixed = key.wrapping_mul(0x85eb_ca6b);
        (mixed ^ mixed >> 15).wrapping_mul(0xc2b2_ae35) ^ mixed >> 13
    }

    fn slot(key: u32) -> Slot {
        Slot::new(tag(key), Location(key))
    }

    fn filled(keys: u32) -> Index {
        let mut index = Index::new();
        for key in 0..keys {
            index.insert(slot(key));
        }
        index
    }

    #[test]
    fn what_was_entered_is_found_until_it_is_removed() {
        let mut index = filled(40_000);
        index.validate();
        for key in 0..40_000 {
            assert_eq!(index.find(tag(key), |it| it == Location(key)), Some(Location(key)));
        }
        for key in (0..40_000).step_by(2) {
            assert!(index.replace(slot(key), Location(key + 100_000)));
            assert!(index.remove(slot(key + 1)));
            assert!(!index.remove(slot(key + 1)));
        }
        index.validate();
        assert_eq!(index.len(), 20_000);
        for key in (0..40_000).step_by(2) {
            assert_eq!(
                index.find(tag(key), |it| it == Location(key + 100_000)),
                Some(Location(key + 100_000))
            );
            assert_eq!(index.find(tag(key + 1), |it| it == Location(key + 1)), None);
        }
    }

    #[test]
    fn it_costs_about_nine_bytes_a_key_and_gives_them_back() {
        for keys in [1_000, 10_000, 100_000, 137_000, 200_000] {
            let index = filled(keys);
            let bytes = index.bytes() as f64 / f64::from(keys);
            assert!(bytes < 9.9, "{bytes} bytes a key with {keys} keys");
        }
        let mut index = filled(100_000);
        let full = index.bytes();
        for key in 0..95_000 {
            index.remove(slot(key));
        }
        index.validate();
        assert!(index.bytes() < full / 6, "{} of {full}", index.bytes());
    }

    #[test]
    fn it_has_as_little_after_many_keys_as_it_had_before() {
        let mut index = filled(500);
        let before = index.bytes();
        for round in 1..4 {
            for key in 500..100_000 {
                index.insert(slot(key));
            }
            for key in 500..100_000 {
                assert!(index.remove(slot(key)));
                if key % 8_000 == 0 {
                    index.validate();
                }
            }
            index.validate();
            assert!(index.bytes() < 4 * before, "{}, was {before}, round {round}", index.bytes());
            for key in 0..500 {
                assert_eq!(index.find(tag(key), |it| it == Location(key)), Some(Location(key)));
            }
        }
        for key in 0..500 {
            assert!(index.remove(slot(key)));
        }
        index.validate();
        assert_eq!((index.len(), index.leaves.len()), (0, 1));
    }

    #[test]
    fn a_leaf_that_is_sparse_becomes_smaller_whatever_its_size() {
        for keys in [130, 300, 500, 700, 1_000] {
            let mut index = filled(keys);
            let smallest = Index::new().bytes();
            for key in 0..keys - 90 {
                let before = index.bytes();
                index.remove(slot(key));
                let is_sparse = index.leaves[0].is_sparse();
                assert!(!is_sparse || index.bytes() < before, "it is rebuilt in vain");
            }
            assert!(index.bytes() <= smallest + 8, "{} for 90 keys", index.bytes());
        }
    }

    #[test]
    fn keys_of_one_tag_do_not_make_it_grow_without_end() {
        let mut index = Index::new();
        for location in 0..100 {
            index.insert(Slot::new(7, Location(location)));
        }
        index.validate();
        let mut seen = Vec::new();
        let see = |location| {
            seen.push(location);
            false
        };
        assert_eq!(index.find(7, see), None);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, Vec::from_iter((0..100).map(Location)));
        assert!(index.bytes() < 10_000, "{}", index.bytes());
        assert!(index.replace(Slot::new(7, Location(99)), Location(200)));
        for location in (0..99).chain([200]) {
            assert!(index.remove(Slot::new(7, Location(location))));
        }
        index.validate();
        assert_eq!(index.len(), 0);
    }

    #[test]
    fn a_walk_over_the_tags_meets_every_key_once() {
        let index = filled(30_000);
        let mut locations = Vec::new();
        let step = u32::MAX / 100;
        let mut from = 0_u32;
        loop {
            let to = from.saturating_add(step);
            index.collect(from, to, &mut locations);
            if to == u32::MAX {
                break;
            }
            from = to + 1;
        }
        locations.sort_unstable();
        assert_eq!(locations, Vec::from_iter((0..30_000).map(Location)));
    }
}
