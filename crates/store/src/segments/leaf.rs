//! A leaf of the index: buckets of eight slots, filled nearly to the brim.
//!
//! A slot is a tag, 32 bits of the key's hash, and a place, where the record lies. A tag has two
//! buckets in a leaf and its slot is in one of them, so a key that is not there costs two cache
//! lines and one that is there mostly one (Mitzenmacher's power of two choices; the tags are those
//! of MemC3, NSDI '13). Where both are full one of their slots moves to its other bucket. Buckets
//! follow from tags alone: a leaf is rebuilt, larger or smaller, without looking at any record.

/// Slots of a bucket: as many as a cache line has room for.
const WIDTH: usize = 8;

/// No record begins at the last byte of everything, so no slot looks like this.
const EMPTY: u64 = u64::MAX;

/// A tag and a place in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u64);

impl Slot {
    pub(super) fn new(tag: u32, place: u32) -> Slot {
        Slot(u64::from(tag) << 32 | u64::from(place))
    }

    pub(super) fn tag(self) -> u32 {
        high(self.0)
    }

    pub(super) fn place(self) -> u32 {
        low(self.0)
    }
}

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Bucket([u64; WIDTH]);

/// See the module's documentation. `depth` bits at the top of a tag say which leaf it belongs to and
/// tell nothing within one.
#[derive(Debug)]
pub(super) struct Leaf {
    buckets: Vec<Bucket>,
    /// Slots for which there is no place in their buckets, because too many have the same two. With
    /// hashes that nobody can foresee there are none.
    stash: Vec<u64>,
    depth: u32,
    slots: usize,
}

impl Leaf {
    pub(super) fn new(depth: u32, buckets: usize) -> Leaf {
        let buckets = vec![Bucket([EMPTY; WIDTH]); buckets.max(1)];
        Leaf { buckets, stash: Vec::new(), depth, slots: 0 }
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// How many slots are taken.
    pub(super) fn len(&self) -> usize {
        self.slots
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// Bytes it takes in memory, its buckets being all of it that grows.
    pub(super) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Whether so few of its slots are taken that half the buckets would do.
    pub(super) fn is_sparse(&self) -> bool {
        self.buckets.len() > 8 && self.slots * 5 < self.buckets.len() * WIDTH * 2
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

    /// A fraction of 2^32 as a bucket.
    #[inline]
    fn scale(&self, fraction: u32) -> usize {
        let buckets = self.buckets.len() as u64;
        usize::try_from((u64::from(fraction) * buckets) >> 32).unwrap_or(0)
    }

    /// The place of the slot with this tag whose record `is_it` says yes to.
    #[inline]
    pub(super) fn find(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (first, second) = (self.first(tag), self.second(tag));
        for bucket in [first, second] {
            for &slot in &self.buckets[bucket].0 {
                if high(slot) == tag && slot != EMPTY && is_it(low(slot)) {
                    return Some(low(slot));
                }
            }
        }
        let mut stashed = self.stash.iter().filter(|&&slot| high(slot) == tag);
        stashed.find(|&&slot| is_it(low(slot))).map(|&slot| low(slot))
    }

    /// Enters a slot; `false` where it is too full for that and has to grow.
    pub(super) fn insert(&mut self, slot: Slot) -> bool {
        let (first, second) = (self.first(slot.tag()), self.second(slot.tag()));
        let free = |bucket: &Bucket| bucket.0.iter().filter(|&&slot| slot == EMPTY).count();
        let (in_first, in_second) = (free(&self.buckets[first]), free(&self.buckets[second]));
        let bucket = if in_first >= in_second { first } else { second };
        let done = self.put(bucket, slot.0)
            || self.displace(first, slot)
            || self.displace(second, slot)
            || self.stash(slot);
        self.slots += usize::from(done);
        done
    }

    /// Stashes a slot where buckets are not the thing that is missing.
    fn stash(&mut self, slot: Slot) -> bool {
        let in_vain = self.buckets.len() > WIDTH && self.slots < self.buckets.len() * WIDTH / 2;
        if in_vain {
            self.stash.push(slot.0);
        }
        in_vain
    }

    fn put(&mut self, bucket: usize, slot: u64) -> bool {
        let free = self.buckets[bucket].0.iter_mut().find(|slot| **slot == EMPTY);
        free.map(|free| *free = slot).is_some()
    }

    /// Puts a slot into a full bucket, one of whose slots has room in its other bucket.
    fn displace(&mut self, bucket: usize, slot: Slot) -> bool {
        for way in 0..WIDTH {
            let moved = Slot(self.buckets[bucket].0[way]);
            let (first, second) = (self.first(moved.tag()), self.second(moved.tag()));
            let other = if first == bucket { second } else { first };
            if other != bucket && self.put(other, moved.0) {
                self.buckets[bucket].0[way] = slot.0;
                return true;
            }
        }
        false
    }

    /// Whether exactly this slot is here.
    pub(super) fn contains(&self, slot: Slot) -> bool {
        let (first, second) = (self.first(slot.tag()), self.second(slot.tag()));
        [first, second].iter().any(|&bucket| self.buckets[bucket].0.contains(&slot.0))
            || self.stash.contains(&slot.0)
    }

    /// Puts `with` in the place of `slot`, whose tag it shares. Whether that was here.
    #[inline]
    pub(super) fn replace(&mut self, slot: Slot, with: Slot) -> bool {
        self.exchange(slot, with.0)
    }

    /// Removes a slot. Whether it was here.
    pub(super) fn remove(&mut self, slot: Slot) -> bool {
        let done = self.exchange(slot, EMPTY);
        self.slots -= usize::from(done);
        done
    }

    fn exchange(&mut self, slot: Slot, with: u64) -> bool {
        for bucket in [self.first(slot.tag()), self.second(slot.tag())] {
            if let Some(found) = self.buckets[bucket].0.iter_mut().find(|here| **here == slot.0) {
                *found = with;
                return true;
            }
        }
        let Some(stashed) = self.stash.iter().position(|&here| here == slot.0) else {
            return false;
        };
        match with {
            EMPTY => drop(self.stash.swap_remove(stashed)),
            with => self.stash[stashed] = with,
        }
        true
    }

    /// All slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        let slots = self.buckets.iter().flat_map(|bucket| bucket.0);
        slots.chain(self.stash.iter().copied()).filter(|&slot| slot != EMPTY).map(Slot)
    }

    /// The same slots in so many buckets, or in as many more as it takes.
    pub(super) fn rebuilt(&self, buckets: usize) -> Leaf {
        Leaf::holding(self.depth, buckets, || self.iter())
    }

    /// Two leaves in place of this one: the next bit of a tag says in which its slot is.
    pub(super) fn split(&self) -> [Leaf; 2] {
        let buckets = self.buckets.len() * 9 / 16;
        [0, 1].map(|side| {
            let on_side = move |slot: &Slot| slot.tag() << self.depth >> 31 == side;
            Leaf::holding(self.depth + 1, buckets, || self.iter().filter(on_side))
        })
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

    /// Counts the taken slots and makes sure that each is in a bucket of its tag.
    pub(super) fn validate(&self) {
        assert_eq!(self.iter().count(), self.slots, "a leaf miscounts its slots");
        for slot in self.iter() {
            assert!(self.contains(slot), "a slot is in no bucket of its tag");
        }
    }
}

/// The next size of a leaf with so many buckets: an eighth more.
pub(super) fn grown(buckets: usize) -> usize {
    buckets + buckets / 8 + 1
}

#[inline]
fn high(slot: u64) -> u32 {
    low(slot >> 32)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn low(slot: u64) -> u32 {
    slot as u32
}
