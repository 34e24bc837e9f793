//! The report of `ring`.

use super::fleet::{Layout, PEER_TIMEOUT, Programs};
use super::matrix::{Case, KEYS, VALUE_SIZE};
use super::rounds::Turns;
use crate::cli::RingOptions;
use crate::cores::Placement;
use crate::machine;
use crate::table::{NOTHING, Spread, grouped, markdown, time};

const HEAD: [&str; 11] = [
    "load",
    "layout",
    "CPU per request",
    "to single",
    "to apart",
    "to nutcracker",
    "requests/s",
    "p50 / p99",
    "busy",
    "forwarded",
    "flags",
];

/// The lines of the table so far.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    flagged: bool,
}

impl Table {
    /// A table with only its head.
    pub(super) fn new() -> Self {
        Self { rows: vec![HEAD.map(str::to_owned).to_vec()], flagged: false }
    }

    /// Adds a load's lines, one for each layout.
    pub(super) fn add(&mut self, case: &Case, layouts: &[Layout], turns: &[Turns]) {
        let of = |wanted: Layout| {
            layouts.iter().zip(turns).find(|&(&layout, _)| layout == wanted).map(|(_, turns)| turns)
        };
        let bases = [Layout::Single, Layout::Apart, Layout::Proxy];
        for (&layout, turns) in layouts.iter().zip(turns) {
            let mut row = vec![case.name.to_owned(), layout.name().to_owned()];
            row.push(cell(turns.median(|run| run.cpu_per_request), time));
            row.extend(bases.map(|base| {
                let others = of(base).filter(|_| base != layout);
                Spread::ratio(others.and_then(|base| turns.cost_against(base)))
            }));
            row.push(cell(turns.median(|run| run.outcome.per_second), grouped));
            let p50 = cell(turns.median(|run| run.outcome.p50), time);
            row.push(format!("{p50} / {}", cell(turns.median(|run| run.outcome.p99), time)));
            row.push(cell(turns.median(|run| run.busy), percent));
            let forwarded = turns.median(|run| run.forwarded).filter(|_| layout.is_ring());
            row.push(cell(forwarded, percent));
            let flags = flags(turns);
            self.flagged |= !flags.is_empty();
            row.push(if flags.is_empty() { NOTHING.to_owned() } else { flags.join("; ") });
            self.rows.push(row);
        }
    }

    /// Whether any line carries a flag.
    pub(super) fn is_flagged(&self) -> bool {
        self.flagged
    }

    /// The whole table with its explanation.
    pub(super) fn text(&self) -> String {
        format!(
            "{}\nCPU per request is that of all servers of a layout together, nutcracker included. Ratios\n\
             compare it with another layout, median over the rounds (least–most); less is better.\n\
             single: one ringbinderd without a ring. apart: three without a ring, each asked for its\n\
             share of the keys. owner, any, foreign: three in a ring, each asked for its own keys, for\n\
             all, for the others'. nutcracker: in front of the three that are apart, and in front of\n\
             three memcached. Loads: get, or mix (1 set to 10 gets); requests in flight on each\n\
             connection (p1: 48 connections, p32: 18). forwarded: requests that a node left to another.\n",
            markdown(&self.rows)
        )
    }
}

fn cell(figure: Option<f64>, text: impl Fn(f64) -> String) -> String {
    figure.map_or_else(|| NOTHING.to_owned(), text)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// The problems of a layout.
fn flags(turns: &Turns) -> Vec<String> {
    let mut flags = Vec::new();
    let misses: u64 = turns.runs.iter().map(|run| run.outcome.misses).sum();
    if misses > 0 {
        flags.push(format!("{} misses", grouped(misses as f64)));
    }
    flags.extend(turns.runs.iter().find_map(|run| run.outcome.trouble.clone()));
    flags.extend(turns.failure.as_ref().map(|failure| format!("stopped: {failure}")));
    // A program's message may contain characters that a table cell may not.
    flags.into_iter().map(|flag| flag.replace(['|', '\n', '\r'], " ")).collect()
}

/// The programs, the machine and the settings.
pub(super) fn head(programs: &Programs, place: &Placement, options: &RingOptions) -> String {
    let mut text = String::new();
    let mut line = |line: String| text.push_str(&format!("- {line}\n"));
    line(programs.ringbinderd.describe());
    match &programs.nutcracker {
        Some(nutcracker) => line(nutcracker.describe()),
        None => line("nutcracker is not installed: its rows are left out".to_owned()),
    }
    match &programs.memcached {
        Some(memcached) => line(memcached.describe()),
        None => line("memcached is not installed: its rows are left out".to_owned()),
    }
    line(format!(
        "servers: -t {} -m {}, {}",
        options.node.threads,
        options.memory_limit,
        machine::describe_places(place)
    ));
    line(format!("nodes and nutcracker wait {} ms for an answer", PEER_TIMEOUT.as_millis()));
    line(format!("{} keys, values of {VALUE_SIZE} bytes", grouped(KEYS as f64)));
    line(machine::describe(place));
    line(format!("{} rounds of {} s on each layout", options.rounds, options.seconds));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::super::matrix::select;
    use super::super::rounds::Run;
    use super::*;
    use crate::load::Outcome;

    fn turns(costs: &[f64]) -> Turns {
        let run = |&cpu_per_request: &f64| Run {
            outcome: Outcome { requests: 1, ..Outcome::default() },
            cpu_per_request,
            busy: 0.5,
            forwarded: 1.0,
        };
        Turns { runs: costs.iter().map(run).collect(), failure: None }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut table = Table::new();
        let case = select(&[]).unwrap()[0];
        let layouts = [Layout::Single, Layout::Foreign];
        table.add(&case, &layouts, &[turns(&[1.0, 2.0, 4.0]), turns(&[3.0, 4.0, 4.0])]);
        assert!(!table.is_flagged());
        assert_eq!(table.rows[1][..6], ["get-p1", "single", "2.00 us", "–", "–", "–"]);
        let foreign = ["get-p1", "foreign", "4.00 us", "2.00 (1.00–3.00)", "–", "–"];
        assert_eq!(table.rows[2][..6], foreign);
        assert_eq!((&*table.rows[1][9], &*table.rows[2][9]), ("–", "100 %"));
        assert!(table.rows.iter().all(|row| row.len() == HEAD.len()));
    }

    #[test]
    fn misses_and_failures_are_flagged() {
        let mut table = Table::new();
        let mut bad = turns(&[1.0]);
        bad.runs[0].outcome.misses = 1_200;
        bad.failure = Some("it | broke\n".to_owned());
        table.add(&select(&[]).unwrap()[0], &[Layout::Proxy], &[bad]);
        assert!(table.is_flagged());
        assert_eq!(table.rows[1][10], "1,200 misses; stopped: it   broke ");
    }
}
