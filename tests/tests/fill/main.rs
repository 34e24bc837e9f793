//! One fill for a missing or stale key, whoever asks: `get_or_fill` of the client, and typed values.
//!
//! Each subject runs against three nodes and against memcached itself, since all it needs of a server
//! is meta get. Fills wait for what the test wants to happen meanwhile, not for a time; leases are so
//! long that a test which waits one out fails, except where that is the subject.

mod near;
mod refresh;
mod stampede;
mod trouble;
mod typed;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringbinder_client::{Builder, Client, Fill, Item};
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::wait::PATIENCE;
use ringbinder_tests::{Conn, Kind, Server};

/// Longer than any test takes.
const HOUR: Duration = Duration::from_secs(3600);

/// What is asked for a key.
enum Nodes {
    /// With the ring file of the clients.
    Fleet(Fleet, String),
    Memcached(Server),
}

impl Nodes {
    /// A connection that stands for a client of another kind. Any node takes any key.
    fn conn(&self) -> Conn {
        match self {
            Nodes::Fleet(fleet, _) => fleet.connect(0),
            Nodes::Memcached(server) => server.connect(),
        }
    }

    fn builder(&self) -> Builder {
        let builder = match self {
            Nodes::Fleet(_, ring) => Client::with_ring_file(ring),
            Nodes::Memcached(server) => Client::with_servers([server.address().to_string()]),
        };
        patient(builder)
    }

    async fn client(&self) -> Client {
        self.builder().connect().await.expect("a ring")
    }
}

/// A loaded machine must not make a node look as if it were away.
fn patient(builder: Builder) -> Builder {
    builder.timeout(PATIENCE)
}

/// Runs a test against three nodes and against memcached.
fn on_each<Fut: Future<Output = ()>>(test: &str, run: impl Fn(Arc<Nodes>) -> Fut) {
    on_fleet(test, &run);
    if Kind::Memcached.available() {
        eprintln!("memcached:");
        let server = Server::start(Kind::Memcached, &[]);
        run_to_end(test, run(Arc::new(Nodes::Memcached(server))));
    } else {
        ringbinder_tests::skip::skip(test, "no memcached");
    }
}

/// Runs a test against three nodes.
fn on_fleet<Fut: Future<Output = ()>>(test: &str, run: impl Fn(Arc<Nodes>) -> Fut) {
    if Kind::Ringbinder.available() {
        eprintln!("three nodes:");
        let fleet = Fleet::running(3, &[]);
        let ring = fleet.file("clients.toml", &fleet.ring(1, &[0, 1, 2]));
        run_to_end(test, run(Arc::new(Nodes::Fleet(fleet, ring))));
    } else {
        ringbinder_tests::skip::skip(test, "no ringbinderd");
    }
}

/// Runs a test, which fails if it waits for ever.
fn run_to_end(test: &str, run: impl Future<Output = ()>) {
    let waited = runtime().block_on(async { tokio::time::timeout(4 * PATIENCE, run).await });
    waited.unwrap_or_else(|_| panic!("{test} waits in vain"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it")
}

/// Filled values live long, and nobody waits out a lease.
fn how() -> Fill {
    Fill::new(HOUR).lease(HOUR)
}

/// A fill that gives this value and is counted.
struct Counted {
    value: &'static str,
    count: AtomicUsize,
}

impl Counted {
    fn new(value: &'static str) -> Counted {
        Counted { value, count: AtomicUsize::new(0) }
    }

    async fn fill(&self) -> Result<&'static str, Infallible> {
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(self.value)
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// A fill that must not be called.
async fn never() -> Result<&'static str, Infallible> {
    panic!("filled without need")
}

/// Waits for a condition that is looked at again and again.
async fn until<Fut: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> Fut) {
    let looked = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time(what, looked).await;
}

/// The output of what must not take for ever.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// Gets that all nodes have carried out so far, meta gets among them.
async fn gets(client: &Client) -> u64 {
    let mut gets = 0;
    for node in client.nodes() {
        let stats = node.stats("").await.expect("stats");
        let (_, count) = stats.iter().find(|(name, _)| name == "cmd_get").expect("a count");
        gets += count.parse::<u64>().expect("a number");
    }
    gets
}

/// A port that nobody listens on.
fn nobody() -> SocketAddr {
    ringbinder_tests::ring::local(ringbinder_tests::ring::reserve_port())
}

fn text(item: &Item) -> &str {
    std::str::from_utf8(&item.value).expect("text")
}
