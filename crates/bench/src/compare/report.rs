//! The table and the picture of `compare`.

use super::matrix::Case;
use super::rounds::{FIGURES, Rounds, Run};
use super::{Bench, CaseResult};
use crate::machine;
use crate::picture::{self, Panel};
use crate::servers::Contender;
use crate::table::{NOTHING, Spread, grouped, markdown, time};

const HEAD: [&str; 10] = [
    "load",
    "to",
    "CPU per request",
    "throughput",
    "p50",
    "p99",
    "p99.9",
    "its CPU per request; requests/s; p50 / p99 / p99.9",
    "busy: it, ringbinderd",
    "flags",
];

/// The head, and one line for each load and each server that ringbinderd is compared with.
#[derive(Debug)]
pub(super) struct Report {
    head: String,
    lines: Vec<Vec<String>>,
    flagged: bool,
}

impl Report {
    /// The report on cases whose rounds are done.
    pub(super) fn new(bench: &Bench<'_>, results: &[CaseResult]) -> Self {
        let mut report = Self { head: head(bench, results), lines: Vec::new(), flagged: false };
        let ours = bench.contenders.len() - 1;
        for CaseResult { case, rounds, .. } in results {
            for theirs in 0..ours {
                report.add(case, &bench.contenders, [theirs, ours], rounds);
            }
        }
        report
    }

    fn add(
        &mut self,
        case: &Case,
        contenders: &[Contender],
        [theirs, ours]: [usize; 2],
        rounds: &Rounds,
    ) {
        let mut line = vec![case.name(), contenders[theirs].name.clone()];
        line.extend(FIGURES.map(|(_, figure)| Spread::ratio(rounds.ratio(ours, theirs, figure))));
        line.push(scale(rounds, theirs));
        line.push(format!("{}, {}", busy(rounds, theirs), busy(rounds, ours)));
        let flags = flags(contenders, [theirs, ours], rounds);
        self.flagged |= !flags.is_empty();
        line.push(if flags.is_empty() { NOTHING.to_owned() } else { flags.join("; ") });
        self.lines.push(line);
    }

    /// Whether any line carries a flag.
    pub(super) fn is_flagged(&self) -> bool {
        self.flagged
    }

    /// The whole report, with an explanation of its names.
    pub(super) fn text(&self) -> String {
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(self.lines.iter().cloned());
        format!(
            "{}{}\nRatios are ringbinderd / the other, median over the rounds (least–most). Less is better, but\n\
             for throughput. Names: get, set, mix (1 set to 10 gets), get100 (one get of 100 keys, counted\n\
             as one request) or hot (all connections get the same key); requests in flight on each\n\
             connection (p1: 50 connections, p32 and get100: 16); bytes of each value; t2: two workers,\n\
             each with a core.\n",
            self.head,
            markdown(&rows)
        )
    }
}

/// The other server's absolute figures: medians over the rounds.
fn scale(rounds: &Rounds, server: usize) -> String {
    let [cpu, per_second, p50, p99, p999] =
        FIGURES.map(|(_, figure)| rounds.spread(server, figure).map(|spread| spread.median));
    let time = |figure: Option<f64>| figure.map_or_else(|| NOTHING.to_owned(), time);
    let per_second = per_second.map_or_else(|| NOTHING.to_owned(), grouped);
    format!("{}; {per_second}; {} / {} / {}", time(cpu), time(p50), time(p99), time(p999))
}

/// The share of the time in which a server was running.
fn busy(rounds: &Rounds, server: usize) -> String {
    let busy: fn(&Run) -> Option<f64> = |run| run.busy;
    rounds
        .spread(server, busy)
        .map_or_else(|| NOTHING.to_owned(), |spread| format!("{:.0} %", spread.median * 100.0))
}

/// The problems of each server.
fn flags(contenders: &[Contender], pair: [usize; 2], rounds: &Rounds) -> Vec<String> {
    let mut flags = Vec::new();
    for at in pair {
        let name = &contenders[at].name;
        let runs = || rounds.done.iter().map(|round| &round[at].outcome);
        let misses: u64 = runs().map(|outcome| outcome.misses).sum();
        if misses > 0 {
            flags.push(format!("{name}: {} misses", grouped(misses as f64)));
        }
        if let Some(trouble) = runs().find_map(|outcome| outcome.trouble.as_ref()) {
            flags.push(format!("{name}: {trouble}"));
        }
    }
    flags.extend(rounds.failure.as_ref().map(|failure| format!("stopped: {failure}")));
    // A program's message may contain characters that a table cell may not.
    for flag in &mut flags {
        *flag = flag.replace(['|', '\n', '\r'], " ");
    }
    flags
}

/// The servers, the machine and the settings.
fn head(bench: &Bench<'_>, results: &[CaseResult]) -> String {
    let options = bench.options;
    let mut text = String::new();
    let mut line = |line: String| text.push_str(&format!("- {line}\n"));
    for contender in &bench.contenders {
        line(contender.describe());
    }
    line(format!("load: {}", bench.generator.describe()));
    let mut places = Vec::new();
    for CaseResult { case, place, .. } in results {
        let threads = bench.threads(case.group());
        let place = machine::describe_places(place);
        let place = format!("servers: -t {threads} -m {}, {place}", options.memory_limit);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places.into_iter().for_each(&mut line);
    if let Some(CaseResult { place, .. }) = results.first() {
        line(machine::describe(place));
    }
    line(format!("{} rounds of {} s on each server", options.rounds, options.seconds));
    text.push('\n');
    text
}

/// The figures in the picture, by index in [`FIGURES`].
const PANELS: [(usize, Panel); 3] = [
    (0, Panel { title: "CPU per request", less: true }),
    (1, Panel { title: "throughput", less: false }),
    (3, Panel { title: "p99", less: true }),
];

/// Draws the ratios as bars.
pub(super) fn picture(bench: &Bench<'_>, results: &[CaseResult]) -> String {
    let (ours, others) = match bench.contenders.split_last() {
        Some((_, others)) => (others.len(), others),
        None => (0, &[][..]),
    };
    let mut rows = Vec::new();
    for CaseResult { case, rounds, .. } in results {
        for (theirs, other) in others.iter().enumerate() {
            let name = match others.len() {
                1 => case.name(),
                _ => format!("{} / {}", case.name(), other.name),
            };
            let ratios = PANELS.map(|(figure, _)| rounds.ratio(ours, theirs, FIGURES[figure].1));
            rows.push(picture::Row { name, ratios: ratios.to_vec() });
        }
    }
    let names: Vec<&str> = others.iter().map(|other| other.name.as_str()).collect();
    let options = bench.options;
    picture::bars(
        &format!("ringbinderd / {}", names.join(", ")),
        &format!(
            "Medians of {} rounds of {} s, thin lines from the least to the most. Grey: on both \
             sides of 1.",
            options.rounds, options.seconds
        ),
        &PANELS.map(|(_, panel)| panel),
        &rows,
    )
}
