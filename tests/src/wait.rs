//! Waits for conditions with a deadline, instead of fixed sleeps.

use std::time::{Duration, Instant};

/// Deadline for everything a test waits for. It is generous: a correct server never comes near it, even on a
/// loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls `probe` until it returns a value. Panics with `what` after [`PATIENCE`].
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
