//! `replay`: the hit ratio of a cache on a trace, and the memory that it takes.
//!
//! Each server runs alone on the machine. It starts empty and gets every request of the trace in order. At
//! the end, its evictions and its memory are read. The meaning of `-m` differs between servers, but that of
//! the resident memory in `/proc` does not. So `--match-resident` searches for the `-m` with which
//! ringbinderd stays within the other server's peak.

mod player;
mod report;
mod search;

use anyhow::Context;
use serde::Serialize;

use crate::Verdict;
use crate::cli::ReplayOptions;
use crate::cores::{Placement, move_to};
use crate::error::BenchError;
use crate::output;
use crate::progress::{Look, Progress};
use crate::servers::{Client, Contender, Server, Setup};
use crate::stop::Stop;
use crate::trace;
use player::{Player, Tally};
use search::Search;

/// Requests between two checks of the stop flag.
const GLANCE: u64 = 256;

/// The longest value of a server that does not report its limit.
const ITEM_SIZE_MAX: u64 = 1 << 20;

/// Most runs of a search for a memory limit, besides the first.
const RUNS: usize = 8;

/// Runs `ringbinder bench replay`.
pub(crate) fn run(options: &ReplayOptions, look: Look, stop: &Stop) -> anyhow::Result<Verdict> {
    let mut contenders = Contender::others(&options.others)?;
    let node = Contender::ringbinderd(&options.node)?;
    drop(trace::open(&options.trace, options.format)?);
    output::will_write(options.data.json.as_deref())?;
    let threads = usize::from(options.node.threads);
    let cores = (options.node.server_cores.clone(), options.node.load_cores.clone());
    let place = Placement::choose(cores.0, cores.1, threads)?;
    let mut stage = Stage { options, place, progress: Progress::new(look), stop };
    let limit = options.memory_limit;
    contenders.push(node.clone());
    let mut outcomes = Vec::new();
    for contender in &contenders {
        outcomes.push(stage.replay(contender, limit)?);
    }
    let target = outcomes.first().filter(|_| options.match_resident && outcomes.len() > 1);
    let mut matched = None;
    if let Some(target) = target.map(|first| first.resident_peak) {
        let target = target.with_context(|| {
            format!("cannot read the memory of {}: it runs elsewhere", contenders[0].name)
        })?;
        matched = Some(stage.search(&node, target, &mut outcomes)?);
    }
    drop(stage.progress);
    let report = report::Report { options, contenders: &contenders, outcomes: &outcomes, matched };
    output::publish(&report.text(), options.data.json.as_deref(), &report.data())?;
    Ok(if report.is_flagged() { Verdict::Flagged } else { Verdict::Clean })
}

/// The result of a trace on a server.
#[derive(Clone, Debug, Serialize)]
struct Outcome {
    server: String,
    /// The value of `-m`; `None` if this program did not start the server.
    memory_limit_mb: Option<u64>,
    #[serde(flatten)]
    tally: Tally,
    /// Items at the start. A server that was not empty gives little information.
    items_before: u64,
    items: u64,
    evictions: u64,
    /// Resident memory at the end, in bytes; `None` if it is not readable.
    resident: Option<u64>,
    /// Peak of resident memory, in bytes.
    resident_peak: Option<u64>,
}

impl Outcome {
    /// Hits as a share of all requests.
    fn hit_ratio(&self) -> f64 {
        self.tally.hits as f64 / self.tally.requests as f64
    }
}

struct Stage<'a> {
    options: &'a ReplayOptions,
    place: Placement,
    progress: Progress,
    stop: &'a Stop,
}

impl Stage<'_> {
    /// Replays the whole trace on one server.
    fn replay(&mut self, contender: &Contender, limit: u64) -> anyhow::Result<Outcome> {
        let options = self.options;
        let memory_limit_mb = contender.is_program().then_some(limit);
        let name = match memory_limit_mb {
            Some(limit) => format!("{} -m {limit}:", contender.name),
            None => format!("{}:", contender.name),
        };
        let threads = usize::from(options.node.threads);
        let setup = Setup { threads, megabytes: limit, connections: 100 };
        move_to(&self.place.servers)?;
        let mut server = Server::start(contender, setup, self.stop)?;
        move_to(&self.place.load)?;
        let mut client = Client::connect(server.address)?;
        let longest = client.setting("settings", "item_size_max").ok().flatten();
        let (items_before, evicted_before) = counters(&mut client)?;
        let longest = longest.unwrap_or(ITEM_SIZE_MAX);
        let mut player = Player::connect(server.address, longest, options.multiply)?;
        let played = self.play(&name, &mut player);
        server.must_run()?;
        let what = format!("cannot replay on {}", server.name);
        played.context(what)?;
        let (items, evicted) = counters(&mut client)?;
        let memory = server.memory()?;
        Ok(Outcome {
            server: server.name.clone(),
            memory_limit_mb,
            tally: player.tally,
            items_before,
            items,
            evictions: evicted.saturating_sub(evicted_before),
            resident: memory.map(|memory| memory.now),
            resident_peak: memory.map(|memory| memory.peak),
        })
    }

    fn play(&mut self, name: &str, player: &mut Player) -> anyhow::Result<()> {
        let mut trace = trace::open(&self.options.trace, self.options.format)?;
        self.progress.begin(trace.bytes());
        self.progress.show(name, "replaying");
        let limit = self.options.limit.unwrap_or(u64::MAX);
        while player.tally.requests < limit {
            let Some(request) = trace.next() else { break };
            player.play(request?)?;
            if player.tally.requests.is_multiple_of(GLANCE) {
                self.stop.check()?;
                self.progress.reach(trace.read());
            }
        }
        player.finish()?;
        if player.tally.requests == 0 {
            let text = format!("{} holds no request", self.options.trace.display());
            return Err(BenchError::BadTrace(text).into());
        }
        Ok(())
    }

    /// Replays on ringbinderd with other limits and appends the outcomes. Returns the largest limit that
    /// stays within the target. On entry, the last of `outcomes` is the first run.
    fn search(
        &mut self,
        node: &Contender,
        target: u64,
        outcomes: &mut Vec<Outcome>,
    ) -> anyhow::Result<Matched> {
        let mut search = Search::new(target);
        let mut runs = 0;
        let note = |outcome: &Outcome, search: &mut Search| {
            let (limit, peak) = (outcome.memory_limit_mb, outcome.resident_peak);
            if let Some((limit, peak)) = limit.zip(peak) {
                search.note(limit, peak, outcome.evictions > 0);
            }
        };
        if let Some(first) = outcomes.last() {
            note(first, &mut search);
        }
        while let Some(limit) = search.next().filter(|_| runs < RUNS) {
            let outcome = self.replay(node, limit)?;
            note(&outcome, &mut search);
            outcomes.push(outcome);
            runs += 1;
        }
        Ok(Matched { target, limit: search.best() })
    }
}

/// The result of a search.
#[derive(Clone, Copy, Debug, Serialize)]
struct Matched {
    /// Most bytes for the peak.
    target: u64,
    /// The largest `-m` tried with which ringbinderd stays within the target.
    limit: Option<u64>,
}

/// Number of items, and of evictions so far.
fn counters(client: &mut Client) -> anyhow::Result<(u64, u64)> {
    Ok((client.counter("curr_items")?, client.counter("evictions")?))
}
