//! Many tasks of several clients use a few keys while rings replace each other. Their results must be
//! consistent with a single server, except for misses. So must the results of one client's tasks through its
//! near cache, since the client's own writes go through that cache.
//!
//! `RINGBINDER_RING_SECONDS` sets the duration of each run, `RINGBINDER_RING_SEED` the random choices.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use ringbinder_client::{Client, Error, Item, NearCache, Ttl};
use ringbinder_tests::history::{Action, Moment, Operation, check};
use ringbinder_tests::ring::{Fleet, local};
use ringbinder_tests::{Kind, Server, needs};

use crate::{connect, patient};

const NODES: usize = 4;
const KEYS: usize = 20;
const TASKS: u64 = 12;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn seed_and_seconds(test: &str) -> (u64, u64) {
    let seed = setting("RINGBINDER_RING_SEED").unwrap_or_else(rand::random);
    let seconds = setting("RINGBINDER_RING_SECONDS").unwrap_or(5);
    println!("{test}: RINGBINDER_RING_SEED={seed} RINGBINDER_RING_SECONDS={seconds}");
    (seed, seconds)
}

#[derive(Default)]
struct Log {
    histories: HashMap<usize, Vec<Operation>>,
    gets: u64,
    hits: u64,
    writes: u64,
    errors: Vec<Error>,
}

impl Log {
    fn record(&mut self, key: usize, action: Action, invoked: Moment, responded: Option<Moment>) {
        let operation = Operation { action, invoked, responded };
        self.histories.entry(key).or_default().push(operation);
    }
}

/// A task that reads and writes until it is stopped.
struct Worker {
    client: Client,
    rng: StdRng,
    start: Instant,
    next_value: u64,
    log: Log,
}

fn name_of(key: usize) -> String {
    format!("register-{key}")
}

fn number_in(item: &Item) -> u64 {
    String::from_utf8_lossy(&item.value).parse().expect("a number that was written")
}

impl Worker {
    fn now(&self) -> Moment {
        u64::try_from(self.start.elapsed().as_nanos()).expect("a short test")
    }

    async fn work(mut self, stop: Arc<AtomicBool>) -> Log {
        while !stop.load(Ordering::Relaxed) {
            let key = self.rng.random_range(0..KEYS);
            let done = match self.rng.random_range(0..100) {
                0..50 => self.read(key).await,
                50..60 => self.read_many().await,
                60..92 => self.write(key).await,
                _ => self.delete(key).await,
            };
            if let Err(error) = done {
                self.log.errors.push(error);
            }
        }
        self.log
    }

    async fn read(&mut self, key: usize) -> Result<(), Error> {
        let invoked = self.now();
        let item = self.client.get(name_of(key)).await?;
        self.log.gets += 1;
        if let Some(item) = item {
            self.log.hits += 1;
            let responded = self.now();
            self.log.record(key, Action::Read(number_in(&item)), invoked, Some(responded));
        }
        Ok(())
    }

    async fn read_many(&mut self) -> Result<(), Error> {
        let mut keys: Vec<usize> = (0..KEYS).collect();
        keys.shuffle(&mut self.rng);
        let names: Vec<String> = keys.iter().map(|&key| name_of(key)).collect();
        let invoked = self.now();
        let items = self.client.get_many(&names).await?;
        let responded = self.now();
        for (key, item) in keys.into_iter().zip(items) {
            if let Some(item) = item {
                self.log.record(key, Action::Read(number_in(&item)), invoked, Some(responded));
            }
        }
        Ok(())
    }

    async fn write(&mut self, key: usize) -> Result<(), Error> {
        self.next_value += 1;
        let (value, invoked) = (self.next_value, self.now());
        let stored = self.client.set(name_of(key), value.to_string(), Ttl::Never).await;
        let responded = stored.is_ok().then(|| self.now());
        self.log.writes += 1;
        self.log.record(key, Action::Write(value), invoked, responded);
        assert!(stored?.is_stored());
        Ok(())
    }

    async fn delete(&mut self, key: usize) -> Result<(), Error> {
        let invoked = self.now();
        let deleted = self.client.delete(name_of(key)).await;
        let responded = deleted.is_ok().then(|| self.now());
        self.log.record(key, Action::Delete, invoked, responded);
        deleted.map(drop)
    }
}

