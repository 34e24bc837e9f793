//! `ring`: the cost of a request that goes to its owner, that another node forwards, and that nutcracker
//! forwards.
//!
//! All servers run from start to end, and only one layout is under load at a time. The figure is the CPU time
//! of all servers in a layout, so that work moved from one process to another does not look like work saved.
//!
//! Three nodes on one core switch often, and each finds fewer pending requests per turn. That costs CPU with
//! or without a ring. So there are two baselines: one server alone, and three without a ring under the same
//! load.

mod fleet;
mod matrix;
mod owners;
mod report;
mod rounds;

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::Verdict;
use crate::cli::RingOptions;
use crate::cores::{Placement, move_to};
use crate::machine;
use crate::output;
use crate::progress::{Look, Progress};
use crate::servers::{Contender, Setup, nutcracker};
use crate::stop::Stop;
use fleet::{Fleet, Layout, Programs};
use rounds::Plan;

/// Connections that a server allows beyond those of the load: for this program's own, other nodes and
/// proxies.
const SPARE_CONNECTIONS: usize = 100;

/// Runs `ringbinder bench ring`.
pub(crate) fn run(options: &RingOptions, look: Look, stop: &Stop) -> anyhow::Result<Verdict> {
    let cases = matrix::select(&options.only)?;
    output::will_write(options.data.json.as_deref())?;
    let (asked, threads) = (&options.node, usize::from(options.node.threads));
    let programs = Programs {
        ringbinderd: Contender::ringbinderd(asked)?,
        nutcracker: nutcracker(options.nutcracker.as_deref())?,
        memcached: optional_memcached(options)?,
    };
    let place = Placement::choose(asked.server_cores.clone(), asked.load_cores.clone(), threads)?;
    let mut progress = Progress::new(look);
    progress.show("starting the servers", "");
    let setup = Setup {
        threads,
        megabytes: options.memory_limit,
        connections: matrix::MOST_CONNECTIONS + SPARE_CONNECTIONS,
    };
    move_to(&place.servers)?;
    let mut fleet = Fleet::start(&programs, setup, stop)?;
    move_to(&place.load)?;
    fleet.fill(&mut progress, stop)?;
    progress.show(&estimate(cases.len(), fleet.lanes.len(), options), "");
    let layouts: Vec<Layout> = fleet.lanes.iter().map(|lane| lane.layout).collect();
    let plan = Plan {
        load_threads: place.load_threads(),
        rounds: options.rounds,
        seconds: options.seconds,
    };
    progress.begin(cases.len() as u64);
    let mut table = report::Table::new();
    let mut loads = Vec::new();
    for case in &cases {
        let turns = rounds::run(case, &mut fleet, plan, |now| progress.show(case.name, now), stop)?;
        progress.step();
        table.add(case, &layouts, &turns);
        let by_layout = layouts.iter().map(|layout| layout.name().to_owned());
        let by_layout: Map<String, Value> =
            by_layout.zip(turns.iter().map(|it| json!(it))).collect();
        loads.push(json!({ "name": case.name, "layouts": by_layout }));
    }
    drop(progress);
    let text = report::head(&programs, &place, options) + &table.text();
    let data = json!({
        "benchmark": "ring",
        "machine": machine::data(),
        "ringbinderd": programs.ringbinderd.describe(),
        "nutcracker": programs.nutcracker.as_ref().map(Contender::describe),
        "memcached": programs.memcached.as_ref().map(Contender::describe),
        "threads": threads,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "loads": loads,
    });
    output::publish(&text, options.data.json.as_deref(), &data)?;
    Ok(if table.is_flagged() { Verdict::Flagged } else { Verdict::Clean })
}

/// memcached. It may be missing unless the user named it.
fn optional_memcached(options: &RingOptions) -> anyhow::Result<Option<Contender>> {
    match Contender::memcached(options.memcached.as_deref()) {
        Err(error) if options.memcached.is_some() => Err(error),
        found => Ok(found.ok()),
    }
}

/// A rough estimate of the duration.
fn estimate(loads: usize, layouts: usize, options: &RingOptions) -> String {
    let (rounds, seconds) = (options.rounds, options.seconds);
    let turns = Duration::from_secs(u64::from(seconds)) * rounds + rounds::WARM_UP;
    let all = turns * u32::try_from(loads * layouts).unwrap_or(u32::MAX);
    let minutes = all.as_secs().div_ceil(60);
    format!(
        "{loads} loads on {layouts} layouts, {rounds} rounds of {seconds} s: about {minutes} min"
    )
}
