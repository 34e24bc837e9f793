//! Housekeeping: visiting all items, sweeping out the dead, another budget, checking the books.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use bytes::Bytes;

use super::ballast::Ballast;
use super::cell::{CellRef, Lease};
use super::{MIN_BUDGET, MokaStore, capacity, new_index};
use crate::{Expiry, ItemRef, Meta, ResizeResult, Seconds};

/// An item as it was when [`MokaStore::visit`] met it.
struct Snapshot<'a> {
    key: &'a [u8],
    copied: &'a [u8],
    shared: Option<Bytes>,
    meta: Meta,
}

impl ItemRef for Snapshot<'_> {
    fn key(&self) -> &[u8] {
        self.key
    }

    fn value(&self) -> &[u8] {
        self.shared.as_deref().unwrap_or(self.copied)
    }

    fn shared_value(&self) -> Option<Bytes> {
        self.shared.clone()
    }

    fn meta(&self) -> Meta {
        self.meta
    }
}

impl MokaStore {
    pub(super) fn visit(&self, now: Seconds, visit: &mut dyn FnMut(&dyn ItemRef) -> bool) {
        let index = self.index.load_full();
        let mut copy = Vec::new();
        for (_, cell) in index.iter() {
            let (shared, meta) = {
                let state = cell.lock();
                if cell.is_retired() || Ballast::is(&cell) {
                    continue;
                }
                if self.judge(cell.key(), &state, now).miss.is_some() {
                    continue;
                }
                let shared = state.value.shared();
                copy.clear();
                if shared.is_none() {
                    copy.extend_from_slice(state.value.as_slice());
                }
                (shared, state.meta())
            };
            let item = Snapshot { key: cell.key(), copied: &copy, shared, meta };
            if !visit(&item) {
                return;
            }
        }
    }

    /// Goes over all items, unless nothing can have died: no item with an expiry and no new epoch
    /// since the last time. What lives is of the epoch in force afterwards.
    pub(super) fn sweep_dead(&self, now: Seconds) -> u64 {
        let epoch = self.epochs.current(now);
        let is_settled = self.epochs.is_settled(epoch);
        let expiring = self.expiring.swap(false, AcqRel);
        if is_settled && !expiring {
            return 0;
        }
        if !is_settled {
            // What is still being stored in an older epoch is in the index after this.
            self.stripes.pass_all();
        }
        let index = self.index.load_full();
        let (mut checked, mut reclaimed) = (0, 0);
        for (_, cell) in index.iter() {
            if Ballast::is(&cell) {
                continue;
            }
            checked += 1;
            let (is_dead, expiry) = {
                let mut state = cell.lock();
                let verdict = self.judge(cell.key(), &state, now);
                if verdict.miss.is_none() {
                    state.set_epoch(verdict.epoch);
                }
                (verdict.miss.is_some(), state.expiry)
            };
            if is_dead && self.reclaim(cell.key(), now) {
                reclaimed += 1;
            } else if expiry != Expiry::NEVER {
                self.expiring.store(true, Relaxed);
            }
        }
        self.ledger.count_sweep(checked, reclaimed);
        // An index that lost its place meanwhile may not have had everything to the end.
        if !is_settled && Arc::ptr_eq(&index, &self.index.load()) {
            self.epochs.settle(epoch);
        }
        reclaimed
    }

    /// To be called before an epoch begins or a flush is put off: applies a flush that has come due,
    /// which is not replaced any more, and sweeps in the rare case that the numbers of epochs run
    /// short.
    pub(super) fn close_epoch(&self, now: Seconds) {
        self.epochs.current(now);
        if self.epochs.is_crowded() {
            self.sweep_dead(now);
        }
    }

    /// moka's capacity is fixed, so the cells move to another index: oldest first, that the order
    /// of eviction survives as well as seconds can tell. Writers wait meanwhile; readers keep the
    /// old index, which leads to the same cells.
    pub(super) fn set_budget(&self, max_bytes: u64) -> ResizeResult {
        if max_bytes < MIN_BUDGET {
            return ResizeResult::Refused;
        }
        if !self.evict {
            self.budget.store(max_bytes, Relaxed);
            return ResizeResult::Done;
        }
        let stripes = self.stripes.lock_all();
        let index = self.index.load_full();
        let with_age = |cell: Lease| {
            let last_access = cell.lock().last_access;
            (last_access, cell)
        };
        let mut cells: Vec<_> = index.iter().map(|(_, cell)| with_age(cell)).collect();
        cells.sort_by_key(|(last_access, _)| *last_access);
        let resized = new_index(Some(capacity(max_bytes)), self.policy, self.hasher.clone());
        let resized = Arc::new(resized);
        self.ballast.drop_weight();
        for (_, cell) in cells.into_iter().filter(|(_, cell)| !Ballast::is(cell)) {
            resized.insert(CellRef::clone(&cell), cell);
        }
        self.budget.store(max_bytes, Relaxed);
        self.index.store(resized);
        // A sweep of the old index may miss what is in the new one.
        self.expiring.store(true, Release);
        drop(index);
        drop(stripes);
        self.settle(64);
        ResizeResult::Done
    }

    /// Lets moka do all it has put off, and the memory of what it removed go. That takes every
    /// thread that was interrupted in the middle of a read, in whatever store of this process, so
    /// they get the processor; `rounds` bounds the waiting for them.
    fn settle(&self, rounds: usize) {
        let index = self.index.load_full();
        for _ in 0..rounds {
            index.run_pending_tasks();
            if index.weighted_size() == self.ledger.bytes() + self.ballast.weight() {
                break;
            }
            std::thread::yield_now();
        }
    }

    pub(super) fn check_books(&self) {
        self.settle(100_000);
        let index = self.index.load_full();
        let (mut items, mut bytes) = (0_u64, 0_u64);
        for (_, cell) in index.iter().filter(|(_, cell)| !Ballast::is(cell)) {
            assert!(!cell.is_retired(), "a removed item is still in the index");
            items += 1;
            bytes += u64::from(cell.charge());
        }
        assert_eq!(self.ledger.items(), items, "the ledger's items are not those of the index");
        assert_eq!(self.ledger.bytes(), bytes, "the ledger's bytes are not those of the items");
        let weight = bytes + self.ballast.weight();
        assert_eq!(index.weighted_size(), weight, "moka weighs other than the ledger");
        assert!(!self.evict || bytes <= self.capacity(), "more is held than the budget allows");
    }
}
