//! The columns of the node table: their contents, and the choice of those that fit.

use ringbinder_protocol::stats::{General, is_reported};

use super::model::{Condition, Entry, Model};
use crate::fleet::numbers::{bytes, count, micros, per_second, percent, span};

/// The meaning of a cell, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
}

/// Share of memory in use that deserves attention if evictions or refusals follow.
const NEARLY_FULL: f64 = 0.95;

/// Terminal columns between two columns of the table.
pub(super) const GAP: usize = 1;

/// The text of a cell and its tone.
type Cell = (String, Tone);

/// One column.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Whether it is aligned left, as words are; numbers are aligned right.
    pub(super) left: bool,
    width: usize,
    /// Columns with the lowest ranks stay if there is little room.
    rank: u8,
    cell: CellOf,
}

type CellOf = fn(&Model, &Entry) -> Cell;

const fn number(title: &'static str, width: usize, rank: u8, cell: CellOf) -> Column {
    Column { title, left: false, width, rank, cell }
}

const fn word(title: &'static str, width: usize, rank: u8, cell: CellOf) -> Column {
    Column { title, left: true, width, rank, cell }
}

/// All columns, in display order.
static COLUMNS: [Column; 18] = [
    word("NODE", 4, 0, |_, entry| (entry.name.clone(), Tone::Plain)),
    word("ADDRESS", 7, 14, |_, entry| (entry.address.clone(), Tone::Dim)),
    word("STATE", 5, 1, state),
    number("RING", 4, 6, ring),
    number("REQ/S", 6, 13, |_, entry| rate(entry.rates.map(|rates| rates.requests))),
    number("GET/S", 6, 2, |_, entry| rate(entry.rates.map(|rates| rates.served_gets))),
    number("SET/S", 6, 4, |_, entry| rate(entry.rates.map(|rates| rates.sets))),
    number("HITS", 5, 3, |_, entry| hits(entry)),
    number("MEM", 4, 5, memory),
    number("P50", 5, 8, |_, entry| quantile(entry, 0.5)),
    number("P99", 5, 7, |_, entry| quantile(entry, 0.99)),
    number("FAIL/S", 6, 9, failures),
    number("EVICT", 5, 10, |_, entry| rate(entry.rates.map(|rates| rates.evictions))),
    number("CONNS", 5, 12, |_, entry| figure(entry, |it| it.curr_connections.map(count))),
    number("FRGN/S", 6, 11, |_, entry| rate(entry.rates.map(|rates| rates.foreign))),
    number("ITEMS", 6, 15, |_, entry| figure(entry, |it| it.curr_items.map(count))),
    number("UP", 7, 16, |_, entry| figure(entry, |it| it.uptime.map(span))),
    word("VERSION", 7, 17, |_, entry| figure(entry, |it| it.program().map(str::to_owned))),
];

pub(super) fn state(model: &Model, entry: &Entry) -> Cell {
    let (word, tone) = match model.condition(entry) {
        Condition::Waiting => ("...", Tone::Dim),
        Condition::Away => ("away", Tone::Bad),
        Condition::Replaced => ("replaced", Tone::Bad),
        Condition::Disputed => ("disputed", Tone::Bad),
        Condition::Unconfirmed => ("unconfirmed", Tone::Warn),
        Condition::Absent => ("absent", Tone::Warn),
        Condition::Moves => ("moves", Tone::Warn),
        Condition::Ok => ("ok", Tone::Good),
    };
    (word.to_owned(), tone)
}

fn failures(_: &Model, entry: &Entry) -> Cell {
    match entry.rates.map(|rates| rates.failed) {
        Some(failed) if failed > 0.0 => (per_second(failed), Tone::Bad),
        failed => rate(failed),
    }
}

pub(super) fn ring(model: &Model, entry: &Entry) -> Cell {
    match entry.held().filter(|_| entry.is_up()) {
        Some((held, _)) if model.disagrees(entry) => (format!("{}!", held.version), Tone::Bad),
        Some((held, ring)) if is_reported(&ring.drift).is_some() => {
            (format!("{}~", held.version), Tone::Warn)
        }
        Some((held, _)) => (held.version.to_string(), Tone::Plain),
        None => ("-".to_owned(), Tone::Dim),
    }
}

fn memory(_: &Model, entry: &Entry) -> Cell {
    match entry.memory_used().filter(|_| entry.is_up()) {
        Some(used) => {
            let tone = if used >= NEARLY_FULL { Tone::Warn } else { Tone::Plain };
            (format!("{:.0}%", used * 100.0), tone)
        }
        None => ("-".to_owned(), Tone::Dim),
    }
}

/// The share of gets that found a value.
pub(super) fn hits(entry: &Entry) -> Cell {
    or_dash(entry.rates.and_then(|rates| rates.hit_ratio()).map(percent))
}

pub(super) fn quantile(entry: &Entry, part: f64) -> Cell {
    or_dash(entry.latency.and_then(|latency| latency.quantile(part)).map(micros))
}

pub(super) fn rate(rate: Option<f64>) -> Cell {
    or_dash(rate.map(per_second))
}

pub(super) fn figure(entry: &Entry, shown: fn(&General) -> Option<String>) -> Cell {
    or_dash(entry.report.as_ref().filter(|_| entry.is_up()).and_then(|it| shown(&it.general)))
}

/// Text, or `-` for an unknown value.
pub(super) fn or_dash(text: Option<String>) -> Cell {
    text.map_or_else(|| ("-".to_owned(), Tone::Dim), |text| (text, Tone::Plain))
}

/// A column that fits, with its cells.
pub(super) struct Filled {
    pub(super) column: &'static Column,
    pub(super) width: usize,
    /// One cell for each row.
    pub(super) cells: Vec<Cell>,
}

/// The table of these nodes in `room` terminal columns. Holds the most important columns that fit, and always
/// the first.
pub(super) fn fill(model: &Model, order: &[usize], room: usize) -> Vec<Filled> {
    let filled = COLUMNS.iter().map(|column| {
        let cells = order.iter().map(|&node| (column.cell)(model, &model.nodes[node]));
        let cells: Vec<_> = cells.collect();
        let widest = cells.iter().map(|(text, _)| text.chars().count()).max().unwrap_or(0);
        let width = widest.max(column.width).max(column.title.len());
        Filled { column, width, cells }
    });
    let mut filled: Vec<Filled> = filled.collect();
    let mut ranks: Vec<(u8, usize)> =
        filled.iter().map(|filled| (filled.column.rank, filled.width)).collect();
    ranks.sort_unstable();
    let mut left = room;
    let fits = ranks.iter().take_while(|(_, width)| {
        let need = width + GAP;
        let fits = need <= left + GAP;
        left = left.saturating_sub(need);
        fits
    });
    let last = fits.last().map_or(0, |(rank, _)| *rank);
    filled.retain(|filled| filled.column.rank <= last);
    filled
}

/// Memory for people: bytes used, the limit, and the share.
pub(super) fn memory_text(general: &General) -> String {
    let number = |number: Option<u64>| bytes(number.unwrap_or(0));
    format!("{} of {}", number(general.bytes), number(general.limit_maxbytes))
}
