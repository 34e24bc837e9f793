//! The engine: items in log-structured segments, found through a compact index, kept in two queues.
//!
//! An item is one record in a segment ([`record`], [`segment`]) and one slot of nine bytes in the
//! index ([`index`]): no pointers between items, no allocation per item, some twenty bytes beyond
//! its key and value. Values too large for a segment are allocated separately ([`apart`]) and stand
//! in the same queues. The oldest segments are evicted first, and items that deserve to stay move
//! to a younger segment ([`evict`], [`policy`]). Compaction recovers the room of dead records from
//! neighbouring segments ([`compact`]). All memory comes out of one budget ([`pool`]).
//!
//! The store is split into shards by the key's hash. A shard is plain code for one thread behind
//! one lock, held briefly ([`shard`]). No thread ever holds the locks of two shards. A thread that
//! needs memory releases its shard, makes room wherever the oldest segment is ([`room`]), and
//! repeats its task ([`task`]).
//!
//! Ideas from the literature: segments and their merging from Segcache (NSDI '21), queues and small
//! counters instead of recency lists from S3-FIFO (SOSP '23), tags from MemC3 (NSDI '13).
//! `docs/decisions` has the measurements, and the ideas that were rejected.
//!
//! | file | purpose |
//! |---|---|
//! | `store` | the trait `Store`, implemented by this engine |
//! | `task` | one change of one key, under the lock of its shard |
//! | `incoming`, `join` | a value before it is stored; a value that is appended or prepended to another |
//! | `shard`, `place` | a shard; its lock, and what is freed after the lock is released |
//! | `index`, `leaf`, `bucket` | the hash index, its leaves, their cache lines |
//! | `segment`, `record`, `layout` | a segment; the bytes of an item; where a record lies, in 32 bits |
//! | `overrides`, `number` | changes that a record has no room for; decimal numbers |
//! | `apart`, `reserved`, `ready` | values in pieces; room that is kept for one; making that room in steps |
//! | `policy`, `ghosts` | which items stay; which items left lately |
//! | `evict`, `room`, `compact` | making room: in one shard, in the whole store, from dead records |
//! | `hints` | what is known of a shard without its lock |
//! | `epochs` | flushes and forgets |
//! | `house` | sweeps, another budget, checking the books |
//! | `pool`, `ballast` | the budget; its correction by resident memory |
//! | `sizing` | how many shards there are, and how large segments are |
//! | `common`, `tally` | what all shards share; what each shard counts |
//! | `lent`, `visit` | an item as a callback sees it; a visit to all items |
//! | `restore`, `marks` | restoring items of a snapshot; the keys that were used meanwhile |
//! | `shape` | sizes that only tests ask for |

mod apart;
mod ballast;
mod bucket;
mod common;
mod compact;
mod epochs;
mod evict;
mod ghosts;
mod hints;
mod house;
mod incoming;
mod index;
mod join;
mod layout;
mod leaf;
mod lent;
mod marks;
mod number;
mod overrides;
mod place;
mod policy;
mod pool;
mod ready;
mod record;
mod reserved;
mod restore;
mod room;
mod segment;
mod shape;
mod shard;
mod sizing;
mod store;
mod tally;
mod task;
mod visit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

pub use self::ballast::ResidentProbe;
pub use self::ready::Readiness;
pub(crate) use self::reserved::Reserved;
pub use self::restore::{Restore, Restored};
pub use self::shape::{Shape, ShapeError};

use self::ballast::Ballast;
use self::common::{Common, Hash};
use self::epochs::Epoch;
use self::place::{Locked, Place};
use self::pool::Grant;
use self::shard::{Found, Shard};
use self::sizing::Sizing;
use self::task::{Obstacle, Task};
use crate::{
    Account, Arriving, Cas, EvictionObserver, Limits, Miss, Mode, Seconds, Write, WriteResult,
};

/// A [`Store`](crate::Store) of segments.
pub struct SegmentStore {
    places: Box<[Place]>,
    common: Common,
    max_item: u64,
    budget: AtomicU64,
    ballast: Ballast,
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
        let places = (0_u64..).take(sizing.shards).map(Place::new);
        SegmentStore {
            places: places.collect(),
            common: Common::new(sizing, limit, limits.evict, observer),
            max_item: limits.max_item,
            budget: AtomicU64::new(limits.max_bytes),
            ballast: Ballast::default(),
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
        self.ballast = Ballast::new(probe);
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
        self.common.pool.used()
    }

