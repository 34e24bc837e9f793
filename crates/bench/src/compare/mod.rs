//! `compare`: the same loads on several servers, in turns.
//!
//! The runs of a round give one ratio for each server that ringbinderd is compared with, so that slow changes
//! of the machine affect all servers alike. The order alternates, so that no server has an advantage. Loads
//! with the same number of workers and the same value size run on the same servers.

mod data;
mod matrix;
mod report;
mod rounds;

use std::time::Duration;

use anyhow::{Context, bail};

use crate::Verdict;
use crate::cli::{CompareOptions, GeneratorChoice};
use crate::cores::{Placement, move_to};
use crate::error::BenchError;
use crate::load::{Generator, Keys, fill};
use crate::output;
use crate::progress::{Look, Progress};
use crate::servers::{Client, Contender, Server, Setup, memtier, version_line};
use crate::stop::Stop;
use matrix::{Case, Group};
use rounds::{Pace, Rounds};

/// Connections that a server allows beyond those of the load: for this program's own, and some reserve.
const SPARE_CONNECTIONS: usize = 100;

/// Runs `ringbinder bench compare`.
pub(crate) fn run(options: &CompareOptions, look: Look, stop: &Stop) -> anyhow::Result<Verdict> {
    let cases = matrix::select(options.full, &options.only)?;
    if options.list {
        let names: String = cases.iter().map(|case| case.name() + "\n").collect();
        output::print(&names)?;
        return Ok(Verdict::Clean);
    }
    let mut contenders = Contender::others(&options.others)?;
    contenders.push(Contender::ringbinderd(&options.node)?);
    let generator = choose_generator(options)?;
    let bench = Bench { contenders, generator, options, stop };
    // Checked before the run, which takes minutes: all programs exist, and the results can be written.
    for group in matrix::groups(&cases) {
        bench.place(group)?;
    }
    output::will_write(options.data.json.as_deref())?;
    output::will_write(options.svg.as_deref())?;
    let mut progress = Progress::new(look);
    progress.show(&bench.estimate(&cases), "");
    let turns = cases.len() * bench.contenders.len() * options.rounds as usize;
    progress.begin(turns as u64);
    let mut results: Vec<Option<CaseResult>> = cases.iter().map(|_| None).collect();
    for group in matrix::groups(&cases) {
        let here = |(_, case): &(usize, &Case)| case.group() == group;
        let place = bench.place(group)?;
        let mut servers = bench.start(group, &place, &mut progress)?;
        for (at, &case) in cases.iter().enumerate().filter(here) {
            let rounds = bench.one_case(&case, &place, &mut servers, &mut progress)?;
            results[at] = Some(CaseResult { case, place: place.clone(), rounds });
        }
    }
    drop(progress);
    let results: Vec<CaseResult> = results.into_iter().flatten().collect();
    let report = report::Report::new(&bench, &results);
    let text = report.text();
    output::publish(&text, options.data.json.as_deref(), &data::data(&bench, &results))?;
    if let Some(path) = &options.svg {
        output::save(path, &report::picture(&bench, &results))?;
    }
    Ok(if report.is_flagged() { Verdict::Flagged } else { Verdict::Clean })
}

/// Everything that stays the same during the benchmark.
struct Bench<'a> {
    /// The servers that ringbinderd is compared with, and ringbinderd as the last.
    contenders: Vec<Contender>,
    generator: Generator,
    options: &'a CompareOptions,
    stop: &'a Stop,
}

/// A case whose rounds are done.
struct CaseResult {
    case: Case,
    place: Placement,
    rounds: Rounds,
}

impl Bench<'_> {
    fn threads(&self, (workers, _): Group) -> usize {
        usize::from(workers.unwrap_or(self.options.node.threads))
    }

    /// The cores of the servers and of the load in the cases of a group.
    fn place(&self, group: Group) -> anyhow::Result<Placement> {
        let node = &self.options.node;
        let choose = match group {
            (Some(_), _) => Placement::for_workers,
            (None, _) => Placement::choose,
        };
        choose(node.server_cores.clone(), node.load_cores.clone(), self.threads(group))
    }

    /// Starts all servers and stores values of one size.
    fn start(
        &self,
        group: Group,
        place: &Placement,
        progress: &mut Progress,
    ) -> anyhow::Result<Vec<Server>> {
        let (threads, (_, size)) = (self.threads(group), group);
        let stage = format!("values of {size} bytes, -t {threads}:");
        progress.show(&stage, "starting the servers");
        let setup = Setup {
            threads,
            megabytes: self.options.memory_limit,
            connections: matrix::MOST_CONNECTIONS + SPARE_CONNECTIONS,
        };
        move_to(&place.servers)?;
        let servers = self.contenders.iter().map(|it| Server::start(it, setup, self.stop));
        let mut servers = servers.collect::<anyhow::Result<Vec<_>>>()?;
        move_to(&place.load)?;
        for server in &mut servers {
            progress.show(&stage, &format!("storing the keys in {}", server.name));
            preload(server, size, self.stop)?;
        }
        Ok(servers)
    }

    fn one_case(
        &self,
        case: &Case,
        place: &Placement,
        servers: &mut [Server],
        progress: &mut Progress,
    ) -> anyhow::Result<Rounds> {
        let options = self.options;
        let load_threads = place.load_threads();
        let pace = Pace { generator: &self.generator, load_threads, seconds: options.seconds };
        let mut rounds = Rounds::default();
        progress.show(&case.name(), "warming up");
        for server in &mut *servers {
            rounds::warm_up(case, server, load_threads, self.stop)?;
        }
        for round in 0..options.rounds {
            progress.show(&case.name(), &format!("round {} of {}", round + 1, options.rounds));
            rounds.run(round, case, pace, servers, || progress.step(), self.stop)?;
            if rounds.failure.is_some() {
                break;
            }
        }
        Ok(rounds)
    }

    /// A rough estimate of the duration.
    fn estimate(&self, cases: &[Case]) -> String {
        let (rounds, seconds) = (self.options.rounds, self.options.seconds);
        let turn = Duration::from_secs(u64::from(seconds)) + self.generator.overhead();
        let case = turn * rounds + rounds::WARM_UP;
        let turns = cases.len() * self.contenders.len();
        let minutes = (case * u32::try_from(turns).unwrap_or(u32::MAX)).as_secs().div_ceil(60);
        let loads = match cases.len() {
            1 => "1 load".to_owned(),
            count => format!("{count} loads"),
        };
        format!("{loads}, {rounds} rounds of {seconds} s on each server: about {minutes} min")
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
        None if options.generator == GeneratorChoice::Memtier => {
            let text = "memtier_benchmark is not on the PATH: install it, say where it is with \
                        --memtier, or use this program's own load with --generator own";
            Err(BenchError::NoServer(text.to_owned()).into())
        }
        None => Ok(Generator::Own),
    }
}

/// Stores every key and checks that all are there.
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
            "{} holds {kept} of {} items of {size} bytes: give all more with --memory-limit",
            server.name,
            load.keys
        );
    }
    Ok(())
}
