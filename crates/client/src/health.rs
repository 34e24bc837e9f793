//! Whether a node is worth asking.
//!
//! A node that did not answer rests: for that time requests to it fail at once instead of waiting
//! for it one by one. Then one request tries it; the others go on failing until that one has come
//! back. Each failure in a row doubles the rest, up to a bound.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The first rest.
const SHORTEST: Duration = Duration::from_millis(50);

/// The longest rest.
const LONGEST: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Health {
    base: Instant,
    /// Failures since the last answer.
    failures: AtomicU32,
    /// Milliseconds after `base` until which it rests.
    until: AtomicU64,
}

impl Health {
    pub(crate) fn new() -> Health {
        Health { base: Instant::now(), failures: AtomicU32::new(0), until: AtomicU64::new(0) }
    }

    /// Whether to ask the node; a `true` while it is away makes the caller the one that tries, and
    /// `trial` is how long that may take.
    #[inline]
    pub(crate) fn may_ask(&self, trial: Duration) -> bool {
        self.failures.load(Ordering::Relaxed) == 0 || self.may_try(trial)
    }

    fn may_try(&self, trial: Duration) -> bool {
        let now = self.now();
        let until = self.until.load(Ordering::Relaxed);
        let next = now + millis(trial);
        now >= until
            && self
                .until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// It answered.
    #[inline]
    pub(crate) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// It did not.
    pub(crate) fn failed(&self) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed).min(16);
        let rest = LONGEST.min(SHORTEST * (1 << before));
        self.until.store(self.now() + millis(rest), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.base.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    const TRIAL: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn one_tries_while_the_others_fail_at_once() {
        pause();
        let health = Health::new();
        assert!(health.may_ask(TRIAL) && health.may_ask(TRIAL));
        health.failed();
        assert!(!health.may_ask(TRIAL));
        advance(SHORTEST).await;
        assert!(health.may_ask(TRIAL));
        assert!(!health.may_ask(TRIAL), "somebody tries it already");
        health.answered();
        assert!(health.may_ask(TRIAL) && health.may_ask(TRIAL));
    }

    #[tokio::test]
    async fn rests_grow_to_a_bound_and_a_lost_trial_is_repeated() {
        pause();
        let health = Health::new();
        for _ in 0..100 {
            health.failed();
        }
        advance(LONGEST - Duration::from_millis(1)).await;
        assert!(!health.may_ask(TRIAL));
        advance(Duration::from_millis(1)).await;
        assert!(health.may_ask(TRIAL));
        advance(TRIAL).await;
        assert!(health.may_ask(TRIAL), "whoever tried it has given up");
    }
}
