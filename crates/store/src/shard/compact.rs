//! Compaction: recovers the room of dead records without evicting living ones.
//!
//! A run rewrites some neighbours of a queue one after the other, without their dead records, if
//! that takes one segment less. The new segments stand in the queue before those that are still to
//! be moved, so every record keeps its position and none becomes younger.
//!
//! A run proceeds in steps so short that no operation waits long for the shard's lock. Between
//! steps the shard is consistent: a moved record is dead in its old location. Other operations may
//! change anything between steps, so each step checks by their serials that its segments are still
//! the same. The next segment reuses a segment's memory as soon as it is moved: a run takes one
//! additional buffer.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use super::evict::BATCH;
use super::{Common, Found, Hash, SMALL_BUFFER, Shard, Size};
use crate::epochs::Epoch;
use crate::index::bucket::Slot;
use crate::log::location::Location;
use crate::log::record::{NewRecord, Record};
use crate::log::segment::{Queue, Segment};
use crate::log::table::{SegmentId, State, TakenOut};

/// Longest run of neighbours that are compacted to gain one segment, if evicting is an alternative:
/// a longer run is not worth its time.
const LONG_RUN: usize = 8;
const LONGEST_RUN: usize = 16;

/// Neighbours of a queue that are being compacted.
#[derive(Debug)]
pub(crate) struct Compacting {
    queue: Queue,
    /// Segments still to be moved, oldest first.
    sources: VecDeque<SegmentId>,
    /// Position in the first of them.
    at: usize,
    /// The segment being written.
    target: Option<SegmentId>,
    /// Bytes of all segments given back, and of all taken.
    given: u64,
    taken: u64,
}

/// The state of a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There are more records to move.
    Going,
    /// The run is over. `gained` says whether it gained memory.
    Over { gained: bool },
}

impl Shard {
    /// Begins to compact the neighbours that are cheapest to move. Returns `false` if there is
    /// nothing to gain.
    pub(crate) fn begin_compacting(&mut self, common: &Common) -> bool {
        self.compacting = self.worthwhile_run(common);
        if self.compacting.is_none() {
            self.note_no_gain();
        }
        self.compacting.is_some()
    }

    /// Continues the compaction, for about `records` records.
    pub(crate) fn compact_some(&mut self, common: &Common, records: usize) -> Progress {
        let Some(mut run) = self.compacting.take() else { return Progress::Over { gained: true } };
        let mut left = records;
        while left > 0
            && let Some(&source) = run.sources.front()
        {
            let is_there = self.is_queued(source);
            let Some(mut taken) = is_there.then(|| self.segments.take_out(source)).flatten() else {
                // Evicted meanwhile; its neighbours may be next.
                run.sources.clear();
                break;
            };
            let is_through = self.rewrite(common, &mut run, &mut taken, &mut left);
            self.segments.put_back(taken);
            if is_through {
                self.drop_source(common, &mut run);
            }
        }
        self.settle_account(common);
        if !run.sources.is_empty() {
            self.compacting = Some(run);
            return Progress::Going;
        }
        if let Some(target) = run.target.filter(|&target| self.is_queued(target)) {
            let held = self.capacity_of(target.number);
            self.shrink(common, target.number);
            run.given += held - self.capacity_of(target.number);
            self.free_if_dead(common, target.number);
        }
        let gained = run.given > run.taken;
        if !gained {
            self.note_no_gain();
        }
        Progress::Over { gained }
    }

    /// Records that there is nothing to gain until there is more garbage.
    fn note_no_gain(&self) {
        self.published.no_gain_at.store(self.published.garbage.load(Relaxed), Relaxed);
    }

    /// Whether a segment is still in its queue.
    fn is_queued(&self, id: SegmentId) -> bool {
        let segment = self.segments.get(id.number);
        segment.is_some_and(|it| it.serial == id.serial && it.state() != State::Evicting)
    }

    fn capacity_of(&self, number: u32) -> u64 {
        self.segments.get(number).map_or(0, |segment| segment.data.capacity() as u64)
    }

    /// Removes the first source, which is moved completely.
    fn drop_source(&mut self, common: &Common, run: &mut Compacting) {
        let Some(SegmentId { number, .. }) = run.sources.pop_front() else { return };
        run.at = 0;
        run.given += self.capacity_of(number);
        self.drop_segment(common, number);
        self.publish();
    }

    /// The shortest run that gains the memory of a segment; of several, the one with the fewest
    /// bytes to move.
    fn worthwhile_run(&self, common: &Common) -> Option<Compacting> {
        let segment = common.budget.buffer_len() as u64;
        let longest = if common.evict { LONG_RUN } else { LONGEST_RUN };
        let mut sums: Vec<Sums> = Vec::new();
        let mut best: Option<(usize, u64, Queue, usize)> = None;
        for queue in Queue::BOTH {
            let (numbers, sealed) = (self.segments.queue(queue), self.segments.sealed(queue));
            sums.clear();
            sums.push(Sums::default());
            let mut sum = Sums::default();
            sums.extend(numbers.range(..sealed).map(|&number| {
                if let Some(segment) = self.segments.get(number) {
                    sum.held += segment.data.capacity() as u64;
                    sum.live += u64::from(segment.live_bytes);
                    sum.records += u64::from(segment.live);
                }
                sum
            }));
            // No longer than the best so far: a shorter run is cheaper.
            for len in 2..=best.map_or(longest, |(len, ..)| len).min(sealed) {
                for start in 0..=sealed - len {
                    let (from, to) = (sums[start], sums[start + len]);
                    let (held, live) = (to.held - from.held, to.live - from.live);
                    // Approximate loss at the end of each segment that is written.
                    let margin = live / (to.records - from.records).max(1);
                    let gains = held >= live + (live / segment + 1) * margin + segment;
                    let is_better =
                        best.is_none_or(|(best, least, ..)| (len, live) < (best, least));
                    if gains && is_better {
                        best = Some((len, live, queue, start));
                    }
                }
                if best.is_some_and(|(best, ..)| best == len) {
                    break;
                }
            }
        }
        let (len, _, queue, start) = best?;
        let numbers = self.segments.queue(queue).range(start..start + len);
        let sources = numbers.filter_map(|&number| {
            let segment = self.segments.get(number)?;
            Some(SegmentId { number, serial: segment.serial })
        });
        let sources = sources.collect();
        Some(Compacting { queue, sources, at: 0, target: None, given: 0, taken: 0 })
    }

