//! Early termination: Ctrl-C and similar signals raise a flag, and every wait in this program checks it.
//!
//! The signal handler does nothing else. The error travels up like any other, so that each guard on the way
//! ends its process and removes its files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The error after a signal asked this program to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// The stop flag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Longest interval between two checks during a wait.
    pub(crate) const GLANCE: Duration = Duration::from_millis(20);

    /// A flag that SIGINT, SIGTERM and SIGHUP raise.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop.0))
                .context("cannot watch for signals")?;
        }
        Ok(stop)
    }

    /// Fails if the flag is raised.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }

    /// Sleeps, but returns early if the flag is raised.
    pub(crate) fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        let until = Instant::now() + time;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Self::GLANCE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_ends_a_pause() {
        let stop = Stop::default();
        assert!(stop.pause(Duration::from_millis(1)).is_ok());
        stop.0.store(true, Ordering::Relaxed);
        let start = Instant::now();
        assert!(stop.pause(Duration::from_secs(60)).is_err());
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
