//! The server's clock: one word that the main thread updates and all threads read.
//!
//! It begins with the calendar's second and advances by the time that passes (`CLOCK_BOOTTIME`,
//! which includes the time a machine is suspended), whatever happens to the calendar. So an item
//! set for a minute lives a minute even if an operator or a time server sets the system's clock by
//! a day meanwhile. The two clocks meet in two places: when an absolute exptime arrives, which is
//! read by the calendar of that moment, and when a moment is shown to people.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use ringbinder_store::{Expiry, Seconds, is_unix_exptime};

/// Nanoseconds since the node started.
pub(crate) type Nanos = u64;

/// Whole seconds, as of the last tick. They are Unix seconds as long as the system's clock is not
/// set.
#[derive(Debug)]
pub(crate) struct Clock {
    now: AtomicU32,
    /// Seconds by which the calendar is ahead of `now`.
    ahead: AtomicI64,
    started: Seconds,
    /// The calendar at creation, and the result of [`passed`] at that moment.
    origin: (Duration, Duration),
    /// The same moment by a clock that is cheap to read.
    began: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock::at(calendar(), passed())
    }

    fn at(calendar: Duration, passed: Duration) -> Self {
        let now = whole(calendar);
        let origin = (calendar, passed);
        let (now_word, ahead) = (AtomicU32::new(now), AtomicI64::new(0));
        Clock { now: now_word, ahead, started: now, origin, began: Instant::now() }
    }

    #[inline]
    pub(crate) fn now(&self) -> Seconds {
        self.now.load(Relaxed)
    }

    /// Updates the clock from the system's time.
    pub(crate) fn tick(&self) {
        self.take(calendar(), passed());
    }

    /// Never goes back, even if several threads tick.
    fn take(&self, calendar: Duration, passed: Duration) {
        let (calendar_then, passed_then) = self.origin;
        let now = calendar_then + passed.saturating_sub(passed_then);
        self.now.fetch_max(whole(now), Relaxed);
        // To the nearest second: a fraction of a second is no reason to shift the exptimes of
        // clients.
        let half = Duration::from_millis(500);
        let ahead = match calendar.checked_sub(now) {
            Some(ahead) => signed(ahead + half),
            None => -signed(now - calendar + half),
        };
        self.ahead.store(ahead, Relaxed);
    }

    /// Advances the clock by hand, if nothing ticks it.
    pub(crate) fn advance(&self, seconds: u32) {
        self.now.fetch_add(seconds, Relaxed);
    }

    /// Seconds by which it is late: more than a few if nothing ticks it.
    pub(crate) fn behind(&self) -> u32 {
        let (calendar_then, passed_then) = self.origin;
        let now = calendar_then + passed().saturating_sub(passed_then);
        whole(now).saturating_sub(self.now())
    }

    /// The time of its creation.
    pub(crate) fn started(&self) -> Seconds {
        self.started
    }

    /// Nanoseconds since the node started, by the clock that cannot be set; never 0. Unlike the
    /// other methods, this one asks the system.
    pub(crate) fn nanos(&self) -> Nanos {
        Nanos::try_from(self.began.elapsed().as_nanos()).unwrap_or(Nanos::MAX).max(1)
    }

    pub(crate) fn uptime(&self) -> u32 {
        self.now().saturating_sub(self.started)
    }

    /// Converts an exptime that arrived at `now`: a relative time, or a moment of the calendar.
    pub(crate) fn expiry(&self, exptime: i64, now: Seconds) -> Expiry {
        let ahead = self.ahead.load(Relaxed);
        if ahead == 0 || !is_unix_exptime(exptime) {
            return Expiry::from_exptime(exptime, now);
        }
        let moment = exptime.saturating_sub(ahead).clamp(1, i64::from(Seconds::MAX));
        Expiry::at(Seconds::try_from(moment).unwrap_or(Seconds::MAX))
    }

    /// Converts a moment of this clock to the calendar, for people and clients.
    pub(crate) fn unix(&self, moment: Seconds) -> Seconds {
        let unix = i64::from(moment).saturating_add(self.ahead.load(Relaxed));
        Seconds::try_from(unix.max(0)).unwrap_or(Seconds::MAX)
    }
}

/// The time since the Unix epoch, by the system's clock.
fn calendar() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time since some fixed moment, including suspended time, by a clock that cannot be set.
pub(crate) fn passed() -> Duration {
    // Every supported system has this clock. A system without it would show at once, because no
    // item would ever expire.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

fn whole(time: Duration) -> Seconds {
    Seconds::try_from(time.as_secs()).unwrap_or(Seconds::MAX)
}

fn signed(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_calendar_may_jump_and_items_live_as_long_as_they_were_set_for() {
        let start = 1_800_000_000;
        let clock = Clock::at(seconds(start), seconds(5000));
        let minute = clock.expiry(60, clock.now());
        for calendar in [start + DAY, start - DAY, 0, start] {
            clock.take(seconds(calendar + 59), seconds(5059));
            assert!(!minute.is_past(clock.now()), "the calendar says {calendar}");
            assert_eq!(clock.unix(clock.now()), whole(seconds(calendar + 59)));
            assert_eq!(clock.uptime(), 59);
        }
        clock.take(seconds(start - DAY), seconds(5060));
        assert!(minute.is_past(clock.now()));
    }

    #[test]
    fn a_moment_is_read_by_the_calendar_of_its_request() {
        let start = 1_800_000_000u64;
        let clock = Clock::at(seconds(start), seconds(5000));
        for calendar in [start, start + DAY, start - DAY] {
            clock.take(seconds(calendar), seconds(5000));
            let unix = i64::try_from(calendar).unwrap();
            assert_eq!(clock.expiry(unix + 10, clock.now()).remaining(clock.now()), Some(10));
            assert!(clock.expiry(unix, clock.now()).is_past(clock.now()));
            assert!(clock.expiry(unix - 10, clock.now()).is_past(clock.now()));
            assert_eq!(clock.expiry(0, clock.now()), Expiry::NEVER);
            assert_eq!(clock.expiry(-1, clock.now()), Expiry::PAST);
            assert_eq!(clock.expiry(10, clock.now()).remaining(clock.now()), Some(10));
            assert_eq!(clock.expiry(i64::from(u32::MAX), clock.now()), Expiry::PAST);
        }
    }

    #[test]
    fn time_does_not_go_back_and_parts_of_a_second_are_no_jump() {
        let clock = Clock::at(Duration::from_millis(1_800_000_000_900), seconds(50));
        for passed in 0..3000 {
            let passed = Duration::from_millis(passed);
            clock.take(Duration::from_millis(1_800_000_001_300) + passed, seconds(50) + passed);
            assert_eq!(clock.ahead.load(Relaxed), 0);
        }
        let now = clock.now();
        clock.take(seconds(1_800_000_000), seconds(50));
        assert_eq!(clock.now(), now);
    }
}
