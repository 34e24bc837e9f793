//! The progress of restoring and writing: numbers that any thread may read.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

/// The progress of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RestoreState {
    /// There was no snapshot to restore.
    None,
    /// There was a snapshot, and it was rejected.
    Refused,
    /// Under way.
    Running,
    /// Finished: every item was processed.
    Done,
    /// Stopped early: the memory was full, or a flush or a change of the ring intervened.
    Stopped,
    /// Stopped early: the rest could not be read.
    Failed,
}

impl RestoreState {
    /// All states, with their names in `stats`.
    pub(crate) const ALL: [(RestoreState, &'static str); 6] = [
        (RestoreState::None, "none"),
        (RestoreState::Refused, "refused"),
        (RestoreState::Running, "running"),
        (RestoreState::Done, "done"),
        (RestoreState::Stopped, "stopped"),
        (RestoreState::Failed, "failed"),
    ];

    pub(super) fn of(bits: u8) -> (RestoreState, &'static str) {
        Self::ALL.get(usize::from(bits)).copied().unwrap_or(Self::ALL[0])
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) restore: AtomicU8,
    /// Whether the restored items belong to a ring.
    of_ring: AtomicBool,
    pub(crate) restore_items: AtomicU64,
    pub(crate) restore_skipped: AtomicU64,
    pub(crate) restore_bytes: AtomicU64,
    pub(crate) restore_total_items: AtomicU64,
    /// Whether a restore is under way. Threads wait on this for its end.
    running: Mutex<bool>,
    ended: Condvar,

    /// True while a snapshot is being written; there is at most one at a time.
    pub(crate) writing: AtomicBool,
    pub(crate) failed: AtomicBool,
    pub(crate) snapshot_items: AtomicU64,
    pub(crate) snapshot_bytes: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) last_success: AtomicU64,
    pub(crate) last_duration_ms: AtomicU64,
}

impl Progress {
    pub(crate) fn restore(&self) -> RestoreState {
        RestoreState::of(self.restore.load(Ordering::Acquire)).0
    }

    /// Whether items of another run of this node in the ring were restored, or are being restored.
    pub(crate) fn came_back(&self) -> bool {
        self.of_ring.load(Ordering::Acquire)
    }

    pub(super) fn refuse(&self) {
        self.restore.store(RestoreState::Refused as u8, Ordering::Release);
    }

    pub(super) fn begin(&self, items: u64, of_ring: bool) {
        self.restore_total_items.store(items, Ordering::Relaxed);
        self.of_ring.store(of_ring, Ordering::Release);
        self.restore.store(RestoreState::Running as u8, Ordering::Release);
        *self.running.lock() = true;
    }

    pub(super) fn end(&self, state: RestoreState) {
        self.restore.store(state as u8, Ordering::Release);
        *self.running.lock() = false;
        self.ended.notify_all();
    }

    /// Whether a restore is under way.
    pub(crate) fn is_restoring(&self) -> bool {
        *self.running.lock()
    }

    /// Blocks until no restore is under way.
    pub(crate) fn wait_for_restore(&self) {
        let mut running = self.running.lock();
        while *running {
            self.ended.wait(&mut running);
        }
    }

    pub(super) fn written(&self, now: u64, took_ms: u64) {
        self.failed.store(false, Ordering::Relaxed);
        self.last_success.store(now, Ordering::Relaxed);
        self.last_duration_ms.store(took_ms, Ordering::Relaxed);
    }

    pub(super) fn not_written(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}
