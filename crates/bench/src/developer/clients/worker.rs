//! The measured process: one client with one kind of work for a fixed time.
//!
//! It prints one line: operations, misses, nanoseconds of CPU time, nanoseconds of elapsed time. The other
//! worker, `pylibmc_worker.py`, prints the same.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_memcached::AsciiProtocol as _;
use futures_util::future::{join_all, try_join_all};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use ringbinder_client::{Client, NearCache, OnAway};
use ringbinder_ring::Ring;

use super::matrix::{Contestant, IN_FLIGHT, KEYS, KEYS_PER_GET, Work, key};
use crate::developer::cli::WorkerOptions;

/// Operations between two readings of the clock. A reading costs as much as a near-cache hit.
const BATCH: u32 = 64;

/// Duration of the initial work that is not counted.
const WARM_UP: Duration = Duration::from_millis(200);

/// Keys for the near cache, few enough that all of them stay cached from the start.
const NEAR_KEYS: usize = 1_000;

/// Runs `ringbinder-bench clients-worker`.
pub(crate) fn run(options: &WorkerOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ring, work) = (options.ring.clone(), options.work);
    let pace = Pace { warm_up: WARM_UP, time: Duration::from_secs(options.seconds) };
    // The work runs as a task, as in a server. To wake the future of `block_on` would cost a system call.
    let task = match options.client {
        Contestant::Ringbinder => runtime.spawn(async move { ours(work, &ring, pace).await }),
        Contestant::AsyncMemcached => {
            runtime.spawn(async move { async_memcached(work, &ring, pace).await })
        }
        Contestant::Pylibmc => anyhow::bail!("pylibmc has a worker in Python"),
    };
    let Done { operations, misses, cpu, time } = runtime.block_on(task)??;
    println!("{operations} {misses} {} {}", cpu.as_nanos(), time.as_nanos());
    Ok(())
}

/// An operation that is repeated.
trait Once {
    /// Runs it once. Returns the number of keys that it missed.
    fn once(&mut self) -> impl Future<Output = anyhow::Result<u64>> + Send;
}

async fn ours(work: Work, ring: &Path, pace: Pace) -> anyhow::Result<Done> {
    let mut builder = Client::with_ring_file(ring).connections(1).on_away(OnAway::Error);
    if work == Work::Near {
        builder = builder.near_cache(NearCache { bytes: 64 << 20, ttl: Duration::from_secs(3600) });
    }
    let client = builder.connect().await?;
    let get = |keys, task| OurGet { client: client.clone(), keys, choice: Choice::new(task) };
    match work {
        Work::Get => pace.run(get(keys(KEYS), 0)).await,
        Work::Near => {
            let keys = keys(NEAR_KEYS);
            for key in keys {
                client.get(key).await?;
            }
            pace.run(get(keys, 0)).await
        }
        Work::Get32 => {
            let keys = keys(KEYS);
            together((0..IN_FLIGHT).map(|task| pace.run(get(keys, task)))).await
        }
        Work::Multi100 => pace.run(OurMultiGet(get(keys(KEYS), 0))).await,
    }
}

struct OurGet {
    client: Client,
    keys: &'static [String],
    choice: Choice,
}

impl Once for OurGet {
    async fn once(&mut self) -> anyhow::Result<u64> {
        Ok(misses([self.client.get(self.choice.of(self.keys)).await?]))
    }
}

struct OurMultiGet(OurGet);

impl Once for OurMultiGet {
    async fn once(&mut self) -> anyhow::Result<u64> {
        let OurMultiGet(OurGet { client, keys, choice }) = self;
        Ok(misses(client.get_many(choice.some_of(keys)).await?))
    }
}

async fn async_memcached(work: Work, ring: &Path, pace: Pace) -> anyhow::Result<Done> {
    let keys = keys(KEYS);
    match work {
        Work::Get => pace.run(Routed::connect(ring, keys, 0).await?).await,
        // A connection takes one request at a time, so each of the 32 gets has its own.
        Work::Get32 => {
            let all = try_join_all((0..IN_FLIGHT).map(|task| Routed::connect(ring, keys, task)));
            together(all.await?.into_iter().map(|routed| pace.run(routed))).await
        }
        Work::Multi100 => pace.run(RoutedMultiGet(Routed::connect(ring, keys, 0).await?)).await,
        Work::Near => anyhow::bail!("async-memcached has no near cache"),
    }
}

