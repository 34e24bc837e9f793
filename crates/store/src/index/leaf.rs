//! A leaf of the index: buckets of eight slots, filled nearly to the brim.
//!
//! A slot is a tag, 32 bits of the key's hash, and the location of the record. A tag has two
//! buckets in a leaf, and its slot is in one of them. So a lookup costs two cache lines, fetched
//! from memory at the same time (Mitzenmacher's power of two choices; the tags are those of MemC3,
//! NSDI '13). If both buckets are full, one of their slots moves to its other bucket. The buckets
//! follow from the tag alone, so a leaf can be rebuilt larger or smaller without reading any
//! record.

use crate::log::location::Location;

use super::bucket::{BLOCK, Bucket, Buckets, EMPTY, Slot, WIDTH, Ways, equal};

/// A leaf. The top `depth` bits of a tag choose the leaf, and do not tell tags within it apart.
#[derive(Debug)]
pub(crate) struct Leaf {
    buckets: Buckets,
    /// Slots without room in their buckets, because too many tags share the same two. With
    /// unpredictable hashes there are none.
    stash: Vec<Slot>,
    depth: u32,
    slots: usize,
}

impl Leaf {
    pub(crate) fn new(depth: u32, buckets: usize) -> Leaf {
        Leaf { buckets: Buckets::new(buckets), stash: Vec::new(), depth, slots: 0 }
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// Number of used slots.
    pub(crate) fn len(&self) -> usize {
        self.slots
    }

    pub(crate) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Bytes of memory of the buckets, the only part that grows.
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.bytes()
    }

    /// Whether so few slots are used that half the buckets would suffice.
    pub(crate) fn is_sparse(&self) -> bool {
        self.buckets.len() > BLOCK && self.slots * 5 < self.buckets.len() * WIDTH * 2
    }

    #[inline]
    fn first(&self, tag: u32) -> usize {
        self.scale(tag << self.depth)
    }

    #[inline]
    fn second(&self, tag: u32) -> usize {
        const ODD: u32 = 0x9e37_79b1;
        self.scale(tag.wrapping_mul(ODD))
    }

    #[inline]
    fn both(&self, tag: u32) -> [usize; 2] {
        [self.first(tag), self.second(tag)]
    }

    /// A fraction of 2^32 as the number of a bucket.
    #[inline]
    fn scale(&self, fraction: u32) -> usize {
        let buckets = self.buckets.len() as u64;
        usize::try_from((u64::from(fraction) * buckets) >> 32).unwrap_or(0)
    }

    /// The location of the slot with this tag for which `is_it` returns true.
    #[inline(always)]
    pub(crate) fn find(
        &self,
        tag: u32,
        mut is_it: impl FnMut(Location) -> bool,
    ) -> Option<Location> {
        let buckets = self.both(tag).map(|bucket| &self.buckets[bucket]);
        // Compare both before deciding on either, so that both come from memory together.
        for (which, way) in Ways::of_both(buckets.map(|bucket| equal(&bucket.tags, tag))) {
            let location = Location(buckets[which].locations[way]);
            if location != Location::NONE && is_it(location) {
                return Some(location);
            }
        }
        let mut stashed = self.stash.iter().filter(|slot| slot.tag() == tag);
        stashed.find(|slot| is_it(slot.location())).map(|slot| slot.location())
    }

    /// A word from each bucket of a tag, to fetch the buckets.
    #[inline]
    pub(crate) fn touch(&self, tag: u32) -> u32 {
        let [first, second] = self.both(tag).map(|bucket| self.buckets[bucket].tags[0]);
        first ^ second
    }

    /// Adds a slot. Returns `false` if the leaf is too full and must grow.
    pub(crate) fn insert(&mut self, slot: Slot) -> bool {
        let [first, second] = self.both(slot.tag());
        let done = self.buckets[first].put(slot)
            || self.buckets[second].put(slot)
            || self.displace(first, slot)
            || self.displace(second, slot)
            || self.stash(slot);
        self.slots += usize::from(done);
        done
    }

