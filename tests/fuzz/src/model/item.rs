//! One item, and the arithmetic of its times and numbers.

use crate::answer::Cas;

/// Thirty days: exptimes up to this are counted from now, above it they are Unix times.
const RELATIVE: i64 = 60 * 60 * 24 * 30;

/// Never, among deadlines.
pub(super) const NEVER: u64 = 0;

/// A second that has passed for everybody.
const PAST: u64 = 1;

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The value.
    pub value: Vec<u8>,
    /// The client's flags.
    pub flags: u32,
    /// The first second at which it is gone, 0 for never.
    pub expiry: u64,
    /// Identifies this state of it.
    pub cas: Cas,
    /// When it was last read, or stored.
    pub accessed: u64,
    /// Whether it was read since it was stored.
    pub fetched: bool,
    /// Marked by a meta delete.
    pub stale: bool,
    /// Somebody has been given the right to recache it.
    pub won: bool,
    /// Its key came in base64.
    pub base64: bool,
}

impl Item {
    /// An item just stored.
    pub fn new(value: Vec<u8>, expiry: u64, cas: Cas, now: u64) -> Item {
        Item {
            value,
            flags: 0,
            expiry,
            cas,
            accessed: now,
            fetched: false,
            stale: false,
            won: false,
            base64: false,
        }
    }

    /// Whether it is gone.
    pub fn is_dead(&self, now: u64) -> bool {
        self.expiry != NEVER && self.expiry <= now
    }

    /// Seconds since the last access. Of its second a node keeps 23 bits, a small part of them for
    /// clocks that are ahead: what is older than 96 days looks younger by a multiple of that.
    pub fn idle(&self, now: u64) -> u64 {
        const KEPT: u64 = 1 << 23;
        const AHEAD: u64 = 1 << 16;
        let ago = (now - self.accessed) % KEPT;
        if ago >= KEPT - AHEAD { 0 } else { ago }
    }

    /// Seconds left; -1 for an item that stays.
    pub fn time_left(&self, now: u64) -> i64 {
        match self.expiry {
            NEVER => -1,
            expiry => i64::try_from(expiry.saturating_sub(now)).unwrap_or(i64::MAX),
        }
    }

    /// Somebody reads it.
    pub fn access(&mut self, now: u64) {
        self.fetched = true;
        self.accessed = now;
    }
}

/// The deadline that an exptime on the wire means. Times past what 32 bits hold mean the last one
/// that they do; the last thirty days within are what a client sends that keeps a negative exptime
/// in an unsigned word.
pub fn deadline(exptime: i64, now: u64) -> u64 {
    const MAX: i64 = u32::MAX as i64;
    const WRAPPED: i64 = MAX - RELATIVE;
    let last = u64::from(u32::MAX);
    match exptime {
        0 => NEVER,
        ..0 | WRAPPED..=MAX => PAST,
        1..=RELATIVE => (now + exptime.unsigned_abs()).min(last),
        _ => exptime.unsigned_abs().min(last),
    }
}

/// The number in a value, as C's `strtoull` finds it: blanks and a sign may come first, and a blank,
/// a zero byte or nothing must follow.
pub(super) fn number_in(value: &[u8]) -> Option<u64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = value.iter().position(|byte| !is_blank(byte))?;
    let word = &value[start..];
    let (is_negative, digits) = match word[0] {
        b'-' => (true, &word[1..]),
        b'+' => (false, &word[1..]),
        _ => (false, word),
    };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits.get(len).is_some_and(|byte| *byte != 0 && !is_blank(byte)) {
        return None;
    }
    let number: u64 = std::str::from_utf8(&digits[..len]).ok()?.parse().ok()?;
    let number = if is_negative { number.wrapping_neg() } else { number };
    // A minus sign is only let through where the number wraps to one that is small again.
    (!is_negative || number <= u64::MAX / 2).then_some(number)
}

/// The value that holds a new number in place of an old value: as long as that was if it can be,
/// filled up with blanks. The second part says whether it had to grow.
pub(super) fn renumbered(old: &[u8], number: u64) -> (Vec<u8>, bool) {
    let mut value = number.to_string().into_bytes();
    let grows = value.len() > old.len();
    value.resize(value.len().max(old.len()), b' ');
    (value, grows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exptimes_mean_seconds() {
        let now = 1_700_000_000;
        let of = |exptime| deadline(exptime, now);
        assert_eq!((of(0), of(-1), of(60)), (0, 1, now + 60));
        assert_eq!((of(RELATIVE), of(RELATIVE + 1)), (now + 2_592_000, 2_592_001));
        assert_eq!((of(1 << 31), of((1 << 32) - 1)), (1 << 31, 1));
        assert_eq!((of(1 << 32), of(i64::MAX)), ((1 << 32) - 1, (1 << 32) - 1));
    }

    #[test]
    fn numbers_are_found_as_c_finds_them() {
        for (value, number) in [
            (&b"0"[..], Some(0)),
            (b"10  ", Some(10)),
            (b"\x0b +7\r", Some(7)),
            (b"5\0abc", Some(5)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"-1", None),
            (b"-18446744073709551615", Some(1)),
            (b"", None),
            (b" ", None),
            (b"5a", None),
        ] {
            assert_eq!(number_in(value), number, "{}", value.escape_ascii());
        }
    }
}
