//! The main statistics of a cache.

use ringbinder_protocol::stats::General;

use super::NodeStats;
use super::columns::Row;
use crate::escape::words;
use crate::fleet::numbers::{bytes, count, ratio, span};

/// One line of the overview.
enum Line {
    /// A summable counter and its format.
    Counter(fn(&General) -> Option<u64>, fn(u64) -> String),
    /// Hits as a share of all gets, including gets that no owner answered.
    HitRatio,
    /// The time since each node's start.
    Uptime,
    /// The version of each node's program.
    Version,
}

const LINES: [(&str, Line); 15] = [
    ("items", Line::Counter(|it| it.curr_items, count)),
    ("bytes", Line::Counter(|it| it.bytes, bytes)),
    ("memory limit", Line::Counter(|it| it.limit_maxbytes, bytes)),
    ("gets", Line::Counter(|it| it.cmd_get, count)),
    ("hits", Line::Counter(|it| it.get_hits, count)),
    ("failed gets", Line::Counter(|it| it.foreign_get_failed, count)),
    ("hit ratio", Line::HitRatio),
    ("failed requests", Line::Counter(|it| it.foreign_failed, count)),
    ("sets", Line::Counter(|it| it.cmd_set, count)),
    ("evictions", Line::Counter(|it| it.evictions, count)),
    ("connections", Line::Counter(|it| it.curr_connections, count)),
    ("bytes read", Line::Counter(|it| it.bytes_read, bytes)),
    ("bytes written", Line::Counter(|it| it.bytes_written, bytes)),
    ("uptime", Line::Uptime),
    ("version", Line::Version),
];

/// The rows of the overview; `-` if a node does not report a value.
pub(super) fn rows(answers: &[NodeStats]) -> Vec<Row> {
    let report = |answer: &NodeStats| match &answer.stats {
        Ok(stats) => General::read(stats, words),
        Err(_) => General::default(),
    };
    let reports: Vec<General> = answers.iter().map(report).collect();
    let rows = LINES.iter().map(|(name, line)| Row {
        name: (*name).to_owned(),
        sum: if reports.len() > 1 { line.of(&reports) } else { String::new() },
        cells: reports.chunks(1).map(|report| line.of(report)).collect(),
    });
    rows.collect()
}

impl Line {
    /// The cell of one node, or of all nodes together.
    fn of(&self, reports: &[General]) -> String {
        let none = || "-".to_owned();
        let sum = |of: fn(&General) -> Option<u64>| {
            reports.iter().filter_map(of).reduce(u64::saturating_add)
        };
        match (self, reports) {
            (Line::Counter(of, shown), _) => sum(*of).map_or_else(none, shown),
            (Line::HitRatio, _) => match (sum(|it| it.get_hits), sum(General::gets)) {
                (Some(hits), Some(gets)) => ratio(hits, gets),
                _ => none(),
            },
            (Line::Uptime, [report]) => report.uptime.map_or_else(none, span),
            (Line::Version, [report]) => report.program().map_or_else(none, str::to_owned),
            (Line::Uptime | Line::Version, _) => String::new(),
        }
    }
}
