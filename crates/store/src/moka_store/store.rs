//! The seam, as the engine answers it.

use super::MokaStore;
use super::cell::{Lent, State};
use crate::{
    Arithmetic, ArithmeticResult, Counters, Delete, DeleteResult, Expiry, ItemMut, ItemRef,
    KeyPredicate, MetaGet, Miss, ResizeResult, Seconds, Store, Write, WriteResult,
};

impl Store for MokaStore {
    fn get<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss> {
        self.read(key, now, |state| {
            let result = f(&Lent { key, state: &*state });
            state.bump(now);
            result
        })
    }

    fn peek<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss> {
        self.read_quietly(key, now, |state| f(&Lent { key, state: &*state }))
    }

    fn get_and_touch<R>(
        &self,
        key: &[u8],
        expiry: Expiry,
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss> {
        self.read(key, now, |state| {
            self.set_expiry(state, expiry);
            state.bump(now);
            f(&Lent { key, state: &*state })
        })
    }

    fn meta_get<R>(
        &self,
        key: &[u8],
        how: MetaGet,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut dyn ItemMut, bool) -> R,
    ) -> Result<R, Miss> {
        // The callback runs once, on a hit here or else under the stripe.
        let mut f = Some(f);
        let mut lend = |state: &mut State, is_new: bool| {
            let result = f.take().map(|f| f(&mut Lent { key, state: &mut *state }, is_new));
            if how.bump {
                state.bump(now);
            }
            result
        };
        let met = if how.bump || how.vivify {
            self.read(key, now, |state| {
                let result = lend(state, false);
                self.note_expiry(state.expiry);
                result
            })
        } else {
            self.read_quietly(key, now, |state| {
                let result = lend(state, false);
                self.note_expiry(state.expiry);
                result
            })
        };
        match met {
            Ok(result) => result.ok_or(Miss::Absent),
            Err(_) if how.vivify => {
                self.create(key, how, binary_key, now, lend).flatten().ok_or(Miss::Absent)
            }
            Err(miss) => Err(miss),
        }
    }

    fn write(&self, write: Write<'_>, now: Seconds) -> WriteResult {
        self.write_item(write, now)
    }

    fn arithmetic<R>(
        &self,
        key: &[u8],
        how: Arithmetic,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut dyn ItemMut, u64, bool) -> R,
    ) -> ArithmeticResult<R> {
        self.calculate(key, how, binary_key, now, |state, number, is_new| {
            f(&mut Lent { key, state }, number, is_new)
        })
    }

    fn delete(&self, key: &[u8], how: Delete, now: Seconds) -> DeleteResult {
        self.delete_item(key, how, now)
    }

    fn touch(&self, key: &[u8], expiry: Expiry, now: Seconds) -> bool {
        self.get_and_touch(key, expiry, now, |_| ()).is_ok()
    }

    fn flush(&self, at: Seconds, now: Seconds) {
        self.close_epoch(now);
        if at <= now {
            self.next_cas();
            self.epochs.flush_now();
        } else {
            self.epochs.flush_at(at);
        }
    }

    fn forget(&self, lost: KeyPredicate, now: Seconds) {
        self.close_epoch(now);
        self.epochs.forget(lost);
    }

    fn for_each(&self, now: Seconds, visit: &mut dyn FnMut(&dyn ItemRef) -> bool) {
        self.visit(now, visit);
    }

    fn sweep(&self, now: Seconds) -> u64 {
        self.sweep_dead(now)
    }

    fn resize(&self, max_bytes: u64) -> ResizeResult {
        self.set_budget(max_bytes)
    }

    fn counters(&self) -> Counters {
        self.ledger.counters(self.budget.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn reset_counters(&self) {
        self.ledger.reset_events();
    }

    fn validate(&self, _now: Seconds) {
        self.check_books();
    }
}
