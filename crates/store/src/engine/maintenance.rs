//! Maintenance of the whole store: sweeps, another budget, sums of counters, validation.

use std::sync::atomic::Ordering::Relaxed;

use super::SegmentStore;
use super::sizing::{MIN_BUDGET, Sizing};
use crate::epochs::Epoch;
use crate::log::segment::Queue;
use crate::log::table::SegmentId;
use crate::shard::counters::ShardCounters;
use crate::shard::slot::ShardSlot;
use crate::shard::sweep::{Cursor, STEP};
use crate::{Counters, ResizeResult, Seconds};

/// Approximate number of dead items to reclaim for one write, and the most segments to search for
/// them.
const ENOUGH: u64 = 1_024;
const MAX_SEGMENTS: u32 = 64;

impl SegmentStore {
    /// Sweeps all segments in which an item may have died, of age or in a new epoch. The living
    /// items then belong to the current epoch. Returns the number of items removed.
    pub(super) fn sweep_dead(&self, now: Seconds) -> u64 {
        let epoch = self.common.epochs.current(now);
        let mut reclaimed = 0;
        for slot in &self.slots {
            for due in self.due_in(slot, epoch, now) {
                reclaimed += self.sweep_segment(slot, due, epoch, now);
            }
        }
        if !self.common.epochs.is_settled(epoch) {
            self.common.epochs.settle(epoch);
        }
        reclaimed
    }

    /// Removes dead items from a few segments. Returns whether it removed any.
    ///
    /// For a write that finds no room while evictions are off. While nothing can have died since
    /// the last call, this costs a comparison.
    #[cold]
    pub(super) fn reclaim_some(&self, now: Seconds) -> bool {
        let epoch = self.common.epochs.current(now);
        if *self.reclaimed.lock() == Some((epoch, now)) {
            return false;
        }
        let (mut reclaimed, mut segments) = (0, 0);
        for slot in &self.slots {
            for due in self.due_in(slot, epoch, now) {
                reclaimed += self.sweep_segment(slot, due, epoch, now);
                segments += 1;
                if reclaimed >= ENOUGH || segments == MAX_SEGMENTS {
                    return reclaimed > 0;
                }
            }
        }
        *self.reclaimed.lock() = Some((epoch, now));
        reclaimed > 0
    }

    /// The segments of a shard in which an item may have died, with their identities.
    fn due_in(&self, slot: &ShardSlot, epoch: Epoch, now: Seconds) -> Vec<SegmentId> {
        loop {
            let mut shard = slot.lock(&self.common);
            shard.now = now;
            if shard.evict_some(&self.common, STEP) {
                return shard.due(epoch, now);
            }
        }
    }

    /// Removes the dead items of a segment, and releases the lock between steps. Returns their
    /// number.
    fn sweep_segment(
        &self,
        slot: &ShardSlot,
        segment: SegmentId,
        epoch: Epoch,
        now: Seconds,
    ) -> u64 {
        let mut cursor = Cursor { segment, epoch, at: 0, soonest: Seconds::MAX };
        let mut reclaimed = 0;
        loop {
            let shard = &mut *slot.lock(&self.common);
            shard.now = now;
            let (gone, is_over) = shard.sweep_some(&self.common, &mut cursor);
            reclaimed += gone;
            if is_over {
                return reclaimed;
            }
        }
    }

    /// Sets another budget, and evicts the excess.
    pub(super) fn resize_to(&self, max_bytes: u64) -> ResizeResult {
        let sizing = Sizing { shards: self.slots.len(), layout: self.common.layout };
        if max_bytes < MIN_BUDGET || max_bytes > sizing.max_budget() || sizing.limit(max_bytes) == 0
        {
            return ResizeResult::Refused;
        }
        self.set_budget(max_bytes);
        self.correction.excuse();
        self.set_limit(max_bytes);
        for slot in &self.slots {
            slot.lock(&self.common).seal_large(&self.common);
        }
        self.evict_excess();
        self.excess.store(self.common.budget.used(), Relaxed);
        ResizeResult::Done
    }

    pub(super) fn sum_counters(&self) -> Counters {
        let shards = self.slots.iter().map(|slot| slot.lock(&self.common).counters);
        ShardCounters::sum(shards, self.held(), self.max_bytes.load(Relaxed))
    }

    pub(super) fn validate_all(&self) {
        let (mut used, mut weights, mut charged) = (0, [0, 0], 0);
        for slot in &self.slots {
            let shard = slot.lock(&self.common);
            used += shard.validate(&self.common);
            charged += shard.counters.bytes();
            for (_, segment) in shard.segments.iter() {
                weights[segment.queue as usize] += segment.bytes();
            }
        }
        let budget = &self.common.budget;
        used += budget.spare_bytes() + budget.reserved();
        assert_eq!(used, budget.used(), "the budget counts other than the shards");
        for queue in Queue::BOTH {
            let weight = self.common.queue_bytes(queue);
            assert_eq!(weight, weights[queue as usize], "the weight of {queue:?} is miscounted");
        }
        let max_bytes = self.max_bytes.load(Relaxed);
        // With evictions off, present items stay when the budget is lowered.
        let most =
            if self.common.evict { max_bytes } else { max_bytes.max(self.excess.load(Relaxed)) };
        assert!(budget.used() <= most, "more is held than the budget allows: {}", budget.used());
        assert!(charged <= budget.used().max(max_bytes), "more is charged than is held");
    }
}
