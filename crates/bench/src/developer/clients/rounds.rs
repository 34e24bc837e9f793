//! Turns of the clients, each in a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::matrix::{Contestant, KEYS, KEYS_PER_GET, Work};
use crate::order::order;
use crate::servers::{Guarded, NODES};
use crate::stop::Stop;
use crate::table::Spread;

/// The code of pylibmc's worker, for `python3 -c`.
const PYLIBMC_WORKER: &str = include_str!("pylibmc_worker.py");

/// Time that a worker may take to start and to end, beyond its seconds of work.
const PATIENCE: Duration = Duration::from_secs(30);

/// The result of a worker.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Run {
    /// CPU time of the client per operation, in microseconds.
    pub(super) cpu: f64,
    /// Time per operation, in microseconds. For concurrent operations, the total time divided by their
    /// number.
    pub(super) time: f64,
    pub(super) misses: u64,
}

/// The turns of one client at one kind of work.
#[derive(Debug, Serialize)]
pub(super) struct Turns {
    pub(super) work: Work,
    pub(super) client: Contestant,
    /// By round.
    pub(super) runs: Vec<Run>,
}

impl Turns {
    pub(super) fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        Spread::of(self.runs.iter().map(figure)).map_or(f64::NAN, |spread| spread.median)
    }

    /// Operations per second of CPU time as a ratio to another client's, one for each round.
    pub(super) fn per_cpu_against(&self, other: &Self) -> Option<Spread> {
        Spread::of(self.runs.iter().zip(&other.runs).map(|(ours, theirs)| theirs.cpu / ours.cpu))
    }
}

/// The settings of the workers.
#[derive(Debug)]
pub(super) struct Plan {
    /// A Python that has pylibmc.
    pub(super) python: Option<PathBuf>,
    pub(super) rounds: u32,
    pub(super) seconds: u32,
    /// The ring file, and the nodes in it.
    pub(super) file: PathBuf,
    pub(super) addresses: [SocketAddr; NODES],
}

/// Runs all rounds of one kind of work. Fails if a worker fails.
pub(super) fn run(
    work: Work,
    plan: &Plan,
    mut show: impl FnMut(&str),
    stop: &Stop,
) -> anyhow::Result<Vec<Turns>> {
    let there = |client: &Contestant| *client != Contestant::Pylibmc || plan.python.is_some();
    let mut turns: Vec<Turns> = Contestant::ALL
        .into_iter()
        .filter(|client| client.can(work) && there(client))
        .map(|client| Turns { work, client, runs: Vec::new() })
        .collect();
    for round in 0..plan.rounds {
        for place in order(round, turns.len()) {
            let client = turns[place].client;
            show(&format!("round {} of {}, {}", round + 1, plan.rounds, client.name()));
            let run = turn(work, client, plan, stop)
                .with_context(|| format!("{} at {}", client.name(), work.name()))?;
            turns[place].runs.push(run);
        }
    }
    Ok(turns)
}

fn turn(work: Work, client: Contestant, plan: &Plan, stop: &Stop) -> anyhow::Result<Run> {
    let seconds = plan.seconds.to_string();
    let mut command = match (client, &plan.python) {
        (Contestant::Pylibmc, Some(python)) => {
            let mut command = Command::new(python);
            command.args(["-c", PYLIBMC_WORKER, work.name(), &seconds]);
            command.args([KEYS.to_string(), KEYS_PER_GET.to_string()]);
            command.args(plan.addresses.map(|address| address.to_string()));
            command
        }
        _ => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("clients-worker");
            command.args(["--work", work.name(), "--seconds", &seconds]);
            command.args(["--client", client.name(), "--ring"]).arg(&plan.file);
            command
        }
    };
    let mut output = tempfile::tempfile()?;
    command.stdout(Stdio::from(output.try_clone()?));
    let mut worker = Guarded::spawn(&mut command).context("cannot start it")?;
    let time = PATIENCE + Duration::from_secs(plan.seconds.into());
    match worker.wait(time, stop)? {
        Some(status) if status.success() => {}
        Some(status) => bail!("its worker exited with {status}"),
        None => bail!("its worker does not exit"),
    }
    let text = {
        use std::io::{Read as _, Seek as _};
        let mut text = String::new();
        output.rewind()?;
        output.read_to_string(&mut text)?;
        text
    };
    figures(&text).with_context(|| format!("unexpected output of its worker: {text:?}"))
}

/// Parses a worker's output.
fn figures(text: &str) -> Option<Run> {
    let numbers: Vec<u64> =
        text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [operations, misses, cpu, time] = numbers[..] else {
        return None;
    };
    let each = |nanoseconds: u64| nanoseconds as f64 / 1_000.0 / operations as f64;
    (operations > 0).then(|| Run { cpu: each(cpu), time: each(time), misses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_prints() {
        let run = figures("1000 3 2000000 8000000\n").unwrap();
        assert_eq!((run.cpu, run.time, run.misses), (2.0, 8.0, 3));
        for wrong in ["", "0 0 1 1", "1 2 3", "1 2 3 4 5", "1 2 x 4"] {
            assert!(figures(wrong).is_none(), "{wrong}");
        }
    }
}
