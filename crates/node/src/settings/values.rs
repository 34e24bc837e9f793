//! The kinds of values of settings, each with its bounds.
//!
//! A value is parsed in the same way wherever it is written: as text after a flag or in a variable,
//! as text or a number in a file. A value that exists is within its bounds, so no later check is
//! needed. Leading and trailing blanks are ignored, as memcached does for the value of a flag.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The requirement that an invalid value violates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {0}")]
pub(crate) struct ValueError(String);

impl ValueError {
    pub(super) fn new(must_be: impl Into<String>) -> Self {
        Self(must_be.into())
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounded<T, const MIN: i64, const MAX: i64>(pub(super) T);

impl<T: TryFrom<i64>, const MIN: i64, const MAX: i64> FromStr for Bounded<T, MIN, MAX> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.trim()
            .parse()
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .and_then(|number: i64| T::try_from(number).ok())
            .map(Self)
            .ok_or_else(|| ValueError::new(format!("a whole number from {MIN} to {MAX}")))
    }
}

/// An amount of memory in MiB: a plain number, or one with `m`, `g` or `t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mebibytes(u64);

impl Mebibytes {
    /// 1 PiB: far beyond any machine, and far from overflowing a count of bytes.
    const MAX: u64 = 1 << 30;

    pub(super) fn bytes(self) -> u64 {
        self.0 << 20
    }
}

impl FromStr for Mebibytes {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        split_unit(text)
            .and_then(|(number, unit)| match unit.as_str() {
                "" | "m" | "mb" => Some(number),
                "g" | "gb" => number.checked_mul(1 << 10),
                "t" | "tb" => number.checked_mul(1 << 20),
                _ => None,
            })
            .filter(|number| (1..=Self::MAX).contains(number))
            .map(Self)
            .ok_or_else(|| ValueError::new("megabytes, 1 or more, such as 64 or 2g"))
    }
}

/// The size of an item in bytes: a plain number, or one with `k`, `m` or `g`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ItemSize(u64);

impl ItemSize {
    const MIN: u64 = 1 << 10;
    const MAX: u64 = 1 << 30;

    pub(super) fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ItemSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        split_unit(text)
            .and_then(|(number, unit)| match unit.as_str() {
                "" => Some(number),
                "k" | "kb" => number.checked_mul(1 << 10),
                "m" | "mb" => number.checked_mul(1 << 20),
                "g" | "gb" => number.checked_mul(1 << 30),
                _ => None,
            })
            .filter(|bytes| (Self::MIN..=Self::MAX).contains(bytes))
            .map(Self)
            .ok_or_else(|| ValueError::new("a size from 1k to 1024m, such as 1m or 1048576"))
    }
}

impl Display for ItemSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes % (1 << 20) == 0 => write!(f, "{}m", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => write!(f, "{}k", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

fn split_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].to_ascii_lowercase()))
}

/// File permissions in octal.
///
/// In a file they must be quoted: `700` as a number could mean either base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Octal(pub(super) u32);

impl FromStr for Octal {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        let digits = text.strip_prefix("0o").unwrap_or(text);
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .map(Self)
            .ok_or_else(|| ValueError::new("permissions in octal, in a file with quotes: \"0700\""))
    }
}

impl Display for Octal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// One printable ASCII character. Of several, the first one counts, as in memcached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delimiter(pub(super) u8);

impl FromStr for Delimiter {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.trim_start().bytes().next() {
            Some(byte) if byte.is_ascii_graphic() => Ok(Self(byte)),
            _ => Err(ValueError::new("one ASCII character that is not a blank")),
        }
    }
}

impl Display for Delimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", char::from(self.0))
    }
}

/// memcached's factor between slab classes: above 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct GrowthFactor(pub(super) f64);

impl FromStr for GrowthFactor {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.trim()
            .parse()
            .ok()
            .filter(|factor: &f64| *factor > 1.0 && factor.is_finite())
            .map(Self)
            .ok_or_else(|| ValueError::new("a number greater than 1"))
    }
}

/// Reads a value that a file may write as text or as a whole number, and a variable as text.
struct TextOrNumber<T>(PhantomData<T>);

impl<T: FromStr<Err = ValueError>> Visitor<'_> for TextOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("text or a whole number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error| E::custom(format!("{error}, not '{text}'")))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

pub(super) fn text_or_number<'de, D: Deserializer<'de>, T: FromStr<Err = ValueError>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(TextOrNumber(PhantomData))
}

