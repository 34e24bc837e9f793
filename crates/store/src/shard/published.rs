//! Facts about a shard that other threads may read without its lock: the age of its oldest
//! segments, and its amount of garbage. A fact may be late by an operation; a thread that acts on
//! it takes the lock and checks again.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Facts about a shard, readable without its lock. Written with the lock held.
#[derive(Debug)]
pub(crate) struct Published {
    /// Birth of the oldest segment of each queue; the maximum if there is none.
    pub(crate) oldest: [AtomicU64; 2],
    /// Bytes of dead records.
    pub(crate) garbage: AtomicU64,
    /// Bytes of garbage at which compaction had nothing to gain; more than is possible if unknown.
    pub(crate) no_gain_at: AtomicU64,
}

impl Published {
    pub(crate) fn new() -> Published {
        Published {
            oldest: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            garbage: AtomicU64::new(0),
            no_gain_at: AtomicU64::new(u64::MAX),
        }
    }

    #[inline]
    pub(crate) fn count_garbage(&self, more: u64, less: u64) {
        // Only the holder of the lock writes, so this need not be one atomic step.
        self.garbage.store(self.garbage.load(Relaxed) + more - less, Relaxed);
    }
}
