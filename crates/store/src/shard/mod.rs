//! A shard: a part of the index, the segments to which it leads, and one lock around both.
//!
//! Everything in here is plain code for one thread. The lock covers the whole shard and is held for
//! one operation, or for one step of eviction, compaction or a sweep.
//!
//! | file | purpose |
//! |---|---|
//! | `slot` | the lock, and what is freed after it is released |
//! | `borrowed` | an item as a callback sees it |
//! | `overrides` | changes that a record has no room for |
//! | `evict`, `compact`, `sweep` | making room: from living items, from dead records; removing dead items |
//! | `validate` | checking the bookkeeping |
//! | `common` | what all shards share |
//! | `counters`, `published` | what a shard counts; what is known of it without its lock |
//! | `touched` | the keys that were used during a restore |
//!
//! Invariants:
//!
//! - A slot of the index leads to a living record with its tag, and every living record has exactly
//!   one slot.
//! - A segment that is not being evicted stands in the queue that it names.
//! - The bytes that the budget counts as used are the buffers of all segments, the charges of large
//!   values, the index and the overrides.

mod compact;
mod evict;
mod overrides;
mod validate;

pub(crate) mod borrowed;
pub(crate) mod common;
pub(crate) mod counters;
pub(crate) mod published;
pub(crate) mod slot;
pub(crate) mod sweep;
pub(crate) mod touched;

pub(crate) use self::compact::Progress;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use foldhash::fast::FixedState;

use crate::epochs::{Epoch, Verdict};
use crate::index::Index;
use crate::index::bucket::Slot;
use crate::log::location::Location;
use crate::log::record::{Body, HANDLE, NewRecord, Override, Record};
use crate::log::segment::{Queue, Segment};
use crate::memory::budget::Grant;
use crate::policy::{Candidate, Policy};
use crate::shard::common::{Common, Hash};
use crate::shard::compact::Compacting;
use crate::shard::counters::ShardCounters;
use crate::shard::published::Published;
use crate::shard::slot::Dropped;
use crate::shard::touched::TouchedKeys;
use crate::value::Value;
use crate::value::large::{LargeValues, Pieces};
use crate::{Expiry, Meta, Miss, Seconds};

/// Bytes charged for an item's slot in the index.
const SLOT: u64 = 9;

/// Bytes of the first buffer of a segment for large values, which holds their records.
pub(crate) const SMALL_BUFFER: usize = 1024;

/// The bytes of the budget that an operation lacks. The operation has changed nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need(pub(crate) u64);

/// A record that was found, and its location.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) location: Location,
    pub(crate) record: Record,
}

/// The segment being evicted.
#[derive(Debug)]
pub(crate) struct Evicting {
    pub(crate) number: u32,
    pub(crate) at: usize,
    /// Number of uses that do not count: the more, the stricter its items are judged.
    pub(crate) pressure: u8,
}

/// An item on its way in.
#[derive(Debug)]
pub(crate) struct NewItem<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Value<'a>,
    pub(crate) meta: Meta,
    /// The item's queue, and its initial uses.
    pub(crate) queue: Queue,
    pub(crate) uses: u8,
}

/// A shard. See the module's documentation.
pub(crate) struct Shard {
    pub(crate) index: Index,
    pub(crate) segments: Vec<Option<Segment>>,
    free: Vec<u32>,
    /// Numbers of the segments in each queue, oldest first.
    pub(crate) queues: [VecDeque<u32>; 2],
    pub(crate) open: [Option<u32>; 2],
    pub(crate) values: LargeValues,
    /// Values and bytes to free after the lock is released.
    pub(crate) dropped: Dropped,
    pub(crate) overrides: HashMap<Location, Override, FixedState>,
    /// Bytes of the table of overrides.
    pub(crate) override_bytes: u64,
    pub(crate) evicting: Option<Evicting>,
    pub(crate) compacting: Option<Compacting>,
    pub(crate) policy: Policy,
    pub(crate) counters: ShardCounters,
    /// Bytes that the budget counts for the index, the policy, the overrides and touched keys.
    pub(crate) accounted: u64,
    pub(crate) published: Arc<Published>,
    /// Latest second of any operation on this shard.
    pub(crate) now: Seconds,
    pub(crate) scratch: Vec<u8>,
    /// Keys used since a restore began; `None` if there is no restore.
    pub(crate) touched: Option<TouchedKeys>,
}

