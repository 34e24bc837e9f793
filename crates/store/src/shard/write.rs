//! Changes of a shard's records: makes sure of room, stores, overwrites and removes.

use std::sync::atomic::Ordering::Relaxed;

use super::{Common, Found, Hash, SMALL_BUFFER, Shard};
use crate::epochs::Epoch;
use crate::index::bucket::Slot;
use crate::log::location::Location;
use crate::log::record::{Body, HANDLE, HEADER, NewRecord};
use crate::log::segment::{Queue, Segment};
use crate::log::table::State;
use crate::memory::budget::Grant;
use crate::value::Value;
use crate::{Meta, Miss, Seconds};

/// Bytes charged for an item's slot in the index.
const SLOT: u64 = 9;

/// The bytes of the budget that an operation lacks. The operation has changed nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need(pub(crate) u64);

/// The segments that an item may be appended to: the open one of a queue, if it has this epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination {
    pub(crate) queue: Queue,
    pub(crate) epoch: Epoch,
}

/// Bytes of an item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Bytes of the record, or most bytes if it is not written yet.
    pub(crate) record: usize,
    /// Bytes charged for the large value; 0 if it has none.
    pub(crate) large: u64,
}

impl Size {
    /// The most bytes that an item with this key and value can take.
    pub(crate) fn max_of(key: &[u8], value: &Value<'_>) -> Size {
        let body = match value {
            Value::Inline(..) => value.len(),
            Value::Large(_, rest) | Value::Joined(_, rest) => HANDLE + rest.len(),
        };
        Size { record: HEADER + 16 + key.len() + body, large: value.large_charge() }
    }

    /// The total charge of the item.
    pub(crate) fn charge(self) -> u64 {
        self.record as u64 + SLOT + self.large
    }
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

impl Shard {
    /// Makes sure of room for an item of up to `size`, while `credit` bytes are about to be given
    /// back. On success the bytes are taken.
    pub(crate) fn reserve(
        &mut self,
        common: &Common,
        to: Destination,
        size: Size,
        credit: u64,
        grant: &mut Grant<'_>,
    ) -> Result<(), Need> {
        // Both or neither: otherwise one might be evicted for the other, for ever.
        let extra = size.large.saturating_sub(credit);
        if !grant.spend(extra) {
            return Err(Need(extra));
        }
        self.reserve_segment(common, to, size, grant).map_err(|Need(bytes)| {
            grant.put_back(extra);
            Need(bytes.saturating_add(extra))
        })
    }

    /// As [`Shard::reserve`], for a large value that is already paid for.
    pub(crate) fn reserve_segment(
        &mut self,
        common: &Common,
        to: Destination,
        size: Size,
        grant: &mut Grant<'_>,
    ) -> Result<(), Need> {
        if self.is_open_for(common, to, size) {
            return Ok(());
        }
        self.open(common, to, size, grant)
    }

    #[inline]
    fn is_open_for(&self, common: &Common, to: Destination, Size { record, large }: Size) -> bool {
        let Some(segment) = self.segments.open_segment(to.queue) else { return false };
        segment.epoch == to.epoch
            && segment.data.len() + record <= segment.data.capacity()
            && (large == 0 || segment.live == 0 || segment.large + large <= common.layout.max_large)
    }

    /// Opens a segment, or gives the open one a whole buffer.
    fn open(
        &mut self,
        common: &Common,
        Destination { queue, epoch }: Destination,
        size: Size,
        grant: &mut Grant<'_>,
    ) -> Result<(), Need> {
        if self.segments.is_full(common.layout.max_segments()) {
            return Err(Need(u64::MAX));
        }
        let small = size.large > 0 && size.record <= SMALL_BUFFER;
        let wanted = if small { SMALL_BUFFER } else { common.budget.buffer_len() };
        let buffer = if small {
            grant.spend(SMALL_BUFFER as u64).then(|| Vec::with_capacity(SMALL_BUFFER))
        } else {
            common.budget.buffer(grant)
        };
        let Some(mut buffer) = buffer else { return Err(Need(wanted as u64)) };
        if let Some(segment) = self.segments.open_segment_mut(queue)
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
        self.segments.add_open(Segment::new(buffer, queue, birth, epoch, birth, common.cas()));
        if !common.evict {
            // The segment that was open may be compacted from here on.
            self.published.no_gain_at.store(u64::MAX, Relaxed);
        }
        self.publish();
        Ok(())
    }

