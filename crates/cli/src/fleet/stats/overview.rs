//! The few numbers that tell how a cache is doing.

use super::Told;
use super::columns::Row;
use crate::escape::printable;
use crate::fleet::numbers::{bytes, count, ratio, span};

/// One line of the overview.
enum Line {
    /// A counter that adds up, and how it is shown.
    Counter(&'static str, fn(u64) -> String),
    /// Hits of all gets, those that no owner answered among them.
    HitRatio,
    /// Something of each node by itself.
    Own(&'static str, fn(u64) -> String),
    /// A text of each node by itself.
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

/// The rows of the overview; `-` where a node does not say.
pub(super) fn rows(told: &[Told]) -> Vec<Row> {
    let rows = LINES.iter().map(|(name, line)| Row {
        name: (*name).to_owned(),
        sum: if told.len() > 1 { line.of(told.iter()) } else { String::new() },
        cells: told.iter().map(|told| line.of(std::iter::once(told))).collect(),
    });
    rows.collect()
}

impl Line {
    /// The cell of one node, or of all of them.
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
                    // A get that its owner answered is in `cmd_get` there, one that none answered in
                    // no node's.
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
