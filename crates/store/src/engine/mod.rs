//! The engine: all shards, and everything that concerns more than one of them.
//!
//! An operation locks the shard of its key and runs there. An operation that lacks memory has
//! changed nothing: the engine releases the lock, makes room in whichever shard has the oldest
//! segment, and repeats the operation.
//!
//! | file | purpose |
//! |---|---|
//! | `store` | the trait `Store`, implemented by this engine |
//! | `key_op` | one change of one key, under the lock of its shard |
//! | `make_room` | chooses which shard evicts or compacts what |
//! | `ready` | makes room for a large value in steps, before it is written |
//! | `maintenance` | sweeps, another budget, sums of counters, validation |
//! | `restore` | restores the items of a snapshot |
//! | `visit` | a visit to all items |
//! | `sizing` | how many shards there are, and how large segments are |
//! | `shape` | sizes that only tests ask for |

mod key_op;
mod maintenance;
mod make_room;
mod ready;
mod restore;
mod shape;
mod sizing;
mod store;
mod visit;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

pub use self::ready::Readiness;
pub use self::restore::{Restore, Restored};
pub use self::shape::{Shape, ShapeError};

use self::key_op::{KeyOp, Obstacle};
use self::sizing::Sizing;
use crate::epochs::Epoch;
use crate::memory::budget::Grant;
use crate::memory::resident::{ResidentCorrection, ResidentProbe};
use crate::shard::slot::{Locked, ShardSlot};
use crate::shard::{Common, Found, Hash, Held, Shard};
use crate::{
    Account, Arriving, Cas, EvictionObserver, Limits, Miss, Mode, Seconds, Write, WriteResult,
};

/// A [`Store`](crate::Store) of segments.
pub struct SegmentStore {
    slots: Box<[ShardSlot]>,
    common: Common,
    max_item: u64,
    max_bytes: AtomicU64,
    correction: ResidentCorrection,
    /// Bytes held when the budget was last changed.
    excess: AtomicU64,
    /// The epoch and second at which there was nothing dead to reclaim.
    reclaimed: Mutex<Option<(Epoch, Seconds)>>,
    /// Whether items of another store are being restored.
    restoring: AtomicBool,
}

/// There is no room, and none can be made.
#[derive(Clone, Copy, Debug)]
struct NoRoom;

impl SegmentStore {
    /// An empty store.
    ///
    /// The store calls `observer` for every eviction while the item's shard is locked: it must be
    /// quick and must not call the store.
    pub fn new(limits: Limits, observer: Option<EvictionObserver>) -> SegmentStore {
        SegmentStore::with_sizing(limits, Sizing::for_budget(limits.max_bytes), observer)
    }

    fn with_sizing(
        limits: Limits,
        sizing: Sizing,
        observer: Option<EvictionObserver>,
    ) -> SegmentStore {
        let limit = sizing.limit(limits.max_bytes);
        let slots = (0_u64..).take(sizing.shards).map(ShardSlot::new);
        SegmentStore {
            slots: slots.collect(),
            common: Common::new(sizing.layout, sizing.shards, limit, limits.evict, observer),
            max_item: limits.max_item,
            max_bytes: AtomicU64::new(limits.max_bytes),
            correction: ResidentCorrection::default(),
            excess: AtomicU64::new(0),
            reclaimed: Mutex::new(None),
            restoring: AtomicBool::new(false),
        }
    }

    /// The same store, with CAS uniques that begin after `cas`. Several stores that may each hold a
    /// key in turn can so avoid assigning the same numbers.
    #[must_use]
    pub fn with_cas_after(self, cas: Cas) -> SegmentStore {
        self.common.set_cas(cas);
        self
    }

    /// Raises the CAS uniques above `cas`, unless they are higher already, so that this store never
    /// assigns a number that another store has assigned up to `cas`.
    pub fn raise_cas(&self, cas: Cas) {
        self.common.raise_cas(cas);
    }

    /// Holds up to a thirty-second less than the budget while memory that the store has freed is
    /// not returned to the system, according to `probe`. For a process that is only a cache.
    #[must_use]
    pub fn with_resident_probe(mut self, probe: ResidentProbe) -> SegmentStore {
        self.correction = ResidentCorrection::new(probe);
        self
    }

    /// The same store, with `outside` as the account of large values before they are stored, and of
    /// dropped pieces that sockets still hold.
    #[must_use]
    pub fn with_outside(mut self, outside: Arc<Account>) -> SegmentStore {
        self.common.outside = outside;
        self
    }

    /// Prepares for a value of `len` bytes that is still to arrive. It takes memory as its bytes
    /// arrive.
    pub fn receive(&self, len: usize) -> Arriving {
        Arriving::new(len, self.common.layout.inline, &self.common.outside)
    }

    /// Bytes that the store holds: records, including dead ones, large values, the index and all
    /// other bookkeeping, and buffers kept for the next segments. The budget bounds this number.
    pub fn held(&self) -> u64 {
        self.common.budget.used()
    }

    /// The number of a key's shard.
    #[inline]
    fn number(&self, hash: Hash) -> usize {
        let high = usize::try_from(hash.0 >> 32).unwrap_or(0);
        // The number of shards is a power of two.
        high & (self.slots.len() - 1)
    }

