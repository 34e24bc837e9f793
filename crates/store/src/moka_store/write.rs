//! Writing: deciding under the key's stripe what becomes of an item, then putting it in place.

use std::mem;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::MutexGuard;

use super::cell::{CellRef, Lease, Mark, State};
use super::epochs::Verdict;
use super::read::{find_quietly, is_expired_unfetched, take_out};
use super::value::Value;
use super::{Index, MokaStore, charge, number};
use crate::{
    Arithmetic, ArithmeticResult, Cas, Delete, DeleteResult, Expiry, MetaGet, Mode, Seconds, Write,
    WriteResult, memcached_item_size,
};

/// There was no room. Nothing has changed.
struct NoRoom;

/// A cell found under a key, its state locked, and what the item was judged to be. What is made of
/// the item goes by this one verdict: were it judged again, or its successor given a later epoch, a
/// forget in between would be there for one half of a step and not for the other.
struct Held<'a> {
    cell: &'a CellRef,
    state: MutexGuard<'a, State>,
    verdict: Verdict,
}

impl Held<'_> {
    fn is_live(&self) -> bool {
        self.verdict.miss.is_none()
    }
}

/// One key, its stripe held, in the index in force.
struct Place<'a> {
    store: &'a MokaStore,
    index: &'a Index,
    key: &'a [u8],
    now: Seconds,
}

impl MokaStore {
    /// Runs `f` with the key's stripe held, and makes room afterwards.
    fn at_place<R>(&self, key: &[u8], now: Seconds, f: impl FnOnce(Place<'_>) -> R) -> R {
        let result = {
            let _stripe = self.stripes.lock(key);
            f(Place { store: self, index: &self.index.load(), key, now })
        };
        self.relieve();
        result
    }

    pub(super) fn write_item(&self, write: Write<'_>, now: Seconds) -> WriteResult {
        self.at_place(write.key, now, |place| place.write(write))
    }

    pub(super) fn create<R>(
        &self,
        key: &[u8],
        how: MetaGet,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut State, bool) -> R,
    ) -> Option<R> {
        self.at_place(key, now, |place| place.create(how, binary_key, f))
    }

    pub(super) fn calculate<R>(
        &self,
        key: &[u8],
        how: Arithmetic,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut State, u64, bool) -> R,
    ) -> ArithmeticResult<R> {
        self.at_place(key, now, |place| place.calculate(how, binary_key, f))
    }

    pub(super) fn delete_item(&self, key: &[u8], how: Delete, now: Seconds) -> DeleteResult {
        self.at_place(key, now, |place| place.delete(how))
    }

    /// Remembers that there is something for a sweep to find.
    pub(super) fn note_expiry(&self, expiry: Expiry) {
        if expiry != Expiry::NEVER && !self.expiring.load(Relaxed) {
            self.expiring.store(true, Relaxed);
        }
    }
}

/// A value longer than this is no number, whatever it says: memcached keeps such values in chunks and
/// does not look into them.
const MAX_NUMBER_LEN: usize = 512 * 1024;

