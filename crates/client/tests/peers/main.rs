//! Whatever listens at a node's address, the client reports it, goes on, and never needs more
//! memory or time than its limits. The peers are small servers inside the test.

mod absence;
mod answers;
mod discovery;
mod fake;
mod repeats;
mod runtimes;

use std::time::Duration;

use fake::Fake;
use ringbinder_client::{Absence, Builder, Client, Error, OnAway};

/// Longer than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A patient client of these peers that reports unreachable ones as errors.
fn client_of(peers: &[&Fake]) -> Builder {
    let addresses = peers.iter().map(|peer| peer.address());
    let builder = Client::with_servers(addresses).connections(1).timeout(PATIENCE);
    // Some of these tests pause time, which only the test's own thread can see.
    builder.thread_aside(false).on_away(OnAway::Error)
}

async fn connect(builder: Builder) -> Client {
    builder.connect().await.expect("a list of addresses is a ring")
}

/// The reason why the node is unreachable.
#[track_caller]
fn absence<T: std::fmt::Debug>(result: Result<T, Error>) -> Absence {
    match result {
        Err(Error::Away { why, .. }) => why,
        other => panic!("not away: {other:?}"),
    }
}

/// The value that a get found.
#[track_caller]
fn value<E: std::fmt::Debug>(found: Result<Option<ringbinder_client::Item>, E>) -> String {
    let item = found.expect("an answer").expect("a hit");
    String::from_utf8(item.value.to_vec()).expect("text")
}
