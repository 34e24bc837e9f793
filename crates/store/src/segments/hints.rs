//! What others may know of a shard without its lock: where the oldest segments are, and where a good
//! part is dead. It may be late by an operation; who acts on it takes the lock and looks again.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What others may know of a shard without its lock. Written with the lock held.
#[derive(Debug)]
pub(super) struct Hints {
    /// Births of the oldest segment of each queue; the end of time where there is none.
    pub(super) oldest: [AtomicU64; 2],
    /// Bytes of records that are dead.
    pub(super) garbage: AtomicU64,
    /// As much garbage as there was when there was nothing to be gained from compacting it; more than
    /// there can be where that is not known.
    pub(super) in_vain: AtomicU64,
}

impl Hints {
    pub(super) fn new() -> Hints {
        Hints {
            oldest: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            garbage: AtomicU64::new(0),
            in_vain: AtomicU64::new(u64::MAX),
        }
    }

    #[inline]
    pub(super) fn count_garbage(&self, more: u64, less: u64) {
        // Only who holds the lock writes, so this need not be one step.
        self.garbage.store(self.garbage.load(Relaxed) + more - less, Relaxed);
    }
}
