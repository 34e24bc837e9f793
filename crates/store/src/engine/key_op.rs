//! Changes of a key's item, each in one step with the key's shard locked.
//!
//! An operation may need memory that the budget does not have at the moment. It then stops before
//! it changes anything. The caller releases the lock, makes room, and repeats the operation.

use crate::epochs::Verdict;
use crate::log::record::{Body, MAX_INLINE, MAX_USES, NewRecord};
use crate::log::segment::Queue;
use crate::memory::budget::Grant;
use crate::shard::{Borrowed, Common, Destination, Found, Hash, Item, Need, NewItem, Shard, Size};
use crate::value::Value;
use crate::value::incoming::Incoming;
use crate::value::join::{End, Join, PresentValue};
use crate::value::large::Pieces;
use crate::value::number;
use crate::{
    Arithmetic, ArithmeticResult, Cas, Delete, DeleteResult, Expiry, ItemRef, Meta, MetaGet, Miss,
    Mode, Piece, Seconds, Write, WriteResult, memcached_item_size,
};

/// A longer value is not a number, whatever it holds: memcached keeps such values in chunks and
/// does not look into them.
const MAX_NUMBER_LEN: usize = 512 * 1024;

/// The reason why an operation could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The operation needs this number of additional bytes; 0 means that the store must first hold
    /// less. Nothing has been changed.
    Need(u64),
    /// There is no room, and none will be made.
    NoRoom,
}

impl From<Need> for Obstacle {
    fn from(Need(bytes): Need) -> Obstacle {
        Obstacle::Need(bytes)
    }
}

/// A key in its locked shard.
pub(super) struct KeyOp<'a, 'g> {
    pub(super) common: &'a Common,
    pub(super) shard: &'a mut Shard,
    pub(super) grant: &'a mut Grant<'g>,
    pub(super) hash: Hash,
    pub(super) key: &'a [u8],
    pub(super) now: Seconds,
    pub(super) max_item: u64,
}

/// A record under the key, and its state.
#[derive(Clone, Copy)]
struct Present {
    found: Found,
    verdict: Verdict,
}

impl Present {
    fn is_live(&self) -> bool {
        self.verdict.miss.is_none()
    }
}

impl KeyOp<'_, '_> {
    pub(super) fn write(
        &mut self,
        write: &Write<'_>,
        value: &mut Incoming<'_>,
    ) -> Result<WriteResult, Obstacle> {
        let old = self.look_up();
        let live = old.filter(Present::is_live);
        let kept = match self.decide(write, value.len(), live) {
            Ok(kept) => kept,
            Err(refusal) => {
                self.refuse(old, write.mode);
                return Ok(refusal);
            }
        };
        let mut meta = self.fresh_meta();
        meta.flags = write.flags;
        meta.expiry = write.vivify.unwrap_or(write.expiry);
        meta.binary_key = write.binary_key;
        let mut bytes = Vec::new();
        let value = match (kept, live) {
            (Kept::Value, Some(present)) => {
                let before = self.meta(&present.found);
                meta.flags = before.flags;
                meta.expiry = before.expiry;
                meta.binary_key |= before.binary_key;
                bytes = std::mem::take(&mut self.shard.scratch);
                let end = if write.mode == Mode::Prepend { End::Front } else { End::Back };
                self.join(end, &present.found, value, &mut bytes)
            }
            (Kept::Staleness, Some(present)) => {
                let before = self.meta(&present.found);
                meta.expiry = before.expiry;
                meta.stale = true;
                meta.win_sent = before.win_sent;
                value.value()
            }
            _ => value.value(),
        };
        let len = value.len();
        let stored = self.put(old, value, meta, write.new_cas, |item| WriteResult::Stored {
            cas: ItemRef::meta(item).cas,
            len,
        });
        if bytes.capacity() > 0 {
            // Free the memory of pieces that were cut again.
            bytes.shrink_to(MAX_INLINE);
            self.shard.scratch = bytes;
        }
        stored
    }

