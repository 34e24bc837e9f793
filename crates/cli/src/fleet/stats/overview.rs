//! The main statistics of a cache.

use super::Told;
use super::columns::Row;
use crate::escape::printable;
use crate::fleet::numbers::{bytes, count, ratio, span};

/// One line of the overview.
enum Line {
    /// A summable counter and its format.
    Counter(&'static str, fn(u64) -> String),
    /// Hits as a share of all gets, including gets that no owner answered.
    HitRatio,
    /// A number of each node, without a sum.
    Own(&'static str, fn(u64) -> String),
    /// A text of each node.
    Text(&'static str),
}

const LINES: [(&str, Line); 15] = [
    ("items", Line::Counter("curr_items", count)),
    ("bytes", Line::Counter("bytes", bytes)),
    ("memory limit", Line::Counter("limit_maxbytes", bytes)),
    ("gets", Line::Counter("cmd_get", count)),
    ("hits", Line::Counter("get_hits", count)),
    ("failed gets", Line::Counter("foreign_get_failed", count)),
    ("hit ratio", Line::HitRatio),
    ("failed requests", Line::Counter("foreign_failed", count)),
    ("sets", Line::Counter("cmd_set", count)),
    ("evictions", Line::Counter("evictions", count)),
    ("connections", Line::Counter("curr_connections", count)),
    ("bytes read", Line::Counter("bytes_read", bytes)),
    ("bytes written", Line::Counter("bytes_written", bytes)),
    ("uptime", Line::Own("uptime", span)),
    ("version", Line::Text("ringbinder_version")),
];

/// The rows of the overview; `-` if a node does not report a value.
pub(super) fn rows(told: &[Told]) -> Vec<Row> {
    let rows = LINES.iter().map(|(name, line)| Row {
        name: (*name).to_owned(),
        sum: if told.len() > 1 { line.of(told.iter()) } else { String::new() },
        cells: told.iter().map(|told| line.of(std::iter::once(told))).collect(),
    });
    rows.collect()
}

impl Line {
    /// The cell of one node, or of all nodes together.
    fn of<'a>(&self, told: impl ExactSizeIterator<Item = &'a Told> + Clone) -> String {
        let none = || "-".to_owned();
        let sum = |name: &str| {
            let mut numbers = told.clone().filter_map(|told| told.number(name)).peekable();
            numbers.peek().is_some().then(|| numbers.fold(0, u64::saturating_add))
        };
        let single = told.len() == 1;
        match self {
            Line::Counter(name, shown) => sum(name).map_or_else(none, shown),
            Line::HitRatio => match (sum("get_hits"), sum("cmd_get")) {
                (Some(hits), Some(gets)) => {
                    // A get that its owner answered counts in the owner's `cmd_get`. A get that no owner
                    // answered counts in no node's.
                    ratio(hits, gets.saturating_add(sum("foreign_get_failed").unwrap_or(0)))
                }
                _ => none(),
            },
            Line::Own(name, shown) if single => sum(name).map_or_else(none, shown),
            Line::Text(name) if single => {
                let text = told.clone().next().and_then(|told| told.get(name));
                text.map_or_else(none, |text| printable(text).into_owned())
            }
            Line::Own(..) | Line::Text(_) => String::new(),
        }
    }
}
