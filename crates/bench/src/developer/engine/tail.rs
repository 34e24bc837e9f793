//! `tail`: the slowest single operations of a store that evicts.
//!
//! The store is filled until it evicts. Then several threads get and set random keys, some much more often
//! than others, and both clocks time every operation (see [`super::clock`]). If there are more threads than
//! cores, an operation at the end of its thread's time slice takes until the next slice, regardless of its
//! work. Two measurements show that effect: the processor time of each operation, and a control run. In the
//! control, threads compute for about the duration of an operation, and share no data.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use ringbinder_store::Store as _;
use serde::Serialize;

use super::caches::{Cache, Ours};
use super::clock::{cpu, nanos};
use super::keys::key;
use crate::stop::{Interrupted, Stop};

/// Smallest and largest size of a normal value, in bytes. One value in `ONE_LARGE_IN` has `LARGE` bytes.
const SIZES: [u64; 2] = [50, 2_000];
const LARGE: usize = 64 << 10;
const ONE_LARGE_IN: u64 = 100;

/// Rough mean size of an item. It makes the number of keys about twice the number of items that fit.
const MEAN: u64 = (SIZES[0] + SIZES[1]) / 2 + LARGE as u64 / ONE_LARGE_IN;

/// Operations between two checks of the clock's flag.
const GLANCE: u64 = 64;

/// Longest time that a histogram holds, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// Name of each mix, and the number of operations per set.
pub(super) const MIXES: [(&str, u64); 2] = [("9:1", 10), ("1:1", 2)];

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) bytes: u64,
    pub(super) threads: u64,
    /// Duration of each mix; its control takes the same time.
    pub(super) time: Duration,
}

/// Times of one kind of operation, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) count: u64,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) p9999: u64,
    pub(super) max: u64,
}

/// The measurements of one kind of operation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Times {
    pub(super) mix: &'static str,
    pub(super) what: &'static str,
    /// Elapsed time.
    pub(super) wall: Quantiles,
    /// Processor time of the thread.
    pub(super) cpu: Quantiles,
}

/// All measurements, and the store's activity meanwhile.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) times: Vec<Times>,
    pub(super) items: u64,
    pub(super) evictions: u64,
    pub(super) hits: f64,
}

/// Times by both clocks.
struct Record {
    wall: Histogram<u64>,
    cpu: Histogram<u64>,
}

impl Record {
    fn new() -> anyhow::Result<Record> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3);
        Ok(Record { wall: histogram()?, cpu: histogram()? })
    }

    #[inline]
    fn add(&mut self, wall: Duration, cpu: Duration) {
        self.wall.saturating_record(nanos(wall));
        self.cpu.saturating_record(nanos(cpu));
    }

    fn merge(&mut self, other: &Record) -> anyhow::Result<()> {
        self.wall.add(&other.wall)?;
        self.cpu.add(&other.cpu)?;
        Ok(())
    }

    fn times(&self, mix: &'static str, what: &'static str) -> Times {
        Times { mix, what, wall: quantiles(&self.wall), cpu: quantiles(&self.cpu) }
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Quantiles {
        count: histogram.len(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: histogram.max(),
    }
}

/// Fills a store and measures both mixes.
pub(super) fn run(plan: Plan, mut show: impl FnMut(&str), stop: &Stop) -> anyhow::Result<Outcome> {
    show("filling");
    let keys = (2 * plan.bytes / MEAN).max(1);
    let store = Ours::new(plan.bytes);
    fill(&store, keys, stop)?;
    let before = store.0.counters().evictions;
    let mut times = Vec::new();
    let (mut hits, mut gets) = (0, 0);
    for (mix, one_set_in) in MIXES {
        show(mix);
        let load = Load { keys, one_set_in, threads: plan.threads, time: plan.time };
        let of_store = threads(load, stop, |number| Worker::new(&store, number, load))?;
        let (mut get, mut set) = (Record::new()?, Record::new()?);
        for worker in &of_store {
            get.merge(&worker.gets)?;
            set.merge(&worker.sets)?;
            hits += worker.hits;
        }
        gets += get.wall.len();
        let mean = (get.cpu.mean() * get.cpu.len() as f64 + set.cpu.mean() * set.cpu.len() as f64)
            / (get.cpu.len() + set.cpu.len()).max(1) as f64;
        times.extend([get.times(mix, "get"), set.times(mix, "set")]);
        show(&format!("{mix}, control"));
        let steps = calibrate(Duration::from_secs_f64(mean / 1e9));
        let mut control = Record::new()?;
        for idle in threads(load, stop, |number| Control::new(number, steps))? {
            control.merge(&idle.times)?;
        }
        times.push(control.times(mix, "control"));
    }
    let counters = store.0.counters();
    let evictions = counters.evictions - before;
    Ok(Outcome { times, items: counters.items, evictions, hits: hits as f64 / gets.max(1) as f64 })
}

/// The work of the threads.
#[derive(Clone, Copy)]
struct Load {
    keys: u64,
    one_set_in: u64,
    threads: u64,
    time: Duration,
}

/// An operation that a thread repeats.
trait Work: Send {
    fn step(&mut self);
}

/// Runs threads until the time is over, and returns their work.
fn threads<W: Work>(
    load: Load,
    stop: &Stop,
    make: impl Fn(u64) -> anyhow::Result<W>,
) -> anyhow::Result<Vec<W>> {
    let mut workers = (0..load.threads).map(make).collect::<anyhow::Result<Vec<W>>>()?;
    let over = AtomicBool::new(false);
    let paused = thread::scope(|scope| {
        for worker in &mut workers {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    (0..GLANCE).for_each(|_| worker.step());
                }
            });
        }
        let paused = stop.pause(load.time);
        over.store(true, Ordering::Relaxed);
        paused
    });
    paused?;
    Ok(workers)
}

