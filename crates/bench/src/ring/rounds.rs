//! One load in turns on all layouts, and the result of each turn.

use std::time::Duration;

use serde::Serialize;

use super::fleet::Fleet;
use super::matrix::Case;
use crate::load::{Outcome, run_at};
use crate::order::order;
use crate::stop::{Interrupted, Stop};
use crate::table::Spread;

/// Duration of the load on each layout before the first round, which is not counted.
pub(super) const WARM_UP: Duration = Duration::from_millis(300);

/// One turn of a layout.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    /// The result from the load generator.
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    /// User and system time of all servers together per request, in microseconds.
    pub(super) cpu_per_request: f64,
    /// The same time as a share of the seconds of load.
    pub(super) busy: f64,
    /// Forwarded requests as a share of all.
    pub(super) forwarded: f64,
}

/// The turns of one layout.
#[derive(Debug, Default, Serialize)]
pub(super) struct Turns {
    /// The runs by round.
    pub(super) runs: Vec<Run>,
    /// The reason why the rounds ended early.
    pub(super) failure: Option<String>,
}

impl Turns {
    /// The median of a figure.
    pub(super) fn median(&self, figure: impl Fn(&Run) -> f64) -> Option<f64> {
        Spread::of(self.runs.iter().map(figure)).map(|spread| spread.median)
    }

    /// CPU per request as a ratio to another layout's, one for each round.
    pub(super) fn cost_against(&self, other: &Self) -> Option<Spread> {
        let pairs = self.runs.iter().zip(&other.runs);
        Spread::of(pairs.map(|(ours, theirs)| ours.cpu_per_request / theirs.cpu_per_request))
    }
}

/// The settings of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) load_threads: usize,
    pub(super) rounds: u32,
    pub(super) seconds: u32,
}

/// Runs all rounds of a case. Returns the turns by lane. A load that fails is recorded and ends its lane's
/// turns. A server that exits ends the benchmark.
pub(super) fn run(
    case: &Case,
    fleet: &mut Fleet,
    plan: Plan,
    mut show: impl FnMut(&str),
    stop: &Stop,
) -> anyhow::Result<Vec<Turns>> {
    let mut turns: Vec<Turns> = fleet.lanes.iter().map(|_| Turns::default()).collect();
    for (lane, turns) in turns.iter_mut().enumerate() {
        show(&format!("warming up {}", fleet.lanes[lane].layout.name()));
        turns.failure = turn(case, fleet, lane, plan, WARM_UP, stop)?.err();
    }
    let time = Duration::from_secs(plan.seconds.into());
    for round in 0..plan.rounds {
        for lane in order(round, turns.len()) {
            let name = fleet.lanes[lane].layout.name();
            show(&format!("round {} of {}, {name}", round + 1, plan.rounds));
            if turns[lane].failure.is_some() {
                continue;
            }
            match turn(case, fleet, lane, plan, time, stop)? {
                Ok(run) => turns[lane].runs.push(run),
                Err(failure) => turns[lane].failure = Some(failure),
            }
        }
    }
    Ok(turns)
}

/// Runs one turn. Returns the reason if its load failed.
fn turn(
    case: &Case,
    fleet: &mut Fleet,
    lane: usize,
    plan: Plan,
    time: Duration,
    stop: &Stop,
) -> anyhow::Result<Result<Run, String>> {
    fleet.must_run(lane)?;
    let forwarded = fleet.forwarded(lane)?;
    let before = fleet.cpu_time(lane)?;
    let targets = &fleet.lanes[lane].targets;
    let outcome = match run_at(&case.load(), targets, plan.load_threads, time, stop) {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => {
            fleet.must_run(lane)?;
            return Ok(Err(format!("{error:#}")));
        }
        Ok(outcome) => outcome,
    };
    fleet.must_run(lane)?;
    let used = fleet.cpu_time(lane)?.saturating_sub(before).as_secs_f64();
    let forwarded = fleet.forwarded(lane)?.saturating_sub(forwarded);
    let requests = outcome.requests as f64;
    Ok(Ok(Run {
        cpu_per_request: used * 1_000_000.0 / requests,
        busy: used / time.as_secs_f64(),
        forwarded: forwarded as f64 / requests,
        outcome,
    }))
}
