//! Restores the items of another store while clients are served.
//!
//! Invariant: a restored item never replaces or brings back anything that was written, deleted,
//! touched, flushed, forgotten or evicted here since the restore began. Two rules ensure it, both
//! under the lock of the key's shard:
//!
//! - An item is restored only if its key has no record, dead or alive, and was not touched. A key
//!   is touched whenever a record of it leaves the index, for any reason, and whenever an operation
//!   that changes items looks it up and finds nothing. Keys share bits by their hashes, so
//!   occasionally an item is left out because of another key.
//! - The item is judged as if it had been stored when the restore began: any flush or forget since
//!   then, or later, covers it. Once the forgets since then are settled and their predicates
//!   dropped, no more items are restored.
//!
//! A restore evicts nothing: it leaves out an item for which there is no room.
//!
//! Many items are first sorted by shard: a shard is locked once for several of them, whose index
//! slots are then fetched from memory at the same time. Any number of threads may restore items at
//! once, each its own.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use super::SegmentStore;
use crate::epochs::Epoch;
use crate::log::segment::Queue;
use crate::shard::touched::TouchedKeys;
use crate::shard::{Destination, Hash, NewItem, Shard, Size};
use crate::snapshot::SavedItem;
use crate::value::Value;
use crate::value::incoming::Incoming;
use crate::{Cas, Miss, Seconds, memcached_item_size};

/// Minimum bits for touched keys per expected item, and in all. At most twice as many are used.
const BITS_PER_ITEM: u64 = 4;
const MIN_BITS: u64 = 1 << 22;

/// Divisor of the memory that gives the most bytes for touched keys.
const TOUCHED_SHARE: u64 = 64;

/// Items that are sorted by shard at once.
const BATCH: usize = 1024;

/// Most items restored per lock of a shard.
const STEP: usize = 32;

/// A restore in progress, and when it began.
#[derive(Debug)]
pub struct Restore {
    epoch: Epoch,
}

/// The result of restoring one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The item is restored.
    Kept,
    /// The item's key was used since the restore began, or shares a bit with one that was.
    Outdated,
    /// The item has expired.
    Expired,
    /// The item is larger than the store allows.
    TooLarge,
    /// There is no room for the item.
    Full,
    /// A flush or forget covers all items not restored yet, or the restore was ended.
    Over,
}

impl SegmentStore {
    /// Begins to restore about `items` items of a store that assigned CAS uniques up to `last_cas`;
    /// this store's rise above them. Call this before the first client is served: the record of
    /// touched keys takes memory, for which present items are evicted. `None` while another restore
    /// is in progress.
    pub fn begin_restore(&self, items: u64, last_cas: Cas, now: Seconds) -> Option<Restore> {
        if self.restoring.swap(true, Relaxed) {
            return None;
        }
        self.common.raise_cas(last_cas);
        let epoch = self.common.epochs.current(now);
        let shards = self.slots.len() as u64;
        let budget = &self.common.budget;
        let room = if self.common.evict {
            budget.limit()
        } else {
            budget.limit().saturating_sub(budget.used()).min(budget.limit() / TOUCHED_SHARE)
                * TOUCHED_SHARE
        };
        let most = room / TOUCHED_SHARE * 8;
        // The largest power of two within the limit.
        let most = (most / shards).checked_ilog2().map_or(0, |log| 1 << log);
        let bits = items.saturating_mul(BITS_PER_ITEM).max(MIN_BITS);
        let bits = (bits / shards).min(most);
        for slot in &self.slots {
            let mut shard = slot.lock(&self.common);
            shard.touched = Some(TouchedKeys::new(bits));
            shard.settle_account(&self.common);
        }
        self.enforce_limit();
        Some(Restore { epoch })
    }

    /// Restores an item with its metadata, unless something in this store rules it out.
    pub fn restore(&self, restore: &Restore, item: &SavedItem<'_>, now: Seconds) -> Restored {
        if let Err(left_out) = self.may_keep(item, now) {
            return left_out;
        }
        let mut incoming = Incoming::cut(item.value, self.common.cutting());
        let hash = self.common.hash(item.key);
        self.restore_in(&mut self.lock(hash, now), restore, hash, item, incoming.value(), now)
    }

