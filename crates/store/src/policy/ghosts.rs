//! Recently evicted keys: four bytes per item, with its queue and its approximate time of eviction.
//!
//! A table of buckets of sixteen entries, a cache line each. An entry holds 15 bits of the key's
//! tag, one bit for the queue, and 16 bits for the bytes that the queue had evicted when the item
//! left. Time is counted in evicted bytes here, because they decide whether a longer queue would
//! have kept the item. A full bucket drops its least useful entry: the one that has used up most of
//! the lifetime of its queue's entries. There are as many entries as items, or up to twice as many
//! if that is a hundredth of the memory. The table does not exist before the first eviction.
//!
//! The table may be wrong: two keys may look alike, and a stamp that wrapped around looks young.
//! Both are rare, and only give an item a better or worse start.

use crate::log::segment::Queue;

/// Entries of a bucket.
const WIDTH: usize = 16;

/// A queue's clock counts in units of the memory divided by this.
const RESOLUTION: u64 = 4096;

/// Memory, in bytes, per entry beyond one per item.
const PLENTY: u64 = 400;

const EMPTY: u32 = 0;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Bucket([u32; WIDTH]);

/// Buckets of a block. A block is allocated with its first entry, so no operation waits for a whole
/// table.
const BLOCK: usize = 64;

/// The recently evicted keys of a shard. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Ghosts {
    /// Lifetime of each queue's entries, in percent of the memory.
    lives: [u32; 2],
    blocks: Vec<Option<Box<[Bucket; BLOCK]>>>,
    /// Number of allocated blocks.
    made: usize,
    /// Bytes that each queue has evicted so far.
    evicted: [u64; 2],
}

/// The table's record of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The queue that evicted the key.
    pub(crate) queue: Queue,
    /// Bytes that this queue has evicted since.
    pub(crate) since: u64,
}

impl Ghosts {
    pub(crate) fn new(lives: [u32; 2]) -> Ghosts {
        Ghosts { lives, blocks: Vec::new(), made: 0, evicted: [0, 0] }
    }

    /// Bytes of memory beyond the structure's own.
    pub(crate) fn bytes(&self) -> usize {
        self.made * size_of::<[Bucket; BLOCK]>()
            + self.blocks.capacity() * size_of::<Option<Box<[Bucket; BLOCK]>>>()
    }

    /// The block of a tag's bucket, and the bucket's number in it.
    #[inline]
    fn position(&self, tag: u32) -> (usize, usize) {
        let buckets = (self.blocks.len() * BLOCK) as u64;
        let bucket = usize::try_from((u64::from(tag) * buckets) >> 32).unwrap_or(0);
        (bucket / BLOCK, bucket % BLOCK)
    }

    #[inline]
    fn bucket(&self, tag: u32) -> Option<&[u32; WIDTH]> {
        let (block, at) = self.position(tag);
        Some(&self.blocks.get(block)?.as_ref()?[at].0)
    }

    /// The record of a key, in a shard of `capacity` bytes.
    #[inline]
    pub(crate) fn find(&self, tag: u32, capacity: u64) -> Option<Seen> {
        let &entry = self.bucket(tag)?.iter().find(|&&entry| is_of(entry, tag))?;
        let since = u64::from(self.age(entry, capacity)) * unit(capacity);
        Some(Seen { queue: queue_of(entry), since })
    }

    /// Records that `queue` evicts a key of `charge` bytes. If the table's size does not suit
    /// `items`, a new table is begun.
    pub(crate) fn add(&mut self, tag: u32, queue: Queue, charge: u64, capacity: u64, items: usize) {
        let plenty = usize::try_from(capacity / PLENTY).unwrap_or(usize::MAX);
        let wanted = plenty.clamp(items, 2 * items) / WIDTH + 1;
        let wanted = wanted.div_ceil(BLOCK);
        if self.blocks.len() < wanted / 2 + 1 || self.blocks.len() > 2 * wanted {
            self.blocks = vec![None; wanted];
            self.made = 0;
        }
        let stamp = self.clock(queue, capacity);
        let (block, at) = self.position(tag);
        let made = &mut self.made;
        let buckets = self.blocks[block].get_or_insert_with(|| {
            *made += 1;
            Box::new([Bucket([EMPTY; WIDTH]); BLOCK])
        });
        let entries = buckets[at].0;
        let same = entries.iter().position(|&entry| is_of(entry, tag) || entry == EMPTY);
        let least_useful = || (0..WIDTH).max_by_key(|&at| self.outlived(entries[at], capacity));
        let way = same.or_else(least_useful).unwrap_or(0);
        if let Some(buckets) = &mut self.blocks[block] {
            buckets[at].0[way] = fingerprint(tag) | (queue as u32) << 16 | u32::from(stamp);
        }
        self.evicted[queue as usize] += charge;
    }

