//! One load in turns on all servers, and the result of each turn.

use std::time::Duration;

use serde::Serialize;

use super::matrix::Case;
use crate::load::{Generator, Outcome, run_own};
use crate::order::order;
use crate::servers::Server;
use crate::stop::{Interrupted, Stop};
use crate::table::Spread;

/// Duration of the load before the first round, which is made by this program and not counted.
pub(super) const WARM_UP: Duration = Duration::from_millis(500);

/// One run on one server.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    /// The result from the load generator.
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    /// User and system time of the server per request, in microseconds. `None` if its process is not
    /// readable.
    pub(super) cpu_per_request: Option<f64>,
    /// The same time as a share of the seconds of load.
    pub(super) busy: Option<f64>,
}

/// A function that extracts a figure from a run.
pub(super) type Figure = fn(&Run) -> Option<f64>;

/// The figures, in the order of the table.
pub(super) const FIGURES: [(&str, Figure); 5] = [
    ("cpu_per_request", |run| run.cpu_per_request),
    ("per_second", |run| Some(run.outcome.per_second)),
    ("p50", |run| Some(run.outcome.p50)),
    ("p99", |run| Some(run.outcome.p99)),
    ("p999", |run| Some(run.outcome.p999)),
];

/// All rounds of a case.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The runs by round and then by server. Holds only rounds in which every server had its turn.
    pub(super) done: Vec<Vec<Run>>,
    /// The reason why the rounds ended early.
    pub(super) failure: Option<String>,
}

/// The settings of the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace<'a> {
    pub(super) generator: &'a Generator,
    pub(super) load_threads: usize,
    pub(super) seconds: u32,
}

impl Rounds {
    /// The ratios of a figure of one server to another's, one for each round.
    pub(super) fn ratio(&self, ours: usize, theirs: usize, figure: Figure) -> Option<Spread> {
        let ratio = |round: &Vec<Run>| Some(figure(&round[ours])? / figure(&round[theirs])?);
        Spread::of(self.done.iter().filter_map(ratio))
    }

    /// A figure of one server over the rounds.
    pub(super) fn spread(&self, server: usize, figure: Figure) -> Option<Spread> {
        Spread::of(self.done.iter().filter_map(|round| figure(&round[server])))
    }

    /// Runs one turn on each server, in the order of the round. A load that fails is recorded and ends the
    /// case. A server that exits ends the benchmark. `turned` is called after each turn.
    pub(super) fn run(
        &mut self,
        round: u32,
        case: &Case,
        pace: Pace<'_>,
        servers: &mut [Server],
        mut turned: impl FnMut(),
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let mut runs: Vec<Option<Run>> = servers.iter().map(|_| None).collect();
        for place in order(round, servers.len()) {
            let server = &mut servers[place];
            match turn(case, pace, server, stop) {
                Ok(run) => runs[place] = Some(run),
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) => {
                    server.must_run()?;
                    self.failure = Some(format!("{}: {error:#}", server.name));
                    return Ok(());
                }
            }
            turned();
        }
        self.done.extend(runs.into_iter().collect::<Option<Vec<Run>>>());
        Ok(())
    }
}

fn turn(case: &Case, pace: Pace<'_>, server: &mut Server, stop: &Stop) -> anyhow::Result<Run> {
    server.must_run()?;
    let before = server.cpu_time()?;
    let Pace { generator, load_threads, seconds } = pace;
    let outcome = generator.run(&case.load(), server.address, load_threads, seconds, stop)?;
    server.must_run()?;
    let used = server.cpu_time()?.zip(before);
    let used = used.map(|(after, before)| after.saturating_sub(before).as_secs_f64());
    Ok(Run {
        cpu_per_request: used.map(|used| used * 1_000_000.0 / outcome.requests as f64),
        busy: used.map(|used| used / f64::from(seconds)),
        outcome,
    })
}

/// Runs a load that is not counted.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round_where_there_are_figures() {
        let run = |cpu_per_request, per_second| Run {
            outcome: Outcome { requests: 1, per_second, ..Outcome::default() },
            cpu_per_request,
            busy: None,
        };
        let done = vec![
            vec![run(Some(1.0), 10.0), run(Some(2.0), 5.0)],
            vec![run(None, 10.0), run(Some(9.0), 20.0)],
        ];
        let rounds = Rounds { done, failure: None };
        let [(_, cpu), (_, per_second), ..] = FIGURES;
        let spread = |median, least, most| Some(Spread { median, least, most });
        assert_eq!(rounds.ratio(1, 0, cpu), spread(2.0, 2.0, 2.0));
        assert_eq!(rounds.ratio(1, 0, per_second), spread(1.25, 0.5, 2.0));
        assert_eq!(rounds.spread(0, cpu), spread(1.0, 1.0, 1.0));
        assert_eq!(Rounds::default().ratio(1, 0, cpu), None);
    }
}
