//! Weight without an item: how the index is made to hold less than its capacity.
//!
//! What items are charged is what the allocator sets aside for them, but freed memory is not always
//! the system's again: after the sizes of values have drifted, survivors sit in pages that nothing
//! else fits into. No charge can know that. So where the store is given a look at the process's
//! resident memory, it takes one for every few megabytes that come in; what is above the allowance
//! is put into moka as the weight of one entry that no client can name, the empty key, and moka
//! evicts until the rest fits beside it. As resident memory falls the weight is taken off again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::cell::{CellRef, Lease, State};
use super::ledger::Ledger;
use super::value::Value;
use super::{Index, MokaStore};

/// Looks up the process's resident bytes; `None` where that cannot be told.
pub type ResidentProbe = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// No client's key: those have at least one byte.
const KEY: &[u8] = b"";

/// Resident bytes above the budget that are nobody's fault: the program itself, connections, and
/// what the allocator keeps for the next request.
const ALLOWANCE: u64 = 20 << 20;

pub(super) struct Ballast {
    probe: Option<ResidentProbe>,
    cell: CellRef,
    weight: AtomicU64,
    /// The ledger's inflow at which to look again.
    next_look: AtomicU64,
}

impl Ballast {
    pub(super) fn new(probe: Option<ResidentProbe>) -> Ballast {
        // On books of its own, so that nobody sees it as an item or an eviction.
        let ledger = Arc::new(Ledger::new(None));
        ledger.close();
        Ballast {
            probe,
            cell: CellRef::new(&ledger, KEY, State::new(Value::empty(), 0), 0),
            weight: AtomicU64::new(0),
            next_look: AtomicU64::new(0),
        }
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight.load(Relaxed)
    }

    pub(super) fn is(cell: &CellRef) -> bool {
        cell.key() == KEY
    }

    /// Takes it off for good, from an index that is about to go.
    pub(super) fn drop_weight(&self) {
        self.weight.store(0, Relaxed);
        self.next_look.store(0, Relaxed);
    }

    fn set_weight(&self, weight: u64, index: &Index) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        self.weight.store(u64::from(weight), Relaxed);
        self.cell.recharge(weight);
        index.insert(self.cell.clone(), Lease::new(&self.cell));
    }
}

impl MokaStore {
    /// Keeps the process's resident memory, as `probe` tells it, near the budget: the store holds
    /// less where freed memory does not go back to the system. For a process that is a cache and
    /// nothing else.
    #[must_use]
    pub fn with_resident_probe(mut self, probe: ResidentProbe) -> MokaStore {
        self.ballast = Ballast::new(Some(probe));
        self
    }

    /// Whether it is time to look at resident memory.
    pub(super) fn is_look_due(&self) -> bool {
        self.ballast.probe.is_some() && self.ledger.inflow() >= self.ballast.next_look.load(Relaxed)
    }

    /// Looks at resident memory and sets the ballast. The caller holds the relief lock.
    pub(super) fn balance(&self) {
        let budget = self.budget.load(Relaxed);
        let step = (budget / 256).clamp(256 << 10, 2 << 20);
        self.ballast.next_look.store(self.ledger.inflow() + step, Relaxed);
        let Some(resident) = self.ballast.probe.as_ref().and_then(|probe| probe()) else { return };
        let allowed = budget + ALLOWANCE;
        let old = self.ballast.weight();
        let new = if resident > allowed {
            (old + (resident - allowed)).min(budget / 4 * 3)
        } else {
            old.saturating_sub((allowed - resident) / 8)
        };
        if old != 0 || new != 0 {
            self.ballast.set_weight(new, &self.index.load());
        }
    }
}