    /// Closes the open segment of a queue, and gives back its unused bytes.
    pub(crate) fn seal(&mut self, common: &Common, queue: Queue) {
        let Some(number) = self.segments.seal(queue) else { return };
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
        let number = self.segments.open(queue)?;
        let segment = self.segments.get_mut(number)?;
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
        self.count_in(common, Size { record: record.len(), large });
        Some(Found { location, record })
    }

    fn count_in(&mut self, common: &Common, size: Size) {
        self.counters.add(size.charge());
        common.charge(size.charge(), 0);
    }

    fn count_out(&mut self, common: &Common, size: Size) {
        self.counters.remove(size.charge());
        common.charge(0, size.charge());
    }

    /// Whether a record may be written over the present one: it is about as long and needs no other
    /// memory.
    #[inline]
    pub(crate) fn fits(&self, common: &Common, old: &Found, new: &NewRecord<'_>) -> bool {
        let Some(segment) = self.segment(common, old) else { return false };
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
        let segment = self.segments.get_mut(number)?;
        let (old_len, len) = (old.record.len(), new.len(segment.cas_base));
        segment.overwrite(at, old_len, new);
        self.published.count_garbage((old_len - len) as u64, 0);
        self.count_out(common, Size { record: old_len, large: 0 });
        self.count_in(common, Size { record: len, large: 0 });
        self.drop_override(common, old);
        Some(Found { location: old.location, record: self.record(common, old.location)? })
    }

    /// Removes a record from the bookkeeping, except its index slot and the budget's charge for its
    /// large value, and returns that charge.
    pub(crate) fn kill(&mut self, common: &Common, found: &mut Found) -> u64 {
        self.drop_override(common, found);
        let Some(item) = self.item(common, found) else { return 0 };
        let (size, handle) = (item.size(), item.handle());
        let number = common.layout.number(found.location);
        let Some(segment) = self.segments.get_mut(number) else { return 0 };
        segment.kill(&mut found.record, size.large);
        self.published.count_garbage(size.record as u64, 0);
        common.count_queue_bytes(segment.queue, 0, size.large);
        if let Some(handle) = handle {
            self.dropped.add(self.values.remove(handle));
        }
        self.count_out(common, size);
        self.free_if_dead(common, number);
        size.large
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
        let Some(item) = self.item(common, found) else { return };
        let fetched = item.meta(self.now).fetched;
        self.counters.count_reclaim(miss == Miss::Expired && !fetched);
        self.counters.count_met(miss);
        self.remove(common, hash, found);
    }

    /// Frees the memory of a segment without living records, unless it is open or being evicted. An
    /// open one gets another serial, so that a sweep in the middle of it treats it as another
    /// segment.
    pub(crate) fn free_if_dead(&mut self, common: &Common, number: u32) {
        let Some(segment) = self.segments.get_mut(number) else { return };
        if segment.live > 0 {
            return;
        }
        match segment.state() {
            State::Evicting => {}
            State::Open => {
                self.published.count_garbage(0, segment.garbage());
                segment.data.clear();
                segment.soonest = Seconds::MAX;
                segment.cas_base = common.cas();
                segment.serial = common.next_serial();
            }
            State::Sealed => {
                self.drop_segment(common, number);
                self.publish();
            }
        }
    }

    /// Removes a segment, and gives back its memory.
    pub(super) fn drop_segment(&mut self, common: &Common, number: u32) {
        if let Some(segment) = self.segments.remove(number) {
            self.published.count_garbage(0, segment.garbage());
            common.count_queue_bytes(segment.queue, 0, segment.bytes());
            common.budget.give_buffer(segment.data);
        }
    }
}
