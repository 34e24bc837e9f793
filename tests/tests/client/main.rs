//! Tests of the Rust client with real nodes and with memcached.
//!
//! `crates/client/tests/peers` tests it with servers that are not memcached.

mod absence;
mod commands;
mod flush;
mod linearizable;
mod near;
mod pipelining;
mod rings;

use std::time::Duration;

use ringbinder_client::{Builder, Client, Error, Item, OnAway};
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::skip::available;
use ringbinder_tests::{Conn, Kind, wait};

/// The kinds of server that can be started.
fn kinds() -> Vec<Kind> {
    [Kind::Ringbinder, Kind::Memcached].into_iter().filter(|&kind| available(kind)).collect()
}

/// A client with long time-outs that returns an error if a node is unreachable.
fn patient(builder: Builder) -> Builder {
    builder.timeout(wait::PATIENCE).on_away(OnAway::Error)
}

async fn connect(builder: Builder) -> Client {
    builder.connect().await.unwrap_or_else(|error| panic!("no client: {error}"))
}

/// Waits without blocking the clients' tasks.
async fn until(what: &str, mut probe: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(wait::PATIENCE, async {
        while !probe().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited {:?} in vain: {what}", wait::PATIENCE));
}

async fn await_version(client: &Client, version: u64) {
    until("the client to take the ring", async || client.ring().id().version == version).await;
}

/// The value of an item.
#[track_caller]
fn text(found: Result<Option<Item>, Error>) -> Option<String> {
    let item = found.unwrap_or_else(|error| panic!("no answer: {error}"))?;
    Some(String::from_utf8(item.value.to_vec()).expect("text"))
}

/// A line of a server's `stats`, as a number.
fn count(conn: &mut Conn, name: &str) -> u64 {
    let stats = conn.ask_text("stats\r\n");
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {stats}"))
}

/// Number of requests that these nodes have forwarded to each other.
fn forwarded(fleet: &Fleet, nodes: &[usize]) -> u64 {
    let of =
        |&node: &usize| fleet.count(node, "foreign_gets") + fleet.count(node, "foreign_requests");
    nodes.iter().map(of).sum()
}

fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}
