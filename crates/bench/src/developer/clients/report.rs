//! The report of `clients`.

use std::path::Path;

use super::matrix::{Contestant, IN_FLIGHT, KEYS, VALUE_SIZE, Work};
use super::rounds::Turns;
use crate::cores::Placement;
use crate::developer::cli::ClientsOptions;
use crate::machine;
use crate::servers::Contender;
use crate::table::{NOTHING, Spread, grouped, markdown, time};

const HEAD: [&str; 7] = [
    "work",
    "client",
    "CPU per operation",
    "time per operation",
    "our operations per CPU second / its",
    "our get / this",
    "flags",
];

/// The table with its explanation, and whether any line carries a flag.
pub(super) fn table(all: &[Turns]) -> (String, bool) {
    let of = |work: Work, client: Contestant| {
        all.iter().find(|turns| turns.work == work && turns.client == client)
    };
    let our_get = of(Work::Get, Contestant::Ringbinder);
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    let mut flagged = false;
    for turns in all {
        let ours = of(turns.work, Contestant::Ringbinder);
        let ours = ours.filter(|_| turns.client != Contestant::Ringbinder);
        let misses: u64 = turns.runs.iter().map(|run| run.misses).sum();
        flagged |= misses > 0;
        let near = our_get.filter(|_| turns.work == Work::Near);
        rows.push(vec![
            turns.work.name().to_owned(),
            turns.client.name().to_owned(),
            time(turns.median(|run| run.cpu)),
            time(turns.median(|run| run.time)),
            Spread::ratio(ours.and_then(|ours| ours.per_cpu_against(turns))),
            near.map_or_else(
                || NOTHING.to_owned(),
                |get| {
                    let cpu = get.median(|run| run.cpu) / turns.median(|run| run.cpu);
                    let time = get.median(|run| run.time) / turns.median(|run| run.time);
                    format!("CPU {cpu:.0}, time {time:.0}")
                },
            ),
            if misses > 0 {
                format!("{} misses", grouped(misses as f64))
            } else {
                NOTHING.to_owned()
            },
        ]);
    }
    let text = format!(
        "{}\nCPU is the client's own, user and system. Ratios are medians over the rounds (least–most); more\n\
         than 1 means that ringbinder-client does more for the same CPU time. get: one after the other.\n\
         get32: {IN_FLIGHT} at any time; ringbinder-client sends them on one connection to each node,\n\
         async-memcached takes one request at a time on a connection and has {IN_FLIGHT} to each, pylibmc has\n\
         no means for it. multi100: one get of 100 keys after the other, split over the nodes. near: gets\n\
         that ringbinder-client's near cache answers.\n",
        markdown(&rows)
    );
    (text, flagged)
}

/// The clients, the machine and the settings.
pub(super) fn head(
    node: &Contender,
    python: Option<&Path>,
    place: &Placement,
    options: &ClientsOptions,
) -> String {
    let mut text = String::new();
    let mut line = |line: String| text.push_str(&format!("- {line}\n"));
    line(node.describe());
    if python.is_none() {
        line("no Python with pylibmc was found: its rows are left out (see --python)".to_owned());
    }
    line(format!(
        "three nodes with -t {}, {}",
        options.node.threads,
        machine::describe_places(place)
    ));
    line(format!("{} keys, values of {VALUE_SIZE} bytes", grouped(KEYS as f64)));
    line(machine::describe(place));
    line(format!("{} rounds of {} s for each client", options.rounds, options.seconds));
    text.push('\n');
    text
}
