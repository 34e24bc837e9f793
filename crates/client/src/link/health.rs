//! The health of a node: whether it is worth asking.
//!
//! A node that did not answer rests: for that time requests to it fail at once instead of each
//! waiting for it. Then one request tries it, and the others still fail until that one has an
//! answer. Each failure in a row doubles the rest, up to a bound. However many requests fail for
//! the same reason, they count as one failure.

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
    /// Number of failures in a row.
    failures: AtomicU32,
    /// Milliseconds after `base` until which the node rests, or is being tried.
    until: AtomicU64,
}

impl Health {
    pub(crate) fn new() -> Health {
        Health { base: Instant::now(), failures: AtomicU32::new(0), until: AtomicU64::new(0) }
    }

    /// A permit to ask the node, unless it rests. While it is unreachable, the permit makes the
    /// caller the one that tries it, and `trial` is the longest time that may take.
    #[inline]
    pub(crate) fn may_ask(&self, trial: Duration) -> Option<Permit<'_>> {
        match self.failures.load(Ordering::Relaxed) {
            0 => Some(Permit { health: self, failures: 0, trial_until: None }),
            failures => self.may_try(failures, trial),
        }
    }

    fn may_try(&self, failures: u32, trial: Duration) -> Option<Permit<'_>> {
        let now = self.now();
        let until = self.until.load(Ordering::Relaxed);
        let next = now.saturating_add(millis(trial)).max(until + 1);
        (now >= until && self.replace_until(until, next)).then_some(Permit {
            health: self,
            failures,
            trial_until: Some(next),
        })
    }

    fn replace_until(&self, before: u64, after: u64) -> bool {
        let until = &self.until;
        until.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn now(&self) -> u64 {
        millis(self.base.elapsed())
    }
}

/// A permit to ask a node once. If a trial's permit is dropped without an outcome, the next request
/// tries.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit<'h> {
    health: &'h Health,
    /// Number of failures in a row when the permit was given.
    failures: u32,
    /// For a trial: the value of `until` meanwhile.
    trial_until: Option<u64>,
}

impl Permit<'_> {
    /// Records that the node answered.
    #[inline]
    pub(crate) fn answered(mut self) {
        self.trial_until = None;
        let failures = &self.health.failures;
        if failures.load(Ordering::Relaxed) != 0 {
            failures.store(0, Ordering::Relaxed);
        }
    }

    /// Records that the node did not answer. Returns true for the first failure of a common cause.
    pub(crate) fn failed(self) -> bool {
        let doubled = 1 << self.failures.min(16);
        self.rest(LONGEST.min(SHORTEST * doubled))
    }

    /// Records that the connection ended. That says little about the node itself: after the first
    /// time, the next request tries the node at once.
    pub(crate) fn cut_off(self) {
        match self.failures {
            0 => self.rest(Duration::ZERO),
            _ => self.failed(),
        };
    }

    fn rest(mut self, rest: Duration) -> bool {
        self.trial_until = None;
        let (failures, seen) = (&self.health.failures, self.failures);
        let after = seen.saturating_add(1);
        // All permits given before a failure fail for the same reason.
        let swapped = failures.compare_exchange(seen, after, Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_ok() {
            self.health.until.store(self.health.now() + millis(rest), Ordering::Relaxed);
        }
        swapped.is_ok()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(until) = self.trial_until {
            self.health.replace_until(until, 0);
        }
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

    fn may_ask(health: &Health) -> bool {
        // Keep the permit, like a request in progress.
        health.may_ask(TRIAL).map(std::mem::forget).is_some()
    }

    fn fail(health: &Health) {
        health.may_ask(TRIAL).expect("permit").failed();
    }

    #[tokio::test]
    async fn one_tries_while_the_others_fail_at_once() {
        pause();
        let health = Health::new();
        assert!(may_ask(&health) && may_ask(&health));
        fail(&health);
        assert!(!may_ask(&health));
        advance(SHORTEST).await;
        let trial = health.may_ask(TRIAL).expect("its rest is over");
        assert!(!may_ask(&health), "somebody tries it already");
        trial.answered();
        assert!(may_ask(&health) && may_ask(&health));
    }

    #[tokio::test]
    async fn rests_grow_to_a_bound_and_a_lost_trial_is_repeated() {
        pause();
        let health = Health::new();
        for _ in 0..100 {
            fail(&health);
            advance(LONGEST).await;
        }
        fail(&health);
        advance(LONGEST - Duration::from_millis(1)).await;
        assert!(!may_ask(&health));
        advance(Duration::from_millis(1)).await;
        assert!(may_ask(&health));
        assert!(!may_ask(&health));
        advance(TRIAL).await;
        assert!(may_ask(&health), "whoever tried it takes too long");
    }

    #[tokio::test]
    async fn a_trial_that_is_given_up_is_repeated_at_once() {
        pause();
        let health = Health::new();
        fail(&health);
        advance(SHORTEST).await;
        let trial = health.may_ask(TRIAL).expect("its rest is over");
        assert!(!may_ask(&health));
        drop(trial);
        assert!(may_ask(&health));
    }

    #[tokio::test]
    async fn what_many_requests_suffer_at_once_is_one_failure() {
        pause();
        let health = Health::new();
        let all: Vec<_> = (0..1000).map(|_| health.may_ask(TRIAL).expect("permit")).collect();
        let counted = all.into_iter().map(Permit::failed).filter(|&counts| counts).count();
        assert_eq!(counted, 1);
        advance(SHORTEST).await;
        assert!(may_ask(&health), "it rests for longer than once");
    }

    #[tokio::test]
    async fn a_connection_that_ended_is_made_again_at_once_and_once() {
        pause();
        let health = Health::new();
        health.may_ask(TRIAL).expect("permit").cut_off();
        health.may_ask(TRIAL).expect("another try").cut_off();
        assert!(!may_ask(&health));
        advance(2 * SHORTEST).await;
        assert!(may_ask(&health));
    }
}
