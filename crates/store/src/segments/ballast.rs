//! Holding less than the budget where freed memory is not the system's again.
//!
//! The allocator keeps some freed pages for a while, and pages of which a part is still used. Nearly all
//! memory is taken in whole pages, so that there are not many, but no charge can know of them. So where the
//! store is given a look at what of the process is resident, it takes one for every few megabytes that
//! room is made for. What is above the budget and an allowance is taken off the limit, a few percent of
//! it at most, and put back as resident memory falls.
//!
//! What was resident when the budget was lowered is excused for as long as it stays: items are not given
//! up twice for one change.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::SegmentStore;
use super::sizing::Sizing;

/// Looks up the resident bytes of the process, without those that have an account of their own, as what
/// connections hold. It is given the bytes that the store holds. `None` if that cannot be known.
pub type ResidentProbe = Box<dyn Fn(u64) -> Option<u64> + Send + Sync>;

/// Resident bytes above the budget that are left to the program itself, and to the allocator for the
/// next request.
const ALLOWANCE: u64 = 26 << 20;

/// The part of the budget that is taken off the limit at most.
const MOST: u64 = 32;

#[derive(Default)]
pub(super) struct Ballast {
    probe: Option<ResidentProbe>,
    /// Bytes taken off the limit.
    weight: AtomicU64,
    /// Bytes that room was made for since the last look.
    since: AtomicU64,
    /// Bytes above what is allowed that are not held against the items.
    excused: AtomicU64,
}

impl Ballast {
    pub(super) fn new(probe: ResidentProbe) -> Ballast {
        Ballast { probe: Some(probe), ..Ballast::default() }
    }

    /// Bytes taken off the limit.
    pub(super) fn weight(&self) -> u64 {
        self.weight.load(Relaxed)
    }

    /// What is resident by now is excused.
    pub(super) fn excuse(&self) {
        self.excused.store(u64::MAX, Relaxed);
        self.weight.store(0, Relaxed);
    }

    /// Looks at what is resident, if there has been room made for so much that it is time for that.
    fn look(&self, wanted: u64, budget: u64, held: u64) -> Option<u64> {
        let probe = self.probe.as_ref()?;
        let step = (budget / 256).clamp(256 << 10, 2 << 20);
        if self.since.fetch_add(wanted, Relaxed) + wanted < step {
            return None;
        }
        self.since.store(0, Relaxed);
        probe(held)
    }

    /// Takes in what is resident, and returns what is to be taken off the limit.
    fn weigh(&self, resident: u64, budget: u64) -> u64 {
        let allowed = budget + ALLOWANCE;
        let above = resident.saturating_sub(allowed);
        let excused = self.excused.load(Relaxed).min(above);
        self.excused.store(excused, Relaxed);
        let old = self.weight();
        let new = match above - excused {
            0 => old.saturating_sub(allowed.saturating_sub(resident) / 8),
            too_much => (old + too_much).min(budget / MOST),
        };
        self.weight.store(new, Relaxed);
        new
    }
}

impl SegmentStore {
    /// Takes a look at resident memory, if it is time for that, and sets the limit.
    pub(super) fn balance(&self, wanted: u64) {
        let budget = self.budget.load(Relaxed);
        let Some(resident) = self.ballast.look(wanted, budget, self.held()) else { return };
        let old = self.ballast.weight();
        if self.ballast.weigh(resident, budget) != old {
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_too_much_is_taken_off_and_put_back() {
        let ballast = Ballast::default();
        assert_eq!(ballast.weigh(90 * MIB, 64 * MIB), 0);
        assert_eq!(ballast.weigh(91 * MIB, 64 * MIB), MIB);
        assert_eq!(ballast.weigh(300 * MIB, 64 * MIB), 2 * MIB, "never more");
        for _ in 0..99 {
            ballast.weigh(70 * MIB, 64 * MIB);
        }
        assert_eq!(ballast.weight(), 0);
    }

    #[test]
    fn what_a_larger_budget_left_behind_is_excused() {
        let ballast = Ballast::default();
        ballast.weigh(280 * MIB, 256 * MIB);
        ballast.excuse();
        for resident in [280, 270, 200, 180, 180] {
            assert_eq!(ballast.weigh(resident * MIB, 64 * MIB), 0, "{resident}");
        }
        assert_eq!(ballast.weigh(181 * MIB, 64 * MIB), MIB, "it grows again");
    }
}
