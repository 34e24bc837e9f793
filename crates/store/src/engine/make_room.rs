//! Makes room in the whole store: chooses which shard evicts what.
//!
//! The queues are divided among the shards but judged together: the queue that is too long evicts
//! its oldest segment, in whichever shard that is. So memory flows between shards as between kinds
//! of items, and a shard with one huge item pays no more for it than others.
//!
//! One insertion makes the room that it needs and no more. It examines a bounded number of items:
//! if all the items it meets deserve to stay, it judges the more strictly the longer that lasts.

use std::sync::atomic::Ordering::Relaxed;

use super::sizing::Sizing;
use super::{NoRoom, SegmentStore, ShardSlot};
use crate::log::record::MAX_USES;
use crate::log::segment::Queue;
use crate::memory::budget::Grant;
use crate::memory::resident;
use crate::policy;
use crate::shard::Progress;

/// Items examined per lock of a shard.
const STEP: usize = 128;

/// Items examined for one insertion before the next are judged more strictly: as many as take well
/// under a millisecond.
pub(super) const ALLOWANCE: u64 = 4_096;

/// Divisor of a shard's memory that gives the most garbage before compaction.
const GARBAGE: u64 = 16;

/// Most rounds in which nothing can be evicted, because other threads hold the memory for items
/// that they are about to store.
pub(super) const MAX_IDLE: u32 = 1_000;

impl SegmentStore {
    /// Makes room for `bytes` in all, part of which may be in the grant, and adds them to the
    /// grant.
    pub(super) fn make_room(&self, bytes: u64, grant: &mut Grant<'_>) -> Result<(), NoRoom> {
        let budget = &self.common.budget;
        let wanted = bytes.saturating_sub(grant.bytes());
        self.correct_limit(wanted);
        if bytes > budget.limit() {
            return Err(NoRoom);
        }
        let (mut examined, mut idle) = (0, 0);
        loop {
            if let Some(more) = budget.grant(wanted) {
                grant.add(more);
                return Ok(());
            }
            if self.compact_somewhere() {
                continue;
            }
            if !self.common.evict {
                if self.compact_anywhere() {
                    continue;
                }
                return Err(NoRoom);
            }
            let pressure = u8::try_from(examined / ALLOWANCE).unwrap_or(MAX_USES);
            if let Some(items) = self.evict_oldest(pressure) {
                examined += items;
                continue;
            }
            idle += 1;
            if idle > MAX_IDLE {
                return Err(NoRoom);
            }
            std::thread::yield_now();
        }
    }

    /// With evictions off, compacts as far as a new item needs. Fails if that gains nothing.
    pub(super) fn make_headroom(&self) -> Result<(), NoRoom> {
        let mut gained = false;
        while self.common.budget.used() > self.common.max_held() {
            // The bytes that compaction gains are kept for the next segments: they are room as
            // well.
            if !self.compact_somewhere()
                && !self.compact_anywhere()
                && !self.common.budget.drop_spares()
            {
                break;
            }
            gained = true;
        }
        if gained || self.common.budget.used() <= self.common.max_held() {
            return Ok(());
        }
        self.common.note_full();
        Err(NoRoom)
    }

    /// Makes up for bytes taken past the limit. Operations that change items in place end with
    /// this: each may have made the bookkeeping of its shard a little longer.
    #[inline]
    pub(super) fn enforce_limit(&self) {
        if self.common.evict && self.common.budget.is_over() {
            self.evict_excess();
        }
    }

    /// Evicts the excess above the limit.
    #[cold]
    pub(super) fn evict_excess(&self) {
        while self.common.budget.is_over() {
            let gained = self.compact_somewhere()
                || if self.common.evict {
                    self.evict_oldest(0).is_some()
                } else {
                    self.compact_anywhere()
                };
            if !gained {
                break;
            }
        }
    }

