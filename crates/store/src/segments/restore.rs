//! Taking up what another store held, while everybody goes on.
//!
//! One thing must hold: an item from there never replaces, nor brings back, anything that was written,
//! deleted, touched, flushed, forgotten or evicted here since that began. Two rules see to it, both
//! under the lock of the key's shard:
//!
//! - An item is taken up only where its key has no record, dead or alive, and no mark. A key is marked
//!   whenever a record of it leaves the index, for whatever reason, and whenever an operation that
//!   changes items asks for it and finds nothing. Marks are bits that keys share by their hashes: now
//!   and then an item is left out for another key's sake.
//! - It is judged as if it had been stored when taking up began: what was flushed or forgotten since,
//!   or comes to be later, it is too. Where the forgets since then are settled, and nobody knows any
//!   more what they were about, no item is taken up.
//!
//! Nothing is evicted for such an item. Where there is no room for it, it is left out.
//!
//! Many items are sorted by their shards first: a shard is locked once for several of them, whose
//! places in its index then come from memory at the same time. Any number of threads may take up items
//! at once, each its own.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

use super::SegmentStore;
use super::common::Hash;
use super::epochs::Epoch;
use super::incoming::Incoming;
use super::marks::Marks;
use super::segment::Queue;
use super::shard::{self, New, Shard, Value};
use crate::snapshot::SavedItem;
use crate::{Cas, Miss, Seconds, memcached_item_size};

/// Bits of marks for each item that is expected, at least, and in all. Twice as many at most.
const BITS_PER_ITEM: u64 = 4;
const LEAST_BITS: u64 = 1 << 22;

/// Marks take at most one byte in so many of the memory.
const MARKS_SHARE: u64 = 64;

/// Items that are sorted by their shards at once.
const BATCH: usize = 1024;

/// Items that are taken up while their shard is locked, at most.
const STEP: usize = 32;

/// That items are being taken up, and since when.
#[derive(Debug)]
pub struct Restore {
    epoch: Epoch,
}

/// What became of an item from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is there.
    Kept,
    /// Its key was used since taking up began, or is taken for one that was.
    Outdated,
    /// It has expired.
    Expired,
    /// It is larger than the store takes.
    TooLarge,
    /// There is no room for it.
    Full,
    /// All that was not taken up yet was flushed or forgotten meanwhile, or taking up was ended.
    Over,
}

impl Shard {
    /// Takes note that a key was used, while items are taken up.
    #[inline]
    pub(super) fn mark(&mut self, hash: Hash) {
        if let Some(marks) = &mut self.marks {
            marks.set(hash);
        }
    }
}

impl SegmentStore {
    /// Begins to take up about `items` items of a store that gave out CAS uniques up to `last_cas`:
    /// this one's rise above them. To be called before the first client is served: marks take memory,
    /// for which items are given up if there are any. `None` while the like is under way already.
    pub fn begin_restore(&self, items: u64, last_cas: Cas, now: Seconds) -> Option<Restore> {
        if self.restoring.swap(true, Relaxed) {
            return None;
        }
        self.common.raise_cas(last_cas);
        let epoch = self.common.epochs.current(now);
        let shards = self.places.len() as u64;
        let pool = &self.common.pool;
        let room = if self.common.evict {
            pool.limit()
        } else {
            pool.limit().saturating_sub(pool.used()).min(pool.limit() / MARKS_SHARE) * MARKS_SHARE
        };
        let most = room / MARKS_SHARE * 8;
        // A power of two that is not more than there may be.
        let most = (most / shards).checked_ilog2().map_or(0, |log| 1 << log);
        let bits = items.saturating_mul(BITS_PER_ITEM).max(LEAST_BITS);
        let bits = (bits / shards).min(most);
        for place in &self.places {
            let mut shard = place.lock(&self.common);
            shard.marks = Some(Marks::new(bits));
            shard.settle_account(&self.common);
        }
        self.make_up();
        Some(Restore { epoch })
    }