/// A thread that gets and sets.
struct Worker<'a> {
    store: &'a Ours,
    load: Load,
    random: SmallRng,
    value: Vec<u8>,
    out: Vec<u8>,
    gets: Record,
    sets: Record,
    hits: u64,
    /// Processor time at the end of the last operation, which is the start of the next.
    cpu: Option<Duration>,
}

impl<'a> Worker<'a> {
    fn new(store: &'a Ours, number: u64, load: Load) -> anyhow::Result<Worker<'a>> {
        Ok(Worker {
            store,
            load,
            random: SmallRng::seed_from_u64(number),
            value: vec![b'v'; LARGE],
            out: Vec::with_capacity(LARGE),
            gets: Record::new()?,
            sets: Record::new()?,
            hits: 0,
            cpu: None,
        })
    }
}

impl Work for Worker<'_> {
    #[inline]
    fn step(&mut self) {
        let key_number = often_low(&mut self.random, self.load.keys);
        let key = key(key_number);
        let is_set = self.random.random_range(0..self.load.one_set_in) == 0;
        let cpu_before = self.cpu.unwrap_or_else(cpu);
        let start = Instant::now();
        if is_set {
            self.store.set(&key, &self.value[..size(key_number)]);
        } else {
            self.hits += u64::from(self.store.get(&key, &mut self.out));
            black_box(&self.out);
        }
        let wall = start.elapsed();
        let cpu_after = cpu();
        let record = if is_set { &mut self.sets } else { &mut self.gets };
        record.add(wall, cpu_after.saturating_sub(cpu_before));
        self.cpu = Some(cpu_after);
    }
}

/// A thread that only computes.
struct Control {
    random: SmallRng,
    steps: u64,
    times: Record,
    cpu: Option<Duration>,
}

impl Control {
    fn new(number: u64, steps: u64) -> anyhow::Result<Control> {
        Ok(Control {
            random: SmallRng::seed_from_u64(number),
            steps,
            times: Record::new()?,
            cpu: None,
        })
    }
}

impl Work for Control {
    #[inline]
    fn step(&mut self) {
        let cpu_before = self.cpu.unwrap_or_else(cpu);
        let start = Instant::now();
        compute(&mut self.random, self.steps);
        let wall = start.elapsed();
        let cpu_after = cpu();
        self.times.add(wall, cpu_after.saturating_sub(cpu_before));
        self.cpu = Some(cpu_after);
    }
}

fn compute(random: &mut SmallRng, steps: u64) {
    for _ in 0..steps {
        black_box(random.next_u64());
    }
}

/// The number of steps of [`compute`] that take this time.
fn calibrate(time: Duration) -> u64 {
    const STEPS: u64 = 1 << 20;
    let before = cpu();
    compute(&mut SmallRng::seed_from_u64(1), STEPS);
    let took = nanos(cpu().saturating_sub(before)).max(1);
    (nanos(time) * STEPS / took).max(1)
}

/// A random number below `keys`. Half of the results fall into the lowest quarter.
#[inline]
fn often_low(random: &mut SmallRng, keys: u64) -> u64 {
    let below = random.random_range(0..keys);
    random.random_range(0..=below)
}

/// The size of a key's value, always the same.
#[inline]
fn size(key_number: u64) -> usize {
    let drawn = SmallRng::seed_from_u64(key_number).next_u64() >> 16;
    if drawn.is_multiple_of(ONE_LARGE_IN) {
        return LARGE;
    }
    usize::try_from(SIZES[0] + drawn % (SIZES[1] - SIZES[0] + 1)).unwrap_or(0)
}

/// Sets keys until the store evicts.
fn fill(store: &Ours, keys: u64, stop: &Stop) -> Result<(), Interrupted> {
    const GLANCE: u64 = 1 << 12;
    let value = vec![b'v'; LARGE];
    for number in (0..keys).rev() {
        if number % GLANCE == 0 {
            stop.check()?;
        }
        store.set(&key(number), &value[..size(number)]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_evicts_and_every_operation_is_counted() {
        let plan = Plan { bytes: 8 << 20, threads: 2, time: Duration::from_millis(30) };
        let outcome = run(plan, |_| (), &Stop::default()).unwrap();
        assert!(outcome.items > 1_000 && outcome.evictions > 0, "{outcome:?}");
        let rows: Vec<_> = outcome.times.iter().map(|times| (times.mix, times.what)).collect();
        let kinds = ["get", "set", "control"];
        assert!(
            rows.into_iter()
                .eq(["9:1", "1:1"].into_iter().flat_map(|mix| kinds.map(|kind| (mix, kind))))
        );
        assert!(outcome.times.iter().all(|times| times.wall.count == times.cpu.count));
        assert!(outcome.times.iter().all(|times| times.wall.count > 0));
        assert!(outcome.hits > 0.0 && outcome.hits < 1.0);
    }

    #[test]
    fn sizes_are_spread_and_few_are_large() {
        let sizes: Vec<usize> = (0..10_000).map(size).collect();
        let large = sizes.iter().filter(|&&size| size == LARGE).count();
        assert!((50..200).contains(&large), "{large}");
        let small = sizes.iter().filter(|&&size| size <= 1_000).count();
        assert!((4_000..6_000).contains(&small), "{small}");
        assert!(sizes.iter().all(|&size| size >= 50));
    }
}
