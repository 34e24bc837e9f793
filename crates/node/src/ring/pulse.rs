//! Whether this node has stood still: stopped by a signal, a debugger or a hypervisor, starved, or
//! suspended with its machine.
//!
//! Peers that wait for such a node give it up, and serve its keys by a newer ring. When it goes on,
//! it still acts by the older one, until the keeper has greeted the peers. Requests are not to be
//! carried out in between. So the keeper leaves a sign of life many times a second, and a worker
//! looks at it *after* it has read requests and before it carries them out. Whatever was read before
//! the node stood still was sent before, too, and may count as carried out then; whatever is read
//! afterwards meets an old sign and has to wait for the peers.
//!
//! A peer gives a node up when a greeting was not answered for a second or more, and the node stayed
//! silent for `peer_give_up` after that. Signs older than that time and half a second come sooner.
//!
//! Workers look often, so they look at the system's coarse clocks, which cost no system call. The
//! monotonic one misses what a machine slept; the calendar does not, but may be set: only where it
//! has moved as well is the clock asked that counts sleep and cannot be set.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::clock::passed;

/// Longest time between two signs of life while the keeper runs.
pub(super) const BEAT: Duration = Duration::from_millis(250);

/// How much older than `peer_give_up` a sign may be.
const SLACK: Duration = Duration::from_millis(500);

/// A moment, by three clocks, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    /// Sleep included, by [`passed`].
    passed: u64,
    awake: u64,
    calendar: u64,
}

impl Sign {
    /// Now.
    pub(super) fn now() -> Sign {
        Sign { passed: milliseconds(passed()), awake: awake(), calendar: calendar() }
    }
}

/// The keeper's sign of life.
#[derive(Debug)]
pub(crate) struct Pulse {
    passed: AtomicU64,
    awake: AtomicU64,
    calendar: AtomicU64,
    /// A worker has seen an old sign.
    noticed: AtomicBool,
    /// In milliseconds.
    patience: u64,
}

impl Pulse {
    /// A node that its peers give up after `give_up`.
    pub(super) fn new(give_up: Duration) -> Pulse {
        let Sign { passed, awake, calendar } = Sign::now();
        Pulse {
            passed: passed.into(),
            awake: awake.into(),
            calendar: calendar.into(),
            noticed: AtomicBool::new(false),
            patience: milliseconds(give_up + SLACK),
        }
    }

    /// Leaves a sign of life, as of `now`: a moment before the keeper asked
    /// [`Pulse::stood_still`] and did what follows from that.
    pub(super) fn beat(&self, now: Sign) {
        self.passed.store(now.passed, SeqCst);
        self.awake.store(now.awake, SeqCst);
        self.calendar.store(now.calendar, SeqCst);
    }

    /// How long the node stood still up to `now`, if it did so since the last sign, or a worker says
    /// so.
    pub(super) fn stood_still(&self, now: Sign) -> Option<Duration> {
        let noticed = self.noticed.swap(false, SeqCst);
        let since = now.passed.saturating_sub(self.passed.load(SeqCst));
        (noticed || since > self.patience).then(|| Duration::from_millis(since))
    }

    /// Whether the node has stood still and the keeper has not seen to it since. Where that is so,
    /// the keeper learns of it.
    #[inline]
    pub(crate) fn is_old(&self) -> bool {
        self.is_old_at(awake(), calendar(), || milliseconds(passed()))
    }

    #[inline]
    fn is_old_at(&self, awake: u64, calendar: u64, passed: impl Fn() -> u64) -> bool {
        let over =
            |now: u64, sign: &AtomicU64| now.saturating_sub(sign.load(SeqCst)) > self.patience;
        let old = over(awake, &self.awake)
            || (over(calendar, &self.calendar) && over(passed(), &self.passed));
        if old {
            self.noticed.store(true, SeqCst);
        }
        old
    }
}

fn awake() -> u64 {
    // Where there is no such clock the others decide.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |time| milliseconds(time.into()))
}

fn calendar() -> u64 {
    // Without it the clock that counts sleep is asked each time.
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or(u64::MAX, |time| milliseconds(time.into()))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Sign = Sign { passed: 1_000_000, awake: 900_000, calendar: 1_800_000_000_000 };

    /// So many milliseconds after the start, `slept` of them asleep, the calendar set by `set`.
    fn at(millis: u64, slept: u64, set: i64) -> Sign {
        Sign {
            passed: START.passed + millis,
            awake: START.awake + millis - slept,
            calendar: (START.calendar + millis).saturating_add_signed(set),
        }
    }

    fn pulse() -> Pulse {
        let pulse = Pulse::new(Duration::from_secs(2));
        pulse.beat(START);
        pulse
    }

    fn is_old(pulse: &Pulse, now: Sign) -> bool {
        pulse.is_old_at(now.awake, now.calendar, || now.passed)
    }

    #[test]
    fn an_old_sign_is_noticed_by_workers_and_by_the_keeper() {
        let pulse = pulse();
        assert!(!is_old(&pulse, at(2500, 0, 0)));
        assert_eq!(pulse.stood_still(at(2500, 0, 0)), None);
        let late = at(2501, 0, 0);
        assert_eq!(pulse.stood_still(late), Some(Duration::from_millis(2501)));
        assert!(is_old(&pulse, late), "until the keeper has seen to it");
        pulse.beat(late);
        assert!(!is_old(&pulse, at(2502, 0, 0)));
    }

    #[test]
    fn sleep_counts_and_a_calendar_that_is_set_does_not() {
        let day = 24 * 3600 * 1000;
        assert!(is_old(&pulse(), at(5000, 4900, 0)), "it slept");
        assert!(!is_old(&pulse(), at(100, 0, day)));
        assert!(!is_old(&pulse(), at(100, 0, -day)));
        assert!(is_old(&pulse(), at(2501, 0, -day)));
        assert!(is_old(&pulse(), at(5000, 4900, day)));
    }

    #[test]
    fn what_only_a_worker_saw_reaches_the_keeper_all_the_same() {
        let pulse = pulse();
        assert!(is_old(&pulse, at(2501, 0, 0)));
        let just_before = at(2500, 0, 0);
        assert_eq!(pulse.stood_still(just_before), Some(Duration::from_millis(2500)));
        pulse.beat(just_before);
        assert_eq!(pulse.stood_still(just_before), None);
    }
}
