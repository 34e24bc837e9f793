//! The delay of logins before they are checked, by source.
//!
//! A wrong password costs its connection a pause, which an attacker avoids with another connection.
//! So wrong passwords are counted by source. From [`FREE`] on, every login from that source, right
//! or wrong, waits before the password is compared. Closing the connection early gains nothing, and
//! the delay does not reveal whether the password was right. A delay is at most [`LONGEST`], so
//! that honest clients behind the same address can still log in, and it is forgotten within
//! minutes.
//!
//! The memory is bounded: [`MAX_SOURCES`] sources are counted separately. While these are in use,
//! all others together count as one.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use ringbinder_store::Seconds;

use super::source::Source;

/// The number of wrong passwords from one source before its logins are delayed.
const FREE: u32 = 8;

/// The first delay. It doubles with each [`STEP`] further wrong passwords.
const SHORTEST: Duration = Duration::from_millis(50);
const STEP: u32 = 4;

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(1);

/// The highest count: wrong passwords beyond the longest delay do not take longer to forget.
const MOST: u32 = FREE + 8 * STEP;

/// Seconds without a wrong password after which half of them are forgotten.
const FADE: Seconds = 60;

/// The number of sources that are counted separately.
const MAX_SOURCES: usize = 1024;

/// The wrong passwords of one source.
#[derive(Clone, Copy, Debug, Default)]
struct Wrong {
    count: u32,
    /// The time of the last of them, or of the last reduction.
    at: Seconds,
}

impl Wrong {
    /// The count after the reductions that are due.
    fn at(self, now: Seconds) -> Wrong {
        let halvings = now.saturating_sub(self.at) / FADE;
        if halvings == 0 {
            return self;
        }
        Wrong {
            count: self.count.checked_shr(halvings).unwrap_or(0),
            at: self.at + halvings * FADE,
        }
    }

    fn and_one(self, now: Seconds) -> Wrong {
        Wrong { count: self.at(now).count.saturating_add(1).min(MOST), at: now }
    }

    fn wait(self) -> Duration {
        let Some(beyond) = self.count.checked_sub(FREE) else { return Duration::ZERO };
        SHORTEST.saturating_mul(1 << (beyond / STEP).min(16)).min(LONGEST)
    }
}

#[derive(Debug, Default)]
struct Counted {
    by_source: HashMap<Source, Wrong>,
    /// All sources without an entry of their own.
    others: Wrong,
    /// The time of the last search for a free entry.
    searched: Seconds,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Guessing(Mutex<Counted>);

impl Guessing {
    /// The delay of a login from this source.
    pub(crate) fn wait(&self, source: Source, now: Seconds) -> Duration {
        let counted = self.0.lock();
        let wrong = match counted.by_source.get(&source) {
            Some(wrong) => *wrong,
            None if counted.by_source.len() >= MAX_SOURCES => counted.others,
            None => return Duration::ZERO,
        };
        wrong.at(now).wait()
    }

    /// Records a wrong password.
    pub(crate) fn wrong(&self, source: Source, now: Seconds) {
        let mut counted = self.0.lock();
        let counted = &mut *counted;
        if !counted.by_source.contains_key(&source) && counted.by_source.len() >= MAX_SOURCES {
            if counted.searched != now {
                counted.searched = now;
                counted.by_source.retain(|_, wrong| wrong.at(now).count > 0);
            }
            if counted.by_source.len() >= MAX_SOURCES {
                counted.others = counted.others.and_one(now);
                return;
            }
        }
        let wrong = counted.by_source.entry(source).or_default();
        *wrong = wrong.and_one(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(guessing: &Guessing, source: Source, times: u32, now: Seconds) {
        for _ in 0..times {
            guessing.wrong(source, now);
        }
    }

    #[test]
    fn a_few_are_free_and_many_wait_but_never_longer_than_a_second() {
        let (guessing, there) = (Guessing::default(), Source::V4(1));
        let mut waits = Vec::new();
        for _ in 0..200 {
            waits.push(guessing.wait(there, 100));
            guessing.wrong(there, 100);
        }
        assert!(waits[..8].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[8], SHORTEST);
        assert_eq!(waits[12], 2 * SHORTEST);
        assert!(waits.is_sorted());
        assert_eq!(waits[199], LONGEST);
        assert_eq!(guessing.wait(Source::V4(2), 100), Duration::ZERO, "another address");
    }

    #[test]
    fn it_is_forgotten_within_minutes_however_many_there_were() {
        let (guessing, there) = (Guessing::default(), Source::Local);
        guess(&guessing, there, 1_000_000, 100);
        assert_eq!(guessing.wait(there, 159), LONGEST);
        assert!(guessing.wait(there, 160) < LONGEST);
        assert_eq!(guessing.wait(there, 100 + 3 * FADE), Duration::ZERO);
        // One worker may have read the clock before another.
        assert_eq!(guessing.wait(there, 99), LONGEST);
        assert_eq!(guessing.wait(there, Seconds::MAX), Duration::ZERO);
    }

    #[test]
    fn one_try_a_minute_never_waits() {
        let (guessing, there) = (Guessing::default(), Source::V4(1));
        for minute in 1..1000 {
            assert_eq!(guessing.wait(there, minute * FADE), Duration::ZERO);
            guessing.wrong(there, minute * FADE);
        }
    }

    #[test]
    fn more_sources_than_are_known_by_themselves_are_one() {
        let guessing = Guessing::default();
        for number in 0..1024 {
            guess(&guessing, Source::V6(number), 20, 100);
        }
        assert_eq!(guessing.wait(Source::V6(5000), 100), Duration::ZERO);
        // Each of them guesses once, and together they wait.
        for number in 1024..2048 {
            guessing.wrong(Source::V6(number), 100);
        }
        assert_eq!(guessing.0.lock().by_source.len(), MAX_SOURCES, "bounded memory");
        assert_eq!(guessing.wait(Source::V6(5000), 100), LONGEST);
        // Known sources keep their entries: new ones do not replace them.
        assert!(guessing.wait(Source::V6(1), 100) > SHORTEST);
        // Once they are quiet, there is room again.
        guessing.wrong(Source::V6(5000), 100 + 10 * FADE);
        assert_eq!(guessing.0.lock().by_source.len(), 1);
        assert_eq!(guessing.wait(Source::V6(6000), 100 + 10 * FADE), Duration::ZERO);
    }
}
