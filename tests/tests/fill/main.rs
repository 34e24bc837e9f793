//! Tests of `get_or_fill`, which fills a missing or stale key once for all callers, and of typed values.
//!
//! Each subject runs against three nodes and against memcached, since a server only needs meta get. Fills
//! wait for the events of the test, not for a time. Leases are so long that a test fails if it waits for one
//! to end, except if that is its subject.

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

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

/// The servers of a test.
enum Nodes {
    /// The nodes, and the ring file of the clients.
    Fleet(Fleet, String),
    Memcached(Server),
}

impl Nodes {
    /// A connection that acts as a client of another kind. Any node accepts any key.
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

/// Sets long time-outs, so that a node on a loaded machine does not seem unreachable.
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

/// Runs a test, and fails if it does not end.
fn run_to_end(test: &str, run: impl Future<Output = ()>) {
    let waited = runtime().block_on(async { tokio::time::timeout(4 * PATIENCE, run).await });
    waited.unwrap_or_else(|_| panic!("{test} waits in vain"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it")
}

/// Settings of a fill with a long time to live and a long lease.
fn how() -> Fill {
    Fill::new(HOUR).lease(HOUR)
}

/// A fill that returns this value and counts its calls.
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

/// Polls a condition until it is true.
async fn until<Fut: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> Fut) {
    let looked = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time(what, looked).await;
}

/// Waits for a future, and fails if it does not complete in time.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// Number of gets, including meta gets, that all nodes have executed.
async fn gets(client: &Client) -> u64 {
    let mut gets = 0;
    for node in client.nodes() {
        let stats = node.stats("").await.expect("stats");
        let (_, count) = stats.iter().find(|(name, _)| name == "cmd_get").expect("a count");
        gets += count.parse::<u64>().expect("a number");
    }
    gets
}

/// An address with a port on which no server listens.
fn nobody() -> SocketAddr {
    ringbinder_tests::ring::local(ringbinder_tests::ring::reserve_port())
}

fn text(item: &Item) -> &str {
    std::str::from_utf8(&item.value).expect("text")
}
