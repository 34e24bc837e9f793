//! Maintenance: sweeping dead items, changing the budget, validating the bookkeeping.

use std::sync::atomic::Ordering::Relaxed;

use super::bucket::Slot;
use super::common::Common;
use super::epochs::Epoch;
use super::segment::{Queue, Segment};
use super::shard::{Found, Shard};
use super::sizing::Sizing;
use super::tally::Tally;
use super::{Place, SegmentStore};
use crate::{Counters, ResizeResult, Seconds};

/// Smallest budget that leaves room for items beside the reserves.
pub(super) const MIN_BUDGET: u64 = 1 << 20;

/// Items examined per lock of a shard.
const STEP: usize = 128;

/// Approximate number of dead items to reclaim for one write, and the most segments to search for
/// them.
const ENOUGH: u64 = 1_024;
const MOST_SEGMENTS: u32 = 64;

/// Position of a sweep in a segment.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    number: u32,
    serial: u64,
    epoch: Epoch,
    at: usize,
    soonest: Seconds,
}

impl SegmentStore {
    /// Sweeps all segments in which an item may have died, of age or in a new epoch. The living
    /// items then belong to the current epoch. Returns the number of items removed.
    pub(super) fn sweep_dead(&self, now: Seconds) -> u64 {
        let epoch = self.common.epochs.current(now);
        let mut reclaimed = 0;
        for place in &self.places {
            for due in self.due_in(place, epoch, now) {
                reclaimed += self.sweep_segment(place, due, epoch, now);
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
        for place in &self.places {
            for due in self.due_in(place, epoch, now) {
                reclaimed += self.sweep_segment(place, due, epoch, now);
                segments += 1;
                if reclaimed >= ENOUGH || segments == MOST_SEGMENTS {
                    return reclaimed > 0;
                }
            }
        }
        *self.reclaimed.lock() = Some((epoch, now));
        reclaimed > 0
    }

    /// The segments of a shard in which an item may have died, with their serials.
    fn due_in(&self, place: &Place, epoch: Epoch, now: Seconds) -> Vec<(u32, u64)> {
        loop {
            let mut shard = place.lock(&self.common);
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
        place: &Place,
        (number, serial): (u32, u64),
        epoch: Epoch,
        now: Seconds,
    ) -> u64 {
        let mut cursor = Cursor { number, serial, epoch, at: 0, soonest: Seconds::MAX };
        let mut reclaimed = 0;
        loop {
            let shard = &mut *place.lock(&self.common);
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
        let sizing = Sizing { shards: self.places.len(), layout: self.common.layout };
        if max_bytes < MIN_BUDGET || max_bytes > sizing.most() || sizing.limit(max_bytes) == 0 {
            return ResizeResult::Refused;
        }
        self.set_budget(max_bytes);
        self.ballast.excuse();
        self.set_limit(max_bytes);
        for place in &self.places {
            place.lock(&self.common).seal_large(&self.common);
        }
        self.give_up_excess();
        self.excess.store(self.common.pool.used(), Relaxed);
        ResizeResult::Done
    }

    pub(super) fn sum_counters(&self) -> Counters {
        let tallies = self.places.iter().map(|place| place.lock(&self.common).tally);
        let sum = Tally::sum(tallies, self.budget.load(Relaxed));
        Counters { held: self.held(), ..sum }
    }

    pub(super) fn check_books(&self) {
        let (mut used, mut weights, mut charged) = (0, [0, 0], 0);
        for place in &self.places {
            let shard = place.lock(&self.common);
            used += shard.validate(&self.common);
            charged += shard.tally.bytes;
            for segment in shard.segments.iter().flatten() {
                weights[segment.queue as usize] += segment.weight();
            }
        }
        let pool = &self.common.pool;
        used += pool.spare_bytes() + pool.reserved();
        assert_eq!(used, pool.used(), "the pool counts other than the shards");
        for queue in Queue::BOTH {
            let weight = self.common.weight(queue);
            assert_eq!(weight, weights[queue as usize], "the weight of {queue:?} is miscounted");
        }
        let budget = self.budget.load(Relaxed);
        // With evictions off, present items stay when the budget is lowered.
        let most = if self.common.evict { budget } else { budget.max(self.excess.load(Relaxed)) };
        assert!(pool.used() <= most, "more is held than the budget allows: {}", pool.used());
        assert!(charged <= pool.used().max(budget), "more is charged than is held");
    }
}

impl Shard {
    /// Closes open segments whose buffers are larger than those of new segments.
    fn seal_large(&mut self, common: &Common) {
        for queue in Queue::BOTH {
            let number = self.open[queue as usize];
            let segment = number.and_then(|number| self.segments[number as usize].as_ref());
            if segment.is_some_and(|it| it.data.capacity() > common.pool.buffer_len()) {
                self.seal(common, queue);
            }
        }
        self.publish();
    }

    /// The segments in which an item may have died.
    fn due(&self, epoch: Epoch, now: Seconds) -> Vec<(u32, u64)> {
        let numbers = self.queues.iter().flatten();
        let segments =
            numbers.filter_map(|&number| Some((number, self.segments[number as usize].as_ref()?)));
        let is_due = |segment: &Segment| segment.epoch < epoch || segment.soonest <= now;
        segments
            .filter(|(_, segment)| is_due(segment))
            .map(|(number, segment)| (number, segment.serial))
            .collect()
    }

    /// Removes the dead among the next items of a segment. Returns how many it removed, and whether
    /// the segment is finished.
    fn sweep_some(&mut self, common: &Common, cursor: &mut Cursor) -> (u64, bool) {
        let number = cursor.number as usize;
        let is_being_evicted = self.evicting.as_ref().is_some_and(|it| it.number == cursor.number);
        if is_being_evicted {
            // The items left in it are of an older epoch than the one that the sweep declares for
            // all items.
            self.evict_some(common, STEP);
            return (0, false);
        }
        let taken = self.segments[number].take_if(|segment| segment.serial == cursor.serial);
        // Evicted meanwhile: its living items are in a younger segment.
        let Some(mut segment) = taken else { return (0, true) };
        if cursor.at == 0 {
            // Expiries set from here on are noted in the segment, all others in the cursor.
            segment.soonest = Seconds::MAX;
        }
        let (mut checked, mut reclaimed) = (0, 0);
        let mut is_over = false;
        while checked < STEP as u64 {
            let Some((at, record)) = segment.next_living(cursor.at) else {
                is_over = true;
                break;
            };
            cursor.at = at + record.len();
            checked += 1;
            let mut found = Found { place: common.layout.place(cursor.number, at), record };
            match self.judge(common, &segment, &found, self.now).miss {
                Some(miss) => {
                    let hash = common.hash(record.key(&segment.data));
                    self.drop_dead(common, &mut segment, &mut found, hash, miss);
                    reclaimed += 1;
                }
                None => {
                    let expiry = self.expiry(&segment, &found);
                    cursor.soonest = cursor.soonest.min(expiry.unix().unwrap_or(Seconds::MAX));
                }
            }
        }
        self.tally.count_sweep(checked, reclaimed);
        if is_over {
            segment.epoch = segment.epoch.max(cursor.epoch);
            segment.soonest = segment.soonest.min(cursor.soonest);
        }
        self.segments[number] = Some(segment);
        if is_over {
            self.free_if_dead(common, cursor.number);
        }
        self.settle_account(common);
        (reclaimed, is_over)
    }

    /// Recounts everything and returns the bytes that the pool should count.
    fn validate(&self, common: &Common) -> u64 {
        self.index.validate();
        self.values.validate();
        assert!(self.dropped.is_empty(), "something is still to be freed");
        let (mut items, mut charged, mut held, mut garbage, mut values) = (0, 0, 0, 0, 0);
        let mut overrides = 0;
        for (number, segment) in (0_u32..).zip(&self.segments) {
            let Some(segment) = segment else { continue };
            let (mut live, mut bytes, mut apart_sum) = (0, 0, 0);
            for (at, record) in segment.living() {
                let place = common.layout.place(number, at);
                let hash = common.hash(record.key(&segment.data));
                let slot = Slot::new(hash.tag(), place);
                assert!(self.index.contains(slot), "a living record is not in the index");
                let apart = self.apart_charge(segment, &record);
                values += usize::from(apart > 0);
                overrides += usize::from(record.has_override());
                assert_eq!(record.has_override(), self.overrides.contains_key(&place));
                let found = Found { place, record };
                let expiry = self.expiry(segment, &found).unix().unwrap_or(Seconds::MAX);
                assert!(expiry >= segment.soonest, "an item expires before its segment says");
                live += 1;
                bytes += record.len() as u64;
                apart_sum += apart;
                charged += Shard::charge(record.len(), apart);
            }
            assert_eq!(live, segment.live, "a segment miscounts its records");
            assert_eq!(bytes, u64::from(segment.live_bytes), "a segment miscounts their bytes");
            assert_eq!(apart_sum, segment.apart, "a segment miscounts its values apart");
            items += u64::from(live);
            held += segment.weight();
            garbage += segment.garbage();
            let is_evicted = self.evicting.as_ref().is_some_and(|it| it.number == number);
            let queue = &self.queues[segment.queue as usize];
            let standing = queue.iter().filter(|&&other| other == number).count();
            assert_eq!(standing, usize::from(!is_evicted), "a segment is not once in its queue");
        }
        assert_eq!(items, self.tally.items, "the items are miscounted");
        assert_eq!(items, self.index.len() as u64, "the index has other items than the segments");
        assert_eq!(charged, self.tally.bytes, "the bytes charged are miscounted");
        assert_eq!(garbage, self.hints.garbage.load(Relaxed), "the dead bytes are miscounted");
        assert_eq!(values, self.values.len(), "values apart are left over or missing");
        assert_eq!(overrides, self.overrides.len(), "overrides are left over or missing");
        held + self.told
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Delete, Expiry, Limits, Mode, NewValue, Shape, Store, Write, WriteResult};

    const NOW: Seconds = 1_700_000_000;

    /// One shard with segments of thousands of items.
    fn store() -> SegmentStore {
        let limits = Limits { max_bytes: 1 << 20, max_item: 1 << 20, evict: true };
        let shape = Shape { shards: 1, segment: 64 << 10, seed: 1 };
        SegmentStore::with_shape(limits, shape, None).unwrap()
    }

    fn set(store: &SegmentStore, key: &str, len: usize, expiry: Expiry) {
        // A reader that starts in the middle of a record sees an expired one.
        let value = vec![1; len];
        let write =
            Write { expiry, ..Write::plain(Mode::Set, key.as_bytes(), NewValue::Slice(&value)) };
        assert!(matches!(store.write(write, NOW), WriteResult::Stored { .. }));
    }

    /// A sweep that has begun with the only segment.
    fn begun(store: &SegmentStore, now: Seconds) -> Cursor {
        let epoch = store.common.epochs.current(now);
        let mut shard = store.places[0].lock(&store.common);
        shard.now = now;
        let due = shard.due(epoch, now);
        let [(number, serial)] = due[..] else { panic!("{due:?} are due") };
        let mut cursor = Cursor { number, serial, epoch, at: 0, soonest: Seconds::MAX };
        assert!(!shard.sweep_some(&store.common, &mut cursor).1, "the first step is not the last");
        cursor
    }

    fn finish(store: &SegmentStore, mut cursor: Cursor) -> u64 {
        let mut reclaimed = 0;
        loop {
            let (gone, is_over) =
                store.places[0].lock(&store.common).sweep_some(&store.common, &mut cursor);
            reclaimed += gone;
            if is_over {
                return reclaimed;
            }
        }
    }

    #[test]
    fn a_sweep_does_not_go_on_in_a_segment_that_was_begun_anew() {
        let store = store();
        for item in 0..300 {
            set(&store, &format!("key{item}"), 10, Expiry::at(NOW + 1));
        }
        let cursor = begun(&store, NOW + 1);
        for item in 0..300 {
            store.delete(format!("key{item}").as_bytes(), Delete::PLAIN, NOW + 1);
        }
        assert_eq!(store.counters().items, 0);
        for item in 0..300 {
            set(&store, &format!("other{item}"), 73, Expiry::NEVER);
        }
        assert_eq!(finish(&store, cursor), 0);
        store.validate(NOW + 1);
        assert_eq!(store.counters().items, 300);
    }

    #[test]
    fn a_sweep_does_not_overlook_an_expiry_that_comes_nearer_meanwhile() {
        let store = store();
        for item in 0..300 {
            set(&store, &format!("key{item}"), 10, Expiry::NEVER);
        }
        store.touch(b"key299", Expiry::at(NOW + 1), NOW);
        let cursor = begun(&store, NOW + 1);
        store.touch(b"key0", Expiry::at(NOW + 2), NOW + 1);
        assert_eq!(finish(&store, cursor), 1);
        store.validate(NOW + 1);
        assert_eq!(store.sweep(NOW + 2), 1);
    }

    #[test]
    fn a_sweep_does_not_leave_items_of_the_past_in_a_segment_that_is_given_up() {
        let store = store();
        for item in 0..600 {
            let key = format!("key{item}");
            set(&store, &key, 10, Expiry::NEVER);
            store.get(key.as_bytes(), NOW, |_| ()).unwrap();
        }
        store.forget(Arc::new(|key| key == b"key0"), NOW);
        let cursor = begun(&store, NOW);
        {
            let mut shard = store.places[0].lock(&store.common);
            assert!(shard.begin_eviction(Queue::Probation, 0));
            assert!(!shard.evict_some(&store.common, STEP));
        }
        finish(&store, cursor);
        store.common.epochs.settle(cursor.epoch);
        // All items were read, so all of them stay.
        for item in 1..600 {
            assert!(store.get(format!("key{item}").as_bytes(), NOW, |_| ()).is_ok(), "{item}");
        }
        store.validate(NOW);
    }
}
