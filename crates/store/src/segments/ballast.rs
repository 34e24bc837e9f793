//! Holding a little less than the budget where freed memory is not the system's again.
//!
//! The allocator keeps pages that are no longer full, and no charge can know of them. Memory is taken in
//! few sizes, so that there are not many. Where the store is given a look at what of its memory is
//! resident, it takes one for every few megabytes that room is made for; what is above the allowance is
//! taken off the limit, up to a 64th of the budget, and put back as resident memory falls.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::SegmentStore;
use super::sizing::Sizing;

/// Looks up the resident bytes that the store answers for: those of the process, without what the
/// program itself, connections and whatever else has an account of its own take. `None` where that
/// cannot be told.
pub type ResidentProbe = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Resident bytes above the budget that are left to the allocator, for the next request.
const ALLOWANCE: u64 = 16 << 20;

/// The part of the budget that is taken off the limit at most.
const MOST: u64 = 64;

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
            (old + (resident - allowed)).min(budget / MOST)
        } else {
            old.saturating_sub((allowed - resident) / 8)
        };
        if new != old {
            self.ballast.weight.store(new, Relaxed);
            self.set_limit(budget);
        }
    }

    /// Sets the limit for a budget, and how large buffers are from here on.
    pub(super) fn set_limit(&self, budget: u64) {
        let sizing = Sizing { shards: self.places.len(), layout: self.common.layout };
        let weight = self.ballast.weight().min(budget / MOST);
        let pool = &self.common.pool;
        pool.set_buffer_len(sizing.buffer(budget));
        pool.set_limit(sizing.limit(budget).saturating_sub(weight));
    }
}
