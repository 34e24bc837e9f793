//! One load in turns on both servers, and what each turn showed.

use std::time::Duration;

use super::matrix::Case;
use crate::load::{Generator, Outcome, run_own};
use crate::servers::Server;
use crate::stop::{Interrupted, Stop};

/// Load before the first round, by this program and not counted.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);

/// One run on one server.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// What the load generator saw.
    pub(super) outcome: Outcome,
    /// User and system time of the server per request, in microseconds.
    pub(super) cpu_per_request: f64,
    /// The same time as a share of the seconds of load.
    pub(super) busy: f64,
}

/// All rounds of a case.
#[derive(Debug)]
pub(super) struct Rounds<'a> {
    generator: &'a Generator,
    load_threads: usize,
    seconds: u32,
    done: Vec<[Run; 2]>,
    failure: Option<String>,
}

impl<'a> Rounds<'a> {
    /// None yet.
    pub(super) fn new(generator: &'a Generator, load_threads: usize, seconds: u32) -> Self {
        Self { generator, load_threads, seconds, done: Vec::new(), failure: None }
    }

    /// The rounds in which both servers had their turn.
    pub(super) fn done(&self) -> &[[Run; 2]] {
        &self.done
    }

    /// Why there are no more of them.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// One turn on each server; the second begins in every other round. A load that fails is noted
    /// and ends the case, a server that is gone ends everything.
    pub(super) fn run(
        &mut self,
        round: u32,
        case: &Case,
        servers: &mut [Server; 2],
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let [first, second] = servers;
        let swap = !round.is_multiple_of(2);
        let order = if swap { [second, first] } else { [first, second] };
        let mut runs = Vec::with_capacity(2);
        for server in order {
            match self.turn(case, server, stop) {
                Ok(run) => runs.push(run),
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) => {
                    server.must_run()?;
                    self.failure = Some(format!("{}: {error:#}", server.name));
                    return Ok(());
                }
            }
        }
        if swap {
            runs.reverse();
        }
        if let Ok(pair) = runs.try_into() {
            self.done.push(pair);
        }
        Ok(())
    }

    fn turn(&self, case: &Case, server: &mut Server, stop: &Stop) -> anyhow::Result<Run> {
        server.must_run()?;
        let before = server.cpu_time()?;
        let outcome = self.generator.run(
            &case.load(),
            server.address,
            self.load_threads,
            self.seconds,
            stop,
        )?;
        server.must_run()?;
        let used = server.cpu_time()?.saturating_sub(before).as_secs_f64();
        let cpu_per_request = used * 1_000_000.0 / outcome.requests as f64;
        Ok(Run { outcome, cpu_per_request, busy: used / f64::from(self.seconds) })
    }
}

/// Load that is not counted.
pub(super) fn warm_up(
    case: &Case,
    server: &mut Server,
    load_threads: usize,
    stop: &Stop,
) -> anyhow::Result<()> {
    let warm = run_own(&case.load(), server.address, load_threads, WARM_UP, stop);
    server.must_run()?;
    warm.map(drop).map_err(|error| error.context(format!("cannot load {}", server.name)))
}