    /// Joins a part to the present value. The bytes that do not become pieces lie in `bytes`.
    #[inline(never)]
    fn join<'v>(
        &self,
        end: End,
        found: &Found,
        part: &'v mut Incoming<'_>,
        bytes: &'v mut Vec<u8>,
    ) -> Value<'v> {
        let common = self.common;
        let cutting = common.cutting();
        let before = self.present_value(found);
        let is_short = before.handle.is_none() && part.pieces().is_empty();
        if is_short && before.rest.len() + part.len() <= cutting.inline {
            let (front, back) = match end {
                End::Front => (part.rest(), before.rest),
                End::Back => (before.rest, part.rest()),
            };
            bytes.clear();
            bytes.extend_from_slice(front);
            bytes.extend_from_slice(back);
            return Value::Inline(bytes, &[]);
        }
        let (join, at) = Join::plan(end, before, part, cutting, bytes);
        match join.is_empty() {
            true => Value::Inline(&bytes[at..], &[]),
            false => Value::Joined(Box::new(join), &bytes[at..]),
        }
    }

    /// The value of a stored item.
    fn present_value<'v>(&'v self, found: &'v Found) -> PresentValue<'v> {
        let none = PresentValue { handle: None, pieces: &[], len: 0, rest: &[] };
        let Some(item) = self.item(found) else { return none };
        let (handle, rest) = (item.handle(), item.rest());
        match item.pieces() {
            Some(it) => PresentValue { handle, pieces: it.as_slice(), len: it.len(), rest },
            None => PresentValue { rest, ..none },
        }
    }

    /// Whether a write goes ahead, and what it keeps of the present item.
    fn decide(
        &self,
        write: &Write<'_>,
        len: usize,
        live: Option<Present>,
    ) -> Result<Kept, WriteResult> {
        let Some(present) = live else { return decide_absent(write) };
        let cas = || self.meta(&present.found).cas;
        match write.mode {
            Mode::Set | Mode::Replace => Ok(Kept::Nothing),
            Mode::Add => Err(WriteResult::NotStored),
            Mode::Cas if write.compare == 0 => Err(WriteResult::Exists),
            Mode::Cas if write.compare == cas() => Ok(Kept::Nothing),
            Mode::Cas if write.accept_stale && write.compare < cas() => Ok(Kept::Staleness),
            Mode::Cas => Err(WriteResult::Exists),
            Mode::Append | Mode::Prepend => {
                let whole = self.value_len(&present.found) + len;
                if write.compare != 0 && write.compare != cas() {
                    Err(WriteResult::Exists)
                } else if self.is_too_large(self.meta(&present.found).flags, whole) {
                    Err(WriteResult::NotStored)
                } else {
                    Ok(Kept::Value)
                }
            }
        }
    }

    /// The effects of a refused write: an add refreshes the item, and a dead item is removed.
    fn refuse(&mut self, old: Option<Present>, mode: Mode) {
        let Some(mut present) = old else { return };
        if !present.is_live() {
            self.reclaim(present);
        } else if mode == Mode::Add
            && let Some(segment) = self.shard.segment_mut(self.common, &present.found)
        {
            present.found.record.set_last_access(&mut segment.data, self.now);
        }
    }

    pub(super) fn create<R>(
        &mut self,
        how: MetaGet,
        binary_key: bool,
        f: &mut Option<impl FnOnce(&mut Borrowed<'_>, bool) -> R>,
    ) -> Result<Option<R>, Obstacle> {
        let old = self.look_up();
        if let Some(mut present) = old.filter(Present::is_live) {
            return Ok(self.modify_item(&mut present.found, f, false));
        }
        let meta = Meta { binary_key, ..self.fresh_meta() };
        let value = Value::Inline(&[], &[]);
        self.put(old, value, meta, how.new_cas, |item| f.take().map(|f| f(item, true)))
    }

    fn modify_item<R>(
        &mut self,
        found: &mut Found,
        f: &mut Option<impl FnOnce(&mut Borrowed<'_>, bool) -> R>,
        is_new: bool,
    ) -> Option<R> {
        let callback = |item: &mut Borrowed<'_>| f.take().map(|f| f(item, is_new));
        self.shard.modify_item(self.common, found, self.now, callback).flatten()
    }

    pub(super) fn calculate<R>(
        &mut self,
        how: Arithmetic,
        binary_key: bool,
        f: &mut Option<impl FnOnce(&mut Borrowed<'_>, u64, bool) -> R>,
    ) -> Result<Option<ArithmeticResult<R>>, Obstacle> {
        let old = self.look_up();
        let mut digits = [0; 20];
        let Some(mut present) = old.filter(Present::is_live) else {
            let Some(initial) = how.vivify else {
                if let Some(dead) = old {
                    self.reclaim(dead);
                }
                return Ok(Some(ArithmeticResult::NotFound));
            };
            let value = Value::Inline(number::format(initial, &mut digits), &[]);
            let meta = Meta { binary_key, ..self.fresh_meta() };
            let made = self.put(old, value, meta, how.new_cas, |item| {
                f.take().map(|f| f(item, initial, true))
            })?;
            return Ok(made.map(ArithmeticResult::Created));
        };
        let (len, meta) = (self.value_len(&present.found), self.meta(&present.found));
        if len == 0 || len > MAX_NUMBER_LEN {
            return Ok(Some(ArithmeticResult::NonNumeric));
        }
        if how.compare != 0 && how.compare != meta.cas {
            return Ok(Some(ArithmeticResult::Exists));
        }
        let value = self.present_value(&present.found);
        let pieces = value.pieces.iter().flat_map(|piece| piece.iter());
        let number = match value.pieces {
            [] => number::parse(value.rest.iter().copied()),
            _ => number::parse(pieces.chain(value.rest).copied()),
        };
        let Some(number) = number else { return Ok(Some(ArithmeticResult::NonNumeric)) };
        let number = if how.increment {
            number.wrapping_add(how.delta)
        } else {
            number.saturating_sub(how.delta)
        };
        let digits = number::format(number, &mut digits);
        if digits.len() <= len {
            self.reserve_cas(&present.found, how.new_cas)?;
            let cas = self.cas(how.new_cas);
            self.write_digits(&present.found, digits);
            self.shard.set_cas(self.common, &mut present.found, cas);
            if let Some(segment) = self.shard.segment_mut(self.common, &present.found) {
                present.found.record.set_last_access(&mut segment.data, self.now);
            }
            let callback = |item: &mut Borrowed<'_>| f.take().map(|f| f(item, number, false));
            let done = self
                .shard
                .modify_item(self.common, &mut present.found, self.now, callback)
                .flatten();
            return Ok(done.map(ArithmeticResult::Done));
        }
        let mut new = self.fresh_meta();
        new.flags = meta.flags;
        new.expiry = meta.expiry;
        new.binary_key = meta.binary_key;
        let made =
            self.put(Some(present), Value::Inline(digits, &[]), new, how.new_cas, |item| {
                f.take().map(|f| f(item, number, false))
            })?;
        Ok(made.map(ArithmeticResult::Done))
    }

    /// Writes digits over the beginning of a value, and spaces over the rest. Replaces only the
    /// pieces whose bytes change.
    fn write_digits(&mut self, found: &Found, mut digits: &[u8]) {
        let handle = self.item(found).and_then(|item| item.handle());
        if let Some(pieces) = handle.and_then(|handle| self.shard.values.get_mut(handle)) {
            let mut replaced = Vec::new();
            for at in 0..pieces.as_slice().len() {
                let piece = &pieces.as_slice()[at];
                let (here, behind) = digits.split_at(digits.len().min(piece.len()));
                digits = behind;
                if !piece.starts_with(here) || !number::is_blank(&piece[here.len()..]) {
                    let mut bytes = vec![b' '; piece.len()];
                    bytes[..here.len()].copy_from_slice(here);
                    let piece = Piece::stored(bytes, &self.common.outside);
                    replaced.push(pieces.replace(at, piece));
                }
            }
            self.shard.dropped.add(Pieces::new(replaced, 0));
        }
        let Some(segment) = self.shard.segment_mut(self.common, found) else { return };
        let rest = &mut segment.data[found.record.rest_range()];
        rest.fill(b' ');
        rest[..digits.len()].copy_from_slice(digits);
    }

    pub(super) fn delete(&mut self, how: Delete) -> Result<DeleteResult, Obstacle> {
        let Some(mut present) = self.look_up() else { return Ok(DeleteResult::NotFound) };
        if !present.is_live() {
            self.reclaim(present);
            return Ok(DeleteResult::NotFound);
        }
        let meta = self.meta(&present.found);
        if how.compare.is_some_and(|compare| compare != meta.cas) {
            return Ok(DeleteResult::Exists);
        }
        let deleted = DeleteResult::Deleted { len: self.value_len(&present.found) };
        if let Some(flags) = how.drop_value {
            let mut new = self.fresh_meta();
            new.flags = flags;
            new.expiry = how.expiry.unwrap_or(Expiry::NEVER);
            new.binary_key = meta.binary_key;
            new.stale = how.mark_stale;
            let kept = if how.mark_stale { None } else { Some(meta.cas) };
            let value = Value::Inline(&[], &[]);
            self.put(Some(present), value, new, how.new_cas.or(kept), |_| ())?;
        } else if how.mark_stale {
            self.reserve_cas(&present.found, how.new_cas)?;
            let cas = self.cas(how.new_cas);
            if let Some(expiry) = how.expiry {
                self.shard.set_expiry(self.common, &mut present.found, expiry);
            }
            self.shard.set_cas(self.common, &mut present.found, cas);
            if let Some(segment) = self.shard.segment_mut(self.common, &present.found) {
                present.found.record.set_stale(&mut segment.data, true);
                present.found.record.set_win_sent(&mut segment.data, false);
            }
        } else {
            self.shard.remove(self.common, self.hash, &mut present.found);
        }
        Ok(deleted)
    }

    /// Makes sure that there is room for a CAS unique that does not fit its record, if evictions
    /// are off and room cannot be made afterwards.
    #[inline]
    fn reserve_cas(&mut self, found: &Found, new_cas: Option<Cas>) -> Result<(), Obstacle> {
        if self.common.evict { Ok(()) } else { self.reserve_override(found, new_cas) }
    }

    #[cold]
    fn reserve_override(&mut self, found: &Found, new_cas: Option<Cas>) -> Result<(), Obstacle> {
        let cas = new_cas.unwrap_or_else(|| self.common.cas() + 1);
        if self.shard.has_room_for_cas(self.common, found, cas) {
            return Ok(());
        }
        let growth = self.shard.overrides.growth();
        if growth > 0 && !self.grant.spend(growth) {
            return Err(Obstacle::Need(growth));
        }
        // The bookkeeping takes the bytes again when it grows.
        self.common.budget.give(growth);
        Ok(())
    }

    /// Stores a new item under the key and lends it to `f`.
    fn put<R>(
        &mut self,
        old: Option<Present>,
        value: Value<'_>,
        mut meta: Meta,
        new_cas: Option<Cas>,
        f: impl FnOnce(&mut Borrowed<'_>) -> R,
    ) -> Result<R, Obstacle> {
        let (common, key) = (self.common, self.key);
        let size = Size::max_of(key, &value);
        let epoch = match old {
            Some(present) => present.verdict.epoch,
            None => common.epochs.current(self.now),
        };
        let old_size = old.and_then(|present| Some(self.item(&present.found)?.size()));
        let (old_charge, credit) = old_size.map_or((0, 0), |old| (old.charge(), old.large));
        if !common.admits(size.charge(), old_charge) {
            return Err(Obstacle::NoRoom);
        }
        let mut admission = None;
        let (queue, uses) = match old.filter(Present::is_live) {
            Some(present) => {
                let item = self.item(&present.found);
                let queue = item.map_or(Queue::Probation, |item| item.segment().queue);
                (queue, (present.found.record.uses() + 1).min(MAX_USES))
            }
            None => {
                let item = self.shard.candidate(self.hash.tag(), size.charge());
                admission = Some(self.shard.policy.admission(item, common.capacity()));
                (admission.map_or(Queue::Probation, |admission| admission.queue), 0)
            }
        };
        // Only a living item may be changed in place: a dead one belongs to the past.
        let in_place = old.filter(Present::is_live).filter(|_| size.large == 0);
        if let (Some(mut present), Value::Inline(front, back)) = (in_place, &value) {
            let ahead = common.cas() + 1;
            let planned = Meta { cas: new_cas.unwrap_or(ahead), ..meta };
            let new = NewRecord {
                key,
                body: Body::Inline(front, back),
                meta: planned,
                uses,
                touchable: !common.evict,
            };
            if self.shard.fits(common, &present.found, &new) {
                meta.cas = self.cas(new_cas);
                let new = NewRecord { meta, ..new };
                if let Some(found) = self.shard.overwrite(common, &mut present.found, &new) {
                    return self.finish(found, f);
                }
            }
        }
        if !common.evict && common.is_crowded(size.charge(), old_charge) {
            return Err(Obstacle::Need(0));
        }
        self.shard.reserve(common, Destination { queue, epoch }, size, credit, self.grant)?;
        if meta.cas == 0 {
            meta.cas = self.cas(new_cas);
        }
        if let Some(admission) = admission {
            self.shard.policy.admitted(self.hash.tag());
            if let Some(queue) = admission.evicted_early {
                common.count_early_eviction(queue, self.shard.counters.items());
            }
        }
        if let Some(Present { found, verdict: Verdict { miss: Some(miss), .. } }) = old {
            let fetched = self.meta(&found).fetched;
            self.shard.counters.count_reclaim(miss == Miss::Expired && !fetched);
            self.shard.counters.count_met(miss);
        }
        let mut old = old.map(|present| present.found);
        let new = NewItem { key, value, meta, queue, uses };
        let found = self.shard.store(common, self.hash, old.as_mut(), new);
        match found {
            Some(found) => self.finish(found, f),
            None => Err(Obstacle::NoRoom),
        }
    }

    fn finish<R>(
        &mut self,
        mut found: Found,
        f: impl FnOnce(&mut Borrowed<'_>) -> R,
    ) -> Result<R, Obstacle> {
        self.shard.counters.count_store();
        self.shard.modify_item(self.common, &mut found, self.now, f).ok_or(Obstacle::NoRoom)
    }

    /// Finds and judges the record under the key.
    fn look_up(&self) -> Option<Present> {
        let found = self.shard.find(self.common, self.hash, self.key)?;
        let verdict = self.item(&found)?.judge(self.common, self.now);
        Some(Present { found, verdict })
    }

    #[inline]
    fn item<'i>(&'i self, found: &'i Found) -> Option<Item<'i>> {
        self.shard.item(self.common, found)
    }

    fn meta(&self, found: &Found) -> Meta {
        self.item(found).map_or_else(|| self.fresh_meta(), |item| item.meta(self.now))
    }

    fn value_len(&self, found: &Found) -> usize {
        self.item(found).map_or(0, |item| item.value_len())
    }

    /// The metadata of a new item, except its CAS unique.
    fn fresh_meta(&self) -> Meta {
        Meta {
            flags: 0,
            cas: 0,
            expiry: Expiry::NEVER,
            last_access: self.now,
            fetched: false,
            stale: false,
            win_sent: false,
            binary_key: false,
        }
    }

    fn cas(&self, new_cas: Option<Cas>) -> Cas {
        new_cas.unwrap_or_else(|| self.common.next_cas())
    }

    fn is_too_large(&self, flags: u32, value_len: usize) -> bool {
        is_too_large(self.max_item, self.key, flags, value_len)
    }

    /// Counts a use of the item under the key.
    pub(super) fn bump(&mut self) {
        if let Some(mut found) = self.shard.find(self.common, self.hash, self.key) {
            self.shard.bump(self.common, &mut found, self.now);
        }
    }

    /// Removes the item under the key, and returns the length of its value if it was alive.
    pub(super) fn remove_any(&mut self) -> Option<usize> {
        let mut present = self.look_up()?;
        if !present.is_live() {
            self.reclaim(present);
            return None;
        }
        let len = self.value_len(&present.found);
        self.shard.remove(self.common, self.hash, &mut present.found);
        Some(len)
    }

    /// Removes a dead item.
    fn reclaim(&mut self, mut present: Present) {
        if let Some(miss) = present.verdict.miss {
            self.shard.reclaim(self.common, self.hash, &mut present.found, miss);
        }
    }
}

/// Whether an item is larger than a store allows.
#[inline]
pub(super) fn is_too_large(max_item: u64, key: &[u8], flags: u32, value_len: usize) -> bool {
    let size = memcached_item_size(key.len(), flags, value_len);
    u64::try_from(size).map_or(true, |size| size > max_item)
}

/// Whether a write goes ahead if the key is absent.
fn decide_absent(write: &Write<'_>) -> Result<Kept, WriteResult> {
    match write.mode {
        Mode::Set | Mode::Add => Ok(Kept::Nothing),
        Mode::Append | Mode::Prepend if write.vivify.is_some() => Ok(Kept::Nothing),
        Mode::Append | Mode::Prepend | Mode::Replace => Err(WriteResult::NotStored),
        Mode::Cas => Err(WriteResult::NotFound),
    }
}

/// The parts of the present item that a write keeps.
#[derive(Clone, Copy)]
enum Kept {
    /// Nothing: the new item replaces it.
    Nothing,
    /// Its value, flags and expiry: a part is joined to the value.
    Value,
    /// Its expiry and its right to recache; the item becomes stale.
    Staleness,
}
