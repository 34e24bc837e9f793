//! The segments of a shard, and the life of each: the only file that moves a segment from one
//! state to another.
//!
//! ```text
//!          add_open             seal               begin_eviction             remove
//!    free ─────────► Open ───────────────► Sealed ───────────────► Evicting ────────► free
//!                     │                     ▲  │                    ▲
//!                     │          add_before │  │ remove             │
//!                     │                   free free                 │
//!                     └─────────────────────────────────────────────┘
//!                                      begin_eviction
//! ```
//!
//! | state | in its queue | written to |
//! |---|---|---|
//! | `Open` | yes, as the youngest | by new and kept items |
//! | `Sealed` | yes | by a compaction that opened it |
//! | `Evicting` | no | no |
//!
//! An open segment is never removed: if its last record dies, it begins again, empty. A segment
//! that is being evicted never goes back to a queue.
//!
//! A step of maintenance works on a segment while it changes the rest of the shard. It takes the
//! segment out and puts it back before the shard's lock is released. A lookup in a segment that is
//! taken out finds nothing, so one that is not put back would lose its items silently. So the lock
//! checks [`SegmentTable::is_whole`] in debug builds, and [`SegmentTable::validate`] does always.

use std::collections::VecDeque;

use super::segment::{Queue, Segment};

/// The state of a segment. See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Takes new records. At most one segment of a queue is open.
    Open,
    /// Waits in its queue until it is the oldest.
    Sealed,
    /// Its items are moved or evicted, one by one.
    Evicting,
}

/// Identifies a segment among all that ever had its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentId {
    pub(crate) number: u32,
    pub(crate) serial: u64,
}

/// What a number stands for.
#[derive(Debug)]
enum Entry {
    Free,
    TakenOut,
    Here(Segment),
}

/// A segment that is taken out of the table, to be put back in the same step.
#[derive(Debug)]
#[must_use]
pub(crate) struct TakenOut {
    number: u32,
    pub(crate) segment: Segment,
}

impl TakenOut {
    /// The segment's number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

/// The segments of a shard, by number. See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct SegmentTable {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Numbers of the segments in each queue, oldest first.
    queues: [VecDeque<u32>; 2],
    open: [Option<u32>; 2],
    taken_out: u32,
}