impl Shard {
    pub(crate) fn new(published: Arc<Published>, seed: u64) -> Shard {
        Shard {
            index: Index::new(),
            segments: Vec::new(),
            free: Vec::new(),
            queues: [VecDeque::new(), VecDeque::new()],
            open: [None, None],
            values: LargeValues::default(),
            dropped: Dropped::default(),
            overrides: HashMap::default(),
            override_bytes: 0,
            evicting: None,
            compacting: None,
            policy: Policy::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            counters: ShardCounters::default(),
            accounted: 0,
            published,
            now: 0,
            scratch: Vec::new(),
            touched: None,
        }
    }

    /// Finds the record under a key.
    #[inline(always)]
    pub(crate) fn find(&self, common: &Common, hash: Hash, key: &[u8]) -> Option<Found> {
        let location = self.index.find(hash.tag(), |location| {
            let (number, at) = common.layout.split(location);
            let segment = self.segments[number].as_ref();
            segment.is_some_and(|segment| Record::is_of(&segment.data, at, key))
        })?;
        Some(Found { location, record: self.record(common, location)? })
    }

    #[inline]
    pub(crate) fn segment(&self, common: &Common, location: Location) -> Option<&Segment> {
        self.segments[common.layout.split(location).0].as_ref()
    }

    #[inline]
    pub(crate) fn segment_mut(
        &mut self,
        common: &Common,
        location: Location,
    ) -> Option<&mut Segment> {
        self.segments[common.layout.split(location).0].as_mut()
    }

    #[inline]
    pub(crate) fn expiry(&self, segment: &Segment, found: &Found) -> Expiry {
        if found.record.has_override()
            && let Some(expiry) = self.overrides.get(&found.location).and_then(|it| it.expiry)
        {
            return expiry;
        }
        found.record.expiry(&segment.data)
    }

    /// The metadata of an item.
    #[inline]
    pub(crate) fn meta(&self, segment: &Segment, found: &Found, now: Seconds) -> Meta {
        let mut meta = found.record.meta(&segment.data, segment.cas_base, now);
        if found.record.has_override()
            && let Some(other) = self.overrides.get(&found.location)
        {
            meta.expiry = other.expiry.unwrap_or(meta.expiry);
            meta.cas = other.cas.unwrap_or(meta.cas);
        }
        meta
    }

    /// The state of an item at `now`.
    #[inline]
    pub(crate) fn judge(
        &self,
        common: &Common,
        segment: &Segment,
        found: &Found,
        now: Seconds,
    ) -> Verdict {
        let key = found.record.key(&segment.data);
        let mut verdict = common.epochs.judge(segment.epoch, key, now);
        if verdict.miss.is_none() && self.expiry(segment, found).is_past(now) {
            verdict.miss = Some(Miss::Expired);
        }
        verdict
    }

    /// Length of an item's value.
    pub(crate) fn value_len(&self, segment: &Segment, record: &Record) -> usize {
        let pieces = record.handle(&segment.data).and_then(|handle| self.values.get(handle));
        pieces.map_or(0, Pieces::len) + record.rest_range().len()
    }

    /// Bytes charged for an item's large value; 0 if it has none.
    pub(crate) fn large_charge(&self, segment: &Segment, record: &Record) -> u64 {
        let pieces = record.handle(&segment.data).and_then(|handle| self.values.get(handle));
        pieces.map_or(0, Pieces::charge)
    }

    /// The total charge of an item.
    pub(crate) fn charge(record_len: usize, large: u64) -> u64 {
        record_len as u64 + SLOT + large
    }

    /// Makes sure of room for a record of up to `most` bytes and a large value charged `large`,
    /// while `credit` bytes are about to be given back. On success the bytes are taken.
    pub(crate) fn reserve(
        &mut self,
        common: &Common,
        (queue, epoch): (Queue, Epoch),
        (most, large): (usize, u64),
        credit: u64,
        grant: &mut Grant<'_>,
    ) -> Result<(), Need> {
        // Both or neither: otherwise one might be evicted for the other, for ever.
        let extra = large.saturating_sub(credit);
        if !grant.spend(extra) {
            return Err(Need(extra));
        }
        self.reserve_segment(common, (queue, epoch), (most, large), grant).map_err(|Need(bytes)| {
            grant.put_back(extra);
            Need(bytes.saturating_add(extra))
        })
    }

