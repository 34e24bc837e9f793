//! Time in the store: whole Unix seconds, passed in by the caller.
//!
//! No operation reads a clock. The server ticks one shared counter and passes its value with every
//! call. So a thousand operations cost no system call, and a test moves time by counting.

/// A moment: whole seconds since the Unix epoch. Sufficient until the year 2106.
pub type Seconds = u32;

/// Thirty days. A wire exptime up to this is relative to now, a larger one is a Unix time
/// (memcached's `protocol.txt`, "Expiration times").
pub const MAX_RELATIVE_EXPTIME: i64 = 60 * 60 * 24 * 30;

const MAX_U32: i64 = u32::MAX as i64;

/// The first exptime that is negative as a 32-bit number.
const WRAPPED_NEGATIVE: i64 = MAX_U32 - MAX_RELATIVE_EXPTIME;

/// Whether a wire exptime is a Unix time: neither relative, nor "never", nor "at once".
pub fn is_unix_exptime(exptime: i64) -> bool {
    exptime > MAX_RELATIVE_EXPTIME && !(WRAPPED_NEGATIVE..=MAX_U32).contains(&exptime)
}

/// The time at which an item expires: `NEVER`, or the first second at which the item is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry(u32);

impl Expiry {
    /// The item does not expire.
    pub const NEVER: Expiry = Expiry(0);
    /// The item is already dead: a second in the past of every clock.
    pub const PAST: Expiry = Expiry(1);

    /// The item is gone from `at` on. `0` would mean "never"; it becomes [`Expiry::PAST`].
    pub fn at(at: Seconds) -> Expiry {
        Expiry(at.max(1))
    }

    /// Reads a wire exptime: 0 never, negative at once, up to 30 days from `now`, above that a
    /// Unix time. Times beyond [`Seconds`] are clamped to its end.
    ///
    /// libmemcached keeps times in unsigned 32-bit words, so a client's -1 arrives as 2^32 - 1: the
    /// last 30 days below 2^32 are negative too.
    pub fn from_exptime(exptime: i64, now: Seconds) -> Expiry {
        match exptime {
            0 => Expiry::NEVER,
            i64::MIN..0 | WRAPPED_NEGATIVE..=MAX_U32 => Expiry::PAST,
            1..=MAX_RELATIVE_EXPTIME => Expiry::at(clamp(i64::from(now) + exptime)),
            _ => Expiry::at(clamp(exptime)),
        }
    }

    /// Whether an item with this expiry is gone at `now`.
    pub fn is_past(self, now: Seconds) -> bool {
        self.0 != 0 && self.0 <= now
    }

    /// Seconds left at `now`; `None` for an item that never expires, 0 for a dead one.
    pub fn remaining(self, now: Seconds) -> Option<u32> {
        (self.0 != 0).then(|| self.0.saturating_sub(now))
    }

    /// The Unix second of expiry; `None` for never.
    pub fn unix(self) -> Option<Seconds> {
        (self.0 != 0).then_some(self.0)
    }

    /// The expiry as one word, for engines that keep it in an atomic: 0 is never.
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`Expiry::to_bits`].
    pub fn from_bits(bits: u32) -> Expiry {
        Expiry(bits)
    }
}

fn clamp(seconds: i64) -> Seconds {
    Seconds::try_from(seconds).unwrap_or(Seconds::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_exptimes_become_moments() {
        let now = 1_700_000_000;
        assert_eq!(Expiry::from_exptime(0, now), Expiry::NEVER);
        assert_eq!(Expiry::from_exptime(-1, now), Expiry::PAST);
        assert_eq!(Expiry::from_exptime(i64::MIN, now), Expiry::PAST);
        assert_eq!(Expiry::from_exptime(60, now).unix(), Some(now + 60));
        assert_eq!(Expiry::from_exptime(MAX_RELATIVE_EXPTIME, now).unix(), Some(now + 2_592_000));
        assert_eq!(Expiry::from_exptime(MAX_RELATIVE_EXPTIME + 1, now).unix(), Some(2_592_001));
        assert_eq!(Expiry::from_exptime(MAX_U32, now), Expiry::PAST, "libmemcached's -1");
        assert_eq!(Expiry::from_exptime(2_147_483_648, now).unix(), Some(2_147_483_648));
        assert_eq!(Expiry::from_exptime(MAX_U32 + 1, now).unix(), Some(u32::MAX));
        assert_eq!(Expiry::from_exptime(i64::MAX, now).unix(), Some(u32::MAX));
    }

    #[test]
    fn an_item_is_gone_at_its_second_and_not_before() {
        let expiry = Expiry::at(100);
        assert!(!expiry.is_past(99));
        assert!(expiry.is_past(100));
        assert_eq!(expiry.remaining(98), Some(2));
        assert_eq!(expiry.remaining(200), Some(0));
        assert!(!Expiry::NEVER.is_past(u32::MAX));
        assert_eq!(Expiry::NEVER.remaining(5), None);
        assert!(Expiry::PAST.is_past(1));
    }
}
