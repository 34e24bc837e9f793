//! A count of bytes in use, with its recent peak.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes held at this moment. An account only counts; its users set the limits.
#[derive(Debug, Default)]
pub struct Account {
    held: AtomicU64,
    /// The most bytes held since the last [`Account::begin_period`], and in the period before it.
    peak: AtomicU64,
    peak_before: AtomicU64,
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
        if held > self.peak.load(Relaxed) {
            self.peak.fetch_max(held, Relaxed);
        }
    }

    /// Subtracts `bytes`, which must have been added before.
    pub fn give(&self, bytes: u64) {
        let before = self.held.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "{bytes} bytes are given back of {before}");
    }

    /// The most bytes held in this period and the one before. The process may still hold memory
    /// that was given back since.
    pub fn recent_peak(&self) -> u64 {
        self.peak.load(Relaxed).max(self.peak_before.load(Relaxed))
    }

    /// Begins another period for [`Account::recent_peak`].
    pub fn begin_period(&self) {
        self.peak_before.store(self.peak.swap(self.held(), Relaxed), Relaxed);
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
        assert_eq!((account.held(), account.recent_peak()), (10, 100));
        account.begin_period();
        assert_eq!(account.recent_peak(), 100);
        account.begin_period();
        assert_eq!(account.recent_peak(), 10);
    }
}