    /// As [`Shard::reserve`], for a large value that is already paid for.
    pub(crate) fn reserve_segment(
        &mut self,
        common: &Common,
        (queue, epoch): (Queue, Epoch),
        (most, large): (usize, u64),
        grant: &mut Grant<'_>,
    ) -> Result<(), Need> {
        if self.is_open_for(common, queue, epoch, most, large) {
            return Ok(());
        }
        self.open(common, queue, epoch, (most, large > 0), grant)
    }

    #[inline]
    fn is_open_for(
        &self,
        common: &Common,
        queue: Queue,
        epoch: Epoch,
        most: usize,
        large: u64,
    ) -> bool {
        let number = self.open[queue as usize];
        let Some(segment) = number.and_then(|number| self.segments[number as usize].as_ref())
        else {
            return false;
        };
        segment.epoch == epoch
            && segment.data.len() + most <= segment.data.capacity()
            && (large == 0 || segment.live == 0 || segment.large + large <= common.layout.max_large)
    }

    /// Opens a segment, or gives the open one a whole buffer.
    fn open(
        &mut self,
        common: &Common,
        queue: Queue,
        epoch: Epoch,
        (most, is_large): (usize, bool),
        grant: &mut Grant<'_>,
    ) -> Result<(), Need> {
        if self.free.is_empty() && self.segments.len() >= common.layout.max_segments() {
            return Err(Need(u64::MAX));
        }
        let small = is_large && most <= SMALL_BUFFER;
        let wanted = if small { SMALL_BUFFER } else { common.budget.buffer_len() };
        let buffer = if small {
            grant.spend(SMALL_BUFFER as u64).then(|| Vec::with_capacity(SMALL_BUFFER))
        } else {
            common.budget.buffer(grant)
        };
        let Some(mut buffer) = buffer else { return Err(Need(wanted as u64)) };
        let number = self.open[queue as usize];
        if let Some(segment) = number.and_then(|number| self.segments[number as usize].as_mut())
            && segment.epoch == epoch
            && segment.data.capacity() < wanted
            && segment.large < common.layout.max_large
        {
            buffer.extend_from_slice(&segment.data);
            common.count_queue_bytes(
                queue,
                buffer.capacity() as u64,
                segment.data.capacity() as u64,
            );
            common.budget.give_buffer(std::mem::replace(&mut segment.data, buffer));
            return Ok(());
        }
        self.seal(common, queue);
        common.count_queue_bytes(queue, buffer.capacity() as u64, 0);
        let birth = common.next_serial();
        let number =
            self.add_segment(Segment::new(buffer, queue, birth, epoch, birth, common.cas()));
        self.queues[queue as usize].push_back(number);
        self.open[queue as usize] = Some(number);
        if !common.evict {
            // The segment that was open may be compacted from here on.
            self.published.no_gain_at.store(u64::MAX, Relaxed);
        }
        self.publish();
        Ok(())
    }

    /// An item of such a charge, as the policy sees it.
    #[inline]
    pub(crate) fn candidate(&self, tag: u32, charge: u64) -> Candidate {
        let mean = self.counters.bytes.checked_div(self.counters.items).unwrap_or(charge);
        Candidate { tag, charge, mean }
    }

    /// Adds a segment and returns its number.
    pub(crate) fn add_segment(&mut self, segment: Segment) -> u32 {
        if let Some(number) = self.free.pop() {
            self.segments[number as usize] = Some(segment);
            return number;
        }
        self.segments.push(Some(segment));
        u32::try_from(self.segments.len() - 1).unwrap_or(u32::MAX)
    }

    /// Publishes the age of this shard's oldest segments to the other shards.
    pub(crate) fn publish(&self) {
        for queue in Queue::BOTH {
            let front = self.queues[queue as usize].front();
            let segment = front.and_then(|&number| self.segments[number as usize].as_ref());
            let birth = segment.map_or(u64::MAX, |segment| segment.birth);
            self.published.oldest[queue as usize].store(birth, Relaxed);
        }
    }