    /// Restores items as [`SegmentStore::restore`] does, but faster, and in its own order. `report`
    /// receives each result, and may end the call. It must be quick and must not call the store: a
    /// shard is locked meanwhile.
    pub fn restore_all<'a, B>(
        &self,
        restore: &Restore,
        items: impl IntoIterator<Item = SavedItem<'a>>,
        now: Seconds,
        mut report: impl FnMut(Restored) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut batch = Vec::with_capacity(BATCH);
        for item in items {
            if let Err(left_out) = self.may_keep(&item, now) {
                report(left_out)?;
            } else if item.value.len() > self.common.layout.inline {
                // Cut the value into pieces while nothing is locked.
                report(self.restore(restore, &item, now))?;
            } else {
                batch.push((self.common.hash(item.key), item));
            }
            if batch.len() == BATCH {
                self.restore_batch(restore, &batch, now, &mut report)?;
                batch.clear();
            }
        }
        self.restore_batch(restore, &batch, now, &mut report)
    }

    fn restore_batch<B>(
        &self,
        restore: &Restore,
        batch: &[(Hash, SavedItem<'_>)],
        now: Seconds,
        report: &mut impl FnMut(Restored) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut order: Vec<(usize, usize)> =
            batch.iter().enumerate().map(|(at, (hash, _))| (self.number(*hash), at)).collect();
        order.sort_unstable();
        let of_one_shard = |a: &(usize, usize), b: &(usize, usize)| a.0 == b.0;
        for step in order.chunk_by(of_one_shard).flat_map(|run| run.chunks(STEP)) {
            let shard = &mut *self.lock(batch[step[0].1].0, now);
            for &(_, at) in step {
                shard.index.touch(batch[at].0.tag());
            }
            for &(_, at) in step {
                let (hash, item) = &batch[at];
                let value = Value::Inline(item.value, &[]);
                report(self.restore_in(shard, restore, *hash, item, value, now))?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Checks an item as far as possible before its shard is locked.
    fn may_keep(&self, item: &SavedItem<'_>, now: Seconds) -> Result<(), Restored> {
        if item.meta.expiry.is_past(now) {
            return Err(Restored::Expired);
        }
        let size = memcached_item_size(item.key.len(), item.meta.flags, item.value.len());
        match u64::try_from(size) {
            Ok(size) if size <= self.max_item => Ok(()),
            _ => Err(Restored::TooLarge),
        }
    }

    fn restore_in(
        &self,
        shard: &mut Shard,
        restore: &Restore,
        hash: Hash,
        item: &SavedItem<'_>,
        value: Value<'_>,
        now: Seconds,
    ) -> Restored {
        let SavedItem { key, meta, .. } = *item;
        let common = &self.common;
        let size = Size::max_of(key, &value);
        let Some(touched) = &shard.touched else { return Restored::Over };
        if touched.has(hash) || shard.find(common, hash, key).is_some() {
            return Restored::Outdated;
        }
        let verdict = common.epochs.judge(restore.epoch, key, now);
        match verdict.miss {
            None => {}
            Some(Miss::Flushed) => return Restored::Over,
            Some(Miss::Absent | Miss::Expired) => return Restored::Outdated,
        }
        // The bookkeeping may grow by more than the record: that must not evict other items either.
        let budget = &common.budget;
        let margin = 2 * common.layout.segment as u64;
        if budget.used().saturating_add(margin + size.large) > budget.limit()
            || !common.admits(size.charge(), 0)
        {
            return Restored::Full;
        }
        // An item that was read since it was stored has proved useful.
        let (queue, uses) = if meta.fetched { (Queue::Main, 1) } else { (Queue::Probation, 0) };
        let mut grant = budget.nothing();
        let to = Destination { queue, epoch: verdict.epoch };
        if shard.reserve(common, to, size, 0, &mut grant).is_err() {
            return Restored::Full;
        }
        match shard.store(common, hash, None, NewItem { key, value, meta, queue, uses }) {
            Some(_) => Restored::Kept,
            None => Restored::Full,
        }
    }

    /// Ends the restore: no more items are restored, and no more keys are marked. Any thread may
    /// call this at any time.
    pub fn end_restore(&self) {
        for slot in &self.slots {
            let mut shard = slot.lock(&self.common);
            if shard.touched.take().is_some() {
                shard.settle_account(&self.common);
            }
        }
        self.restoring.store(false, Relaxed);
    }

    /// The last CAS unique assigned.
    pub fn last_cas(&self) -> Cas {
        self.common.cas()
    }

    /// The second at which a requested flush is due, if one is.
    pub fn flush_due(&self) -> Option<Seconds> {
        self.common.epochs.due()
    }
}