impl Place<'_> {
    fn write(&self, write: Write<'_>) -> WriteResult {
        let part = write.value.as_slice().len();
        if self.is_too_large(write.flags, part) {
            if write.mode == Mode::Set {
                self.remove_any();
            }
            return WriteResult::TooLarge;
        }
        let cell = self.find();
        let old = self.hold(cell.as_deref());
        let decision = match &old {
            Some(held) if held.is_live() => self.meet(&write, &held.state),
            _ => Self::meet_nothing(&write),
        };
        let kept = match decision {
            Ok(kept) => kept,
            Err(refusal) => {
                self.refuse(old, write.mode);
                return refusal;
            }
        };
        let mut new = State::new(Value::empty(), self.now);
        new.flags = write.flags;
        new.expiry = write.vivify.unwrap_or(write.expiry);
        new.mark(Mark::BinaryKey, write.binary_key);
        new.value = match (kept, &old) {
            (Kept::Value, Some(Held { state, .. })) => {
                new.flags = state.flags;
                new.expiry = state.expiry;
                new.mark(Mark::BinaryKey, write.binary_key || state.is(Mark::BinaryKey));
                match write.mode {
                    Mode::Prepend => Value::joined(write.value.as_slice(), state.value.as_slice()),
                    _ => Value::joined(state.value.as_slice(), write.value.as_slice()),
                }
            }
            (Kept::Staleness, Some(Held { state, .. })) => {
                new.expiry = state.expiry;
                new.mark(Mark::Stale, true);
                new.mark(Mark::WinSent, state.is(Mark::WinSent));
                Value::new(write.value)
            }
            _ => Value::new(write.value),
        };
        let stored =
            |state: &mut State| WriteResult::Stored { cas: state.cas, len: state.value.len() };
        match self.put(old, new, write.new_cas, stored) {
            Ok(stored) => stored,
            Err(NoRoom) => {
                if write.mode == Mode::Set {
                    self.remove_any();
                }
                WriteResult::NoMemory
            }
        }
    }

    /// Whether a write goes ahead where an item lives, and what of that stays.
    fn meet(&self, write: &Write<'_>, state: &State) -> Result<Kept, WriteResult> {
        match write.mode {
            Mode::Set | Mode::Replace => Ok(Kept::Nothing),
            Mode::Add => Err(WriteResult::NotStored),
            Mode::Cas if write.compare == 0 => Err(WriteResult::Exists),
            Mode::Cas if write.compare == state.cas => Ok(Kept::Nothing),
            Mode::Cas if write.accept_stale && write.compare < state.cas => Ok(Kept::Staleness),
            Mode::Cas => Err(WriteResult::Exists),
            Mode::Append | Mode::Prepend => {
                let whole = state.value.len() + write.value.as_slice().len();
                if write.compare != 0 && write.compare != state.cas {
                    Err(WriteResult::Exists)
                } else if self.is_too_large(state.flags, whole) {
                    Err(WriteResult::NotStored)
                } else {
                    Ok(Kept::Value)
                }
            }
        }
    }

    /// Whether a write goes ahead where there is nothing.
    fn meet_nothing(write: &Write<'_>) -> Result<Kept, WriteResult> {
        match write.mode {
            Mode::Set | Mode::Add => Ok(Kept::Nothing),
            Mode::Append | Mode::Prepend if write.vivify.is_some() => Ok(Kept::Nothing),
            Mode::Append | Mode::Prepend | Mode::Replace => Err(WriteResult::NotStored),
            Mode::Cas => Err(WriteResult::NotFound),
        }
    }

    /// What a refused write still does: an add refreshes, and a dead item goes.
    fn refuse(&self, old: Option<Held<'_>>, mode: Mode) {
        let Some(mut held) = old else { return };
        if !held.is_live() {
            self.reclaim(held);
        } else if mode == Mode::Add {
            held.state.last_access = self.now;
        }
    }

    fn create<R>(
        &self,
        how: MetaGet,
        binary_key: bool,
        f: impl FnOnce(&mut State, bool) -> R,
    ) -> Option<R> {
        let cell = self.find();
        match self.hold(cell.as_deref()) {
            Some(mut held) if held.is_live() => {
                let result = f(&mut held.state, false);
                self.store.note_expiry(held.state.expiry);
                Some(result)
            }
            old => {
                let mut new = State::new(Value::empty(), self.now);
                new.mark(Mark::BinaryKey, binary_key);
                self.put(old, new, how.new_cas, |state| f(state, true)).ok()
            }
        }
    }

    fn calculate<R>(
        &self,
        how: Arithmetic,
        binary_key: bool,
        f: impl FnOnce(&mut State, u64, bool) -> R,
    ) -> ArithmeticResult<R> {
        let cell = self.find();
        let mut digits = [0; 20];
        let mut held = match self.hold(cell.as_deref()) {
            Some(held) if held.is_live() => held,
            old => {
                let Some(initial) = how.vivify else {
                    if let Some(dead) = old {
                        self.reclaim(dead);
                    }
                    return ArithmeticResult::NotFound;
                };
                let value = Value::copied(number::format(initial, &mut digits));
                let mut new = State::new(value, self.now);
                new.mark(Mark::BinaryKey, binary_key);
                return match self.put(old, new, how.new_cas, |state| f(state, initial, true)) {
                    Ok(result) => ArithmeticResult::Created(result),
                    Err(NoRoom) => ArithmeticResult::NoMemory,
                };
            }
        };
        let state = &mut *held.state;
        if state.value.len() == 0 || state.value.len() > MAX_NUMBER_LEN {
            return ArithmeticResult::NonNumeric;
        }
        if how.compare != 0 && how.compare != state.cas {
            return ArithmeticResult::Exists;
        }
        let Some(number) = number::parse(state.value.as_slice()) else {
            return ArithmeticResult::NonNumeric;
        };
        let number = if how.increment {
            number.wrapping_add(how.delta)
        } else {
            number.saturating_sub(how.delta)
        };
        let digits = number::format(number, &mut digits);
        if digits.len() <= state.value.len() {
            state.value.overwrite(digits);
            state.cas = self.cas(how.new_cas);
            state.last_access = self.now;
            let result = f(state, number, false);
            self.store.note_expiry(state.expiry);
            return ArithmeticResult::Done(result);
        }
        let mut new = State::new(Value::copied(digits), self.now);
        new.flags = state.flags;
        new.expiry = state.expiry;
        new.mark(Mark::BinaryKey, state.is(Mark::BinaryKey));
        match self.put(Some(held), new, how.new_cas, |state| f(state, number, false)) {
            Ok(result) => ArithmeticResult::Done(result),
            Err(NoRoom) => ArithmeticResult::NoMemory,
        }
    }

    fn delete(&self, how: Delete) -> DeleteResult {
        let cell = find_quietly(self.index, self.key).map(|cell| Lease::new(&cell));
        let Some(mut held) = self.hold(cell.as_deref()) else { return DeleteResult::NotFound };
        if !held.is_live() {
            self.reclaim(held);
            return DeleteResult::NotFound;
        }
        let state = &mut *held.state;
        if how.compare.is_some_and(|compare| compare != state.cas) {
            return DeleteResult::Exists;
        }
        let deleted = DeleteResult::Deleted { len: state.value.len() };
        if let Some(flags) = how.drop_value {
            let mut new = State::new(Value::empty(), self.now);
            new.flags = flags;
            new.expiry = how.expiry.unwrap_or(Expiry::NEVER);
            new.mark(Mark::BinaryKey, state.is(Mark::BinaryKey));
            new.mark(Mark::Stale, how.mark_stale);
            let kept = if how.mark_stale { None } else { Some(state.cas) };
            // An item that shrinks always has room.
            let _ = self.put(Some(held), new, how.new_cas.or(kept), |_| ());
        } else if how.mark_stale {
            if let Some(expiry) = how.expiry {
                self.store.set_expiry(state, expiry);
            }
            state.mark(Mark::Stale, true);
            state.mark(Mark::WinSent, false);
            state.cas = self.cas(how.new_cas);
        } else {
            self.remove(held.cell, held.state);
        }
        deleted
    }

    /// Puts a new state under the key, into the cell there or a new one, and lends it to `f`.
    fn put<R>(
        &self,
        old: Option<Held<'_>>,
        mut new: State,
        new_cas: Option<Cas>,
        f: impl FnOnce(&mut State) -> R,
    ) -> Result<R, NoRoom> {
        let store = self.store;
        let charge = charge::of_item(self.key.len(), new.value.len());
        match old {
            Some(Held { cell, mut state, verdict }) => {
                let mut charge = charge;
                let was_reindexed = state.is(Mark::Reindexed);
                let is_same = charge::reindexed(charge, was_reindexed) == cell.charge();
                new.mark(Mark::Reindexed, was_reindexed || !is_same);
                charge = charge::reindexed(charge, was_reindexed || !is_same);
                self.check_room(charge, cell.charge())?;
                if let Some(miss) = verdict.miss {
                    store.ledger.count_reclaim(is_expired_unfetched(&state, miss));
                }
                new.cas = self.cas(new_cas);
                new.set_epoch(verdict.epoch);
                // The old value is freed after the lock.
                let old = mem::replace(&mut *state, new);
                let result = f(&mut state);
                store.note_expiry(state.expiry);
                drop(state);
                drop(old);
                if !is_same {
                    cell.recharge(charge);
                    self.index.insert(cell.clone(), Lease::new(cell));
                }
                store.ledger.count_store(self.now);
                Ok(result)
            }
            None => {
                self.check_room(charge, 0)?;
                new.cas = self.cas(new_cas);
                new.set_epoch(store.epochs.current(self.now));
                let result = f(&mut new);
                store.note_expiry(new.expiry);
                let cell = CellRef::new(&store.ledger, self.key, new, charge);
                cell.set_tick(store.tick.load(Relaxed));
                let lease = Lease::new(&cell);
                self.index.insert(cell, lease);
                store.ledger.count_store(self.now);
                Ok(result)
            }
        }
    }

    fn check_room(&self, charge: u32, old: u32) -> Result<(), NoRoom> {
        if charge <= old || self.store.has_room(charge, old) {
            return Ok(());
        }
        self.store.ledger.count_out_of_memory();
        Err(NoRoom)
    }

    /// Finds the cell under the key and counts a use of it. The lease keeps an eviction from taking
    /// the item away while it is written to.
    fn find(&self) -> Option<Lease> {
        let cell = self.store.find(self.index, self.key)?;
        self.store.note_use(self.index, &cell);
        Some(Lease::new(&cell))
    }

    /// Locks a cell's state and judges it; `None` where there is no item.
    fn hold<'a>(&self, cell: Option<&'a CellRef>) -> Option<Held<'a>> {
        let cell = cell?;
        let state = cell.lock();
        if cell.is_retired() {
            return None;
        }
        let verdict = self.store.judge(self.key, &state, self.now);
        Some(Held { cell, state, verdict })
    }

    fn cas(&self, new_cas: Option<Cas>) -> Cas {
        new_cas.unwrap_or_else(|| self.store.next_cas())
    }

    fn is_too_large(&self, flags: u32, value_len: usize) -> bool {
        let size = memcached_item_size(self.key.len(), flags, value_len);
        u64::try_from(size).map_or(true, |size| size > self.store.max_item)
    }

    /// Removes whatever is under the key.
    fn remove_any(&self) {
        if let Some(cell) = find_quietly(self.index, self.key) {
            self.remove(&cell, cell.lock());
        }
    }

    /// Removes a dead item.
    fn reclaim(&self, held: Held<'_>) {
        if let Some(miss) = held.verdict.miss {
            self.store.ledger.count_reclaim(is_expired_unfetched(&held.state, miss));
        }
        self.remove(held.cell, held.state);
    }

    fn remove(&self, cell: &CellRef, state: MutexGuard<'_, State>) {
        take_out(self.index, cell, state);
    }
}

/// What of an item stays when it is written to.
#[derive(Clone, Copy)]
enum Kept {
    /// Nothing: the new item takes its place.
    Nothing,
    /// Its value, flags and expiry: a part is joined to it.
    Value,
    /// Its expiry and its right to recache; it is stale from now on.
    Staleness,
}
