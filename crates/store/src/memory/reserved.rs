//! Room kept for one large value until it is written.
//!
//! Room for a large value is made in steps, while other writes go on. The bytes that a step frees
//! are taken at once and kept for the value, so that no other write uses them up. Several values
//! may be in progress, but never so many that each holds a part and none can get the rest: each
//! announces its total at the beginning, and begins only once that total fits beside the promises
//! to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bytes taken from a budget, by purpose.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Bytes taken in all.
    pub(crate) used: AtomicU64,
    /// Bytes kept for values that are to be written; part of `used`.
    reserved: AtomicU64,
    /// Total bytes wanted by the values that have begun.
    promised: AtomicU64,
}

impl Ledger {
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Relaxed)
    }
}

/// Bytes of a budget kept for one value, which go back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    ledger: Arc<Ledger>,
    wanted: u64,
    kept: u64,
    /// Items examined for the value so far.
    pub(crate) examined: u64,
    /// Steps in which nothing could be evicted.
    pub(crate) idle: u32,
}

impl Reserved {
    /// Begins to reserve `wanted` bytes. `None` if they do not fit beside the promises to others.
    pub(crate) fn new(ledger: &Arc<Ledger>, wanted: u64, limit: u64) -> Option<Reserved> {
        let promise = |promised: u64| {
            let all = promised.checked_add(wanted)?;
            (promised == 0 || all <= limit).then_some(all)
        };
        ledger.promised.fetch_update(Relaxed, Relaxed, promise).ok()?;
        Some(Reserved { ledger: Arc::clone(ledger), wanted, kept: 0, examined: 0, idle: 0 })
    }

    /// Bytes kept so far.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    /// Bytes still wanted.
    pub(crate) fn missing(&self) -> u64 {
        self.wanted.saturating_sub(self.kept)
    }

    /// Keeps `bytes` more, which are already taken from the budget.
    pub(crate) fn keep(&mut self, bytes: u64) {
        self.kept += bytes;
        self.ledger.reserved.fetch_add(bytes, Relaxed);
    }

    /// Hands over the kept bytes, if they are of this budget.
    pub(crate) fn claim(mut self, ledger: &Arc<Ledger>) -> u64 {
        if !Arc::ptr_eq(&self.ledger, ledger) {
            return 0;
        }
        let bytes = std::mem::take(&mut self.kept);
        self.ledger.reserved.fetch_sub(bytes, Relaxed);
        bytes
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.ledger.used.fetch_sub(self.kept, Relaxed);
        self.ledger.reserved.fetch_sub(self.kept, Relaxed);
        self.ledger.promised.fetch_sub(self.wanted, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_and_not_claimed_goes_back() {
        let ledger = Arc::new(Ledger::default());
        let mut one = Reserved::new(&ledger, 100, 150).unwrap();
        ledger.used.fetch_add(70, Relaxed);
        one.keep(70);
        assert_eq!((one.missing(), ledger.reserved()), (30, 70));
        assert!(Reserved::new(&ledger, 51, 150).is_none(), "not all could have theirs");
        let two = Reserved::new(&ledger, 50, 150).unwrap();
        drop((one, two));
        let counts = [&ledger.used, &ledger.reserved, &ledger.promised];
        assert_eq!(counts.map(|count| count.load(Relaxed)), [0; 3]);
        assert!(Reserved::new(&ledger, 200, 150).is_some(), "a single one may always try");
    }

    #[test]
    fn what_is_claimed_stays_taken_and_only_in_its_own_pool() {
        let (ledger, other) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
        let kept = || {
            let mut reserved = Reserved::new(&ledger, 100, 150).unwrap();
            ledger.used.fetch_add(100, Relaxed);
            reserved.keep(100);
            reserved
        };
        assert_eq!(kept().claim(&ledger), 100);
        assert_eq!((ledger.used.load(Relaxed), ledger.reserved()), (100, 0));
        assert_eq!(kept().claim(&other), 0);
        assert_eq!((ledger.used.load(Relaxed), ledger.reserved()), (100, 0));
    }
}