/// A client with one connection to each node, which finds the owner of each key by the ring.
struct Routed {
    ring: Ring,
    nodes: Vec<async_memcached::Client>,
    keys: &'static [String],
    choice: Choice,
}

impl Routed {
    async fn connect(file: &Path, keys: &'static [String], task: usize) -> anyhow::Result<Routed> {
        let ring = Ring::load(file)?;
        let mut nodes = Vec::new();
        for node in ring.nodes() {
            let client = async_memcached::Client::new(format!("tcp://{node}")).await;
            nodes
                .push(client.with_context(|| format!("async-memcached cannot connect to {node}"))?);
        }
        Ok(Routed { ring, nodes, keys, choice: Choice::new(task) })
    }
}

impl Once for Routed {
    async fn once(&mut self) -> anyhow::Result<u64> {
        let key = self.choice.of(self.keys);
        let owner = self.ring.owner(key.as_bytes()) as usize;
        Ok(misses([self.nodes[owner].get(key).await?]))
    }
}

struct RoutedMultiGet(Routed);

impl Once for RoutedMultiGet {
    async fn once(&mut self) -> anyhow::Result<u64> {
        let RoutedMultiGet(Routed { ring, nodes, keys, choice }) = self;
        let mut shares = vec![Vec::new(); nodes.len()];
        for key in choice.some_of(keys) {
            shares[ring.owner(key.as_bytes()) as usize].push(key.as_str());
        }
        let asked = nodes.iter_mut().zip(shares).filter(|(_, share)| !share.is_empty());
        let values = join_all(asked.map(|(node, share)| node.get_multi(share))).await;
        let mut hits = 0;
        for values in values {
            hits += black_box(values?).len();
        }
        Ok(KEYS_PER_GET.saturating_sub(hits) as u64)
    }
}

fn misses<T>(items: impl IntoIterator<Item = Option<T>>) -> u64 {
    items.into_iter().filter(|item| black_box(item).is_none()).count() as u64
}

/// The first `count` keys, leaked for the lifetime of the process.
fn keys(count: usize) -> &'static [String] {
    (0..count).map(key).collect::<Vec<_>>().leak()
}

/// The result of the work.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    operations: u64,
    misses: u64,
    cpu: Duration,
    time: Duration,
}

/// Runs several tasks on one processor, so that CPU time is counted once.
async fn together(
    workers: impl Iterator<Item = impl Future<Output = anyhow::Result<Done>> + Send + 'static>,
) -> anyhow::Result<Done> {
    let tasks: Vec<_> = workers.map(tokio::spawn).collect();
    let mut all = Done::default();
    for task in tasks {
        let done = task.await??;
        all.operations += done.operations;
        all.misses += done.misses;
        all.cpu = all.cpu.max(done.cpu);
        all.time = all.time.max(done.time);
    }
    Ok(all)
}

/// The duration of the work.
#[derive(Clone, Copy, Debug)]
struct Pace {
    warm_up: Duration,
    time: Duration,
}

impl Pace {
    async fn run(self, mut work: impl Once) -> anyhow::Result<Done> {
        let until = Instant::now() + self.warm_up;
        while Instant::now() < until {
            work.once().await?;
        }
        let (cpu, start) = (cpu_time()?, Instant::now());
        let mut done = Done::default();
        while done.time < self.time {
            for _ in 0..BATCH {
                done.misses += work.once().await?;
            }
            done.operations += u64::from(BATCH);
            done.time = start.elapsed();
        }
        done.cpu = cpu_time()?.saturating_sub(cpu);
        Ok(done)
    }
}

/// User and system time of this process.
fn cpu_time() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let duration = |time: TimeVal| {
        let (seconds, micros) = (time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs());
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    };
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

/// Random keys, the same in every run.
struct Choice(SmallRng);

impl Choice {
    fn new(seed: usize) -> Choice {
        Choice(SmallRng::seed_from_u64(seed as u64))
    }

    fn of(&mut self, keys: &'static [String]) -> &'static str {
        &keys[self.0.random_range(0..keys.len())]
    }

    fn some_of(&mut self, keys: &'static [String]) -> &'static [String] {
        let start = self.0.random_range(0..keys.len() - KEYS_PER_GET);
        &keys[start..start + KEYS_PER_GET]
    }
}