/// Runs the tasks on the clients in turn while `changes` runs, and checks their history.
async fn run(test: &str, seed: u64, clients: &[Client], changes: impl AsyncFnOnce(StdRng)) {
    let (stop, start) = (Arc::new(AtomicBool::new(false)), Instant::now());
    let workers: Vec<_> = (0..TASKS)
        .zip(clients.iter().cycle())
        .map(|(task, client)| {
            let worker = Worker {
                client: client.clone(),
                rng: StdRng::seed_from_u64(seed ^ (task + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                start,
                next_value: (task + 1) << 40,
                log: Log::default(),
            };
            tokio::spawn(worker.work(Arc::clone(&stop)))
        })
        .collect();
    changes(StdRng::seed_from_u64(seed)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut histories, mut gets, mut hits, mut writes) = (HashMap::new(), 0, 0, 0);
    for worker in workers {
        let log = worker.await.expect("no panic");
        (gets, hits, writes) = (gets + log.gets, hits + log.hits, writes + log.writes);
        assert!(log.errors.is_empty(), "{:?}", log.errors);
        for (key, mut history) in log.histories {
            histories.entry(key).or_insert_with(Vec::new).append(&mut history);
        }
    }
    println!("{test}: {gets} gets, {hits} of them hits, {writes} writes");
    assert!(hits * 5 > gets && writes > 100, "nothing was tried");
    for (key, history) in histories {
        if let Err(violation) = check(&history) {
            panic!("{}: {violation}", name_of(key));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_clients_while_rings_change() {
    let test = "several_clients_while_rings_change";
    needs!(Kind::Ringbinder);
    let (seed, seconds) = seed_and_seconds(test);
    let mut fleet = Fleet::new(NODES);
    let everybody: Vec<usize> = (0..NODES).collect();
    let first = fleet.ring(1, &[0, 1]);
    fleet.launch(&everybody, &first, &[]);
    fleet.await_settled(&everybody, 1);
    let file = PathBuf::from(fleet.file("client.toml", &first));
    let mut clients = Vec::new();
    for period in [10, 50] {
        let seeds = [local(fleet.port(0)).to_string()];
        let builder = Client::with_discovery(seeds).discover_every(Duration::from_millis(period));
        clients.push(connect(patient(builder)).await);
    }
    clients.push(connect(patient(Client::with_ring_file(&file))).await);
    // One client keeps its first ring: the nodes correct its requests.
    clients.push(connect(patient(Client::with_fixed_ring((*clients[0].ring()).clone()))).await);
    let changes = async |mut rng: StdRng| {
        let (mut version, mut members, begun) = (1, vec![0, 1], Instant::now());
        while begun.elapsed() < Duration::from_secs(seconds) {
            let mut next = everybody.clone();
            next.shuffle(&mut rng);
            next.truncate(rng.random_range(2..=NODES));
            version += 1;
            let weighted: Vec<_> =
                next.iter().map(|&node| (node, rng.random_range(1..=3))).collect();
            let ring = fleet.weighted(version, &weighted);
            fleet.write(*members.choose(&mut rng).expect("nodes"), &ring);
            let temporary = file.with_extension("new");
            std::fs::write(&temporary, &ring).expect("a temp file");
            std::fs::rename(&temporary, &file).expect("a rename");
            members = next;
            // The sleep is part of the test: rings must follow each other faster and slower than the nodes
            // agree on them.
            tokio::time::sleep(Duration::from_millis(rng.random_range(20..150))).await;
        }
        assert!(version > seconds, "only {version} rings: nothing was tried");
    };
    run(test, seed, &clients, changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_with_a_near_cache() {
    let test = "one_client_with_a_near_cache";
    needs!(Kind::Ringbinder);
    let (seed, seconds) = seed_and_seconds(test);
    let server = Server::start(Kind::Ringbinder, &["-t", "2"]);
    let near = NearCache { bytes: 1 << 20, ttl: Duration::from_secs(3600) };
    let builder = Client::with_servers([server.address().to_string()]).near_cache(near);
    // With two connections, a later answer may arrive first.
    let client = connect(patient(builder.connections(2))).await;
    let changes =
        async |_: StdRng| tokio::time::sleep(Duration::from_secs(seconds.div_ceil(2))).await;
    run(test, seed, &[client], changes).await;
}
