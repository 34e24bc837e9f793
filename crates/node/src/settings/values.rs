//! The parsers of values, each with its bounds and its unit.
//!
//! A value is parsed in the same way wherever it is written: after a flag, in a variable or in a
//! file. A value that exists is within its bounds, so no later check is needed. Leading and trailing
//! blanks are ignored, as memcached does for the value of a flag.

use std::time::Duration;

/// The requirement that an invalid value violates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {0}")]
pub(crate) struct ValueError(String);

impl ValueError {
    pub(super) fn new(must_be: impl Into<String>) -> Self {
        Self(must_be.into())
    }
}

type Parsed<T> = Result<T, ValueError>;

/// A whole number from `min` to `max`.
pub(super) fn whole<T: TryFrom<i64>>(
    min: i64,
    max: i64,
) -> impl Fn(&str) -> Parsed<T> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
        number
            .and_then(|number: i64| T::try_from(number).ok())
            .ok_or_else(|| ValueError::new(format!("a whole number from {min} to {max}")))
    }
}

/// Milliseconds from 1 to `max`.
pub(super) fn milliseconds(
    max: i64,
) -> impl Fn(&str) -> Parsed<Duration> + Clone + Send + Sync + 'static {
    move |text| whole(1, max)(text).map(Duration::from_millis)
}

/// A number of waiting connections. -1 is the largest number, which the system then reduces.
pub(super) fn backlog(text: &str) -> Parsed<u32> {
    let number: i32 = whole(-1, super::options::INT)(text)?;
    Ok(u32::try_from(number).unwrap_or(i32::MAX.unsigned_abs()))
}

/// As many bytes as a number of KiB that memcached's own buffer sizes hold.
pub(super) fn kibibytes(text: &str) -> Parsed<u64> {
    whole(1, (u32::MAX >> 10).into())(text).map(|number: u64| number << 10)
}

/// An amount of memory in bytes, written in MiB: a plain number, or one with `m`, `g` or `t`.
pub(super) fn mebibytes(text: &str) -> Parsed<u64> {
    // 1 PiB: far beyond any machine, and far from overflowing a count of bytes.
    const MAX: u64 = 1 << 30;
    split_unit(text)
        .and_then(|(number, unit)| match unit.as_str() {
            "" | "m" | "mb" => Some(number),
            "g" | "gb" => number.checked_mul(1 << 10),
            "t" | "tb" => number.checked_mul(1 << 20),
            _ => None,
        })
        .filter(|number| (1..=MAX).contains(number))
        .map(|number| number << 20)
        .ok_or_else(|| ValueError::new("megabytes, 1 or more, such as 64 or 2g"))
}

/// The size of an item in bytes: a plain number, or one with `k`, `m` or `g`.
pub(super) fn item_size(text: &str) -> Parsed<u64> {
    split_unit(text)
        .and_then(|(number, unit)| match unit.as_str() {
            "" => Some(number),
            "k" | "kb" => number.checked_mul(1 << 10),
            "m" | "mb" => number.checked_mul(1 << 20),
            "g" | "gb" => number.checked_mul(1 << 30),
            _ => None,
        })
        .filter(|bytes| (1 << 10..=1 << 30).contains(bytes))
        .ok_or_else(|| ValueError::new("a size from 1k to 1024m, such as 1m or 1048576"))
}

/// The shortest text that [`item_size`] reads as this size.
pub(super) fn show_size(bytes: u64) -> String {
    match bytes {
        bytes if bytes % (1 << 20) == 0 => format!("{}m", bytes >> 20),
        bytes if bytes % (1 << 10) == 0 => format!("{}k", bytes >> 10),
        bytes => bytes.to_string(),
    }
}

fn split_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].to_ascii_lowercase()))
}

/// File permissions in octal, at most 0o7777.
pub(super) fn octal(text: &str) -> Parsed<u32> {
    let text = text.trim();
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| ValueError::new("permissions in octal, in a file with quotes: \"0700\""))
}

/// One printable ASCII character. Of several, the first one counts, as in memcached.
pub(super) fn delimiter(text: &str) -> Parsed<u8> {
    let first = text.trim_start().bytes().next().filter(u8::is_ascii_graphic);
    first.ok_or_else(|| ValueError::new("one ASCII character that is not a blank"))
}

/// memcached's factor between slab classes: above 1.
pub(super) fn growth_factor(text: &str) -> Parsed<f64> {
    let factor = text.trim().parse().ok();
    factor
        .filter(|factor: &f64| *factor > 1.0 && factor.is_finite())
        .ok_or_else(|| ValueError::new("a number greater than 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_to_their_bounds() {
        assert_eq!(whole::<u16>(1, 1024)(" 7 "), Ok(7));
        for wrong in ["0", "1025", "", "x", "4x", "-1", "99999999999999999999"] {
            let error = whole::<u16>(1, 1024)(wrong).unwrap_err();
            assert_eq!(error.to_string(), "must be a whole number from 1 to 1024", "{wrong:?}");
        }
        assert!(whole::<u8>(0, 1000)("300").is_err(), "the type bounds as well");
    }

    #[test]
    fn memory_is_in_megabytes_unless_it_has_a_unit() {
        assert_eq!(mebibytes("64"), Ok(64 << 20));
        assert_eq!(mebibytes("64m"), Ok(64 << 20));
        assert_eq!(mebibytes("2G"), Ok(2 << 30));
        for wrong in ["0", "-1", "64k", "1.5g", "1073741825", "99999999999999t", "m", "64é"] {
            assert!(mebibytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn item_sizes_are_in_bytes_unless_they_have_a_unit() {
        assert_eq!(item_size("1048576"), Ok(1 << 20));
        assert_eq!(item_size("1k"), Ok(1024));
        assert_eq!(item_size("1M"), Ok(1 << 20));
        assert_eq!(item_size("1g"), Ok(1 << 30));
        for wrong in ["1023", "1025m", "2g", "", "k", "1t"] {
            assert!(item_size(wrong).is_err(), "{wrong}");
        }
        for shown in ["1m", "3k", "1025", "1024m"] {
            assert_eq!(show_size(item_size(shown).unwrap()), shown);
        }
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(octal("700"), Ok(0o700));
        assert_eq!(octal("0o660"), Ok(0o660));
        assert!(octal("9").is_err());
        assert!(octal("10000").is_err());
    }

    #[test]
    fn the_delimiter_is_the_first_character() {
        assert_eq!(delimiter("ab"), Ok(b'a'));
        assert!(delimiter(" ").is_err());
        assert!(delimiter("é").is_err());
    }

    #[test]
    fn a_growth_factor_grows() {
        assert_eq!(growth_factor("1.25"), Ok(1.25));
        for wrong in ["1.0", "NaN", "inf", ""] {
            assert!(growth_factor(wrong).is_err(), "{wrong}");
        }
    }
}