    /// Evicts the oldest segment of the queue that is too long and returns its number of items;
    /// `None` if there is no segment.
    pub(super) fn evict_oldest(&self, pressure: u8) -> Option<u64> {
        let (probation, main) =
            (self.common.queue_bytes(Queue::Probation), self.common.queue_bytes(Queue::Main));
        let first = policy::victim(probation, main, self.common.share());
        let second = match first {
            Queue::Probation => Queue::Main,
            Queue::Main => Queue::Probation,
        };
        for queue in [first, second] {
            let births =
                self.slots.iter().map(|slot| slot.published.oldest[queue as usize].load(Relaxed));
            let Some((oldest, birth)) = births.enumerate().min_by_key(|(_, birth)| *birth) else {
                continue;
            };
            if birth == u64::MAX {
                continue;
            }
            let evicted = self.evict_segment(oldest, queue, pressure);
            if evicted.is_some() {
                return evicted;
            }
        }
        None
    }

    /// Evicts the oldest segment of a shard's queue, and releases the lock between steps. Returns
    /// its number of items. If another thread is already evicting there, helps that thread.
    fn evict_segment(&self, slot: usize, queue: Queue, pressure: u8) -> Option<u64> {
        let slot = &self.slots[slot];
        let mut items = None;
        loop {
            let mut shard = slot.lock(&self.common);
            if !shard.is_evicting() && (items.is_some() || !shard.begin_eviction(queue, pressure)) {
                return items;
            }
            items = items.max(Some(shard.left_to_evict()));
            if shard.evict_some(&self.common, STEP) {
                return items;
            }
        }
    }

    /// Compacts some neighbours in the shard with the most garbage, and releases the lock between
    /// steps. Returns whether that gained anything.
    pub(super) fn compact_somewhere(&self) -> bool {
        self.worth_compacting().is_some_and(|slot| self.compact(slot))
    }

    /// Compacts in every shard where there is anything to gain, even if only because segments are
    /// not full. For use when nothing can be evicted instead.
    fn compact_anywhere(&self) -> bool {
        let may_gain = |slot: &&ShardSlot| {
            slot.published.no_gain_at.load(Relaxed) != slot.published.garbage.load(Relaxed)
        };
        self.slots.iter().filter(may_gain).any(|slot| self.compact(slot))
    }

    fn compact(&self, slot: &ShardSlot) -> bool {
        let mut is_begun = false;
        loop {
            let mut shard = slot.lock(&self.common);
            // If another thread is compacting there, help it.
            if !shard.is_compacting() {
                if is_begun {
                    return true;
                }
                if !shard.begin_compacting(&self.common) {
                    return false;
                }
            }
            is_begun = true;
            if let Progress::Over { gained } = shard.compact_some(&self.common, STEP) {
                return gained;
            }
        }
    }

    /// The shard with the most garbage, if that is more than a [`GARBAGE`]th of its share of the
    /// memory and not the amount at which there was nothing to gain.
    fn worth_compacting(&self) -> Option<&ShardSlot> {
        let segment = self.common.budget.buffer_len() as u64;
        let least = (self.common.capacity() / GARBAGE).max(segment);
        let garbage = |slot: &&ShardSlot| slot.published.garbage.load(Relaxed);
        let is_worth_it = |slot: &&ShardSlot| {
            let (garbage, no_gain_at) = (garbage(slot), slot.published.no_gain_at.load(Relaxed));
            garbage >= least && !(no_gain_at..no_gain_at.saturating_add(segment)).contains(&garbage)
        };
        self.slots.iter().filter(is_worth_it).max_by_key(garbage)
    }

    /// Probes resident memory if it is time to, and sets the limit.
    pub(super) fn correct_limit(&self, wanted: u64) {
        let max_bytes = self.max_bytes.load(Relaxed);
        let Some(resident) = self.correction.probe_if_due(wanted, max_bytes) else { return };
        let old = self.correction.bytes();
        if self.correction.update(resident, max_bytes) != old {
            self.set_limit(max_bytes);
        }
    }

    /// Sets the limit for a budget, and the length of future buffers.
    pub(super) fn set_limit(&self, max_bytes: u64) {
        let sizing = Sizing { shards: self.slots.len(), layout: self.common.layout };
        let correction = self.correction.bytes().min(max_bytes / resident::MAX_CORRECTION);
        let budget = &self.common.budget;
        budget.set_buffer_len(sizing.buffer(max_bytes));
        budget.set_limit(sizing.limit(max_bytes).saturating_sub(correction));
    }
}
