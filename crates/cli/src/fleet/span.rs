//! Durations on the command line.

use std::time::Duration;

/// Longest time to wait, in seconds.
const MAX_WAIT: f64 = 3600.0;

/// Longest time to live, in seconds: about 31 years. Some servers keep exptimes in 32 bits.
const MAX_TTL: u64 = 1_000_000_000;

/// A time to wait, in seconds: `2`, `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write seconds, such as 2 or 0.5".to_owned())?;
    if !(0.001..=MAX_WAIT).contains(&seconds) {
        return Err(format!("from 0.001 to {MAX_WAIT} seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A time to live in whole seconds: `90`, `90s`, `10m`, `2h`, `7d`.
pub(crate) fn ttl(text: &str) -> Result<u64, String> {
    const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let found = UNITS.iter().find_map(|&(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, unit) = found.unwrap_or((text, 1));
    let number: u64 =
        number.parse().map_err(|_| "write seconds, or 90s, 10m, 2h, 7d".to_owned())?;
    number
        .checked_mul(unit)
        .filter(|&seconds| seconds <= MAX_TTL)
        .ok_or_else(|| format!("at most {MAX_TTL} seconds; 0 means for ever"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_seconds_and_parts_of_them() {
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "x", "0", "-1", "NaN", "inf", "1e9", "2s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_to_live_have_units() {
        assert_eq!(ttl("0"), Ok(0));
        assert_eq!(ttl("90"), Ok(90));
        assert_eq!(ttl("90s"), Ok(90));
        assert_eq!(ttl("10m"), Ok(600));
        assert_eq!(ttl("2h"), Ok(7200));
        assert_eq!(ttl("7d"), Ok(604_800));
        for bad in ["", "s", "-1", "1.5", "1w", "\u{e9}", "1000000001", "18446744073709551615d"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }
}
