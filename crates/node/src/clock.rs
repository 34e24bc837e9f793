//! The server's clock: one word that the main thread ticks and everybody reads.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use ringbinder_store::Seconds;

/// Whole seconds since the Unix epoch, as of the last tick.
#[derive(Debug)]
pub(crate) struct Clock {
    now: AtomicU32,
    started: Seconds,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let now = system_seconds();
        Clock { now: AtomicU32::new(now), started: now }
    }

    #[inline]
    pub(crate) fn now(&self) -> Seconds {
        self.now.load(Relaxed)
    }

    /// Takes over the system's time. Never goes back: an operator who corrects a clock must not
    /// make expired items return.
    pub(crate) fn tick(&self) {
        self.now.fetch_max(system_seconds(), Relaxed);
    }

    /// Moves on by hand, where nothing ticks.
    pub(crate) fn advance(&self, seconds: u32) {
        self.now.fetch_add(seconds, Relaxed);
    }

    pub(crate) fn uptime(&self) -> u32 {
        self.now().saturating_sub(self.started)
    }
}

fn system_seconds() -> Seconds {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds::try_from(elapsed.as_secs()).unwrap_or(Seconds::MAX)
}