    /// The number of a key's shard.
    #[inline]
    fn number(&self, hash: Hash) -> usize {
        let high = usize::try_from(hash.0 >> 32).unwrap_or(0);
        // The number of shards is a power of two.
        high & (self.places.len() - 1)
    }

    #[inline]
    fn place(&self, hash: Hash) -> &Place {
        &self.places[self.number(hash)]
    }

    #[inline]
    fn lock(&self, hash: Hash, now: Seconds) -> Locked<'_> {
        let mut shard = self.place(hash).lock(&self.common);
        shard.now = now;
        shard
    }

    /// Lends the item under `key`, or removes a dead one.
    #[inline]
    fn read<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&mut Shard, &mut Found) -> Option<R>,
    ) -> Result<R, Miss> {
        let hash = self.common.hash(key);
        self.read_in(&mut self.lock(hash, now), hash, key, now, f)
    }

    /// As [`SegmentStore::read`], for operations that change the item: a miss counts as well.
    fn change<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&mut Shard, &mut Found) -> Option<R>,
    ) -> Result<R, Miss> {
        let hash = self.common.hash(key);
        let shard = &mut *self.lock(hash, now);
        shard.mark(hash);
        self.read_in(shard, hash, key, now, f)
    }

    #[inline]
    fn read_in<R>(
        &self,
        shard: &mut Shard,
        hash: Hash,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&mut Shard, &mut Found) -> Option<R>,
    ) -> Result<R, Miss> {
        let Some(mut found) = shard.find(&self.common, hash, key) else { return Err(Miss::Absent) };
        let Some(segment) = shard.segment(&self.common, found.place) else {
            return Err(Miss::Absent);
        };
        if let Some(miss) = shard.judge(&self.common, segment, &found, now).miss {
            shard.reclaim(&self.common, hash, &mut found, miss);
            return Err(miss);
        }
        f(shard, &mut found).ok_or(Miss::Absent)
    }

    /// Carries out a task on a key, and makes room whenever the task lacks some.
    #[inline]
    fn carry_out<R>(
        &self,
        key: &[u8],
        now: Seconds,
        task: impl FnMut(&mut Task<'_, '_>) -> Result<R, Obstacle>,
    ) -> Result<R, NoRoom> {
        self.carry_out_with(self.common.pool.nothing(), key, now, task)
    }

    /// As [`SegmentStore::carry_out`], with bytes that were granted beforehand.
    #[inline]
    fn carry_out_with<R>(
        &self,
        mut grant: Grant<'_>,
        key: &[u8],
        now: Seconds,
        mut task: impl FnMut(&mut Task<'_, '_>) -> Result<R, Obstacle>,
    ) -> Result<R, NoRoom> {
        let hash = self.common.hash(key);
        loop {
            let obstacle = {
                let shard = &mut *self.lock(hash, now);
                shard.mark(hash);
                let (common, max_item) = (&self.common, self.max_item);
                let mut attempt =
                    Task { common, shard, grant: &mut grant, hash, key, now, max_item };
                match task(&mut attempt) {
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

    /// Makes the room that a task needs to go on: see [`Obstacle::Need`].
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
        shard.tally.count_out_of_memory();
        let (common, max_item, mut grant) =
            (&self.common, self.max_item, self.common.pool.nothing());
        let mut task = Task { common, shard, grant: &mut grant, hash, key, now, max_item };
        drops.then(|| task.remove_any()).flatten()
    }

    /// Refuses a value that is too large, and removes the item that it should have replaced.
    #[cold]
    fn refuse_too_large(&self, write: &Write<'_>, now: Seconds) -> WriteResult {
        let removes = write.mode == Mode::Set;
        let removed = self.carry_out(write.key, now, |task| Ok(removes.then(|| task.remove_any())));
        debug_assert!(removed.is_ok(), "nothing is needed for that");
        WriteResult::TooLarge
    }

    fn set_budget(&self, max_bytes: u64) {
        self.budget.store(max_bytes, Relaxed);
    }
}
