//! Formats numbers for tables.

use ringbinder_protocol::stats::float;

/// A count: `999`, `12.3k`, `4.5M`.
pub(crate) fn count(number: u64) -> String {
    scaled(number, 1000, &["", "k", "M", "G", "T", "P", "E"])
}

/// A count with its noun: `1 node`, `2 nodes`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A number of bytes: `999`, `1.2K`, `64M`.
pub(crate) fn bytes(number: u64) -> String {
    scaled(number, 1024, &["", "K", "M", "G", "T", "P", "E"])
}

/// A rate: `0.5`, `12`, `12.3k`.
pub(crate) fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 {
        return format!("{rate:.1}");
    }
    // NaN and negative numbers become 0, and too large numbers the maximum.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    count(rate.round() as u64)
}

/// A time: `87us`, `1.2ms`, `3.4s`.
pub(crate) fn micros(micros: f64) -> String {
    let (number, unit) = match micros {
        ..999.5 => (micros, "us"),
        ..999_500.0 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    if unit != "us" && number < 9.95 {
        format!("{number:.1}{unit}")
    } else {
        format!("{number:.0}{unit}")
    }
}

/// A share from 0 to 1: `98.7%`. It is rounded down, so that 100% means all.
pub(crate) fn percent(share: f64) -> String {
    let tenths = (share.clamp(0.0, 1.0) * 1000.0).floor();
    if tenths >= 1000.0 { "100%".to_owned() } else { format!("{:.1}%", tenths / 10.0) }
}

/// A part of a whole: `98.7%`; `-` if the whole is 0.
pub(crate) fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { percent(float(part) / float(whole)) }
}

/// A duration: `59s`, `12m`, `5h 03m`, `8d 02h`.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// At most four digits and a unit.
fn scaled(number: u64, base: u64, units: &[&str]) -> String {
    let mut scale = 1u64;
    let mut unit = 0;
    while number / scale >= base && unit + 1 < units.len() {
        scale *= base;
        unit += 1;
    }
    let whole = number / scale;
    let tenth = u128::from(number % scale) * 10 / u128::from(scale);
    if whole >= 100 || tenth == 0 {
        return format!("{whole}{}", units[unit]);
    }
    format!("{whole}.{tenth}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_short() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1k");
        assert_eq!(count(12_345), "12.3k");
        assert_eq!(count(999_999), "999k");
        assert_eq!(count(u64::MAX), "18.4E");
        assert_eq!(bytes(1023), "1023");
        assert_eq!(bytes(64 << 20), "64M");
        assert_eq!(bytes(3 << 29), "1.5G");
    }

    #[test]
    fn rates_and_times_are_short_too() {
        let rates = [0.0, 0.04, 0.5, 9.96, 12.4, 12_345.0, f64::NAN, f64::INFINITY, -1.0];
        let told = ["0", "0.0", "0.5", "10", "12", "12.3k", "0", "18.4E", "0"];
        assert_eq!(rates.map(per_second), told);
        let times = [0.0, 87.4, 999.4, 999.6, 1234.0, 56_000.0, 999_600.0, 3_400_000.0];
        assert_eq!(
            times.map(micros),
            ["0us", "87us", "999us", "1.0ms", "1.2ms", "56ms", "1.0s", "3.4s"]
        );
    }

    #[test]
    fn all_is_said_of_all_only() {
        assert_eq!(ratio(0, 0), "-");
        assert_eq!(ratio(1, 3), "33.3%");
        assert_eq!(ratio(999_999, 1_000_000), "99.9%");
        assert_eq!(ratio(7, 7), "100%");
    }

    #[test]
    fn spans_have_two_units() {
        assert_eq!(span(59), "59s");
        assert_eq!(span(61), "1m 01s");
        assert_eq!(span(3600 * 5 + 180), "5h 03m");
        assert_eq!(span(86_400 * 8 + 7200), "8d 02h");
    }
}
