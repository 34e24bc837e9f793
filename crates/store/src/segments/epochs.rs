//! Death without visiting an item: flushes and forgets.
//!
//! Every segment has the epoch that its items were stored in; a flush or a forget begins the next
//! one. An item of the epoch in force is alive by that one comparison. What has come over an item of
//! an older epoch is told by the [`Past`]: it was flushed if it is older than the last flush, and
//! forgotten if it is older than a forget whose predicate says yes to its key. A flush for later is
//! remembered by its second and applied by the first operation at or after it: until it is applied no
//! operation can have seen that second.
//!
//! An item that is found alive may be changed where it lies: no forget so far is about its key. A
//! sweep gives a segment whose items it found alive the epoch in force when it began with it. Once
//! there are no older ones the forgets before it are over, and their predicates are dropped.
//!
//! Invariants: an epoch is in the past before it is in force, and an item is judged with its shard
//! locked, so nobody meets an item of an epoch that the past at hand does not know; what is stored
//! gets the epoch that its decision was made in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{KeyPredicate, Miss, Seconds};

/// No flush is due. The end of time stands for it, which nobody waits for.
const NONE: Seconds = Seconds::MAX;

/// Counted from 0. A flush every nanosecond would take centuries to count through them.
pub(super) type Epoch = u64;

/// What an item is at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    /// Why it is dead, if it is.
    pub(super) miss: Option<Miss>,
    /// The epoch in force at that moment.
    pub(super) epoch: Epoch,
}

pub(super) struct Epochs {
    /// The epoch in force, for the many who need no more of the past.
    current: AtomicU64,
    due: AtomicU32,
    past: ArcSwap<Past>,
    change: Mutex<()>,
}

/// All that epochs meant so far, as far as there may be items to whom it means something.
struct Past {
    /// The epoch in force.
    epoch: Epoch,
    /// What is older is flushed.
    floor: Epoch,
    /// There is nothing older.
    swept: Epoch,
    /// Oldest first.
    forgets: Vec<Forget>,
}

/// Items older than `epoch` whose keys are `lost` are dead.
#[derive(Clone)]
struct Forget {
    epoch: Epoch,
    lost: KeyPredicate,
}

impl Epochs {
    pub(super) fn new() -> Epochs {
        let past = Past { epoch: 0, floor: 0, swept: 0, forgets: Vec::new() };
        Epochs {
            current: AtomicU64::new(0),
            due: AtomicU32::new(NONE),
            past: ArcSwap::from_pointee(past),
            change: Mutex::new(()),
        }
    }

    /// The epoch in force at `now`.
    #[inline]
    pub(super) fn current(&self, now: Seconds) -> Epoch {
        if now >= self.due.load(Ordering::Acquire) {
            self.apply_due(now);
        }
        self.current.load(Ordering::Acquire)
    }

    /// Whether an item stored in the epoch `stored` was flushed or forgotten. The caller holds the
    /// lock of its shard.
    #[inline]
    pub(super) fn judge(&self, stored: Epoch, key: &[u8], now: Seconds) -> Verdict {
        let epoch = self.current(now);
        if stored == epoch { Verdict { miss: None, epoch } } else { self.judge_old(stored, key) }
    }

    /// The verdict is that of the past, which may be one epoch ahead of the epoch in force.
    #[cold]
    fn judge_old(&self, stored: Epoch, key: &[u8]) -> Verdict {
        let past = self.past.load();
        let miss = if stored < past.floor {
            Some(Miss::Flushed)
        } else if past.forgets.iter().any(|forget| stored < forget.epoch && (forget.lost)(key)) {
            Some(Miss::Absent)
        } else {
            None
        };
        Verdict { miss, epoch: past.epoch }
    }

    /// Everything stored so far is dead from here on; a flush for later is forgotten.
    pub(super) fn flush_now(&self) {
        let _change = self.change.lock();
        self.begin_flushed();
        self.due.store(NONE, Ordering::Release);
    }

