//! Eviction: frees the oldest segment of a queue.
//!
//! The shard decides about the segment's items one by one, in steps so short that no operation
//! waits long for the shard's lock. It drops each item or, if [`Policy`](crate::policy::Policy)
//! expects it to be read again, appends it to a younger segment. Until then the item can be read
//! and changed as usual. After the last item, the next segment reuses the buffer.

use super::{Common, Destination, Evicting, Found, Hash, Need, Shard, Size};
use crate::index::bucket::Slot;
use crate::log::segment::{Queue, Segment};
use crate::log::table::TakenOut;
use crate::policy::{Fate, Situation};
use crate::{Evicted, Miss};

/// Items whose index slots are fetched together before the first of them is handled.
pub(super) const BATCH: usize = 16;

impl Shard {
    /// Begins to evict the oldest segment of a queue. Returns `false` if the queue has none.
    pub(crate) fn begin_eviction(&mut self, queue: Queue, pressure: u8) -> bool {
        let Some(id) = self.segments.begin_eviction(queue) else { return false };
        self.evicting = Some(Evicting { id, at: 0, pressure });
        self.publish();
        true
    }

    /// Number of items left in the segment being evicted.
    pub(crate) fn left_to_evict(&self) -> u64 {
        let evicting = self.evicting.as_ref();
        let segment = evicting.and_then(|evicting| self.segments.get(evicting.id.number));
        segment.map_or(0, |segment| u64::from(segment.live))
    }

    /// Continues the eviction of a segment, for at most `items` items. Returns whether it is
    /// finished.
    pub(crate) fn evict_some(&mut self, common: &Common, items: usize) -> bool {
        let Some(Evicting { id, mut at, pressure }) = self.evicting.take() else { return true };
        let Some(mut taken) = self.segments.take_out(id) else { return true };
        let mut is_over = false;
        let situation = common.situation(pressure);
        let mut batch = Vec::with_capacity(BATCH);
        for _ in 0..items.div_ceil(BATCH) {
            is_over = self.next_batch(common, &taken, &mut at, &mut batch);
            for (found, hash) in batch.drain(..) {
                self.evict_or_keep(common, &mut taken.segment, found, hash, situation);
            }
            if is_over {
                break;
            }
        }
        self.segments.put_back(taken);
        if is_over {
            self.drop_segment(common, id.number);
            self.settle_account(common);
        } else {
            self.evicting = Some(Evicting { id, at, pressure });
        }
        is_over
    }

    /// Fills an empty batch with the living records of a segment from `at` on, and fetches their
    /// index slots from memory together. Returns whether the segment has no more.
    pub(super) fn next_batch(
        &self,
        common: &Common,
        taken: &TakenOut,
        at: &mut usize,
        batch: &mut Vec<(Found, Hash)>,
    ) -> bool {
        let segment = &taken.segment;
        while batch.len() < BATCH
            && let Some((here, record)) = segment.next_living(*at)
        {
            *at = here + record.len();
            let hash = common.hash(record.key(&segment.data));
            self.index.touch(hash.tag());
            let location = common.layout.location(taken.number(), here);
            batch.push((Found { location, record }, hash));
        }
        batch.len() < BATCH
    }

    /// Decides about one item of a segment that is taken out.
    fn evict_or_keep(
        &mut self,
        common: &Common,
        segment: &mut Segment,
        mut found: Found,
        hash: Hash,
        situation: Situation,
    ) {
        let item = self.item_in(segment, &found);
        let verdict = item.judge(common, self.now);
        if let Some(miss) = verdict.miss {
            self.drop_dead(common, segment, &mut found, hash, miss);
            return;
        }
        let candidate = self.candidate(hash.tag(), item.size().charge());
        let (uses, items) = (found.record.uses(), self.index.len());
        match self.policy.fate(segment.queue, uses, candidate, situation, items) {
            Fate::Keep(uses) => {
                let to = Destination { queue: Queue::Main, epoch: verdict.epoch };
                self.move_record(common, segment, &mut found, hash, to, uses);
            }
            Fate::Evict => {
                let item = self.item_in(segment, &found);
                let meta = item.meta(self.now);
                if let Some(observer) = &common.observer {
                    observer(Evicted { key: item.key(), len: item.value_len(), meta });
                }
                self.counters.count_eviction(&meta, self.now);
                self.note_touched(hash);
                self.index.remove(Slot::new(hash.tag(), found.location));
                self.discard(common, segment, &mut found);
            }
        }
    }

    /// Removes a dead item of a segment that is taken out.
    pub(crate) fn drop_dead(
        &mut self,
        common: &Common,
        segment: &mut Segment,
        found: &mut Found,
        hash: Hash,
        miss: Miss,
    ) {
        let fetched = self.item_in(segment, found).meta(self.now).fetched;
        self.counters.count_reclaim(miss == Miss::Expired && !fetched);
        self.note_touched(hash);
        self.index.remove(Slot::new(hash.tag(), found.location));
        self.discard(common, segment, found);
    }

    /// Removes an item and its value from the bookkeeping.
    fn discard(&mut self, common: &Common, segment: &mut Segment, found: &mut Found) {
        let item = self.item_in(segment, found);
        let (size, handle) = (item.size(), item.handle());
        if let Some(handle) = handle {
            self.dropped.add(self.values.remove(handle));
        }
        if found.record.has_override() {
            self.overrides.remove(found.location);
        }
        self.counters.remove(size.charge());
        common.charge(0, size.charge());
        segment.kill(&mut found.record, size.large);
        self.published.count_garbage(size.record as u64, 0);
        common.count_queue_bytes(segment.queue, 0, size.large);
        self.dropped.give(size.large);
    }

    /// Appends an item to the open segment of a queue, even if there is no room.
    fn move_record(
        &mut self,
        common: &Common,
        segment: &mut Segment,
        found: &mut Found,
        hash: Hash,
        to: Destination,
        uses: u8,
    ) {
        let item = self.item_in(segment, found);
        let (large, meta) = (item.size().large, item.meta(self.now));
        let new = found.record.rewritten(&segment.data, meta, uses, !common.evict);
        let size = Size { record: new.max_len(), large };
        if let Err(Need(bytes)) =
            self.reserve_segment(common, to, size, &mut common.budget.nothing())
        {
            let mut grant = common.budget.overdraft(bytes);
            let _ = self.reserve_segment(common, to, size, &mut grant);
        }
        let Some(location) = self.append(common, to.queue, &new, large) else {
            debug_assert!(false, "an overdraft is always granted");
            return;
        };
        self.index.replace(Slot::new(hash.tag(), found.location), location);
        self.moved(common, segment, found, location, large);
    }
}
