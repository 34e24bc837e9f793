//! Formats figures as Markdown: medians with their spread, and aligned tables.

use serde::Serialize;

/// The spread of several measurements of the same figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Computes the spread. `None` if there is no finite value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, least, most })
    }

    /// Formats a ratio: `0.97 (0.95–1.02)`.
    pub(crate) fn ratio(spread: Option<Self>) -> String {
        spread.map_or_else(
            || NOTHING.to_owned(),
            |Self { median, least, most }| format!("{median:.2} ({least:.2}–{most:.2})"),
        )
    }
}

/// A cell without a figure.
pub(crate) const NOTHING: &str = "–";

/// Formats a whole number with thousands separated: `81,250`.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a time in microseconds: `0.42 us`, `12.3 us`, `1.68 ms`.
pub(crate) fn time(micros: f64) -> String {
    match micros {
        ..10.0 => format!("{micros:.2} us"),
        10.0..100.0 => format!("{micros:.1} us"),
        100.0..1_000.0 => format!("{micros:.0} us"),
        _ => format!("{:.2} ms", micros / 1_000.0),
    }
}

/// Formats bytes in units of 1024 * 1024: `64.5 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / (1024.0 * 1024.0))
}

/// Formats a Markdown table. The first row is the head.
pub(crate) fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0).max(3)).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (cell, &width) in row.iter().zip(&widths) {
            text.push_str(&format!("| {cell:<width$} "));
        }
        text.push_str("|\n");
        if at == 0 {
            for &width in &widths {
                text.push_str(&format!("|{}", "-".repeat(width + 2)));
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[f64::NAN, f64::INFINITY]), None);
        assert_eq!(spread(&[3.0]), Some(Spread { median: 3.0, least: 3.0, most: 3.0 }));
        assert_eq!(spread(&[9.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 9.0 }));
        let even = spread(&[4.0, 1.0, f64::NAN, 2.0, 8.0]);
        assert_eq!(even, Some(Spread { median: 3.0, least: 1.0, most: 8.0 }));
        assert_eq!(Spread::ratio(even), "3.00 (1.00–8.00)");
        assert_eq!(Spread::ratio(None), "–");
    }

    #[test]
    fn numbers() {
        assert_eq!(grouped(0.4), "0");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(1_000.0), "1,000");
        assert_eq!(grouped(-1_234_567.8), "-1,234,568");
        assert_eq!(time(0.4211), "0.42 us");
        assert_eq!(time(12.34), "12.3 us");
        assert_eq!(time(831.2), "831 us");
        assert_eq!(time(1_679.0), "1.68 ms");
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = markdown(&[row(["load", "a"]), row(["–", "1.00 (1–2)"])]);
        assert_eq!(table, "| load | a          |\n|------|------------|\n| –    | 1.00 (1–2) |\n");
    }
}
