//! The server's clock: one word that the main thread ticks and everybody reads.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ringbinder_store::Seconds;

use crate::sampling::Nanos;

/// Whole seconds since the Unix epoch, as of the last tick.
#[derive(Debug)]
pub(crate) struct Clock {
    now: AtomicU32,
    started: Seconds,
    began: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let now = system_seconds();
        Clock { now: AtomicU32::new(now), started: now, began: Instant::now() }
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

    /// Seconds by which it is behind the system's time: more than a few where nobody ticks it.
    pub(crate) fn behind(&self) -> u32 {
        system_seconds().saturating_sub(self.now())
    }

    /// When it was made.
    pub(crate) fn started(&self) -> Seconds {
        self.started
    }

    /// Nanoseconds since the node started, by the clock that nobody sets; never 0. Other than the rest
    /// it asks the system.
    pub(crate) fn nanos(&self) -> Nanos {
        Nanos::try_from(self.began.elapsed().as_nanos()).unwrap_or(Nanos::MAX).max(1)
    }

    pub(crate) fn uptime(&self) -> u32 {
        self.now().saturating_sub(self.started)
    }
}

fn system_seconds() -> Seconds {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds::try_from(elapsed.as_secs()).unwrap_or(Seconds::MAX)
}
