//! A count of bytes in use, with its recent peak.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes held at this moment. An account only counts; its users set the limits.
#[derive(Debug, Default)]
pub struct Account {
    held: AtomicU64,
    /// The most bytes held since the last [`Account::turn`], and in the period before it.
    most: AtomicU64,
    most_before: AtomicU64,
}

impl Account {
    /// Bytes held.
    #[inline]
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Adds `bytes`.
    pub fn take(&self, bytes: u64) {
        let held = self.held.fetch_add(bytes, Relaxed) + bytes;
        if held > self.most.load(Relaxed) {
            self.most.fetch_max(held, Relaxed);
        }
    }

    /// Subtracts `bytes`, which must have been added before.
    pub fn give(&self, bytes: u64) {
        let before = self.held.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "{bytes} bytes are given back of {before}");
    }

    /// The most bytes held recently, since the turn before the last one. The process may still hold
    /// memory that was given back since.
    pub fn most_lately(&self) -> u64 {
        self.most.load(Relaxed).max(self.most_before.load(Relaxed))
    }

    /// Begins another period for [`Account::most_lately`].
    pub fn turn(&self) {
        self.most_before.store(self.most.swap(self.held(), Relaxed), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_was_held_is_remembered_for_two_turns() {
        let account = Account::default();
        account.take(100);
        account.give(90);
        assert_eq!((account.held(), account.most_lately()), (10, 100));
        account.turn();
        assert_eq!(account.most_lately(), 100);
        account.turn();
        assert_eq!(account.most_lately(), 10);
    }
}
