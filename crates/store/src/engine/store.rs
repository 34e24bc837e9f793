//! The implementation of [`Store`].

use super::SegmentStore;
use crate::engine::key_op::is_too_large;
use crate::shard::Borrowed;
use crate::value::incoming::Incoming;
use crate::{
    Arithmetic, ArithmeticResult, Counters, Cursor, Delete, DeleteResult, Expiry, ItemMut, ItemRef,
    KeyPredicate, MetaGet, Miss, Mode, NewValue, ResizeResult, Seconds, Store, Write, WriteResult,
};

impl Store for SegmentStore {
    #[inline]
    fn get<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss> {
        self.read(key, now, |held| {
            let result = f(&held.item().borrow(now));
            held.bump(now);
            result
        })
    }

    fn peek<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss> {
        self.read(key, now, |held| f(&held.item().borrow(now)))
    }

    fn get_and_touch<R>(
        &self,
        key: &[u8],
        expiry: Expiry,
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss> {
        let met = self.change(key, now, true, |shard, found| {
            shard.set_expiry(&self.common, found, expiry);
            shard.bump(&self.common, found, now);
            Some(f(&shard.item(&self.common, found)?.borrow(now)))
        });
        self.enforce_limit();
        met
    }

    fn meta_get<R>(
        &self,
        key: &[u8],
        how: MetaGet,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut dyn ItemMut, bool) -> R,
    ) -> Result<R, Miss> {
        // The callback runs once: on a hit here, or in a `KeyOp`.
        let mut f = Some(|item: &mut Borrowed<'_>, is_new: bool| f(item, is_new));
        let met = self.change(key, now, false, |shard, found| {
            let callback = |item: &mut Borrowed<'_>| f.take().map(|f| f(item, false));
            let result = shard.modify_item(&self.common, found, now, callback).flatten();
            if how.bump {
                shard.bump(&self.common, found, now);
            }
            result
        });
        match met {
            Err(_) if how.vivify => {}
            met => {
                self.enforce_limit();
                return met;
            }
        }
        let created = self.carry_out(key, now, |op| {
            let result = op.create(how, binary_key, &mut f)?;
            if how.bump {
                op.bump();
            }
            Ok(result)
        });
        self.enforce_limit();
        match created {
            Ok(result) => result.ok_or(Miss::Absent),
            Err(_) => {
                self.refuse(key, now, false);
                Err(Miss::Absent)
            }
        }
    }

    #[inline]
    fn write(&self, mut write: Write<'_>, now: Seconds) -> WriteResult {
        if is_too_large(self.max_item, write.key, write.flags, write.value.len()) {
            return self.refuse_too_large(&write, now);
        }
        let mut grant = self.common.budget.nothing();
        let mut value = match &mut write.value {
            NewValue::Slice(slice) => Incoming::cut(slice, self.common.cutting()),
            NewValue::Large(value) => {
                if let Some(room) = value.room().take() {
                    grant.add(self.common.budget.claim(*room));
                }
                Incoming::large(std::mem::take(value), self.common.cutting())
            }
        };
        let done = self.carry_out_with(grant, write.key, now, |op| op.write(&write, &mut value));
        done.unwrap_or_else(|_| {
            self.refuse(write.key, now, write.mode == Mode::Set);
            WriteResult::NoMemory
        })
    }

    fn arithmetic<R>(
        &self,
        key: &[u8],
        how: Arithmetic,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut dyn ItemMut, u64, bool) -> R,
    ) -> ArithmeticResult<R> {
        let mut f =
            Some(|item: &mut Borrowed<'_>, number: u64, is_new: bool| f(item, number, is_new));
        let done = self.carry_out(key, now, |op| op.calculate(how, binary_key, &mut f));
        self.enforce_limit();
        match done {
            Ok(Some(result)) => result,
            Ok(None) => ArithmeticResult::NotFound,
            Err(_) => {
                self.refuse(key, now, false);
                ArithmeticResult::NoMemory
            }
        }
    }

    fn delete(&self, key: &[u8], how: Delete, now: Seconds) -> DeleteResult {
        let done = self.carry_out(key, now, |op| op.delete(how));
        self.enforce_limit();
        done.unwrap_or_else(|_| {
            // There is no room even for an item without its value: remove the item.
            let dropped = self.refuse(key, now, true);
            dropped.map_or(DeleteResult::NotFound, |len| DeleteResult::Deleted { len })
        })
    }

    fn touch(&self, key: &[u8], expiry: Expiry, now: Seconds) -> bool {
        let met = self.change(key, now, true, |shard, found| {
            shard.set_expiry(&self.common, found, expiry);
            shard.bump(&self.common, found, now);
            Some(())
        });
        self.enforce_limit();
        met.is_ok()
    }

    fn flush(&self, at: Seconds, now: Seconds) {
        // A flush that has come due must not be replaced.
        self.common.epochs.current(now);
        if at <= now {
            self.common.next_cas();
            self.common.epochs.flush_now();
        } else {
            self.common.epochs.flush_at(at);
        }
    }

    fn forget(&self, lost: KeyPredicate, now: Seconds) {
        self.common.epochs.current(now);
        self.common.epochs.forget(lost);
    }

    fn for_each(&self, now: Seconds, visit: &mut dyn FnMut(&dyn ItemRef) -> bool) {
        self.visit(now, visit);
    }

    fn visit_some(
        &self,
        from: Cursor,
        now: Seconds,
        visit: &mut dyn FnMut(&dyn ItemRef),
    ) -> Option<Cursor> {
        self.step(from, now, visit)
    }

    fn sweep(&self, now: Seconds) -> u64 {
        self.sweep_dead(now)
    }

    fn resize(&self, max_bytes: u64) -> ResizeResult {
        self.resize_to(max_bytes)
    }

    fn counters(&self) -> Counters {
        self.sum_counters()
    }

    fn reset_counters(&self) {
        for slot in &self.slots {
            slot.lock(&self.common).counters.reset_events();
        }
    }

    fn validate(&self, _now: Seconds) {
        self.validate_all();
    }
}
