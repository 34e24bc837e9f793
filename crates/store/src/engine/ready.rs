//! Makes room for a large value in steps, before it is written.
//!
//! A write makes the room that it needs. For a huge value that takes long, and delays the other
//! clients of its thread. So a thread that writes such a value first asks for room, step by step,
//! and serves other clients in between. The bytes that a step frees are kept for the value
//! ([`crate::memory::reserved`]).

use super::SegmentStore;
use crate::engine::make_room::{ALLOWANCE, MAX_IDLE};
use crate::log::record::MAX_USES;
use crate::memory::reserved::Reserved;
use crate::value::piece::HUGE;
use crate::{LargeValue, Mode, Seconds};

/// Most items that one step examines, and most segments that it evicts or gains by compaction. The
/// last segment may exceed the limit.
const MAX_ITEMS: u64 = 2_048;
const MAX_SEGMENTS: u32 = 16;

/// Bytes of room that allow [`ALLOWANCE`] more items to be examined before the judgement gets
/// stricter.
const BYTES_PER_ALLOWANCE: u64 = 1 << 20;

/// The state of the room for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Readiness {
    /// The value can be written: its room is kept, or the write itself finds room or reports that
    /// there is none.
    Ready,
    /// Another step is needed, after other clients had their turn.
    Unfinished,
}

impl SegmentStore {
    /// One step of making room for a large value that is about to be written under `key`. After
    /// [`Readiness::Unfinished`] the caller serves other clients and calls again, with the same
    /// value. After [`Readiness::Ready`] it should write the value at once, since other values may
    /// wait for that; the write finds the kept room. A value that is dropped instead gives its room
    /// back.
    ///
    /// A step examines some 2,000 items or evicts 16 segments, which takes about a millisecond.
    /// Values below 1 MiB are ready at once: a write makes room for them in the time of a few such
    /// steps.
    pub fn make_ready(
        &self,
        key: &[u8],
        mode: Mode,
        value: &mut LargeValue,
        now: Seconds,
    ) -> Readiness {
        if value.len() < HUGE {
            return Readiness::Ready;
        }
        let reserved = match value.room().take() {
            Some(reserved) => reserved,
            None => match self.begin(key, mode, value, now) {
                Ok(reserved) => Box::new(reserved),
                Err(readiness) => return readiness,
            },
        };
        let room = value.room().insert(reserved);
        let readiness = self.make_some_room(room);
        if readiness == Readiness::Ready && room.missing() > 0 {
            // The write reports that. Another value may wait for the bytes kept for this one.
            *value.room() = None;
        }
        readiness
    }

    fn begin(
        &self,
        key: &[u8],
        mode: Mode,
        value: &LargeValue,
        now: Seconds,
    ) -> Result<Reserved, Readiness> {
        let present = self.present_charge(key, now);
        let credit = match (mode, present) {
            (Mode::Add, Some(_)) | (Mode::Replace | Mode::Cas, None) => {
                return Err(Readiness::Ready);
            }
            (Mode::Append | Mode::Prepend, _) | (_, None) => 0,
            (_, Some(charge)) => charge,
        };
        // The value's record may need a segment.
        let charge = value.charge() + self.common.layout.segment as u64;
        let budget = &self.common.budget;
        if value.charge() > budget.limit() || !self.common.admits(value.charge(), credit) {
            return Err(Readiness::Ready);
        }
        let wanted = charge.saturating_sub(credit).min(budget.limit());
        let reserved = budget.promise(wanted).ok_or(Readiness::Unfinished)?;
        Ok(reserved)
    }

    /// The charge of the living value under a key, if there is one.
    fn present_charge(&self, key: &[u8], now: Seconds) -> Option<u64> {
        let hash = self.common.hash(key);
        let shard = &*self.lock(hash, now);
        let found = shard.find(&self.common, hash, key)?;
        let item = shard.item(&self.common, &found)?;
        let is_live = item.judge(&self.common, now).miss.is_none();
        is_live.then(|| item.size().large)
    }

    fn make_some_room(&self, room: &mut Reserved) -> Readiness {
        let budget = &self.common.budget;
        let (mut items, mut segments) = (0, 0);
        loop {
            budget.keep(budget.grant_some(room.missing()), room);
            if room.missing() == 0 {
                return Readiness::Ready;
            }
            if items >= MAX_ITEMS || segments >= MAX_SEGMENTS {
                return Readiness::Unfinished;
            }
            segments += 1;
            if self.compact_somewhere() {
                continue;
            }
            if !self.common.evict {
                return Readiness::Ready;
            }
            let allowance = ALLOWANCE * (1 + room.kept() / BYTES_PER_ALLOWANCE);
            let pressure = u8::try_from(room.examined / allowance).unwrap_or(MAX_USES);
            if let Some(examined) = self.evict_oldest(pressure) {
                items += examined;
                room.examined += examined;
                continue;
            }
            // Other threads hold the memory for items that they are about to store, or it is kept
            // for other values.
            room.idle += 1;
            let is_hopeless = room.idle > MAX_IDLE && budget.reserved() == room.kept();
            return if is_hopeless { Readiness::Ready } else { Readiness::Unfinished };
        }
    }
}
