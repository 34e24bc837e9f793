//! Making room for a large value in steps, before it is written.
//!
//! A write makes the room that it needs. For a huge value that takes long, and a thread that serves
//! others as well has them wait. So whoever writes such a value first asks for room, step by step, and
//! serves others in between. What a step frees is kept for the value ([`super::reserved`]).

use super::SegmentStore;
use super::record::MAX_USES;
use super::reserved::Reserved;
use super::room::{MOST_IDLE, PATIENCE};
use crate::piece::HUGE;
use crate::{LargeValue, Mode, Seconds};

/// Items that one step looks at, and segments that it gives up or gains by compaction, at most. The last
/// segment may go beyond it.
const MOST_ITEMS: u64 = 2_048;
const MOST_SEGMENTS: u32 = 16;

/// So many bytes that were made room for allow for as many more items to be looked at with patience.
const PATIENCE_FOR: u64 = 1 << 20;

/// Whether there is room for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Readiness {
    /// It can be written: its room is kept, or the write itself finds it, or says that there is none.
    Ready,
    /// There is to be another step, after others had their turn.
    Unfinished,
}

impl SegmentStore {
    /// One step of making room for a large value that is about to be written under `key`. Whoever gets
    /// [`Readiness::Unfinished`] serves others and calls it again, with the same value. After
    /// [`Readiness::Ready`] the value is to be written at once, since others may wait for that; its
    /// write finds the room that was kept. A value that is dropped instead gives it back.
    ///
    /// A step looks at some 2,000 items, or gives up 16 segments: about a millisecond. Values below
    /// 1 MiB are ready at once: a write makes room for them in no longer than some such steps.
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
            // The write says so. What is kept may be what another waits for.
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
        let there = self.charge_there(key, now);
        let credit = match (mode, there) {
            (Mode::Add, Some(_)) | (Mode::Replace | Mode::Cas, None) => {
                return Err(Readiness::Ready);
            }
            (Mode::Append | Mode::Prepend, _) | (_, None) => 0,
            (_, Some(charge)) => charge,
        };
        // Its record may need a segment.
        let charge = value.charge() + self.common.layout.segment as u64;
        let pool = &self.common.pool;
        if value.charge() > pool.limit() || !self.common.admits(value.charge(), credit) {
            return Err(Readiness::Ready);
        }
        let wanted = charge.saturating_sub(credit).min(pool.limit());
        let reserved = pool.promise(wanted).ok_or(Readiness::Unfinished)?;
        Ok(reserved)
    }

    /// What the value under a key is charged, if there is one that is alive.
    fn charge_there(&self, key: &[u8], now: Seconds) -> Option<u64> {
        let hash = self.common.hash(key);
        let shard = &*self.lock(hash, now);
        let found = shard.find(&self.common, hash, key)?;
        let segment = shard.segment(&self.common, found.place)?;
        let is_live = shard.judge(&self.common, segment, &found, now).miss.is_none();
        is_live.then(|| shard.apart_charge(segment, &found.record))
    }

    fn make_some_room(&self, room: &mut Reserved) -> Readiness {
        let pool = &self.common.pool;
        let (mut items, mut segments) = (0, 0);
        loop {
            pool.keep(pool.grant_some(room.missing()), room);
            if room.missing() == 0 {
                return Readiness::Ready;
            }
            if items >= MOST_ITEMS || segments >= MOST_SEGMENTS {
                return Readiness::Unfinished;
            }
            segments += 1;
            if self.compact_somewhere() {
                continue;
            }
            if !self.common.evict {
                return Readiness::Ready;
            }
            let patience = PATIENCE * (1 + room.kept() / PATIENCE_FOR);
            let pressure = u8::try_from(room.examined / patience).unwrap_or(MAX_USES);
            if let Some(examined) = self.give_up_something(pressure) {
                items += examined;
                room.examined += examined;
                continue;
            }
            // Others are about to store it, or it is kept for them.
            room.idle += 1;
            let is_hopeless = room.idle > MOST_IDLE && pool.reserved() == room.kept();
            return if is_hopeless { Readiness::Ready } else { Readiness::Unfinished };
        }
    }
}
