//! Resident-memory correction: lowers the limit while freed memory is not returned to the system.
//!
//! The allocator keeps some freed pages for a while, and pages that are partly in use. Nearly all
//! memory is taken in whole pages, so there are few of these, but no charge can account for them.
//! So if the store has a probe for the resident bytes of the process, it calls the probe for every
//! few megabytes of room made. It lowers the limit by the excess above the budget and an allowance,
//! by a few percent of the budget at most, and raises it again as resident memory falls.
//!
//! Memory that was resident when the budget was lowered is excused for as long as it stays
//! resident, so that one change does not evict items twice.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Returns the resident bytes of the process, without those that have an account of their own, such
/// as the memory of connections. `None` if unknown.
pub type ResidentProbe = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Resident bytes above the budget that are allowed for the program itself, and for the allocator's
/// next request.
const ALLOWANCE: u64 = 26 << 20;

/// Divisor of the budget that gives the largest correction.
pub(crate) const MAX_CORRECTION: u64 = 32;

#[derive(Default)]
pub(crate) struct ResidentCorrection {
    probe: Option<ResidentProbe>,
    /// Bytes taken off the limit.
    bytes: AtomicU64,
    /// Bytes of room made since the last probe.
    since: AtomicU64,
    /// Excess bytes that are not counted against the items.
    excused: AtomicU64,
}

impl ResidentCorrection {
    pub(crate) fn new(probe: ResidentProbe) -> ResidentCorrection {
        ResidentCorrection { probe: Some(probe), ..ResidentCorrection::default() }
    }

    /// Bytes taken off the limit.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Excuses all memory that is resident at this moment.
    pub(crate) fn excuse(&self) {
        self.excused.store(u64::MAX, Relaxed);
        self.bytes.store(0, Relaxed);
    }

    /// Probes resident memory, if enough room has been made since the last probe.
    pub(crate) fn probe_if_due(&self, wanted: u64, budget: u64) -> Option<u64> {
        let probe = self.probe.as_ref()?;
        let step = (budget / 256).clamp(256 << 10, 2 << 20);
        if self.since.fetch_add(wanted, Relaxed) + wanted < step {
            return None;
        }
        self.since.store(0, Relaxed);
        probe()
    }

    /// Records the resident bytes, and returns the bytes to take off the limit.
    pub(crate) fn update(&self, resident: u64, budget: u64) -> u64 {
        let allowed = budget + ALLOWANCE;
        let above = resident.saturating_sub(allowed);
        let excused = self.excused.load(Relaxed).min(above);
        self.excused.store(excused, Relaxed);
        let old = self.bytes();
        let new = match above - excused {
            0 => old.saturating_sub(allowed.saturating_sub(resident) / 8),
            too_much => (old + too_much).min(budget / MAX_CORRECTION),
        };
        self.bytes.store(new, Relaxed);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_too_much_is_taken_off_and_put_back() {
        let correction = ResidentCorrection::default();
        assert_eq!(correction.update(90 * MIB, 64 * MIB), 0);
        assert_eq!(correction.update(91 * MIB, 64 * MIB), MIB);
        assert_eq!(correction.update(300 * MIB, 64 * MIB), 2 * MIB, "never more");
        for _ in 0..99 {
            correction.update(70 * MIB, 64 * MIB);
        }
        assert_eq!(correction.bytes(), 0);
    }

    #[test]
    fn what_a_larger_budget_left_behind_is_excused() {
        let correction = ResidentCorrection::default();
        correction.update(280 * MIB, 256 * MIB);
        correction.excuse();
        for resident in [280, 270, 200, 180, 180] {
            assert_eq!(correction.update(resident * MIB, 64 * MIB), 0, "{resident}");
        }
        assert_eq!(correction.update(181 * MIB, 64 * MIB), MIB, "it grows again");
    }
}