    /// When a flush is due, if one is.
    pub(super) fn due(&self) -> Option<Seconds> {
        Some(self.due.load(Ordering::Acquire)).filter(|due| *due != NONE)
    }

    /// Flushes at a second to come.
    pub(super) fn flush_at(&self, at: Seconds) {
        let _change = self.change.lock();
        self.due.store(at, Ordering::Release);
    }

    /// Everything stored so far whose key is `lost` is dead from here on.
    pub(super) fn forget(&self, lost: KeyPredicate) {
        let _change = self.change.lock();
        let past = self.past.load();
        let epoch = past.epoch + 1;
        let forgets = past.forgets.iter().cloned().chain([Forget { epoch, lost }]).collect();
        self.begin(Past { epoch, floor: past.floor, swept: past.swept, forgets });
    }

    /// Whether no item is older than `epoch`.
    pub(super) fn is_settled(&self, epoch: Epoch) -> bool {
        self.past.load().swept >= epoch
    }

    /// Takes note that no item is older than `epoch`. Should there be one after all, it is dead.
    pub(super) fn settle(&self, epoch: Epoch) {
        let _change = self.change.lock();
        let past = self.past.load();
        let pending = past.forgets.iter().filter(|forget| forget.epoch > epoch);
        self.past.store(Arc::new(Past {
            epoch: past.epoch,
            floor: past.floor.max(epoch),
            swept: past.swept.max(epoch),
            forgets: pending.cloned().collect(),
        }));
    }

    #[cold]
    fn apply_due(&self, now: Seconds) {
        let _change = self.change.lock();
        if now >= self.due.load(Ordering::Relaxed) {
            self.begin_flushed();
            // Only now: who sees that nothing is due any more sees the new epoch as well.
            self.due.store(NONE, Ordering::Release);
        }
    }

    /// Begins an epoch before which nothing lives. The caller holds `change`.
    fn begin_flushed(&self) {
        let past = self.past.load();
        let epoch = past.epoch + 1;
        self.begin(Past { epoch, floor: epoch, swept: past.swept, forgets: Vec::new() });
    }

    /// Puts the next epoch in force. The caller holds `change`.
    fn begin(&self, past: Past) {
        let epoch = past.epoch;
        self.past.store(Arc::new(past));
        self.current.store(epoch, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A thread stores in the epoch that it is told, and flushes and forgets: what it stored before is
    /// dead to itself and to whoever it tells, and what it stores afterwards is alive, whatever others
    /// do. It is told of no epoch twice in the wrong order.
    #[test]
    fn what_a_thread_stores_after_its_own_change_is_alive_and_before_it_dead() {
        let epochs = Epochs::new();
        thread::scope(|scope| {
            for number in 0..3_u8 {
                let epochs = &epochs;
                scope.spawn(move || {
                    let mine = [number];
                    let mut latest = 0;
                    for _ in 0..500 {
                        let before = epochs.current(1);
                        assert!(before >= latest, "an epoch was in force before a younger one");
                        // The others forget their own keys only.
                        epochs.forget(Arc::new(move |key| key == [number]));
                        assert!(epochs.judge(before, &mine, 1).miss.is_some());
                        let after = epochs.current(1);
                        assert!(after > before);
                        let verdict = epochs.judge(after, &mine, 1);
                        assert!(verdict.miss.is_none() && verdict.epoch >= after);
                        latest = after;
                    }
                });
            }
        });
        let (before, now) = (epochs.current(1), 1_000);
        epochs.flush_at(now);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    assert!(epochs.judge(before, b"any", now - 1).epoch >= before);
                    assert_eq!(epochs.judge(before, b"any", now).miss, Some(Miss::Flushed));
                    assert_eq!(epochs.current(now), before + 1, "it is applied once");
                });
            }
        });
        epochs.settle(before + 1);
        assert!(epochs.is_settled(before + 1) && epochs.past.load().forgets.is_empty());
    }
}
