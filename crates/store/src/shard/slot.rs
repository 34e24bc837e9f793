//! A shard behind its lock.
//!
//! An operation that takes a large value out of a shard leaves the pieces with the shard. The
//! holder of the lock frees them after it releases the lock, since a value may have thousands of
//! pieces. The budget gets their bytes back once they are free. A shard that is not locked holds no
//! such pieces.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::Common;
use crate::memory::budget::Budget;
use crate::shard::Shard;
use crate::shard::published::Published;
use crate::value::large::Pieces;

/// A shard in its slot, on cache lines of its own.
#[repr(align(128))]
pub(crate) struct ShardSlot {
    shard: Mutex<Shard>,
    pub(crate) published: Arc<Published>,
}

impl ShardSlot {
    pub(crate) fn new(number: u64) -> ShardSlot {
        let published = Arc::new(Published::new());
        ShardSlot { shard: Mutex::new(Shard::new(Arc::clone(&published), number)), published }
    }

    #[inline]
    pub(crate) fn lock<'a>(&'a self, common: &'a Common) -> Locked<'a> {
        Locked { shard: self.shard.lock(), budget: &common.budget, dropped: None }
    }
}

/// Values to which nothing in a shard leads any more, and the bytes that the budget gets back for
/// them. Nearly always empty.
#[derive(Debug, Default)]
pub(crate) struct Dropped(Option<Box<Waste>>);

#[derive(Debug, Default)]
struct Waste {
    values: Vec<Pieces>,
    bytes: u64,
}

impl Dropped {
    /// Drops the pieces of a value after the lock is released.
    pub(crate) fn add(&mut self, pieces: Pieces) {
        if !pieces.as_slice().is_empty() {
            self.0.get_or_insert_default().values.push(pieces);
        }
    }

    /// Gives `bytes` back to the budget after the lock is released.
    #[inline]
    pub(crate) fn give(&mut self, bytes: u64) {
        if bytes > 0 {
            self.0.get_or_insert_default().bytes += bytes;
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    #[cold]
    fn free(self, budget: &Budget) {
        let Some(waste) = self.0 else { return };
        for pieces in waste.values {
            pieces.release();
        }
        budget.give(waste.bytes);
    }
}

/// A locked shard.
pub(crate) struct Locked<'a> {
    // Fields are dropped in this order: the lock is released before anything is freed.
    shard: MutexGuard<'a, Shard>,
    dropped: Option<Freed<'a>>,
    budget: &'a Budget,
}

/// Frees its contents when it is dropped.
struct Freed<'a> {
    dropped: Dropped,
    budget: &'a Budget,
}

impl Deref for Locked<'_> {
    type Target = Shard;

    #[inline]
    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        debug_assert!(
            self.shard.segments.is_whole() || std::thread::panicking(),
            "a segment was taken out and not put back"
        );
        if !self.shard.dropped.is_empty() {
            let dropped = std::mem::take(&mut self.shard.dropped);
            self.dropped = Some(Freed { dropped, budget: self.budget });
        }
    }
}

impl Drop for Freed<'_> {
    fn drop(&mut self) {
        std::mem::take(&mut self.dropped).free(self.budget);
    }
}