    #[inline]
    fn slot(&self, hash: Hash) -> &ShardSlot {
        &self.slots[self.number(hash)]
    }

    #[inline]
    fn lock(&self, hash: Hash, now: Seconds) -> Locked<'_> {
        let mut shard = self.slot(hash).lock(&self.common);
        shard.now = now;
        shard
    }

    /// Calls `f` with the living item under `key`; removes a dead one.
    #[inline]
    fn read<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&mut Held<'_>) -> R,
    ) -> Result<R, Miss> {
        let hash = self.common.hash(key);
        let shard = &mut *self.lock(hash, now);
        let Some(mut held) = shard.hold(&self.common, hash, key) else { return Err(Miss::Absent) };
        if let Some(miss) = held.item().judge(&self.common, now).miss {
            let mut found = held.found;
            shard.reclaim(&self.common, hash, &mut found, miss);
            return Err(miss);
        }
        Ok(f(&mut held))
    }

    /// As [`SegmentStore::read`], for an operation that changes more than the use of the item. With
    /// `touches`, a miss counts as a use of the key.
    #[inline]
    fn change<R>(
        &self,
        key: &[u8],
        now: Seconds,
        touches: bool,
        f: impl FnOnce(&mut Shard, &mut Found) -> Option<R>,
    ) -> Result<R, Miss> {
        let hash = self.common.hash(key);
        let shard = &mut *self.lock(hash, now);
        if touches {
            shard.note_touched(hash);
        }
        let Some(held) = shard.hold(&self.common, hash, key) else { return Err(Miss::Absent) };
        let (verdict, mut found) = (held.item().judge(&self.common, now), held.found);
        if let Some(miss) = verdict.miss {
            shard.reclaim(&self.common, hash, &mut found, miss);
            return Err(miss);
        }
        f(shard, &mut found).ok_or(Miss::Absent)
    }

    /// Carries out an operation on a key, and makes room whenever the operation lacks some.
    #[inline]
    fn carry_out<R>(
        &self,
        key: &[u8],
        now: Seconds,
        op: impl FnMut(&mut KeyOp<'_, '_>) -> Result<R, Obstacle>,
    ) -> Result<R, NoRoom> {
        self.carry_out_with(self.common.budget.nothing(), key, now, op)
    }

    /// As [`SegmentStore::carry_out`], with bytes that were granted beforehand.
    #[inline]
    fn carry_out_with<R>(
        &self,
        mut grant: Grant<'_>,
        key: &[u8],
        now: Seconds,
        mut op: impl FnMut(&mut KeyOp<'_, '_>) -> Result<R, Obstacle>,
    ) -> Result<R, NoRoom> {
        let hash = self.common.hash(key);
        loop {
            let obstacle = {
                let shard = &mut *self.lock(hash, now);
                shard.note_touched(hash);
                let (common, max_item) = (&self.common, self.max_item);
                let mut attempt =
                    KeyOp { common, shard, grant: &mut grant, hash, key, now, max_item };
                match op(&mut attempt) {
                    Ok(result) => return Ok(result),
                    Err(obstacle) => obstacle,
                }
            };
            match obstacle {
                Obstacle::Need(bytes) => self.find_room(bytes, &mut grant, now)?,
                Obstacle::NoRoom => self.reclaim_or_refuse(now)?,
            }
        }
    }

    /// Makes the room that an operation needs to go on: see [`Obstacle::Need`].
    fn find_room(&self, bytes: u64, grant: &mut Grant<'_>, now: Seconds) -> Result<(), NoRoom> {
        let made = if bytes == 0 { self.make_headroom() } else { self.make_room(bytes, grant) };
        made.or_else(|NoRoom| self.reclaim_or_refuse(now))
    }

    /// With evictions off, reclaims dead items before a write is refused.
    fn reclaim_or_refuse(&self, now: Seconds) -> Result<(), NoRoom> {
        if !self.common.evict && self.reclaim_some(now) { Ok(()) } else { Err(NoRoom) }
    }

    /// Counts a write that found no room. If `drops`, also removes the item under the key and
    /// returns the length of its value.
    fn refuse(&self, key: &[u8], now: Seconds, drops: bool) -> Option<usize> {
        let hash = self.common.hash(key);
        let shard = &mut *self.lock(hash, now);
        shard.counters.count_out_of_memory();
        let (common, max_item, mut grant) =
            (&self.common, self.max_item, self.common.budget.nothing());
        let mut op = KeyOp { common, shard, grant: &mut grant, hash, key, now, max_item };
        drops.then(|| op.remove_any()).flatten()
    }

    /// Refuses a value that is too large, and removes the item that it should have replaced.
    #[cold]
    fn refuse_too_large(&self, write: &Write<'_>, now: Seconds) -> WriteResult {
        let removes = write.mode == Mode::Set;
        let removed = self.carry_out(write.key, now, |op| Ok(removes.then(|| op.remove_any())));
        debug_assert!(removed.is_ok(), "nothing is needed for that");
        WriteResult::TooLarge
    }

    fn set_budget(&self, max_bytes: u64) {
        self.max_bytes.store(max_bytes, Relaxed);
    }
}
