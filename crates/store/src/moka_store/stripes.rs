//! Locks for keys: a fixed number of mutexes, one of which a key's hash chooses.
//!
//! Who changes what a key holds has the key's stripe for as long as that takes, so a read, a
//! decision and a write are one step. Plain reads take none. No one holds two, except
//! [`Stripes::lock_all`], which takes them in order.

use std::hash::BuildHasher;

use parking_lot::{Mutex, MutexGuard};

/// Enough that two of a few dozen workers rarely meet; one byte each.
const STRIPES: usize = 1024;

pub(super) struct Stripes<S> {
    locks: Box<[Mutex<()>]>,
    hasher: S,
}

impl<S: BuildHasher> Stripes<S> {
    pub(super) fn new(hasher: S) -> Stripes<S> {
        Stripes { locks: (0..STRIPES).map(|_| Mutex::new(())).collect(), hasher }
    }

    pub(super) fn lock(&self, key: &[u8]) -> MutexGuard<'_, ()> {
        let index = self.hasher.hash_one(key) % (STRIPES as u64);
        // Below STRIPES, so it fits whatever usize is.
        self.locks[usize::try_from(index).unwrap_or(0)].lock()
    }

    /// Waits until everybody who holds a stripe now has let go of it.
    pub(super) fn pass_all(&self) {
        for lock in &self.locks {
            drop(lock.lock());
        }
    }

    pub(super) fn lock_all(&self) -> Vec<MutexGuard<'_, ()>> {
        self.locks.iter().map(Mutex::lock).collect()
    }
}