    /// Closes the open segment of a queue, and gives back its unused bytes.
    pub(crate) fn seal(&mut self, common: &Common, queue: Queue) {
        let Some(number) = self.open[queue as usize].take() else { return };
        self.shrink(common, number);
        self.free_if_dead(common, number);
    }

    /// Appends a record, for which there must be room, and returns its location. The index does not
    /// lead to it yet.
    pub(crate) fn append(
        &mut self,
        common: &Common,
        queue: Queue,
        new: &NewRecord<'_>,
        large: u64,
    ) -> Option<Location> {
        let number = self.open[queue as usize]?;
        let segment = self.segments[number as usize].as_mut()?;
        debug_assert!(segment.data.len() + new.len(segment.cas_base) <= segment.data.capacity());
        let at = segment.append(new, large);
        common.count_queue_bytes(queue, large, 0);
        Some(common.layout.location(number, at))
    }

    /// Stores an item for which [`Shard::reserve`] made room, in place of `old` if that is given.
    pub(crate) fn store(
        &mut self,
        common: &Common,
        hash: Hash,
        old: Option<&mut Found>,
        new: NewItem<'_>,
    ) -> Option<Found> {
        let NewItem { key, value, meta, queue, uses } = new;
        let large = value.large_charge();
        let body = match value {
            Value::Inline(front, back) => Body::Inline(front, back),
            Value::Large(pieces, rest) => {
                pieces.adopt();
                Body::Large(self.values.insert(std::mem::take(pieces)), rest)
            }
            Value::Joined(join, rest) => {
                let there = join.handle().map_or_else(Vec::new, |handle| self.values.take(handle));
                let (pieces, left_over) = join.finish(there);
                self.dropped.add(left_over);
                Body::Large(self.values.insert(pieces), rest)
            }
        };
        let new = NewRecord { key, body, meta, uses, touchable: !common.evict };
        let location = self.append(common, queue, &new, large)?;
        match old {
            Some(old) => {
                self.index.replace(Slot::new(hash.tag(), old.location), location);
                let credit = self.kill(common, old);
                self.dropped.give(credit.saturating_sub(large));
            }
            None => {
                self.index.insert(Slot::new(hash.tag(), location));
                self.settle_account(common);
            }
        }
        let record = self.record(common, location)?;
        self.enter(common, Self::charge(record.len(), large));
        Some(Found { location, record })
    }

    fn enter(&mut self, common: &Common, charge: u64) {
        self.counters.add(charge);
        common.charge(charge, 0);
    }

    fn strike(&mut self, common: &Common, charge: u64) {
        self.counters.remove(charge);
        common.charge(0, charge);
    }

    /// Whether a record may be written over the present one: it is about as long and needs no other
    /// memory.
    #[inline]
    pub(crate) fn fits(&self, common: &Common, old: &Found, new: &NewRecord<'_>) -> bool {
        let Some(segment) = self.segment(common, old.location) else { return false };
        let (old_len, len) = (old.record.len(), new.len(segment.cas_base));
        len <= old_len && old_len - len <= old_len / 8 && old.record.handle(&segment.data).is_none()
    }

    /// Writes a record for which [`Shard::fits`] returned true over the present one.
    #[inline]
    pub(crate) fn overwrite(
        &mut self,
        common: &Common,
        old: &mut Found,
        new: &NewRecord<'_>,
    ) -> Option<Found> {
        let (number, at) = common.layout.split(old.location);
        let segment = self.segments[number].as_mut()?;
        let (old_len, len) = (old.record.len(), new.len(segment.cas_base));
        segment.overwrite(at, old_len, new);
        self.published.count_garbage((old_len - len) as u64, 0);
        self.strike(common, Self::charge(old_len, 0));
        self.enter(common, Self::charge(len, 0));
        self.drop_override(common, old);
        Some(Found { location: old.location, record: self.record(common, old.location)? })
    }

    #[inline]
    pub(crate) fn record(&self, common: &Common, location: Location) -> Option<Record> {
        let (number, at) = common.layout.split(location);
        Record::read(&self.segments[number].as_ref()?.data, at)
    }

