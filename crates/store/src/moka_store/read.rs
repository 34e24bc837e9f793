//! Reading: finding a cell, telling the living from the dead, lending what is in it.

use std::cell::Cell as StdCell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::Ordering::Relaxed;

use moka::Equivalent;
use parking_lot::MutexGuard;

use super::cell::{CellRef, Mark, State};
use super::epochs::Verdict;
use super::{Index, MokaStore, Policy};
use crate::{Expiry, Miss, Seconds};

impl MokaStore {
    /// What the item in this state, its lock held, is at `now`.
    pub(super) fn judge(&self, key: &[u8], state: &State, now: Seconds) -> Verdict {
        let mut verdict = self.epochs.judge(state.epoch(), key, now);
        if verdict.miss.is_none() && state.expiry.is_past(now) {
            verdict.miss = Some(Miss::Expired);
        }
        verdict
    }

    /// Lends the item under `key`, after which `f` may have changed its access marks. Takes no
    /// stripe unless it has to remove a dead item.
    pub(super) fn read<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&mut State) -> R,
    ) -> Result<R, Miss> {
        let index = self.index.load();
        let Some(cell) = self.find(&index, key) else { return Err(Miss::Absent) };
        let result = self.read_cell(&cell, key, now, f)?;
        self.note_use(&index, &cell);
        Ok(result)
    }

    /// As [`MokaStore::read`], without moka counting a use.
    pub(super) fn read_quietly<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&mut State) -> R,
    ) -> Result<R, Miss> {
        let Some(cell) = find_quietly(&self.index.load(), key) else { return Err(Miss::Absent) };
        self.read_cell(&cell, key, now, f)
    }

    fn read_cell<R>(
        &self,
        cell: &CellRef,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&mut State) -> R,
    ) -> Result<R, Miss> {
        let mut state = cell.lock();
        if cell.is_retired() {
            return Err(Miss::Absent);
        }
        let Some(miss) = self.judge(key, &state, now).miss else { return Ok(f(&mut state)) };
        drop(state);
        self.reclaim(key, now);
        Err(miss)
    }

    /// Finds the cell under `key` for a use. [`MokaStore::note_use`] belongs to it.
    pub(super) fn find(&self, index: &Index, key: &[u8]) -> Option<CellRef> {
        match self.policy {
            Policy::Lru => find_quietly(index, key),
            Policy::TinyLfu => index.get(key).map(|lease| CellRef::clone(&lease)),
        }
    }

    /// Tells moka that an item was used, where that makes a difference.
    ///
    /// Telling it costs as much again as finding the cell. Frequencies need every use. Recency does
    /// not: an item that moved to the newest end within this tick, a sixteenth of the budget ago,
    /// is still near it.
    pub(super) fn note_use(&self, index: &Index, cell: &CellRef) {
        let tick = self.tick.load(Relaxed);
        if self.policy == Policy::Lru && cell.tick() != tick {
            cell.set_tick(tick);
            index.get(cell.key());
        }
    }

    /// Removes the item under `key` if it is dead. Whether it was.
    pub(super) fn reclaim(&self, key: &[u8], now: Seconds) -> bool {
        let _stripe = self.stripes.lock(key);
        let index = self.index.load();
        let Some(cell) = find_quietly(&index, key) else { return false };
        let state = cell.lock();
        if cell.is_retired() {
            return false;
        }
        let Some(miss) = self.judge(key, &state, now).miss else { return false };
        self.ledger.count_reclaim(is_expired_unfetched(&state, miss));
        take_out(&index, &cell, state);
        true
    }

    /// Gives a live item another expiry. The caller holds the key's stripe or the cell's lock.
    pub(super) fn set_expiry(&self, state: &mut State, expiry: Expiry) {
        state.expiry = expiry;
        self.note_expiry(expiry);
    }
}

pub(super) fn is_expired_unfetched(state: &State, miss: Miss) -> bool {
    miss == Miss::Expired && !state.is(Mark::Fetched)
}

/// Removes an item from its cell and the cell from the index. The caller holds the key's stripe.
///
/// moka 0.12.16 loses count of its weight when an entry goes while an update of its weight is still
/// in its queue: it passes the update over, and then takes off the new weight where it had added
/// the old. So its queue is emptied first wherever the weight was ever updated.
pub(super) fn take_out(index: &Index, cell: &CellRef, mut state: MutexGuard<'_, State>) {
    cell.retire(&mut state);
    let was_reindexed = state.is(Mark::Reindexed);
    drop(state);
    if was_reindexed {
        index.run_pending_tasks();
    }
    index.invalidate(cell.key());
}

/// Finds a cell without moka counting it as a use.
///
/// moka's `get` always does, and its `contains_key` does not but answers only yes or no; it asks
/// the key whether it equals, though, and the key it asks about is the cell.
pub(super) fn find_quietly(index: &Index, key: &[u8]) -> Option<CellRef> {
    let probe = Probe { key, found: StdCell::new(None) };
    // A tombstone may be equal as well, so it is moka's answer that counts.
    index.contains_key(&probe).then_some(probe.found.into_inner()).flatten()
}

struct Probe<'a> {
    key: &'a [u8],
    found: StdCell<Option<CellRef>>,
}

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key.hash(hasher);
    }
}

impl Equivalent<CellRef> for Probe<'_> {
    fn equivalent(&self, cell: &CellRef) -> bool {
        let equal = self.key == cell.key();
        if equal {
            self.found.set(Some(cell.clone()));
        }
        equal
    }
}
