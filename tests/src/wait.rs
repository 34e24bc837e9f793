//! Waiting for a condition, with a deadline, in place of fixed sleeps.

use std::time::{Duration, Instant};

/// How long anything may take before the test that waits for it fails. Generous: a loaded machine
/// must not make a sound server fail, and a sound server never comes near it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls `probe` until it gives a value; panics with `what` when [`PATIENCE`] runs out.
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, probe)
}

/// [`until`] with another deadline.
pub fn until_within<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
