//! `insert`, `get` and `overwrite`: one thread, a random key for each item, and room for all items.
//!
//! In each round every contestant gets an empty cache, fills it, reads every key and overwrites every key,
//! each time in another order. The figures are processor time of the thread.

use std::hint::black_box;
use std::time::Duration;

use serde::Serialize;

use super::caches::{Cache, Contestant, Ours, moka, quick_cache};
use super::clock::cpu;
use super::keys::{KEY, shuffled};
use crate::order::order;
use crate::stop::Stop;

/// Keys between two checks of the stop flag.
const GLANCE: usize = 1 << 16;

/// The kinds of operation, in the order of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Insert,
    Get,
    Overwrite,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Insert, Kind::Get, Kind::Overwrite];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Insert => "insert",
            Kind::Get => "get",
            Kind::Overwrite => "overwrite",
        }
    }
}

/// The amount of work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) items: u64,
    pub(super) value: usize,
    pub(super) rounds: u32,
}

impl Plan {
    /// A budget in bytes with room for every item, including a contestant's overhead and an uneven
    /// distribution over shards.
    pub(super) fn budget(&self) -> u64 {
        (self.items * (KEY + self.value + 64) as u64 * 2).max(64 << 20)
    }
}

/// One contestant's result of a round: nanoseconds per operation of each [`Kind`].
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Turn {
    pub(super) nanos: [f64; 3],
    pub(super) misses: u64,
}

/// The results of all rounds, by contestant.
pub(super) type Turns = Vec<(Contestant, Vec<Turn>)>;

/// Runs all rounds.
pub(super) fn run(plan: Plan, mut show: impl FnMut(&str), stop: &Stop) -> anyhow::Result<Turns> {
    let mut turns: Turns = Contestant::ALL.map(|contestant| (contestant, Vec::new())).into();
    let keys = [1, 2, 3].map(|seed| shuffled(plan.items, seed));
    for round in 0..plan.rounds {
        for at in order(round, turns.len()) {
            let (contestant, done) = &mut turns[at];
            show(&format!("round {}, {}", round + 1, contestant.name()));
            let (budget, items) = (plan.budget(), plan.items);
            done.push(match contestant {
                Contestant::Ringbinder => turn(Ours::new(budget), &keys, plan, stop)?,
                Contestant::QuickCache => turn(quick_cache(budget, items), &keys, plan, stop)?,
                Contestant::Moka => turn(moka(budget, items), &keys, plan, stop)?,
            });
        }
    }
    Ok(turns)
}

fn turn(
    cache: impl Cache,
    keys: &[Vec<[u8; KEY]>; 3],
    plan: Plan,
    stop: &Stop,
) -> anyhow::Result<Turn> {
    let [inserts, gets, overwrites] = keys;
    let (first, second) = (vec![b'a'; plan.value], vec![b'b'; plan.value]);
    let mut out = Vec::with_capacity(plan.value);
    let mut misses = 0;
    let insert = timed(inserts, stop, |key| cache.set(key, &first))?;
    let get = timed(gets, stop, |key| {
        misses += u64::from(!cache.get(key, &mut out));
        black_box(&out);
    })?;
    let overwrite = timed(overwrites, stop, |key| cache.set(key, &second))?;
    for key in gets.iter().step_by(1_000) {
        misses += u64::from(!cache.get(key, &mut out) || out != second);
    }
    let per_item = |time: Duration| time.as_secs_f64() * 1e9 / plan.items as f64;
    Ok(Turn { nanos: [insert, get, overwrite].map(per_item), misses })
}

#[inline]
fn timed(
    keys: &[[u8; KEY]],
    stop: &Stop,
    mut operation: impl FnMut(&[u8]),
) -> anyhow::Result<Duration> {
    let start = cpu();
    for part in keys.chunks(GLANCE) {
        stop.check()?;
        part.iter().for_each(|key| operation(key));
    }
    Ok(cpu() - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_in_each_round_and_misses_nothing() {
        let plan = Plan { items: 2_000, value: 100, rounds: 2 };
        let mut shown = 0;
        let turns = run(plan, |_| shown += 1, &Stop::default()).unwrap();
        assert_eq!((turns.len(), shown), (3, 6));
        for (contestant, turns) in turns {
            assert_eq!(turns.len(), 2);
            assert!(turns.iter().all(|turn| turn.misses == 0), "{contestant:?}");
        }
    }
}
