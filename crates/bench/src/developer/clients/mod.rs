//! `clients`: the cost of a get for the client that sends it.
//!
//! The same three nodes serve all clients, one client at a time, each in its own process. The benchmark
//! counts the CPU time of that process: the nodes' time is the same for all.

pub(crate) mod matrix;
mod report;
mod rounds;
mod worker;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use ringbinder_client::{Client, OnAway, Ttl};
use serde_json::json;
use tempfile::TempDir;

pub(crate) use worker::run as run_worker;

use crate::Verdict;
use crate::cores::{Placement, move_to};
use crate::developer::cli::ClientsOptions;
use crate::machine;
use crate::output;
use crate::progress::{Look, Progress};
use crate::servers::{Contender, Setup, share_folder, start_ring};
use crate::stop::Stop;
use matrix::{IN_FLIGHT, KEYS, VALUE_SIZE, Work, key};
use rounds::Plan;

/// Runs `ringbinder-bench clients`.
pub(crate) fn run(options: &ClientsOptions, look: Look, stop: &Stop) -> anyhow::Result<Verdict> {
    let works = Work::select(&options.only)?;
    output::will_write(options.data.json.as_deref())?;
    let (asked, threads) = (&options.node, usize::from(options.node.threads));
    let node = Contender::ringbinderd(asked)?;
    let python = python(options.python.as_deref())?;
    let place = Placement::choose(asked.server_cores.clone(), asked.load_cores.clone(), threads)?;
    let mut progress = Progress::new(look);
    progress.show("starting the nodes", "");
    let folder = TempDir::new().context("cannot make a temporary folder")?;
    share_folder(folder.path())?;
    let setup = Setup { threads, megabytes: 256, connections: 4 * IN_FLIGHT };
    move_to(&place.servers)?;
    let file = folder.path().join("ring.toml");
    let mut ring = start_ring(&node, setup, &file, &[], stop)?;
    move_to(&place.load)?;
    progress.show("storing the keys", "");
    fill(&file)?;
    let (rounds, seconds) = (options.rounds, options.seconds);
    let plan = Plan { python, rounds, seconds, file, addresses: ring.addresses };
    progress.begin(works.len() as u64);
    let mut all = Vec::new();
    for work in works {
        let show = |now: &str| progress.show(work.name(), now);
        all.extend(rounds::run(work, &plan, show, stop)?);
        progress.step();
        for server in &mut ring.servers {
            server.must_run()?;
        }
    }
    drop(progress);
    let (table, flagged) = report::table(&all);
    let text = report::head(&node, plan.python.as_deref(), &place, options) + &table;
    let data = json!({
        "benchmark": "clients",
        "machine": machine::data(),
        "ringbinderd": node.describe(),
        "threads": threads,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "work": all,
    });
    output::publish(&text, options.data.json.as_deref(), &data)?;
    Ok(if flagged { Verdict::Flagged } else { Verdict::Clean })
}

fn fill(ring: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::with_ring_file(ring).on_away(OnAway::Error).connect().await?;
        let value = [b'x'; VALUE_SIZE];
        for number in 0..KEYS {
            let stored = client.set(key(number), value, Ttl::Never).await?;
            anyhow::ensure!(stored.is_stored(), "{} was not stored: {stored:?}", key(number));
        }
        Ok(())
    })
}

/// A Python that has pylibmc: the one that the user named, the tests' virtual environment, or the one on the
/// PATH.
fn python(named: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let has_pylibmc = |python: &Path| {
        let mut command = Command::new(python);
        command.args(["-c", "import pylibmc"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if let Some(python) = named {
        anyhow::ensure!(has_pylibmc(python), "{} has no pylibmc", python.display());
        return Ok(Some(python.to_owned()));
    }
    let candidates = ["tests/.venv/bin/python", "python3"].map(PathBuf::from);
    Ok(candidates.into_iter().find(|python| has_pylibmc(python)))
}
