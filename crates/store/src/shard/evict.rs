//! Eviction: frees the oldest segment of a queue.
//!
//! The shard decides about the segment's items one by one, in steps so short that no operation
//! waits long for the shard's lock. It drops each item or, if [`Policy`](crate::policy::Policy)
//! expects it to be read again, appends it to a younger segment. Until then the item can be read
//! and changed as usual. After the last item, the next segment reuses the buffer.

use crate::epochs::Epoch;
use crate::index::bucket::Slot;
use crate::log::record::{Body, NewRecord};
use crate::log::segment::{Queue, Segment};
use crate::policy::{Fate, Situation};
use crate::shard::common::{Common, Hash};
use crate::shard::{Evicting, Found, Need, Shard};
use crate::{Evicted, Miss};

/// Items whose index slots are fetched together before the first decision.
const BATCH: usize = 16;

impl Shard {
    /// Begins to evict the oldest segment of a queue. Returns `false` if the queue has none.
    pub(crate) fn begin_eviction(&mut self, queue: Queue, pressure: u8) -> bool {
        let Some(&number) = self.queues[queue as usize].front() else { return false };
        if self.open[queue as usize] == Some(number) {
            self.open[queue as usize] = None;
        }
        self.queues[queue as usize].pop_front();
        self.evicting = Some(Evicting { number, at: 0, pressure });
        self.publish();
        true
    }

    /// Number of items left in the segment being evicted.
    pub(crate) fn left_to_evict(&self) -> u64 {
        let number = self.evicting.as_ref().map(|evicting| evicting.number as usize);
        let segment = number.and_then(|number| self.segments[number].as_ref());
        segment.map_or(0, |segment| u64::from(segment.live))
    }

    /// Continues the eviction of a segment, for at most `items` items. Returns whether it is
    /// finished.
    pub(crate) fn evict_some(&mut self, common: &Common, items: usize) -> bool {
        let Some(Evicting { number, mut at, pressure }) = self.evicting.take() else { return true };
        let Some(mut segment) = self.segments[number as usize].take() else { return true };
        let mut is_over = false;
        let situation = common.situation(pressure);
        let mut batch = Vec::with_capacity(BATCH);
        for _ in 0..items.div_ceil(BATCH) {
            while batch.len() < BATCH
                && let Some((here, record)) = segment.next_living(at)
            {
                at = here + record.len();
                let hash = common.hash(record.key(&segment.data));
                self.index.touch(hash.tag());
                batch
                    .push((Found { location: common.layout.location(number, here), record }, hash));
            }
            is_over = batch.len() < BATCH;
            for (found, hash) in batch.drain(..) {
                self.evict_or_keep(common, &mut segment, found, hash, situation);
            }
            if is_over {
                break;
            }
        }
        self.segments[number as usize] = Some(segment);
        if is_over {
            self.drop_segment(common, number);
            self.settle_account(common);
        } else {
            self.evicting = Some(Evicting { number, at, pressure });
        }
        is_over
    }

    /// Decides about one item of a segment that was taken out of its place.
    fn evict_or_keep(
        &mut self,
        common: &Common,
        segment: &mut Segment,
        mut found: Found,
        hash: Hash,
        situation: Situation,
    ) {
        let verdict = self.judge(common, segment, &found, self.now);
        if let Some(miss) = verdict.miss {
            self.drop_dead(common, segment, &mut found, hash, miss);
            return;
        }
        let large = self.large_charge(segment, &found.record);
        let item = self.candidate(hash.tag(), Shard::charge(found.record.len(), large));
        let (uses, items) = (found.record.uses(), self.index.len());
        match self.policy.fate(segment.queue, uses, item, situation, items) {
            Fate::Keep(uses) => {
                let to = (Queue::Main, verdict.epoch);
                self.move_record(common, segment, &mut found, hash, to, uses);
            }
            Fate::Evict => {
                let meta = self.meta(segment, &found, self.now);
                self.counters.count_eviction(&meta, self.now);
                if let Some(observer) = &common.observer {
                    let key = found.record.key(&segment.data);
                    observer(Evicted { key, len: self.value_len(segment, &found.record), meta });
                }
                self.note_touched(hash);
                self.index.remove(Slot::new(hash.tag(), found.location));
                self.take_off(common, segment, &mut found);
            }
        }
    }

    /// Removes a dead item of a segment that was taken out of its place.
    pub(crate) fn drop_dead(
        &mut self,
        common: &Common,
        segment: &mut Segment,
        found: &mut Found,
        hash: Hash,
        miss: Miss,
    ) {
        let fetched = self.meta(segment, found, self.now).fetched;
        self.counters.count_reclaim(miss == Miss::Expired && !fetched);
        self.note_touched(hash);
        self.index.remove(Slot::new(hash.tag(), found.location));
        self.take_off(common, segment, found);
    }

    /// Removes an item and its value from the bookkeeping.
    fn take_off(&mut self, common: &Common, segment: &mut Segment, found: &mut Found) {
        let large = self.large_charge(segment, &found.record);
        if let Some(handle) = found.record.handle(&segment.data) {
            self.dropped.add(self.values.remove(handle));
        }
        if found.record.has_override() {
            self.remove_override(found.location);
        }
        let charge = Shard::charge(found.record.len(), large);
        self.counters.remove(charge);
        common.charge(0, charge);
        segment.kill(&mut found.record, large);
        self.published.count_garbage(found.record.len() as u64, 0);
        common.count_queue_bytes(segment.queue, 0, large);
        self.dropped.give(large);
    }

    /// Appends an item to the open segment of a queue, even if there is no room.
    fn move_record(
        &mut self,
        common: &Common,
        segment: &mut Segment,
        found: &mut Found,
        hash: Hash,
        (queue, epoch): (Queue, Epoch),
        uses: u8,
    ) {
        let large = self.large_charge(segment, &found.record);
        let meta = self.meta(segment, found, self.now);
        let key = found.record.key(&segment.data);
        let body = match found.record.handle(&segment.data) {
            Some(handle) => Body::Large(handle, &segment.data[found.record.rest_range()]),
            None => Body::Inline(&segment.data[found.record.body_range()], &[]),
        };
        let new = NewRecord { key, body, meta, uses, touchable: !common.evict };
        let most = new.max_len();
        if let Err(Need(bytes)) = self.reserve_segment(
            common,
            (queue, epoch),
            (most, large),
            &mut common.budget.nothing(),
        ) {
            let mut grant = common.budget.overdraft(bytes);
            let _ = self.reserve_segment(common, (queue, epoch), (most, large), &mut grant);
        }
        let Some(location) = self.append(common, queue, &new, large) else {
            debug_assert!(false, "an overdraft is always granted");
            return;
        };
        self.index.replace(Slot::new(hash.tag(), found.location), location);
        self.moved(common, segment, found, location, large);
    }
}
