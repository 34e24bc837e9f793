//! Formats shares of the key space.

use ringbinder_ring::Share;
use serde::Serialize;

/// A share for programs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Part {
    /// From 0 to 1.
    pub(crate) share: f64,
    /// Number of points, of 2^32.
    pub(crate) points: u64,
}

impl From<Share> for Part {
    fn from(share: Share) -> Part {
        Part { share: share.fraction(), points: share.points() }
    }
}

/// A fraction for people. A fraction above 0 never shows as 0.00%, nor one below 1 as 100.00%.
pub(crate) fn percent(fraction: f64) -> String {
    match fraction {
        f if f > 0.0 && f < 0.000_05 => "<0.01%".to_owned(),
        f if f < 1.0 && f > 0.999_95 => ">99.99%".to_owned(),
        f => format!("{:.2}%", f * 100.0),
    }
}

/// The difference of two fractions for people, with its sign.
pub(crate) fn difference(before: f64, after: f64) -> String {
    if before == after {
        return "0".to_owned();
    }
    let sign = if after > before { '+' } else { '-' };
    format!("{sign}{}", percent((after - before).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_not_nothing_and_much_is_not_all() {
        assert_eq!(percent(0.0), "0.00%");
        assert_eq!(percent(1e-9), "<0.01%");
        assert_eq!(percent(1.0 / 3.0), "33.33%");
        assert_eq!(percent(0.999_999), ">99.99%");
        assert_eq!(percent(1.0), "100.00%");
        assert_eq!(difference(0.25, 0.25), "0");
        assert_eq!(difference(0.25, 0.5), "+25.00%");
        assert_eq!(difference(0.5, 0.25), "-25.00%");
    }
}