impl SegmentTable {
    /// The segment with a number; `None` if there is none, or it is taken out.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Segment> {
        match &self.entries[number as usize] {
            Entry::Here(segment) => Some(segment),
            Entry::Free | Entry::TakenOut => None,
        }
    }

    /// As [`SegmentTable::get`], for a change.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Segment> {
        match &mut self.entries[number as usize] {
            Entry::Here(segment) => Some(segment),
            Entry::Free | Entry::TakenOut => None,
        }
    }

    /// All segments with their identities.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SegmentId, &Segment)> {
        (0_u32..).zip(&self.entries).filter_map(|(number, entry)| match entry {
            Entry::Here(segment) => Some((SegmentId { number, serial: segment.serial }, segment)),
            Entry::Free | Entry::TakenOut => None,
        })
    }

    /// The segments of all queues, oldest first.
    pub(crate) fn queued(&self) -> impl Iterator<Item = (SegmentId, &Segment)> {
        self.queues.iter().flatten().filter_map(|&number| {
            let segment = self.get(number)?;
            Some((SegmentId { number, serial: segment.serial }, segment))
        })
    }

    /// The numbers of the segments of a queue, oldest first.
    pub(crate) fn queue(&self, queue: Queue) -> &VecDeque<u32> {
        &self.queues[queue as usize]
    }

    /// Number of segments of a queue that are sealed: all but the open one, which is the last.
    pub(crate) fn sealed(&self, queue: Queue) -> usize {
        self.queue(queue).len() - usize::from(self.open[queue as usize].is_some())
    }

    /// The oldest segment of a queue.
    pub(crate) fn oldest(&self, queue: Queue) -> Option<&Segment> {
        self.queue(queue).front().and_then(|&number| self.get(number))
    }

    /// The number of a queue's open segment.
    #[inline]
    pub(crate) fn open(&self, queue: Queue) -> Option<u32> {
        self.open[queue as usize]
    }

    /// A queue's open segment.
    #[inline]
    pub(crate) fn open_segment(&self, queue: Queue) -> Option<&Segment> {
        self.open(queue).and_then(|number| self.get(number))
    }

    /// As [`SegmentTable::open_segment`], for a change.
    #[inline]
    pub(crate) fn open_segment_mut(&mut self, queue: Queue) -> Option<&mut Segment> {
        self.open(queue).and_then(|number| self.get_mut(number))
    }

    /// Whether a segment is still the one that was identified.
    pub(crate) fn is_current(&self, id: SegmentId) -> bool {
        self.get(id.number).is_some_and(|segment| segment.serial == id.serial)
    }

    /// Whether all of `most` numbers are in use.
    pub(crate) fn is_full(&self, most: usize) -> bool {
        self.free.is_empty() && self.entries.len() >= most
    }

    /// Adds a segment to the end of its queue, which has no open one: free to `Open`.
    pub(crate) fn add_open(&mut self, segment: Segment) {
        let queue = segment.queue as usize;
        debug_assert!(self.open[queue].is_none(), "two segments of a queue are open");
        let number = self.add(segment, State::Open);
        self.queues[queue].push_back(number);
        self.open[queue] = Some(number);
    }

    /// Adds a segment to its queue, before segment `next`: free to `Sealed`.
    pub(crate) fn add_before(&mut self, next: u32, segment: Segment) -> SegmentId {
        let (queue, serial) = (segment.queue as usize, segment.serial);
        let number = self.add(segment, State::Sealed);
        let queue = &mut self.queues[queue];
        let at = queue.iter().position(|&other| other == next).unwrap_or(0);
        queue.insert(at, number);
        SegmentId { number, serial }
    }

    fn add(&mut self, mut segment: Segment, state: State) -> u32 {
        segment.state = state;
        if let Some(number) = self.free.pop() {
            self.entries[number as usize] = Entry::Here(segment);
            return number;
        }
        self.entries.push(Entry::Here(segment));
        u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
    }

    /// Closes a queue's open segment, if it has one: `Open` to `Sealed`. Returns its number.
    pub(crate) fn seal(&mut self, queue: Queue) -> Option<u32> {
        let number = self.open[queue as usize].take()?;
        self.get_mut(number)?.state = State::Sealed;
        Some(number)
    }

    /// Takes the oldest segment off its queue: `Open` or `Sealed` to `Evicting`.
    pub(crate) fn begin_eviction(&mut self, queue: Queue) -> Option<SegmentId> {
        let number = *self.queue(queue).front()?;
        let segment = self.get_mut(number)?;
        segment.state = State::Evicting;
        let serial = segment.serial;
        self.queues[queue as usize].pop_front();
        self.open[queue as usize].take_if(|open| *open == number);
        Some(SegmentId { number, serial })
    }

    /// Takes a segment out, in any state. `None` if it is no longer the one that was identified.
    pub(crate) fn take_out(&mut self, id: SegmentId) -> Option<TakenOut> {
        if !self.is_current(id) {
            return None;
        }
        match std::mem::replace(&mut self.entries[id.number as usize], Entry::TakenOut) {
            Entry::Here(segment) => {
                self.taken_out += 1;
                Some(TakenOut { number: id.number, segment })
            }
            Entry::Free | Entry::TakenOut => None,
        }
    }

    /// Puts a segment back, in the state that it had.
    pub(crate) fn put_back(&mut self, TakenOut { number, segment }: TakenOut) {
        let entry = &mut self.entries[number as usize];
        debug_assert!(
            matches!(entry, Entry::TakenOut),
            "a segment is put back that was not taken out"
        );
        *entry = Entry::Here(segment);
        self.taken_out -= 1;
    }

    /// Whether every segment that was taken out was put back.
    pub(crate) fn is_whole(&self) -> bool {
        self.taken_out == 0
    }

    /// Removes a segment, and takes it off its queue: `Sealed` or `Evicting` to free.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Segment> {
        let (state, queue) = self.get(number).map(|segment| (segment.state, segment.queue))?;
        debug_assert!(state != State::Open, "an open segment is removed");
        if state == State::Sealed {
            let queue = &mut self.queues[queue as usize];
            let at = queue.iter().position(|&other| other == number)?;
            queue.remove(at);
        }
        self.open[queue as usize].take_if(|open| *open == number);
        self.free.push(number);
        match std::mem::replace(&mut self.entries[number as usize], Entry::Free) {
            Entry::Here(segment) => Some(segment),
            Entry::Free | Entry::TakenOut => None,
        }
    }

    /// Checks that every number is in exactly one state, and that queues and states agree.
    pub(crate) fn validate(&self, evicting: Option<SegmentId>) {
        let mut free = 0;
        for (number, entry) in (0_u32..).zip(&self.entries) {
            let segment = match entry {
                Entry::Free => {
                    free += 1;
                    assert!(self.free.contains(&number), "a free number cannot be used again");
                    continue;
                }
                Entry::TakenOut => panic!("segment {number} was taken out and not put back"),
                Entry::Here(segment) => segment,
            };
            let queue = self.queue(segment.queue);
            let times = queue.iter().filter(|&&other| other == number).count();
            let is_evicted = segment.state == State::Evicting;
            assert_eq!(times, usize::from(!is_evicted), "a segment is not once in its queue");
            let is_open = self.open(segment.queue) == Some(number);
            assert_eq!(is_open, segment.state == State::Open, "segment {number} is lost as open");
            assert!(!is_open || queue.back() == Some(&number), "an open segment is not the last");
            let id = SegmentId { number, serial: segment.serial };
            assert_eq!(is_evicted, evicting == Some(id), "segment {number} is lost in eviction");
        }
        assert_eq!(free, self.free.len(), "a number is free twice");
        let queued = self.queues.iter().map(VecDeque::len).sum::<usize>();
        let expected = self.entries.len() - free - usize::from(evicting.is_some());
        assert_eq!(queued, expected, "a queue has a segment that is not there");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(queue: Queue, serial: u64) -> Segment {
        Segment::new(Vec::new(), queue, serial, 0, serial, 0)
    }

    /// A table whose probation queue has two sealed segments and an open one.
    fn table() -> SegmentTable {
        let mut table = SegmentTable::default();
        for serial in 0..3 {
            table.seal(Queue::Probation);
            table.add_open(segment(Queue::Probation, serial));
        }
        table.validate(None);
        table
    }

    #[test]
    fn every_way_through_life_leads_back_to_a_free_number() {
        let mut table = table();
        assert_eq!((table.sealed(Queue::Probation), table.open(Queue::Probation)), (2, Some(2)));
        let first = table.begin_eviction(Queue::Probation).unwrap();
        assert_eq!((first.number, first.serial), (0, 0));
        table.validate(Some(first));
        assert!(table.remove(first.number).is_some());
        let target = table.add_before(1, segment(Queue::Probation, 3));
        assert_eq!(target.number, 0, "the number is used again");
        assert!(!table.is_current(first) && table.is_current(target));
        assert_eq!(Vec::from_iter(table.queue(Queue::Probation).iter().copied()), [0, 1, 2]);
        assert!(table.remove(1).is_some());
        table.validate(None);
        table.begin_eviction(Queue::Probation);
        table.remove(0);
        let open = table.begin_eviction(Queue::Probation).unwrap();
        assert_eq!((open.number, table.open(Queue::Probation)), (2, None));
        table.validate(Some(open));
        table.remove(2);
        assert!(table.begin_eviction(Queue::Probation).is_none());
        table.validate(None);
        assert!(!table.is_full(3) && table.iter().next().is_none());
    }

    #[test]
    fn a_segment_that_is_taken_out_comes_back_in_its_state() {
        let mut table = table();
        let id = SegmentId { number: 2, serial: 2 };
        assert!(table.take_out(SegmentId { serial: 1, ..id }).is_none(), "another one");
        let taken = table.take_out(id).unwrap();
        assert!(table.get(2).is_none() && table.take_out(id).is_none());
        table.put_back(taken);
        assert_eq!(table.open_segment(Queue::Probation).map(|it| it.state), Some(State::Open));
        table.validate(None);
    }

    #[test]
    #[should_panic(expected = "taken out and not put back")]
    fn a_segment_that_is_lost_is_found_out() {
        let mut table = table();
        let _ = table.take_out(SegmentId { number: 1, serial: 1 });
        table.validate(None);
    }

    #[test]
    #[should_panic(expected = "an open segment is removed")]
    fn an_open_segment_cannot_be_removed() {
        table().remove(2);
    }
}