    /// Takes up an item, with all that it was, if nothing here stands against it.
    pub fn restore(&self, restore: &Restore, item: &SavedItem<'_>, now: Seconds) -> Restored {
        if let Err(left_out) = self.may_keep(item, now) {
            return left_out;
        }
        let mut incoming = Incoming::cut(item.value, &self.common);
        let hash = self.common.hash(item.key);
        self.restore_in(&mut self.lock(hash, now), restore, hash, (item, incoming.value()), now)
    }

    /// Takes up items as [`SegmentStore::restore`] does, but faster, and in an order of its own. `told`
    /// hears what became of each, and may end it. It must be quick and must not call the store: a shard
    /// is locked meanwhile.
    pub fn restore_all<'a, B>(
        &self,
        restore: &Restore,
        items: impl IntoIterator<Item = SavedItem<'a>>,
        now: Seconds,
        mut told: impl FnMut(Restored) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut batch = Vec::with_capacity(BATCH);
        for item in items {
            if let Err(left_out) = self.may_keep(&item, now) {
                told(left_out)?;
            } else if item.value.len() > self.common.layout.inline {
                // It is cut into pieces with nothing locked.
                told(self.restore(restore, &item, now))?;
            } else {
                batch.push((self.common.hash(item.key), item));
            }
            if batch.len() == BATCH {
                self.restore_batch(restore, &batch, now, &mut told)?;
                batch.clear();
            }
        }
        self.restore_batch(restore, &batch, now, &mut told)
    }

    fn restore_batch<B>(
        &self,
        restore: &Restore,
        batch: &[(Hash, SavedItem<'_>)],
        now: Seconds,
        told: &mut impl FnMut(Restored) -> ControlFlow<B>,
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
                let new = (item, Value::Here(item.value, &[]));
                told(self.restore_in(shard, restore, *hash, new, now))?;
            }
        }
        ControlFlow::Continue(())
    }

    /// What can be said of an item before its shard is locked.
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
        (item, value): (&SavedItem<'_>, Value<'_>),
        now: Seconds,
    ) -> Restored {
        let SavedItem { key, meta, .. } = *item;
        let common = &self.common;
        let (most, apart) = (shard::most(key.len(), &value), value.apart());
        let Some(marks) = &shard.marks else { return Restored::Over };
        if marks.has(hash) || shard.find(common, hash, key).is_some() {
            return Restored::Outdated;
        }
        let verdict = common.epochs.judge(restore.epoch, key, now);
        match verdict.miss {
            None => {}
            Some(Miss::Flushed) => return Restored::Over,
            Some(Miss::Absent | Miss::Expired) => return Restored::Outdated,
        }
        // The books may grow by more than the record: that is not to press others out either.
        let pool = &common.pool;
        let margin = 2 * common.layout.segment as u64;
        if pool.used().saturating_add(margin + apart) > pool.limit()
            || !common.admits(Shard::charge(most, apart), 0)
        {
            return Restored::Full;
        }
        // What was read since it was stored has shown its use.
        let (queue, uses) = if meta.fetched { (Queue::Main, 1) } else { (Queue::Probation, 0) };
        let mut grant = pool.nothing();
        let room = shard.reserve(common, (queue, verdict.epoch), (most, apart), 0, &mut grant);
        if room.is_err() {
            return Restored::Full;
        }
        match shard.store(common, hash, None, New { key, value, meta, queue, uses }) {
            Some(_) => Restored::Kept,
            None => Restored::Full,
        }
    }

    /// Ends it: nothing more is taken up, and nothing more is marked. Anybody may do so at any time.
    pub fn end_restore(&self) {
        for place in &self.places {
            let mut shard = place.lock(&self.common);
            if shard.marks.take().is_some() {
                shard.settle_account(&self.common);
            }
        }
        self.restoring.store(false, Relaxed);
    }

    /// The CAS unique given out last.
    pub fn last_cas(&self) -> Cas {
        self.common.cas()
    }

    /// When a flush is due that was asked for, if one is.
    pub fn flush_due(&self) -> Option<Seconds> {
        self.common.epochs.due()
    }
}
