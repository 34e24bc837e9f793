//! Buckets of the index: cache lines of eight slots, in blocks of one size.
//!
//! Leaves grow and shrink independently. If each leaf were one allocation, the allocator would
//! collect free memory of every size that a leaf ever had. So leaves consist of blocks, and a leaf
//! can reuse a block that another one freed.

use std::ops::{Index, IndexMut};

use crate::log::location::Location;
use wide::{CmpEq as _, i32x8};

/// Slots of a bucket: as many as fit a cache line.
pub(crate) const WIDTH: usize = 8;

/// A tag and a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    tag: u32,
    location: Location,
}

pub(crate) const EMPTY: Slot = Slot { tag: 0, location: Location::NONE };

impl Slot {
    pub(crate) fn new(tag: u32, location: Location) -> Slot {
        Slot { tag, location }
    }

    pub(crate) fn tag(self) -> u32 {
        self.tag
    }

    pub(crate) fn location(self) -> Location {
        self.location
    }
}

/// A cache line. All tags are adjacent, and so are all locations, so that eight are compared at
/// once.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Bucket {
    pub(crate) tags: [u32; WIDTH],
    pub(crate) locations: [u32; WIDTH],
}

impl Bucket {
    const EMPTY: Bucket = Bucket { tags: [EMPTY.tag; WIDTH], locations: [EMPTY.location.0; WIDTH] };

    /// The ways that hold this very slot.
    #[inline]
    pub(crate) fn ways_of(&self, slot: Slot) -> Ways {
        Ways(equal(&self.tags, slot.tag).0 & equal(&self.locations, slot.location.0).0)
    }

    #[inline]
    pub(crate) fn free_ways(&self) -> Ways {
        equal(&self.locations, Location::NONE.0)
    }

    #[inline]
    pub(crate) fn slot(&self, way: usize) -> Slot {
        Slot { tag: self.tags[way], location: Location(self.locations[way]) }
    }

    #[inline]
    pub(crate) fn set(&mut self, way: usize, slot: Slot) {
        (self.tags[way], self.locations[way]) = (slot.tag, slot.location.0);
    }

    /// Puts a slot into a free way. Returns whether there was one.
    #[inline]
    pub(crate) fn put(&mut self, slot: Slot) -> bool {
        let Some((_, way)) = self.free_ways().next() else { return false };
        self.set(way, slot);
        true
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..WIDTH).map(|way| self.slot(way)).filter(|slot| slot.location != Location::NONE)
    }
}

/// A set of ways of two buckets, one bit each: first those of the first bucket, then those of the
/// second.
#[derive(Clone, Copy)]
pub(crate) struct Ways(pub(crate) u32);

impl Ways {
    /// The ways of one bucket and those of another.
    #[inline]
    pub(crate) fn of_both([first, second]: [Ways; 2]) -> Ways {
        Ways(first.0 | second.0 << WIDTH)
    }
}

impl Iterator for Ways {
    /// The number of the bucket, 0 or 1, and the way in it.
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some((bit / WIDTH % 2, bit % WIDTH))
    }
}

/// The ways whose word is `word`. All are compared at once, since no branch could be predicted
/// here.
#[inline]
pub(crate) fn equal(words: &[u32; WIDTH], word: u32) -> Ways {
    let here = i32x8::new(words.map(u32::cast_signed));
    let ways = here.cmp_eq(i32x8::splat(word.cast_signed())).move_mask();
    Ways(ways.cast_unsigned())
}

/// Buckets of a block: one KiB.
pub(crate) const BLOCK: usize = 16;

/// The buckets of a leaf: whole blocks.
#[derive(Debug)]
pub(crate) struct Buckets {
    #[expect(clippy::vec_box, reason = "blocks of one size are the point of it")]
    blocks: Vec<Box<[Bucket; BLOCK]>>,
}

impl Buckets {
    /// At least `buckets` buckets, and at least one block.
    pub(crate) fn new(buckets: usize) -> Buckets {
        let blocks = buckets.div_ceil(BLOCK).max(1);
        Buckets { blocks: (0..blocks).map(|_| Box::new([Bucket::EMPTY; BLOCK])).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.blocks.iter().flat_map(|block| block.iter())
    }

    /// Bytes of memory of the buckets.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<[Bucket; BLOCK]>()
            + self.blocks.capacity() * size_of::<Box<[Bucket; BLOCK]>>()
    }
}

impl Index<usize> for Buckets {
    type Output = Bucket;

    #[inline]
    fn index(&self, bucket: usize) -> &Bucket {
        &self.blocks[bucket / BLOCK][bucket % BLOCK]
    }
}

impl IndexMut<usize> for Buckets {
    #[inline]
    fn index_mut(&mut self, bucket: usize) -> &mut Bucket {
        &mut self.blocks[bucket / BLOCK][bucket % BLOCK]
    }
}
