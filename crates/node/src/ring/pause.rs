//! Detects whether this node was paused: stopped by a signal, a debugger or a hypervisor, starved
//! of CPU time, or suspended with its machine.
//!
//! Peers that wait for such a node declare it failed and serve its keys by a newer ring. When it
//! continues, it still acts by the older ring until the ring manager has greeted the peers. It must
//! not carry out requests in between. So the ring manager emits a heartbeat several times a second,
//! and a worker checks the heartbeat *after* it has read requests and before it carries them out.
//! Requests read before the pause were also sent before it, and may count as carried out then.
//! Requests read after the pause meet an old heartbeat and must wait for the peers.
//!
//! A peer declares a node failed if a handshake was not answered for a second or more and the node
//! stayed silent for `peer_give_up` after that. A heartbeat that is older than `peer_give_up` plus
//! half a second is detected before that.
//!
//! Workers check often, so they use the system's coarse clocks, which need no system call. The
//! coarse monotonic clock does not count the time that a machine is suspended. The calendar clock
//! does, but can be set. So only if the calendar clock has moved too far does the check use the
//! clock that counts suspended time and cannot be set.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::process::clock::passed;

/// The longest time between two heartbeats while the ring manager runs.
pub(super) const BEAT: Duration = Duration::from_millis(250);

/// The amount by which a heartbeat may be older than `peer_give_up`.
const SLACK: Duration = Duration::from_millis(500);

/// A moment by three clocks, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Includes suspended time, by [`passed`].
    passed: u64,
    awake: u64,
    calendar: u64,
}

impl Moment {
    /// The present moment.
    pub(super) fn now() -> Moment {
        Moment { passed: milliseconds(passed()), awake: awake(), calendar: calendar() }
    }
}

/// The ring manager's heartbeat.
#[derive(Debug)]
pub(crate) struct PauseDetector {
    passed: AtomicU64,
    awake: AtomicU64,
    calendar: AtomicU64,
    /// A worker has seen an old heartbeat.
    noticed: AtomicBool,
    /// In milliseconds.
    timeout: u64,
}

impl PauseDetector {
    /// A heartbeat for a node that its peers declare failed after `give_up`.
    pub(super) fn new(give_up: Duration) -> PauseDetector {
        let Moment { passed, awake, calendar } = Moment::now();
        PauseDetector {
            passed: passed.into(),
            awake: awake.into(),
            calendar: calendar.into(),
            noticed: AtomicBool::new(false),
            timeout: milliseconds(give_up + SLACK),
        }
    }

    /// Emits a heartbeat as of `now`, a moment before the ring manager called
    /// [`PauseDetector::paused_for`] and acted on the result.
    pub(super) fn beat(&self, now: Moment) {
        self.passed.store(now.passed, SeqCst);
        self.awake.store(now.awake, SeqCst);
        self.calendar.store(now.calendar, SeqCst);
    }

    /// The length of a pause up to `now`, if the node was paused since the last heartbeat or if a
    /// worker has noticed a pause.
    pub(super) fn paused_for(&self, now: Moment) -> Option<Duration> {
        let noticed = self.noticed.swap(false, SeqCst);
        let since = now.passed.saturating_sub(self.passed.load(SeqCst));
        (noticed || since > self.timeout).then(|| Duration::from_millis(since))
    }

    /// Whether the node was paused and the ring manager has not handled that yet. If so, this call
    /// also notifies the ring manager.
    #[inline]
    pub(crate) fn is_old(&self) -> bool {
        self.is_old_at(awake(), calendar(), || milliseconds(passed()))
    }

    #[inline]
    fn is_old_at(&self, awake: u64, calendar: u64, passed: impl Fn() -> u64) -> bool {
        let over =
            |now: u64, sign: &AtomicU64| now.saturating_sub(sign.load(SeqCst)) > self.timeout;
        let old = over(awake, &self.awake)
            || (over(calendar, &self.calendar) && over(passed(), &self.passed));
        if old {
            self.noticed.store(true, SeqCst);
        }
        old
    }
}

fn awake() -> u64 {
    // On a system without this clock, the other clocks decide.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |time| milliseconds(time.into()))
}

fn calendar() -> u64 {
    // Without it, every check uses the clock that counts suspended time.
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or(u64::MAX, |time| milliseconds(time.into()))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment { passed: 1_000_000, awake: 900_000, calendar: 1_800_000_000_000 };

    /// A moment `millis` after the start, of which `slept` were suspended, with the calendar
    /// shifted by `set`.
    fn at(millis: u64, slept: u64, set: i64) -> Moment {
        Moment {
            passed: START.passed + millis,
            awake: START.awake + millis - slept,
            calendar: (START.calendar + millis).saturating_add_signed(set),
        }
    }

    fn pause_detector() -> PauseDetector {
        let pause_detector = PauseDetector::new(Duration::from_secs(2));
        pause_detector.beat(START);
        pause_detector
    }

    fn is_old(pause_detector: &PauseDetector, now: Moment) -> bool {
        pause_detector.is_old_at(now.awake, now.calendar, || now.passed)
    }

    #[test]
    fn an_old_sign_is_noticed_by_workers_and_by_the_manager() {
        let pause_detector = pause_detector();
        assert!(!is_old(&pause_detector, at(2500, 0, 0)));
        assert_eq!(pause_detector.paused_for(at(2500, 0, 0)), None);
        let late = at(2501, 0, 0);
        assert_eq!(pause_detector.paused_for(late), Some(Duration::from_millis(2501)));
        assert!(is_old(&pause_detector, late), "until the manager has seen to it");
        pause_detector.beat(late);
        assert!(!is_old(&pause_detector, at(2502, 0, 0)));
    }

    #[test]
    fn sleep_counts_and_a_calendar_that_is_set_does_not() {
        let day = 24 * 3600 * 1000;
        assert!(is_old(&pause_detector(), at(5000, 4900, 0)), "it slept");
        assert!(!is_old(&pause_detector(), at(100, 0, day)));
        assert!(!is_old(&pause_detector(), at(100, 0, -day)));
        assert!(is_old(&pause_detector(), at(2501, 0, -day)));
        assert!(is_old(&pause_detector(), at(5000, 4900, day)));
    }

    #[test]
    fn what_only_a_worker_saw_reaches_the_manager_all_the_same() {
        let pause_detector = pause_detector();
        assert!(is_old(&pause_detector, at(2501, 0, 0)));
        let just_before = at(2500, 0, 0);
        assert_eq!(pause_detector.paused_for(just_before), Some(Duration::from_millis(2500)));
        pause_detector.beat(just_before);
        assert_eq!(pause_detector.paused_for(just_before), None);
    }
}
