//! Decimal numbers from the wire. Each is checked against its range here, so that no later code
//! meets a number that does not fit.

/// An unsigned number with an optional plus sign, up to 2^64 - 1.
pub(crate) fn unsigned(word: &[u8]) -> Option<u64> {
    let digits = word.strip_prefix(b"+").unwrap_or(word);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// An unsigned number up to 2^32 - 1.
pub(crate) fn unsigned32(word: &[u8]) -> Option<u32> {
    u32::try_from(unsigned(word)?).ok()
}

/// A number with an optional sign, -2^63 + 1 to 2^63 - 1.
pub(crate) fn signed(word: &[u8]) -> Option<i64> {
    match word.strip_prefix(b"-") {
        Some([b'+', ..]) => None,
        Some(digits) => Some(-i64::try_from(unsigned(digits)?).ok()?),
        None => i64::try_from(unsigned(word)?).ok(),
    }
}

/// The length of a value in bytes, 0 to [`crate::MAX_VALUE_LEN`].
pub(crate) fn value_len(word: &[u8]) -> Option<usize> {
    let len = usize::try_from(unsigned(word)?).ok()?;
    (len <= crate::MAX_VALUE_LEN).then_some(len)
}

/// A number with a decimal point, for the tuning commands.
pub(crate) fn float(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_numbers_end_at_their_width() {
        assert_eq!(unsigned(b"0"), Some(0));
        assert_eq!(unsigned(b"+007"), Some(7));
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"18446744073709551616"), None);
        for bad in [&b""[..], b"+", b"-1", b"1x", b"x", b"1 ", b"++1", b"0x10", b"1.0"] {
            assert_eq!(unsigned(bad), None, "{bad:?}");
        }
        assert_eq!(unsigned32(b"4294967295"), Some(u32::MAX));
        assert_eq!(unsigned32(b"4294967296"), None);
    }

    #[test]
    fn signed_numbers_take_one_sign() {
        assert_eq!(signed(b"-1"), Some(-1));
        assert_eq!(signed(b"+1"), Some(1));
        assert_eq!(signed(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(signed(b"-9223372036854775807"), Some(-i64::MAX));
        for bad in [&b"9223372036854775808"[..], b"-", b"--1", b"-+1", b"+-1", b""] {
            assert_eq!(signed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_value_cannot_announce_more_than_a_signed_32_bit_length() {
        assert_eq!(value_len(b"2147483645"), Some(crate::MAX_VALUE_LEN));
        assert_eq!(value_len(b"2147483646"), None);
        assert_eq!(value_len(b"-1"), None);
    }
}
