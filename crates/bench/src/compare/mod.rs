//! `compare`: the same loads on both servers, in turns.
//!
//! Each pair of runs that follow each other makes one ratio, so that what changes slowly on the
//! machine meets both. Who comes first alternates (A B, B A, ...), so that neither is favoured.

mod matrix;
mod report;
mod rounds;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::Verdict;
use crate::cli::{CompareOptions, GeneratorChoice};
use crate::cores::{Placement, move_to};
use crate::load::{Generator, Keys, fill};
use crate::progress::Progress;
use crate::servers::{Client, Contender, Server, Setup, memtier, version_line};
use crate::stop::Stop;
use matrix::Case;
use rounds::Rounds;

/// Connections beyond those of the load that a server allows: ours, and some slack.
const SPARE_CONNECTIONS: usize = 100;

/// Runs `ringbinder-bench compare`.
pub(crate) fn run(options: &CompareOptions, stop: &Stop) -> anyhow::Result<Verdict> {
    let cases = matrix::select(options.full, &options.only)?;
    let mut out = std::io::stdout();
    if options.list {
        for case in &cases {
            writeln!(out, "{}", case.name())?;
        }
        return Ok(Verdict::Clean);
    }
    let (asked, threads) = (&options.servers, usize::from(options.servers.threads));
    let pair = [
        Contender::memcached(asked.memcached.as_deref(), &asked.memcached_flags)?,
        Contender::ringbinderd(asked.ringbinderd.as_deref(), &asked.ringbinderd_flags)?,
    ];
    let generator = choose_generator(options)?;
    let place = Placement::choose(asked.server_cores.clone(), asked.load_cores.clone(), threads)?;
    let bench = Bench { pair, generator, place, options, stop };
    let mut progress = Progress::new();
    progress.show(&estimate(&cases, options, &bench.generator), "");
    let mut rows: BTreeMap<usize, report::Row> = BTreeMap::new();
    for size in matrix::sizes(&cases) {
        let here = cases.iter().enumerate().filter(|(_, case)| case.value_size == size);
        bench.one_size(size, here, &mut rows, &mut progress)?;
    }
    drop(progress);
    let rows: Vec<report::Row> = rows.into_values().collect();
    out.write_all(report::head(&bench).as_bytes())?;
    out.write_all(report::table(&rows).as_bytes())?;
    let flagged = rows.iter().any(report::Row::is_flagged);
    Ok(if flagged { Verdict::Flagged } else { Verdict::Clean })
}

/// All that stays the same throughout.
struct Bench<'a> {
    /// memcached, and ringbinderd.
    pair: [Contender; 2],
    generator: Generator,
    place: Placement,
    options: &'a CompareOptions,
    stop: &'a Stop,
}

impl Bench<'_> {
    /// Both servers afresh with values of one size, and all cases of that size.
    fn one_size<'c>(
        &self,
        size: usize,
        cases: impl Iterator<Item = (usize, &'c Case)>,
        rows: &mut BTreeMap<usize, report::Row>,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let stage = format!("values of {size} bytes:");
        progress.show(&stage, "starting both servers");
        let setup = Setup {
            threads: usize::from(self.options.servers.threads),
            megabytes: self.options.memory_limit,
            connections: matrix::MOST_CONNECTIONS + SPARE_CONNECTIONS,
        };
        move_to(&self.place.servers)?;
        let [first, second] = &self.pair;
        let mut servers =
            [Server::start(first, setup, self.stop)?, Server::start(second, setup, self.stop)?];
        move_to(&self.place.load)?;
        for server in &mut servers {
            progress.show(&stage, &format!("storing the keys in {}", server.name));
            preload(server, size, self.stop)?;
        }
        for (at, case) in cases {
            let row = self.one_case(case, &mut servers, progress)?;
            rows.insert(at, row);
        }
        Ok(())
    }

    fn one_case(
        &self,
        case: &Case,
        servers: &mut [Server; 2],
        progress: &mut Progress,
    ) -> anyhow::Result<report::Row> {
        let options = self.options;
        let mut rounds = Rounds::new(&self.generator, self.place.load_threads(), options.seconds);
        progress.show(&case.name(), "warming up");
        for server in &mut *servers {
            rounds::warm_up(case, server, self.place.load_threads(), self.stop)?;
        }
        for round in 0..options.rounds {
            progress.show(&case.name(), &format!("round {} of {}", round + 1, options.rounds));
            rounds.run(round, case, servers, self.stop)?;
            if rounds.failure().is_some() {
                break;
            }
        }
        Ok(report::Row::new(case, &self.pair, rounds))
    }
}

fn choose_generator(options: &CompareOptions) -> anyhow::Result<Generator> {
    if options.generator == GeneratorChoice::Own {
        return Ok(Generator::Own);
    }
    match memtier(options.memtier.as_deref())? {
        Some(program) => {
            let version = version_line(&program, "--version")?;
            Ok(Generator::Memtier { program, version })
        }
        None if options.generator == GeneratorChoice::Memtier => bail!(
            "memtier_benchmark is not on the PATH: install it, say where it is with --memtier, or \
             use this program's own load with --generator own"
        ),
        None => Ok(Generator::Own),
    }
}

/// Stores every key, and makes sure that all are there.
fn preload(server: &mut Server, size: usize, stop: &Stop) -> anyhow::Result<()> {
    let load = matrix::preload(size);
    if let Err(error) = fill(&load, Keys::Memtier, server.address, stop) {
        server.must_run()?;
        return Err(error.context(format!("cannot store the keys in {}", server.name)));
    }
    let kept = Client::connect(server.address)
        .and_then(|mut client| client.counter("curr_items"))
        .with_context(|| format!("cannot ask {} what it holds", server.name))?;
    if kept < load.keys {
        bail!(
            "{} holds {kept} of {} items of {size} bytes: give both more with --memory-limit",
            server.name,
            load.keys
        );
    }
    Ok(())
}

/// How long it will take, roughly.
fn estimate(cases: &[Case], options: &CompareOptions, generator: &Generator) -> String {
    let (rounds, seconds) = (options.rounds, options.seconds);
    let turn = Duration::from_secs(u64::from(seconds)) + generator.overhead();
    let case = 2 * (turn * rounds + rounds::WARM_UP);
    let all = case * u32::try_from(cases.len()).unwrap_or(u32::MAX);
    let minutes = all.as_secs().div_ceil(60);
    let loads = match cases.len() {
        1 => "1 load".to_owned(),
        count => format!("{count} loads"),
    };
    format!("{loads}, {rounds} rounds of {seconds} s on each server: about {minutes} min")
}
