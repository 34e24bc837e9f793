//! Times to live, and the exptimes sent for them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest relative exptime, in seconds: a larger one is a Unix time (`protocol.txt`, "Expiration
/// times").
pub(crate) const MAX_RELATIVE: u64 = 60 * 60 * 24 * 30;

/// The longest time that an item is kept. Any item may be evicted earlier.
///
/// Servers count in seconds, and may drop an item up to a second early or late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ttl {
    /// Until it is evicted.
    #[default]
    Never,
    /// For this long from now. Fractions of a second are rounded up; an item with zero is gone at
    /// once.
    In(Duration),
    /// Until this moment.
    At(SystemTime),
}

impl From<Duration> for Ttl {
    fn from(ttl: Duration) -> Ttl {
        Ttl::In(ttl)
    }
}

impl Ttl {
    /// The exptime for this time to live, given the time of day.
    pub(crate) fn exptime(self, now: impl FnOnce() -> SystemTime) -> i64 {
        const GONE: i64 = -1;
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, rounded_up);
        match self {
            Ttl::Never => 0,
            Ttl::In(Duration::ZERO) => GONE,
            Ttl::In(ttl) => match rounded_up(ttl) {
                ttl @ 0..=MAX_RELATIVE => signed(ttl),
                ttl => signed(seconds(now()).saturating_add(ttl)),
            },
            // A time long past would read as a number of seconds from now.
            Ttl::At(time) => match seconds(time) {
                0..=MAX_RELATIVE => GONE,
                time => signed(time),
            },
        }
    }
}

pub(crate) fn rounded_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// Some servers keep exptimes in 32 bits; those last until the year 2106.
fn signed(seconds: u64) -> i64 {
    i64::from(u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exptime(ttl: impl Into<Ttl>) -> i64 {
        ttl.into().exptime(|| UNIX_EPOCH + Duration::from_millis(1_700_000_000_500))
    }

    #[test]
    fn short_times_count_from_now_and_long_ones_are_dates() {
        assert_eq!(exptime(Ttl::Never), 0);
        assert_eq!(exptime(Duration::ZERO), -1);
        assert_eq!(exptime(Duration::from_millis(1)), 1);
        assert_eq!(exptime(Duration::from_secs(MAX_RELATIVE)), 2_592_000);
        assert_eq!(exptime(Duration::from_secs(MAX_RELATIVE + 1)), 1_700_000_001 + 2_592_001);
        assert_eq!(exptime(Duration::MAX), i64::from(u32::MAX));
    }

    #[test]
    fn a_date_is_never_mistaken_for_a_span() {
        assert_eq!(
            exptime(Ttl::At(UNIX_EPOCH + Duration::from_secs(1_800_000_000))),
            1_800_000_000
        );
        assert_eq!(exptime(Ttl::At(UNIX_EPOCH + Duration::from_secs(5))), -1);
        assert_eq!(exptime(Ttl::At(UNIX_EPOCH - Duration::from_secs(5))), -1);
    }
}