impl<'de, T: TryFrom<i64>, const MIN: i64, const MAX: i64> Deserialize<'de>
    for Bounded<T, MIN, MAX>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)
    }
}

impl<T: Serialize, const MIN: i64, const MAX: i64> Serialize for Bounded<T, MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Mebibytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)
    }
}

impl Serialize for Mebibytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ItemSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)
    }
}

impl Serialize for ItemSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Delimiter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer)
    }
}

impl Serialize for Delimiter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Octal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Quoted;
        impl Visitor<'_> for Quoted {
            type Value = Octal;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("octal permissions in quotes, such as \"0700\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Octal, E> {
                TextOrNumber(PhantomData).visit_str(text)
            }
        }
        deserializer.deserialize_any(Quoted)
    }
}

impl Serialize for Octal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads one of the words of a flag's possible values.
pub(super) fn one_of<'de, D: Deserializer<'de>, T: clap::ValueEnum>(
    deserializer: D,
) -> Result<T, D::Error> {
    let word = String::deserialize(deserializer)?;
    T::from_str(&word, true).map_err(|_| {
        let words = T::value_variants().iter().filter_map(T::to_possible_value);
        let words: Vec<String> = words.map(|word| word.get_name().to_owned()).collect();
        de::Error::custom(format!("must be one of {}, not '{word}'", words.join(", ")))
    })
}

/// Reads how often a counting flag would have been given.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    Bounded::<u8, 0, 255>::deserialize(deserializer).map(|number| number.0)
}

/// Reads one text, or a list of them.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    struct OneOrMany;
    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("text or a list of texts")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(vec![text.into()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut texts = Vec::new();
            while let Some(text) = list.next_element()? {
                texts.push(text);
            }
            Ok(texts)
        }
    }
    deserializer.deserialize_any(OneOrMany)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_to_their_bounds() {
        type Number = Bounded<u16, 1, 1024>;
        assert_eq!(" 7 ".parse(), Ok(Bounded::<u16, 1, 1024>(7)));
        for wrong in ["0", "1025", "", "x", "4x", "-1", "99999999999999999999"] {
            let error = wrong.parse::<Number>().unwrap_err();
            assert_eq!(error.to_string(), "must be a whole number from 1 to 1024", "{wrong:?}");
        }
        assert!("300".parse::<Bounded<u8, 0, 1000>>().is_err(), "the type bounds as well");
    }

    #[test]
    fn memory_is_in_megabytes_unless_it_says_otherwise() {
        let parse = |text: &str| text.parse::<Mebibytes>().map(Mebibytes::bytes);
        assert_eq!(parse("64"), Ok(64 << 20));
        assert_eq!(parse("64m"), Ok(64 << 20));
        assert_eq!(parse("2G"), Ok(2 << 30));
        for wrong in ["0", "-1", "64k", "1.5g", "1073741825", "99999999999999t", "m", "64é"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn item_sizes_are_in_bytes_unless_they_say_otherwise() {
        let parse = |text: &str| text.parse::<ItemSize>().map(ItemSize::bytes);
        assert_eq!(parse("1048576"), Ok(1 << 20));
        assert_eq!(parse("1k"), Ok(1024));
        assert_eq!(parse("1M"), Ok(1 << 20));
        assert_eq!(parse("1g"), Ok(1 << 30));
        for wrong in ["1023", "1025m", "2g", "", "k", "1t"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for shown in ["1m", "3k", "1025", "1024m"] {
            assert_eq!(shown.parse::<ItemSize>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!("700".parse(), Ok(Octal(0o700)));
        assert_eq!("0o660".parse(), Ok(Octal(0o660)));
        assert!("9".parse::<Octal>().is_err());
        assert!("10000".parse::<Octal>().is_err());
        assert_eq!(Octal(0o70).to_string(), "0070");
    }

    #[test]
    fn the_delimiter_is_the_first_character() {
        assert_eq!("ab".parse(), Ok(Delimiter(b'a')));
        assert!(" ".parse::<Delimiter>().is_err());
        assert!("é".parse::<Delimiter>().is_err());
    }

    #[test]
    fn a_growth_factor_grows() {
        assert_eq!("1.25".parse(), Ok(GrowthFactor(1.25)));
        for wrong in ["1.0", "NaN", "inf", ""] {
            assert!(wrong.parse::<GrowthFactor>().is_err(), "{wrong}");
        }
    }
}
