//! Sweeping: removes the dead items of a segment, in steps.

use super::{Common, Found, Shard};
use crate::Seconds;
use crate::epochs::Epoch;
use crate::log::segment::{Queue, Segment};
use crate::log::table::SegmentId;

/// Items examined per lock of a shard.
pub(crate) const STEP: usize = 128;

/// Position of a sweep in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) segment: SegmentId,
    pub(crate) epoch: Epoch,
    pub(crate) at: usize,
    pub(crate) soonest: Seconds,
}

impl Shard {
    /// Closes open segments whose buffers are larger than those of new segments.
    pub(crate) fn seal_large(&mut self, common: &Common) {
        for queue in Queue::BOTH {
            if self
                .segments
                .open_segment(queue)
                .is_some_and(|it| it.data.capacity() > common.budget.buffer_len())
            {
                self.seal(common, queue);
            }
        }
        self.publish();
    }

    /// The segments in which an item may have died.
    pub(crate) fn due(&self, epoch: Epoch, now: Seconds) -> Vec<SegmentId> {
        let is_due = |segment: &Segment| segment.epoch < epoch || segment.soonest <= now;
        self.segments.queued().filter(|(_, segment)| is_due(segment)).map(|(id, _)| id).collect()
    }

    /// Removes the dead among the next items of a segment. Returns how many it removed, and whether
    /// the segment is finished.
    pub(crate) fn sweep_some(&mut self, common: &Common, cursor: &mut Cursor) -> (u64, bool) {
        if self.evicting.as_ref().is_some_and(|it| it.id == cursor.segment) {
            // The items left in it are of an older epoch than the one that the sweep declares for
            // all items.
            self.evict_some(common, STEP);
            return (0, false);
        }
        // Evicted meanwhile: its living items are in a younger segment.
        let Some(mut taken) = self.segments.take_out(cursor.segment) else { return (0, true) };
        let segment = &mut taken.segment;
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
            let mut found =
                Found { location: common.layout.location(cursor.segment.number, at), record };
            let item = self.item_in(segment, &found);
            match item.judge(common, self.now).miss {
                Some(miss) => {
                    let hash = common.hash(item.key());
                    self.drop_dead(common, segment, &mut found, hash, miss);
                    reclaimed += 1;
                }
                None => {
                    let expiry = item.expiry().unix().unwrap_or(Seconds::MAX);
                    cursor.soonest = cursor.soonest.min(expiry);
                }
            }
        }
        self.counters.count_sweep(checked, reclaimed);
        if is_over {
            segment.epoch = segment.epoch.max(cursor.epoch);
            segment.soonest = segment.soonest.min(cursor.soonest);
        }
        self.segments.put_back(taken);
        if is_over {
            self.free_if_dead(common, cursor.segment.number);
        }
        self.settle_account(common);
        (reclaimed, is_over)
    }
}
