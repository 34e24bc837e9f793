//! Which items stay: placeholder.

use super::segment::Queue;

#[derive(Debug)]
pub(super) struct Policy {}

/// What becomes of an item whose segment is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Evict,
    Keep { queue: Queue, uses: u8 },
}

impl Policy {
    pub(super) fn new() -> Policy {
        Policy {}
    }

    pub(super) fn bytes(&self) -> usize {
        0
    }

    /// Where a new item goes.
    pub(super) fn destination(&self, _tag: u32) -> Queue {
        Queue::Probation
    }

    /// A new item has gone where [`Policy::destination`] said.
    pub(super) fn admitted(&mut self, _tag: u32) {}

    /// What becomes of an item.
    pub(super) fn leave(&mut self, queue: Queue, uses: u8, pressure: u8, _tag: u32) -> Fate {
        match queue {
            Queue::Probation if uses > 1 + pressure => Fate::Keep { queue: Queue::Main, uses: 0 },
            Queue::Main if uses > pressure => Fate::Keep { queue: Queue::Main, uses: uses - 1 },
            _ => Fate::Evict,
        }
    }
}

/// The queue that has to give up a segment.
pub(super) fn victim(probation: u64, main: u64) -> Queue {
    if main == 0 || probation > (probation + main) / 10 { Queue::Probation } else { Queue::Main }
}
