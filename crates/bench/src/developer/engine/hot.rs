//! `hot`: several threads read one key at the same time.
//!
//! If there are more threads than cores, a thread that waits for another may wait until that thread gets a
//! core again. So only the total rate of all threads counts.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::caches::{Cache, Contestant, Ours, moka, quick_cache};
use super::keys::key;
use crate::order::order;
use crate::stop::{Interrupted, Stop};

/// Number of threads in each row.
pub(super) const THREADS: [usize; 3] = [1, 2, 4];

/// Gets between two checks of the clock's flag.
const GLANCE: u64 = 256;

/// Budget of the store in bytes, more than the key needs.
const BUDGET: u64 = 64 << 20;

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) value: usize,
    pub(super) rounds: u32,
    /// Duration for each contestant in each round.
    pub(super) time: Duration,
}

/// Gets per second of all threads together, one value for each round.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Rates {
    pub(super) threads: usize,
    pub(super) contestant: Contestant,
    pub(super) per_second: Vec<f64>,
}

/// Runs all rounds.
pub(super) fn run(
    plan: Plan,
    mut show: impl FnMut(&str),
    stop: &Stop,
) -> anyhow::Result<Vec<Rates>> {
    let all = THREADS.iter().flat_map(|&threads| {
        let rates = move |contestant| Rates { threads, contestant, per_second: Vec::new() };
        Contestant::ALL.map(rates)
    });
    let mut all: Vec<Rates> = all.collect();
    for round in 0..plan.rounds {
        for rates in all.chunks_mut(Contestant::ALL.len()) {
            for at in order(round, rates.len()) {
                let rates = &mut rates[at];
                let name = rates.contestant.name();
                show(&format!("round {}, {} threads, {name}", round + 1, rates.threads));
                let threads = rates.threads;
                rates.per_second.push(match rates.contestant {
                    Contestant::Ringbinder => read(&Ours::new(BUDGET), threads, plan, stop)?,
                    Contestant::QuickCache => {
                        read(&quick_cache(BUDGET, 1_000), threads, plan, stop)?
                    }
                    Contestant::Moka => read(&moka(BUDGET, 1_000), threads, plan, stop)?,
                });
            }
        }
    }
    Ok(all)
}

fn read(cache: &impl Cache, threads: usize, plan: Plan, stop: &Stop) -> Result<f64, Interrupted> {
    let key = key(1);
    cache.set(&key, &vec![b'v'; plan.value]);
    let over = AtomicBool::new(false);
    let one = || {
        let mut out = Vec::with_capacity(plan.value);
        let mut gets = 0_u64;
        while !over.load(Ordering::Relaxed) {
            for _ in 0..GLANCE {
                black_box(cache.get(black_box(&key), &mut out));
            }
            gets += GLANCE;
        }
        gets
    };
    let start = Instant::now();
    let (gets, paused) = thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let paused = stop.pause(plan.time);
        over.store(true, Ordering::Relaxed);
        let gets: u64 = readers.into_iter().filter_map(|reader| reader.join().ok()).sum();
        (gets, paused)
    });
    paused?;
    Ok(gets as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contestant_is_read_by_every_number_of_threads() {
        let plan = Plan { value: 10, rounds: 2, time: Duration::from_millis(1) };
        let rates = run(plan, |_| (), &Stop::default()).unwrap();
        assert_eq!(rates.len(), THREADS.len() * Contestant::ALL.len());
        assert!(rates.iter().all(|rates| rates.per_second.len() == 2));
    }
}
