//! Holding less than the budget where freed memory is not the system's again.
//!
//! Segments are all of one size and used again and again, but values that live on their own come from
//! the allocator: after their sizes have drifted, survivors sit in pages that nothing else fits into.
//! No charge can know that. So where the store is given a look at the process's resident memory, it
//! takes one for every few megabytes that room is made for; what is above the allowance is taken off
//! the limit, and put back as resident memory falls.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::SegmentStore;
use super::sizing::Sizing;

/// Looks up the process's resident bytes; `None` where that cannot be told.
pub type ResidentProbe = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Resident bytes above the budget that are nobody's fault: the program itself, connections, and
/// what the allocator keeps for the next request.
const ALLOWANCE: u64 = 20 << 20;

pub(super) struct Ballast {
    probe: Option<ResidentProbe>,
    weight: AtomicU64,
    /// Bytes that room was made for since the last look.
    since: AtomicU64,
}

impl Ballast {
    pub(super) fn new(probe: Option<ResidentProbe>) -> Ballast {
        Ballast { probe, weight: AtomicU64::new(0), since: AtomicU64::new(0) }
    }

    /// Bytes taken off the limit.
    pub(super) fn weight(&self) -> u64 {
        self.weight.load(Relaxed)
    }
}

impl SegmentStore {
    /// Takes a look at resident memory, if it is time for that, and sets the limit.
    pub(super) fn balance(&self, wanted: u64) {
        let Some(probe) = &self.ballast.probe else { return };
        let budget = self.budget.load(Relaxed);
        let step = (budget / 256).clamp(256 << 10, 2 << 20);
        if self.ballast.since.fetch_add(wanted, Relaxed) + wanted < step {
            return;
        }
        self.ballast.since.store(0, Relaxed);
        let Some(resident) = probe() else { return };
        let allowed = budget + ALLOWANCE;
        let old = self.ballast.weight();
        let new = if resident > allowed {
            (old + (resident - allowed)).min(budget / 4 * 3)
        } else {
            old.saturating_sub((allowed - resident) / 8)
        };
        if new != old {
            self.ballast.weight.store(new, Relaxed);
            self.set_limit(budget);
        }
    }

    /// Sets the limit for a budget.
    pub(super) fn set_limit(&self, budget: u64) {
        let sizing = Sizing { shards: self.places.len(), layout: self.common.layout };
        self.common.pool.set_limit(sizing.limit(budget).saturating_sub(self.ballast.weight()));
    }
}