    /// Forgets a key.
    #[inline]
    pub(crate) fn remove(&mut self, tag: u32) {
        let (block, at) = self.position(tag);
        if let Some(Some(buckets)) = self.blocks.get_mut(block)
            && let Some(entry) = buckets[at].0.iter_mut().find(|entry| is_of(**entry, tag))
        {
            *entry = EMPTY;
        }
    }

    /// Time since an entry's item was evicted, on the clock of its queue.
    fn age(&self, entry: u32, capacity: u64) -> u16 {
        self.clock(queue_of(entry), capacity).wrapping_sub(low(entry))
    }

    /// The part of its lifetime that an entry has used up, on one scale for both queues.
    fn outlived(&self, entry: u32, capacity: u64) -> u32 {
        u32::from(self.age(entry, capacity)) * 100 / self.lives[queue_of(entry) as usize]
    }

    fn clock(&self, queue: Queue, capacity: u64) -> u16 {
        low(u32::try_from((self.evicted[queue as usize] / unit(capacity)) & 0xffff).unwrap_or(0))
    }
}

fn unit(capacity: u64) -> u64 {
    (capacity / RESOLUTION).max(1)
}

/// The part of an entry that tells keys of one bucket apart. Never equal to that of [`EMPTY`].
fn fingerprint(tag: u32) -> u32 {
    (tag | 1) << 17
}

fn is_of(entry: u32, tag: u32) -> bool {
    entry >> 17 == fingerprint(tag) >> 17
}

fn queue_of(entry: u32) -> Queue {
    if entry >> 16 & 1 == 0 { Queue::Probation } else { Queue::Main }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn low(entry: u32) -> u16 {
    entry as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u64 = 4096 * 100;

    #[test]
    fn what_left_is_remembered_with_its_queue_and_age() {
        let mut ghosts = Ghosts::new([90, 5]);
        assert_eq!((ghosts.find(2, CAPACITY), ghosts.bytes()), (None, 0));
        ghosts.add(2, Queue::Main, 1_000, CAPACITY, 1_000);
        ghosts.add(4, Queue::Probation, 500, CAPACITY, 1_000);
        let of = |queue, since| Some(Seen { queue, since });
        assert_eq!(ghosts.find(2, CAPACITY), of(Queue::Main, 1_000));
        assert_eq!(ghosts.find(4, CAPACITY), of(Queue::Probation, 500));
        ghosts.add(6, Queue::Main, CAPACITY, CAPACITY, 1_000);
        assert_eq!(ghosts.find(2, CAPACITY), of(Queue::Main, 1_000 + CAPACITY));
        assert_eq!(ghosts.find(4, CAPACITY), of(Queue::Probation, 500));
        ghosts.remove(4);
        assert_eq!(ghosts.find(4, CAPACITY), None);
    }

    #[test]
    fn a_full_bucket_forgets_what_is_of_least_use() {
        let mut ghosts = Ghosts::new([90, 5]);
        for tag in 0..40 {
            ghosts.add(2 * tag, Queue::Probation, 1_000, CAPACITY, 8);
        }
        let known = |tag: u32| ghosts.find(2 * tag, CAPACITY).is_some();
        assert!((24..40).all(known) && !(0..24).any(known));
        for tag in 100..110 {
            ghosts.add(2 * tag, Queue::Main, 1_000, CAPACITY, 8);
        }
        for tag in 40..56 {
            ghosts.add(2 * tag, Queue::Probation, 10_000, CAPACITY, 8);
        }
        let known = |tag: u32| ghosts.find(2 * tag, CAPACITY).is_some();
        assert!((46..56).all(known), "the younger of the queue with long lives");
    }

    #[test]
    fn there_are_as_many_entries_as_items_or_twice_as_many() {
        // As many keys as there are items, or slightly fewer, spread over the table.
        let filled = |capacity, items: usize| {
            let mut ghosts = Ghosts::new([90, 5]);
            (0..1 << 12).for_each(|tag| ghosts.add(tag << 20, Queue::Main, 1, capacity, items));
            ghosts
        };
        assert!((124_000..136_000).contains(&filled(1 << 30, 16_000).bytes()));
        let mut ghosts = filled(CAPACITY, 16_000);
        assert!((60_000..68_000).contains(&ghosts.bytes()));
        ghosts.add(3, Queue::Main, 1, CAPACITY, 20_000);
        assert!(ghosts.find(1 << 20, CAPACITY).is_some(), "a little more changes nothing");
        ghosts.add(3, Queue::Main, 1, CAPACITY, 100_000);
        assert!(ghosts.find(1 << 20, CAPACITY).is_none(), "it begins anew");
        assert!(ghosts.bytes() < 10_000, "a block is made when it is needed");
        assert!(filled(CAPACITY, 100_000).bytes() > 380_000);
    }
}
