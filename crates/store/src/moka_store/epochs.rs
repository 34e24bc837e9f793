//! Death without visiting an item: flushes and forgets.
//!
//! Every item carries the epoch it was stored in; a flush or a forget begins the next one. An item
//! of the epoch in force is alive by that one comparison. What has come over an item of an older
//! epoch is told by the [`Past`]: it was flushed if it is older than the last flush, and forgotten
//! if it is older than a forget whose predicate says yes to its key. A flush for later is
//! remembered by its second and applied by the first operation at or after it: until it is applied
//! no operation can have seen that second.
//!
//! A sweep gives what it finds alive the epoch in force, so that afterwards no item is older than
//! the sweep's beginning. That ends the forgets before it, whose predicates are dropped, and lets
//! the numbers of epochs be used again.
//!
//! Invariants: an epoch is in the past before it is in force, and an item is judged with its cell
//! locked, so nobody meets an item of an epoch that the past at hand does not know; what is stored
//! gets the epoch that its decision was made in, or one read before it went into the index, in
//! either case with the key's stripe held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{KeyPredicate, Miss, Seconds};

/// No flush is due. The end of time stands for it, which nobody waits for.
const NONE: Seconds = Seconds::MAX;

/// The number of an epoch, counted round: which of two is older is told by how far both lie behind
/// the epoch in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u32);

impl Epoch {
    /// As many as leave room for an item's marks in one word.
    pub(super) const BITS: u32 = 27;
    const LAST: u32 = (1 << Self::BITS) - 1;

    pub(super) const FIRST: Epoch = Epoch(0);