    /// Moves up to `left` records of a source, that is taken out, after those written so far.
    /// Returns whether the source is finished.
    fn rewrite(
        &mut self,
        common: &Common,
        run: &mut Compacting,
        source: &mut TakenOut,
        left: &mut usize,
    ) -> bool {
        let mut batch = Vec::with_capacity(BATCH);
        while *left > 0 {
            let is_rest = self.next_batch(common, source, &mut run.at, &mut batch);
            *left = left.saturating_sub(batch.len());
            for (found, hash) in batch.drain(..) {
                self.rewrite_one(common, run, &mut source.segment, found, hash);
            }
            if is_rest {
                return true;
            }
        }
        false
    }

    fn rewrite_one(
        &mut self,
        common: &Common,
        run: &mut Compacting,
        segment: &mut Segment,
        mut found: Found,
        hash: Hash,
    ) {
        let item = self.item_in(segment, &found);
        let verdict = item.judge(common, self.now);
        if let Some(miss) = verdict.miss {
            self.drop_dead(common, segment, &mut found, hash, miss);
            return;
        }
        let (large, meta) = (item.size().large, item.meta(self.now));
        let uses = found.record.uses();
        let new = found.record.rewritten(&segment.data, meta, uses, !common.evict);
        let Some(location) =
            self.append_to_target(common, run, segment, &new, large, verdict.epoch)
        else {
            return;
        };
        self.index.replace(Slot::new(hash.tag(), found.location), location);
        self.moved(common, segment, &mut found, location, large);
    }

    /// Appends a record to the segment being written, or to a new one. The record counts as stored
    /// in `epoch`, that of the verdict on it: a forget since then must still reach the record.
    fn append_to_target(
        &mut self,
        common: &Common,
        run: &mut Compacting,
        source: &Segment,
        new: &NewRecord<'_>,
        large: u64,
        epoch: Epoch,
    ) -> Option<Location> {
        let most = new.max_len();
        let fits = |segment: &Segment| {
            segment.epoch == epoch && segment.data.len() + most <= segment.data.capacity()
        };
        let target = run.target.filter(|&target| {
            self.is_queued(target) && self.segments.get(target.number).is_some_and(fits)
        });
        let number = match target {
            Some(target) => target.number,
            None => self.open_target(common, run, source, epoch),
        };
        let segment = self.segments.get_mut(number)?;
        let at = segment.append(new, large);
        common.count_queue_bytes(segment.queue, large, 0);
        Some(common.layout.location(number, at))
    }

    /// Opens a segment in front of the first source, even if there is no room for it.
    fn open_target(
        &mut self,
        common: &Common,
        run: &mut Compacting,
        source: &Segment,
        epoch: Epoch,
    ) -> u32 {
        let mut grant = common.budget.overdraft(common.layout.segment as u64);
        let buffer = common.budget.buffer(&mut grant).unwrap_or_default();
        common.count_queue_bytes(run.queue, buffer.capacity() as u64, 0);
        run.taken += buffer.capacity() as u64;
        let serial = common.next_serial();
        let segment = Segment::new(buffer, run.queue, source.birth, epoch, serial, common.cas());
        let first = run.sources.front().map_or(0, |source| source.number);
        let target = self.segments.add_before(first, segment);
        run.target = Some(target);
        target.number
    }

    /// Gives back the unused part of a segment, if a buffer of half its length or less suffices.
    /// Lengths of buffers are powers of two, so any other segment can use the memory.
    pub(crate) fn shrink(&mut self, common: &Common, number: u32) {
        let Some(segment) = self.segments.get_mut(number) else { return };
        let capacity = segment.data.capacity();
        let wanted = segment.data.len().next_power_of_two().max(SMALL_BUFFER);
        if wanted <= capacity / 2 {
            let mut smaller = Vec::with_capacity(wanted);
            smaller.extend_from_slice(&segment.data);
            common.budget.take(smaller.capacity() as u64);
            common.count_queue_bytes(segment.queue, smaller.capacity() as u64, capacity as u64);
            common.budget.give_buffer(std::mem::replace(&mut segment.data, smaller));
        }
    }

    /// Removes a record that was moved from the bookkeeping of its old segment.
    pub(crate) fn moved(
        &mut self,
        common: &Common,
        segment: &mut Segment,
        found: &mut Found,
        location: Location,
        large: u64,
    ) {
        if found.record.has_override() {
            self.overrides.remove(found.location);
        }
        let charge = |record: &Record| Size { record: record.len(), large }.charge();
        let old = charge(&found.record);
        let new = self.record(common, location).map_or(old, |record| charge(&record));
        self.counters.remove(old);
        self.counters.add(new);
        common.charge(new, old);
        segment.kill(&mut found.record, large);
        self.published.count_garbage(found.record.len() as u64, 0);
        common.count_queue_bytes(segment.queue, 0, large);
    }
}

/// Sums over the segments of a queue up to one of them: bytes held, living bytes, living records.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    held: u64,
    live: u64,
    records: u64,
}
