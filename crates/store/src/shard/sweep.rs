//! Sweeping: removes the dead items of a segment, in steps.

use super::{Found, Shard};
use crate::Seconds;
use crate::epochs::Epoch;
use crate::log::segment::{Queue, Segment};
use crate::shard::common::Common;

/// Items examined per lock of a shard.
pub(crate) const STEP: usize = 128;

/// Position of a sweep in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) number: u32,
    pub(crate) serial: u64,
    pub(crate) epoch: Epoch,
    pub(crate) at: usize,
    pub(crate) soonest: Seconds,
}

impl Shard {
    /// Closes open segments whose buffers are larger than those of new segments.
    pub(crate) fn seal_large(&mut self, common: &Common) {
        for queue in Queue::BOTH {
            let number = self.open[queue as usize];
            let segment = number.and_then(|number| self.segments[number as usize].as_ref());
            if segment.is_some_and(|it| it.data.capacity() > common.budget.buffer_len()) {
                self.seal(common, queue);
            }
        }
        self.publish();
    }

    /// The segments in which an item may have died.
    pub(crate) fn due(&self, epoch: Epoch, now: Seconds) -> Vec<(u32, u64)> {
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
    pub(crate) fn sweep_some(&mut self, common: &Common, cursor: &mut Cursor) -> (u64, bool) {
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
            let mut found = Found { location: common.layout.location(cursor.number, at), record };
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
        self.counters.count_sweep(checked, reclaimed);
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
}