    /// The epoch with this number, of which only the lowest [`Epoch::BITS`] count.
    pub(super) fn from_bits(bits: u32) -> Epoch {
        Epoch(bits & Self::LAST)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    fn next(self) -> Epoch {
        Epoch::from_bits(self.0.wrapping_add(1))
    }

    /// How many epochs ago `earlier` was when this one began.
    fn since(self, earlier: Epoch) -> u32 {
        self.0.wrapping_sub(earlier.0) & Self::LAST
    }
}

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
    current: AtomicU32,
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
    /// What is older is in the index no more.
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
        Epochs::beginning_with(Epoch::FIRST)
    }

    fn beginning_with(epoch: Epoch) -> Epochs {
        let past = Past { epoch, floor: epoch, swept: epoch, forgets: Vec::new() };
        Epochs {
            current: AtomicU32::new(epoch.bits()),
            due: AtomicU32::new(NONE),
            past: ArcSwap::from_pointee(past),
            change: Mutex::new(()),
        }
    }

    /// The epoch in force at `now`.
    pub(super) fn current(&self, now: Seconds) -> Epoch {
        if now >= self.due.load(Ordering::Acquire) {
            self.apply_due(now);
        }
        Epoch(self.current.load(Ordering::Acquire))
    }

    /// Whether an item stored in the epoch `stored` was flushed or forgotten. The caller holds the
    /// lock of its cell.
    pub(super) fn judge(&self, stored: Epoch, key: &[u8], now: Seconds) -> Verdict {
        let epoch = self.current(now);
        if stored == epoch { Verdict { miss: None, epoch } } else { self.judge_old(stored, key) }
    }

    /// The verdict is that of the past, which may be one epoch ahead of the epoch in force.
    #[cold]
    fn judge_old(&self, stored: Epoch, key: &[u8]) -> Verdict {
        let past = self.past.load();
        let age = past.epoch.since(stored);
        let is_before = |epoch| age > past.epoch.since(epoch);
        let miss = if is_before(past.floor) {
            Some(Miss::Flushed)
        } else if past.forgets.iter().any(|forget| is_before(forget.epoch) && (forget.lost)(key)) {
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

    /// Flushes at a second to come.
    pub(super) fn flush_at(&self, at: Seconds) {
        let _change = self.change.lock();
        self.due.store(at, Ordering::Release);
    }

    /// Everything stored so far whose key is `lost` is dead from here on.
    pub(super) fn forget(&self, lost: KeyPredicate) {
        let _change = self.change.lock();
        let past = self.past.load();
        let epoch = past.epoch.next();
        let forgets = past.forgets.iter().cloned().chain([Forget { epoch, lost }]).collect();
        self.begin(Past { epoch, floor: past.floor, swept: past.swept, forgets });
    }

    /// Whether no item is older than `epoch`.
    pub(super) fn is_settled(&self, epoch: Epoch) -> bool {
        self.past.load().swept == epoch
    }

    /// Whether so many epochs have begun since the last sweep that numbers run short: an item must
    /// never be so old that it seems young.
    pub(super) fn is_crowded(&self) -> bool {
        let past = self.past.load();
        past.epoch.since(past.swept) > Epoch::LAST / 2
    }

    /// Takes note that no item in the index is older than `epoch`. Should there be one after all,
    /// it is dead.
    pub(super) fn settle(&self, epoch: Epoch) {
        let _change = self.change.lock();
        let past = self.past.load();
        let is_later = |other| past.epoch.since(other) < past.epoch.since(epoch);
        let later = |other| if is_later(other) { other } else { epoch };
        let pending = past.forgets.iter().filter(|forget| is_later(forget.epoch));
        self.past.store(Arc::new(Past {
            epoch: past.epoch,
            floor: later(past.floor),
            swept: later(past.swept),
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
        let epoch = past.epoch.next();
        self.begin(Past { epoch, floor: epoch, swept: past.swept, forgets: Vec::new() });
    }

    /// Puts the next epoch in force. The caller holds `change`.
    fn begin(&self, past: Past) {
        let epoch = past.epoch;
        self.past.store(Arc::new(past));
        self.current.store(epoch.bits(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expiry, Limits, Mode, MokaStore, NewValue, Policy, Store, Write, WriteResult};

    const NOW: Seconds = 1_700_000_000;

    fn store_at(epoch: u32) -> MokaStore {
        let limits = Limits { max_bytes: 1 << 24, max_item: 1 << 20, evict: true };
        let mut store = MokaStore::new(limits, Policy::Lru, None);
        store.epochs = Epochs::beginning_with(Epoch(epoch));
        store
    }

    fn set(store: &MokaStore, key: &[u8]) {
        let write = Write {
            key,
            value: NewValue::Slice(b"v"),
            flags: 0,
            expiry: Expiry::NEVER,
            mode: Mode::Set,
            compare: 0,
            new_cas: None,
            accept_stale: false,
            vivify: None,
            binary_key: false,
        };
        assert!(matches!(store.write(write, NOW), WriteResult::Stored { .. }));
    }

    fn forget(store: &MokaStore, lost: &'static [u8]) {
        store.forget(Arc::new(move |key| key == lost), NOW);
    }

    /// As many flushes as it takes to get to `epoch`.
    fn flush_until(store: &MokaStore, epoch: u32) {
        let epoch = Epoch(epoch);
        let swept = store.epochs.past.load().swept;
        store.epochs.begin(Past { epoch, floor: epoch, swept, forgets: Vec::new() });
    }

    #[test]
    fn the_numbers_of_epochs_go_round() {
        for sweeps in [false, true] {
            let store = store_at(Epoch::LAST - 3);
            set(&store, b"flushed");
            store.flush(NOW, NOW);
            set(&store, b"kept");
            set(&store, b"lost");
            set(&store, b"lost later");
            for turn in 0..8 {
                forget(&store, if turn == 1 { b"lost" } else { b"another" });
                if sweeps {
                    store.sweep(NOW);
                }
                assert!(store.peek(b"kept", NOW, |_| ()).is_ok(), "turn {turn}");
                assert!(store.peek(b"lost later", NOW, |_| ()).is_ok(), "turn {turn}");
                set(&store, b"new");
                assert!(store.peek(b"new", NOW, |_| ()).is_ok(), "turn {turn}");
            }
            assert_eq!(store.epochs.current(NOW), Epoch(5));
            assert!(store.peek(b"flushed", NOW, |_| ()).is_err());
            assert_eq!(store.peek(b"lost", NOW, |_| ()), Err(Miss::Absent));
            forget(&store, b"lost later");
            assert_eq!(store.peek(b"lost later", NOW, |_| ()), Err(Miss::Absent));
            store.flush(NOW, NOW);
            assert_eq!(store.peek(b"kept", NOW, |_| ()), Err(Miss::Flushed));
            store.validate(NOW);
        }
    }

    #[test]
    fn no_item_stays_until_its_epoch_comes_round() {
        let store = store_at(0);
        set(&store, b"flushed");
        flush_until(&store, Epoch::LAST / 2 + 1);
        store.flush(NOW, NOW);
        assert_eq!(store.counters().sweep_reclaimed, 1);
        set(&store, b"kept");
        // That sweep has made numbers plenty again: the next epoch begins without one.
        forget(&store, b"another");
        assert_eq!(store.counters().sweep_checked, 1);
        assert!(store.peek(b"kept", NOW, |_| ()).is_ok());
        flush_until(&store, Epoch::LAST);
        store.flush(NOW, NOW);
        assert_eq!(store.epochs.current(NOW), Epoch(0));
        assert_eq!(store.peek(b"flushed", NOW, |_| ()), Err(Miss::Absent));
        assert!(store.peek(b"kept", NOW, |_| ()).is_err());
        store.validate(NOW);
    }
}