    /// Stashes a slot if more buckets would not help.
    fn stash(&mut self, slot: Slot) -> bool {
        let in_vain = self.buckets.len() > WIDTH && self.slots < self.buckets.len() * WIDTH / 2;
        if in_vain {
            self.stash.push(slot);
        }
        in_vain
    }

    /// Puts a slot into a full bucket by moving one of the bucket's slots to its other bucket, if
    /// that has room.
    fn displace(&mut self, bucket: usize, slot: Slot) -> bool {
        for way in 0..WIDTH {
            let moved = self.buckets[bucket].slot(way);
            let [first, second] = self.both(moved.tag());
            let other = if first == bucket { second } else { first };
            if other != bucket && self.buckets[other].put(moved) {
                self.buckets[bucket].set(way, slot);
                return true;
            }
        }
        false
    }

    /// Whether the leaf has this very slot.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.both(slot.tag()).iter().any(|&bucket| self.buckets[bucket].ways_of(slot).0 != 0)
            || self.stash.contains(&slot)
    }

    /// Replaces `slot` by `with`, which has the same tag. Returns whether the slot was in the leaf.
    #[inline]
    pub(crate) fn replace(&mut self, slot: Slot, with: Slot) -> bool {
        self.exchange(slot, with)
    }

    /// Removes a slot. Returns whether it was in the leaf.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        let done = self.exchange(slot, EMPTY);
        self.slots -= usize::from(done);
        done
    }

    #[inline]
    fn exchange(&mut self, slot: Slot, with: Slot) -> bool {
        let buckets = self.both(slot.tag());
        // As in `find`: both buckets come from memory together.
        let mut ways = Ways::of_both(buckets.map(|bucket| self.buckets[bucket].ways_of(slot)));
        if let Some((which, way)) = ways.next() {
            self.buckets[buckets[which]].set(way, with);
            return true;
        }
        let Some(stashed) = self.stash.iter().position(|&here| here == slot) else {
            return false;
        };
        if with == EMPTY {
            self.stash.swap_remove(stashed);
        } else {
            self.stash[stashed] = with;
        }
        true
    }

    /// All slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.buckets.iter().flat_map(Bucket::slots).chain(self.stash.iter().copied())
    }

    /// A leaf with the same slots in `buckets` buckets, or in as many more as needed.
    pub(crate) fn rebuilt(&self, buckets: usize) -> Leaf {
        Leaf::holding(self.depth, buckets, || self.iter())
    }

    /// Two leaves in place of this one: the next bit of a tag chooses between them.
    pub(crate) fn split(&self) -> [Leaf; 2] {
        let buckets = self.buckets.len() * 9 / 16;
        [0, 1].map(|side| {
            let on_side = move |slot: &Slot| slot.tag() << self.depth >> 31 == side;
            Leaf::holding(self.depth + 1, buckets, || self.iter().filter(on_side))
        })
    }

    /// The leaf that joins the two halves of a split.
    pub(crate) fn joined(left: &Leaf, right: &Leaf) -> Leaf {
        let buckets = (left.slots + right.slots) / WIDTH * 9 / 8;
        Leaf::holding(left.depth - 1, buckets, || left.iter().chain(right.iter()))
    }

    fn holding<I: Iterator<Item = Slot>>(
        depth: u32,
        mut buckets: usize,
        slots: impl Fn() -> I,
    ) -> Leaf {
        loop {
            let mut leaf = Leaf::new(depth, buckets);
            if slots().all(|slot| leaf.insert(slot)) {
                return leaf;
            }
            buckets = grown(leaf.buckets.len());
        }
    }

    /// Counts the used slots and checks that each is in a bucket of its tag.
    pub(crate) fn validate(&self) {
        assert_eq!(self.iter().count(), self.slots, "a leaf miscounts its slots");
        for slot in self.iter() {
            assert!(self.contains(slot), "a slot is in no bucket of its tag");
        }
    }
}

/// The next larger number of buckets of a leaf: about an eighth more, in whole blocks.
pub(crate) fn grown(buckets: usize) -> usize {
    (buckets + buckets / 8).next_multiple_of(BLOCK).max(buckets + BLOCK)
}