    /// Removes a record from the bookkeeping, except its index slot and the budget's charge for its
    /// large value, and returns that charge.
    pub(crate) fn kill(&mut self, common: &Common, found: &mut Found) -> u64 {
        self.drop_override(common, found);
        let (number, _) = common.layout.split(found.location);
        let Some(segment) = self.segments[number].as_ref() else { return 0 };
        let large = self.large_charge(segment, &found.record);
        let handle = found.record.handle(&segment.data);
        let Some(segment) = self.segments[number].as_mut() else { return 0 };
        segment.kill(&mut found.record, large);
        self.published.count_garbage(found.record.len() as u64, 0);
        let queue = segment.queue;
        common.count_queue_bytes(queue, 0, large);
        if let Some(handle) = handle {
            self.dropped.add(self.values.remove(handle));
        }
        self.strike(common, Self::charge(found.record.len(), large));
        self.free_if_dead(common, u32::try_from(number).unwrap_or(u32::MAX));
        large
    }

    /// Removes an item.
    pub(crate) fn remove(&mut self, common: &Common, hash: Hash, found: &mut Found) {
        self.note_touched(hash);
        self.index.remove(Slot::new(hash.tag(), found.location));
        let large = self.kill(common, found);
        self.dropped.give(large);
        self.settle_account(common);
    }

    /// Removes an item that an operation on its key found dead.
    #[cold]
    pub(crate) fn reclaim(&mut self, common: &Common, hash: Hash, found: &mut Found, miss: Miss) {
        let Some(segment) = self.segment(common, found.location) else { return };
        let fetched = self.meta(segment, found, self.now).fetched;
        self.counters.count_reclaim(miss == Miss::Expired && !fetched);
        self.counters.count_met(miss);
        self.remove(common, hash, found);
    }

    /// Frees the memory of a segment without living records, unless it is open or being evicted. An
    /// open one gets another serial, so that a sweep in the middle of it treats it as another
    /// segment.
    pub(crate) fn free_if_dead(&mut self, common: &Common, number: u32) {
        let is_evicted = self.evicting.as_ref().is_some_and(|it| it.number == number);
        let Some(segment) = self.segments[number as usize].as_mut() else { return };
        if segment.live > 0 || is_evicted {
            return;
        }
        if self.open[segment.queue as usize] == Some(number) {
            self.published.count_garbage(0, segment.garbage());
            segment.data.clear();
            segment.soonest = Seconds::MAX;
            segment.cas_base = common.cas();
            segment.serial = common.next_serial();
            return;
        }
        let queue = &mut self.queues[segment.queue as usize];
        if let Some(at) = queue.iter().position(|&other| other == number) {
            queue.remove(at);
        }
        self.drop_segment(common, number);
        self.publish();
    }

    /// Gives back a segment that is in no queue.
    pub(crate) fn drop_segment(&mut self, common: &Common, number: u32) {
        if let Some(segment) = self.segments[number as usize].take() {
            self.published.count_garbage(0, segment.garbage());
            common.count_queue_bytes(segment.queue, 0, segment.bytes());
            common.budget.give_buffer(segment.data);
            self.free.push(number);
        }
    }

    /// Updates the bytes that the budget counts for the index, the policy, the overrides and
    /// touched keys.
    #[inline]
    pub(crate) fn settle_account(&mut self, common: &Common) {
        let overrides = self.override_bytes;
        let touched = self.touched.as_ref().map_or(0, TouchedKeys::bytes) as u64;
        let taken = self.index.bytes() as u64 + self.policy.bytes() as u64 + overrides + touched;
        if taken != self.accounted {
            common.budget.take(taken);
            common.budget.give(self.accounted);
            self.accounted = taken;
        }
    }
}

/// Most bytes that a record of a key and a value can take.
pub(crate) fn max_record_len(key_len: usize, value: &Value<'_>) -> usize {
    let body = match value {
        Value::Inline(..) => value.len(),
        Value::Large(_, rest) | Value::Joined(_, rest) => HANDLE + rest.len(),
    };
    crate::log::record::HEADER + 16 + key_len + body
}
