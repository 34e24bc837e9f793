//! Flushes and forgets, without visiting items.
//!
//! Every segment has the epoch in which its items were stored; each flush or forget begins the next
//! epoch. An item of the current epoch is alive, and one comparison shows it. The [`Past`] decides
//! about an item of an older epoch: it was flushed if it is older than the last flush, and
//! forgotten if it is older than a forget whose predicate matches its key. A flush for later is
//! remembered by its second. The first operation at or after that second applies it; until then no
//! operation can have seen that second.
//!
//! An item found alive may be changed in place: no forget so far covers its key. A sweep gives a
//! segment whose items it found alive the epoch that was current when it began with the segment.
//! Once no item is older than an epoch, the forgets before it are over, and their predicates are
//! dropped.
//!
//! Invariants: the past knows an epoch before that epoch becomes current, and an item is judged
//! while its shard is locked, so no operation meets an item of an epoch that its past does not
//! know. An item gets the epoch in which the decision to store it was made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{KeyPredicate, Miss, Seconds};

/// No flush is due. The last possible second stands for it, and no flush can be due then.
const NONE: Seconds = Seconds::MAX;

/// Counted from 0. With a flush every nanosecond, the numbers would last for centuries.
pub(crate) type Epoch = u64;

/// The state of an item at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// The reason why the item is dead, if it is.
    pub(crate) miss: Option<Miss>,
    /// The current epoch at that moment.
    pub(crate) epoch: Epoch,
}

pub(crate) struct Epochs {
    /// The current epoch, for the many operations that need nothing else of the past.
    current: AtomicU64,
    due: AtomicU32,
    past: ArcSwap<Past>,
    change: Mutex<()>,
}

/// The meaning of all epochs of which there may still be items.
struct Past {
    /// The current epoch.
    epoch: Epoch,
    /// Items of older epochs are flushed.
    floor: Epoch,
    /// There are no items of older epochs.
    swept: Epoch,
    /// The forgets, oldest first.
    forgets: Vec<Forget>,
}

/// A forget: items older than `epoch` whose keys match `lost` are dead.
#[derive(Clone)]
struct Forget {
    epoch: Epoch,
    lost: KeyPredicate,
}

impl Epochs {
    pub(crate) fn new() -> Epochs {
        let past = Past { epoch: 0, floor: 0, swept: 0, forgets: Vec::new() };
        Epochs {
            current: AtomicU64::new(0),
            due: AtomicU32::new(NONE),
            past: ArcSwap::from_pointee(past),
            change: Mutex::new(()),
        }
    }

    /// The current epoch at `now`.
    #[inline]
    pub(crate) fn current(&self, now: Seconds) -> Epoch {
        if now >= self.due.load(Ordering::Acquire) {
            self.apply_due(now);
        }
        self.current.load(Ordering::Acquire)
    }

    /// Whether an item stored in the epoch `stored` was flushed or forgotten. The caller holds the
    /// lock of the item's shard.
    #[inline]
    pub(crate) fn judge(&self, stored: Epoch, key: &[u8], now: Seconds) -> Verdict {
        let epoch = self.current(now);
        if stored == epoch { Verdict { miss: None, epoch } } else { self.judge_old(stored, key) }
    }

    /// The verdict of the past, which may be one epoch ahead of the current one.
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

    /// Kills everything stored so far, and cancels a flush for later.
    pub(crate) fn flush_now(&self) {
        let _change = self.change.lock();
        self.begin_flushed();
        self.due.store(NONE, Ordering::Release);
    }

    /// The second at which a flush is due, if one is.
    pub(crate) fn due(&self) -> Option<Seconds> {
        Some(self.due.load(Ordering::Acquire)).filter(|due| *due != NONE)
    }

    /// Schedules a flush for a later second.
    pub(crate) fn flush_at(&self, at: Seconds) {
        let _change = self.change.lock();
        self.due.store(at, Ordering::Release);
    }

    /// Kills everything stored so far whose key matches `lost`.
    pub(crate) fn forget(&self, lost: KeyPredicate) {
        let _change = self.change.lock();
        let past = self.past.load();
        let epoch = past.epoch + 1;
        let forgets = past.forgets.iter().cloned().chain([Forget { epoch, lost }]).collect();
        self.begin(Past { epoch, floor: past.floor, swept: past.swept, forgets });
    }

    /// Whether no item is older than `epoch`.
    pub(crate) fn is_settled(&self, epoch: Epoch) -> bool {
        self.past.load().swept >= epoch
    }

    /// Records that no item is older than `epoch`. Any older item that remains is dead.
    pub(crate) fn settle(&self, epoch: Epoch) {
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
            // Last, so that a thread that sees no due flush also sees the new epoch.
            self.due.store(NONE, Ordering::Release);
        }
    }

    /// Begins an epoch that makes everything before it dead. The caller holds `change`.
    fn begin_flushed(&self) {
        let past = self.past.load();
        let epoch = past.epoch + 1;
        self.begin(Past { epoch, floor: epoch, swept: past.swept, forgets: Vec::new() });
    }

    /// Makes the next epoch current. The caller holds `change`.
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

    /// Each thread stores, flushes and forgets, always in the epoch it reads. Items stored before
    /// its own change are dead, to itself and to any thread it informs; items stored afterwards are
    /// alive, whatever other threads do. The epochs that a thread reads never go back.
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
                        // The other threads forget only their own keys.
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
