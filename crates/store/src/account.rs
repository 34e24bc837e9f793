//! A count of bytes that somebody answers for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes held at this moment. It only counts: limits are up to whoever gives the memory out.
#[derive(Debug, Default)]
pub struct Account(AtomicU64);

impl Account {
    /// Bytes held.
    #[inline]
    pub fn held(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Counts `bytes` more.
    pub fn take(&self, bytes: u64) {
        self.0.fetch_add(bytes, Relaxed);
    }

    /// Counts `bytes` less. They must have been taken before.
    pub fn give(&self, bytes: u64) {
        let before = self.0.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "{bytes} bytes are given back of {before}");
    }
}
