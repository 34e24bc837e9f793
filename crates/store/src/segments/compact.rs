//! Getting back the room of dead records without giving up living ones.
//!
//! Some neighbours of a queue are written anew, one behind the other without what is dead, where that
//! takes a segment less. They keep their place in the queue, so nothing grows younger by it. A
//! segment's memory is the next one's as soon as it is through: this takes one buffer beyond what is
//! there.

use super::bucket::Slot;
use super::common::Common;
use super::epochs::Epoch;
use super::record::{Body, Draft, Record};
use super::segment::{Queue, Segment};
use super::shard::{Found, Shard};

/// Most records that are moved at once where there is a choice, so that nobody waits long for the
/// shard's lock.
const MOST_RECORDS: u32 = 1_024;

/// Neighbours in a queue: where they begin, and how many.
#[derive(Clone, Copy, Debug)]
struct Run {
    queue: Queue,
    start: usize,
    len: usize,
}

impl Shard {
    /// Compacts up to `most` neighbours if that gains a segment's memory. Whether it did.
    pub(super) fn compact(&mut self, common: &Common, most: usize) -> bool {
        let Some(run) = self.worthwhile_run(common, most) else {
            self.hints.in_vain.store(
                self.hints.garbage.load(std::sync::atomic::Ordering::Relaxed),
                std::sync::atomic::Ordering::Relaxed,
            );
            return false;
        };
        let epoch = common.epochs.current(self.now);
        let Run { queue, start, len } = run;
        let numbers: Vec<u32> =
            self.queues[queue as usize].range(start..start + len).copied().collect();
        let mut written: Vec<u32> = Vec::with_capacity(len);
        for &number in &numbers {
            if let Some(mut segment) = self.segments[number as usize].take() {
                self.rewrite(common, number, &mut segment, epoch, &mut written);
                self.segments[number as usize] = Some(segment);
                self.drop_segment(common, number);
            }
        }
        if let Some(&last) = written.last() {
            self.shrink(common, last);
        }
        let rest = self.queues[queue as usize].split_off(start + len);
        self.queues[queue as usize].truncate(start);
        self.queues[queue as usize].extend(written);
        self.queues[queue as usize].extend(rest);
        self.settle_account(common);
        self.publish();
        true
    }

    /// The shortest run that gains a segment's memory, of those the one with the fewest bytes to move.
    fn worthwhile_run(&self, common: &Common, most: usize) -> Option<Run> {
        let segment = common.layout.segment;
        let margin = common.layout.inline + super::record::HEADER + 16 + crate::MAX_KEY_LEN;
        for len in 2..=most {
            let mut best: Option<(usize, Run)> = None;
            for queue in Queue::BOTH {
                let numbers = &self.queues[queue as usize];
                let is_open = self.open[queue as usize].is_some();
                let sealed = numbers.len() - usize::from(is_open);
                for start in 0..(sealed + 1).saturating_sub(len) {
                    let run = numbers.range(start..start + len);
                    let segments =
                        run.filter_map(|&number| self.segments[number as usize].as_ref());
                    let (mut held, mut live, mut records) = (0, 0, 0);
                    for segment in segments {
                        held += segment.data.capacity();
                        live += segment.live_bytes as usize;
                        records += segment.live;
                    }
                    let gains = held >= live + live / segment * margin + segment + margin;
                    let is_short = len == 2 || records <= MOST_RECORDS || most > 8;
                    if gains && is_short && best.is_none_or(|(least, _)| live < least) {
                        best = Some((live, Run { queue, start, len }));
                    }
                }
            }
            if let Some((_, run)) = best {
                return Some(run);
            }
        }
        None
    }

    /// Moves what lives in a segment, taken out of its place, behind what was written so far.
    fn rewrite(
        &mut self,
        common: &Common,
        number: u32,
        segment: &mut Segment,
        epoch: Epoch,
        written: &mut Vec<u32>,
    ) {
        let mut at = 0;
        while let Some((here, record)) = segment.next_living(at) {
            at = here + record.len();
            let mut found = Found { place: common.layout.place(number, here), record };
            let hash = common.hash(record.key(&segment.data));
            if let Some(miss) = self.judge(common, segment, &found, self.now).miss {
                self.drop_dead(common, segment, &mut found, hash, miss);
                continue;
            }
            let meta = self.meta(segment, &found, self.now);
            let body = match record.handle(&segment.data) {
                Some(handle) => Body::Apart(handle, &segment.data[record.rest_range()]),
                None => Body::Here(&segment.data[record.body_range()], &[]),
            };
            let draft = Draft { key: record.key(&segment.data), body, meta, uses: record.uses() };
            let apart = self.apart_charge(segment, &record);
            let place = self.write_behind(common, segment, epoch, &draft, apart, written);
            self.index.replace(Slot::new(hash.tag(), found.place), place);
            self.moved(common, segment, &mut found, place, apart);
        }
    }

    /// Appends a record to the last segment that was written, or to a new one.
    fn write_behind(
        &mut self,
        common: &Common,
        source: &Segment,
        epoch: Epoch,
        draft: &Draft<'_>,
        apart: u64,
        written: &mut Vec<u32>,
    ) -> u32 {
        let last = written.last().and_then(|&last| self.segments[last as usize].as_ref());
        let has_room =
            last.is_some_and(|last| last.data.len() + draft.most() <= last.data.capacity());
        if !has_room {
            let mut grant = common.pool.overdraft(common.layout.segment as u64);
            let buffer = common.pool.buffer(&mut grant).unwrap_or_default();
            common.weigh(source.queue, buffer.capacity() as u64, 0);
            let segment = Segment::new(
                buffer,
                source.queue,
                source.birth,
                epoch,
                common.next_serial(),
                common.cas(),
            );
            written.push(self.add_segment(segment));
        }
        let number = *written.last().expect("one was pushed if there was none");
        let segment = self.segments[number as usize].as_mut().expect("it was written just now");
        let at = segment.append(draft, apart);
        common.weigh(segment.queue, apart, 0);
        common.layout.place(number, at)
    }

    /// Gives back what a segment did not fill.
    pub(super) fn shrink(&mut self, common: &Common, number: u32) {
        let Some(segment) = self.segments[number as usize].as_mut() else { return };
        let (len, capacity) = (segment.data.len(), segment.data.capacity());
        if len < capacity / 2 {
            let exact: Vec<u8> = segment.data.as_slice().into();
            common.pool.take(exact.capacity() as u64);
            common.weigh(segment.queue, exact.capacity() as u64, capacity as u64);
            common.pool.give_buffer(std::mem::replace(&mut segment.data, exact));
        }
    }

    /// Takes a record that was written elsewhere off the books where it was.
    pub(super) fn moved(
        &mut self,
        common: &Common,
        segment: &mut Segment,
        found: &mut Found,
        place: u32,
        apart: u64,
    ) {
        if found.record.has_override() {
            self.overrides.remove(&found.place);
        }
        let old = Shard::charge(found.record.len(), apart);
        let new = self
            .record(common, place)
            .map_or(old, |record: Record| Shard::charge(record.len(), apart));
        self.tally.remove(old);
        self.tally.add(new);
        common.charge(new, old);
        segment.kill(&mut found.record, apart);
        self.hints.count_garbage(found.record.len() as u64, 0);
        common.weigh(segment.queue, 0, apart);
    }
}
