//! Flushing without visiting an item.
//!
//! Every item carries the epoch it was stored in; a flush begins the next one, and an item of
//! another epoch is dead. A flush for later is remembered by its second and applied by the first
//! operation at or after it: until it is applied no operation can have seen that second.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::Seconds;

/// No flush is due. The end of time stands for it, which nobody waits for.
const NONE: Seconds = Seconds::MAX;

pub(super) struct Flushes {
    epoch: AtomicU32,
    due: AtomicU32,
    change: Mutex<()>,
}

impl Flushes {
    pub(super) fn new() -> Flushes {
        Flushes { epoch: AtomicU32::new(0), due: AtomicU32::new(NONE), change: Mutex::new(()) }
    }

    /// The epoch in force at `now`.
    pub(super) fn epoch(&self, now: Seconds) -> u32 {
        if now >= self.due.load(Relaxed) {
            self.apply_due(now);
        }
        self.epoch.load(Relaxed)
    }

    /// Everything stored so far is dead from here on; a flush for later is forgotten.
    pub(super) fn flush_now(&self) {
        let _change = self.change.lock();
        self.due.store(NONE, Relaxed);
        self.epoch.fetch_add(1, Relaxed);
    }

    /// Flushes at a second to come.
    pub(super) fn flush_at(&self, at: Seconds) {
        let _change = self.change.lock();
        self.due.store(at, Relaxed);
    }

    #[cold]
    fn apply_due(&self, now: Seconds) {
        let _change = self.change.lock();
        if now >= self.due.load(Relaxed) {
            self.due.store(NONE, Relaxed);
            self.epoch.fetch_add(1, Relaxed);
        }
    }
}
