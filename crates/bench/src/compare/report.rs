//! What `compare` prints.

use super::Bench;
use super::matrix::Case;
use super::rounds::{Rounds, Run};
use crate::machine;
use crate::servers::Contender;
use crate::table::{NOTHING, Spread, grouped, markdown, time};

/// One load's line of the table.
#[derive(Debug)]
pub(super) struct Row {
    cells: Vec<String>,
    flags: Vec<String>,
}

const HEAD: [&str; 9] = [
    "load",
    "CPU per request",
    "throughput",
    "p50",
    "p99",
    "p99.9",
    "memcached: CPU per request; requests/s; p50 / p99 / p99.9",
    "busy: memcached, ringbinderd",
    "flags",
];

impl Row {
    /// The line of a case whose rounds are over.
    pub(super) fn new(case: &Case, pair: &[Contender; 2], rounds: Rounds<'_>) -> Self {
        let done = rounds.done();
        let ratio = |figure: fn(&Run) -> f64| {
            let ratios = done.iter().map(|[theirs, ours]| figure(ours) / figure(theirs));
            Spread::ratio(Spread::of(ratios))
        };
        let cells = vec![
            case.name(),
            ratio(|run| run.cpu_per_request),
            ratio(|run| run.outcome.per_second),
            ratio(|run| run.outcome.p50),
            ratio(|run| run.outcome.p99),
            ratio(|run| run.outcome.p999),
            scale(done).unwrap_or_else(|| NOTHING.to_owned()),
            busy(done).unwrap_or_else(|| NOTHING.to_owned()),
        ];
        Self { cells, flags: flags(pair, &rounds) }
    }

    /// Whether anything spoils it.
    pub(super) fn is_flagged(&self) -> bool {
        !self.flags.is_empty()
    }
}

/// memcached's own figures: medians over the rounds.
fn scale(done: &[[Run; 2]]) -> Option<String> {
    let median = |figure: fn(&Run) -> f64| {
        Spread::of(done.iter().map(|[theirs, _]| figure(theirs))).map(|spread| spread.median)
    };
    Some(format!(
        "{}; {}; {} / {} / {}",
        time(median(|run| run.cpu_per_request)?),
        grouped(median(|run| run.outcome.per_second)?),
        time(median(|run| run.outcome.p50)?),
        time(median(|run| run.outcome.p99)?),
        time(median(|run| run.outcome.p999)?),
    ))
}

/// How much of the time each server was running.
fn busy(done: &[[Run; 2]]) -> Option<String> {
    let theirs = Spread::of(done.iter().map(|[theirs, _]| theirs.busy))?.median * 100.0;
    let ours = Spread::of(done.iter().map(|[_, ours]| ours.busy))?.median * 100.0;
    Some(format!("{theirs:.0} %, {ours:.0} %"))
}

/// What went wrong, by server.
fn flags(pair: &[Contender; 2], rounds: &Rounds<'_>) -> Vec<String> {
    let mut flags = Vec::new();
    for (at, contender) in pair.iter().enumerate() {
        let runs = || rounds.done().iter().map(|pair| &pair[at].outcome);
        let misses: u64 = runs().map(|outcome| outcome.misses).sum();
        if misses > 0 {
            flags.push(format!("{}: {} misses", contender.name, grouped(misses as f64)));
        }
        if let Some(trouble) = runs().find_map(|outcome| outcome.trouble.as_ref()) {
            flags.push(format!("{}: {trouble}", contender.name));
        }
    }
    flags.extend(rounds.failure().map(|failure| format!("stopped: {failure}")));
    // What a program said may hold anything, and a cell may not.
    for flag in &mut flags {
        *flag = flag.replace(['|', '\n', '\r'], " ");
    }
    flags
}

/// What was compared, and how.
pub(super) fn head(bench: &Bench<'_>) -> String {
    let options = bench.options;
    let mut text = String::new();
    let mut line = |line: String| text.push_str(&format!("- {line}\n"));
    for contender in &bench.pair {
        line(contender.describe());
    }
    line(format!("load: {}", bench.generator.describe()));
    line(format!(
        "servers: -t {} -m {}, {}",
        options.servers.threads,
        options.memory_limit,
        machine::describe_places(&bench.place),
    ));
    line(machine::describe(&bench.place));
    line(format!("{} rounds of {} s on each server", options.rounds, options.seconds));
    text.push('\n');
    text
}

/// The whole table and how to read its names.
pub(super) fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
    for row in rows {
        let flags = if row.is_flagged() { row.flags.join("; ") } else { NOTHING.to_owned() };
        lines.push(row.cells.iter().cloned().chain([flags]).collect());
    }
    format!(
        "{}\nRatios are ringbinderd / memcached, median over the rounds (least–most). Less is better, but\n\
         for throughput. Names: get, set, mix (1 set to 10 gets) or get100 (one get of 100 keys, counted\n\
         as one request); requests in flight on each connection (p1: 50 connections, p32 and get100:\n\
         16); bytes of each value.\n",
        markdown(&lines)
    )
}
