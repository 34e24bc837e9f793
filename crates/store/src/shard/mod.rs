//! A shard: a part of the index, the segments to which it leads, and one lock around both.
//!
//! Everything in here is plain code for one thread. The lock covers the whole shard and is held for
//! one operation, or for one step of eviction, compaction or a sweep.
//!
//! | file | purpose |
//! |---|---|
//! | `slot` | the lock, and what is freed after it is released |
//! | `item` | an item, and as a callback sees it |
//! | `write` | making sure of room, storing, overwriting and removing |
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
//! - Segments change their state only as `crate::log::table` allows.
//! - The bytes that the budget counts as used are the buffers of all segments, the charges of large
//!   values, the index and the overrides.

mod compact;
mod evict;
mod validate;
mod write;

pub(crate) mod common;
pub(crate) mod counters;
pub(crate) mod item;
pub(crate) mod overrides;
pub(crate) mod published;
pub(crate) mod slot;
pub(crate) mod sweep;
pub(crate) mod touched;

pub(crate) use self::common::{Common, Hash};
pub(crate) use self::compact::Progress;
pub(crate) use self::item::{Borrowed, Found, Held, Item};
pub(crate) use self::write::{Destination, Need, NewItem, Size};

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use self::compact::Compacting;
use self::counters::ShardCounters;
use self::overrides::Overrides;
use self::published::Published;
use self::slot::Dropped;
use self::touched::TouchedKeys;
use crate::Seconds;
use crate::index::Index;
use crate::log::segment::Queue;
use crate::log::table::{SegmentId, SegmentTable};
use crate::policy::{Candidate, Policy};
use crate::value::large::LargeValues;

/// Bytes of the first buffer of a segment for large values, which holds their records.
const SMALL_BUFFER: usize = 1024;

/// The segment being evicted.
#[derive(Debug)]
struct Evicting {
    id: SegmentId,
    at: usize,
    /// Number of uses that do not count: the more, the stricter its items are judged.
    pressure: u8,
}

/// A shard. See the module's documentation.
pub(crate) struct Shard {
    pub(crate) index: Index,
    pub(crate) segments: SegmentTable,
    pub(crate) values: LargeValues,
    /// Values and bytes to free after the lock is released.
    pub(crate) dropped: Dropped,
    pub(crate) overrides: Overrides,
    evicting: Option<Evicting>,
    compacting: Option<Compacting>,
    pub(crate) policy: Policy,
    pub(crate) counters: ShardCounters,
    /// Bytes that the budget counts for the index, the policy, the overrides and touched keys.
    accounted: u64,
    published: Arc<Published>,
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
            segments: SegmentTable::default(),
            values: LargeValues::default(),
            dropped: Dropped::default(),
            overrides: Overrides::default(),
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

    /// Whether a segment is being evicted.
    pub(crate) fn is_evicting(&self) -> bool {
        self.evicting.is_some()
    }

    /// Whether segments are being compacted.
    pub(crate) fn is_compacting(&self) -> bool {
        self.compacting.is_some()
    }

    /// An item of such a charge, as the policy sees it.
    #[inline]
    pub(crate) fn candidate(&self, tag: u32, charge: u64) -> Candidate {
        let mean = self.counters.bytes().checked_div(self.counters.items()).unwrap_or(charge);
        Candidate { tag, charge, mean }
    }

    /// Publishes the age of this shard's oldest segments to the other shards.
    pub(crate) fn publish(&self) {
        for queue in Queue::BOTH {
            let birth = self.segments.oldest(queue).map_or(u64::MAX, |segment| segment.birth);
            self.published.oldest[queue as usize].store(birth, Relaxed);
        }
    }

    /// Updates the bytes that the budget counts for the index, the policy, the overrides and
    /// touched keys.
    #[inline]
    pub(crate) fn settle_account(&mut self, common: &Common) {
        let overrides = self.overrides.bytes();
        let touched = self.touched.as_ref().map_or(0, TouchedKeys::bytes) as u64;
        let taken = self.index.bytes() as u64 + self.policy.bytes() as u64 + overrides + touched;
        if taken != self.accounted {
            common.budget.take(taken);
            common.budget.give(self.accounted);
            self.accounted = taken;
        }
    }
}
