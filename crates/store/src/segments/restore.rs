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

use std::sync::atomic::Ordering::Relaxed;

use super::SegmentStore;
use super::apart::Pieces;
use super::common::Hash;
use super::epochs::Epoch;
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
    /// this one's rise above them. To be called before the first client is served. `None` while the
    /// like is under way already.
    pub fn begin_restore(&self, items: u64, last_cas: Cas, now: Seconds) -> Option<Restore> {
        if self.restoring.swap(true, Relaxed) {
            return None;
        }
        self.common.raise_cas(last_cas);
        let epoch = self.common.epochs.current(now);
        let shards = self.places.len() as u64;
        let most = self.common.pool.limit() / MARKS_SHARE * 8;
        // A power of two that is not more than there may be.
        let most = (most / shards).checked_ilog2().map_or(0, |log| 1 << log);
        let bits = items.saturating_mul(BITS_PER_ITEM).max(LEAST_BITS);
        let bits = (bits / shards).min(most);
        for place in &self.places {
            let mut shard = place.shard.lock();
            shard.marks = Some(Marks::new(bits));
            shard.settle_account(&self.common);
        }
        Some(Restore { epoch })
    }

    /// Takes up an item, with all that it was, if nothing here stands against it.
    pub fn restore(&self, restore: &Restore, item: &SavedItem<'_>, now: Seconds) -> Restored {
        let SavedItem { key, value, meta } = *item;
        if meta.expiry.is_past(now) {
            return Restored::Expired;
        }
        let size = memcached_item_size(key.len(), meta.flags, value.len());
        if u64::try_from(size).map_or(true, |size| size > self.max_item) {
            return Restored::TooLarge;
        }
        let common = &self.common;
        let value = if value.len() > common.layout.inline {
            let (pieces, rest) = Pieces::cut(value, common.layout.inline);
            Value::Apart(pieces, rest)
        } else {
            Value::Here(value, &[])
        };
        let (most, apart) = (shard::most(key.len(), &value), value.apart());
        let hash = common.hash(key);
        let shard = &mut *self.lock(hash, now);
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
            let mut shard = place.shard.lock();
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
