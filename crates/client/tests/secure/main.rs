//! TLS and logins: successful use, refusals, and the errors for them. The nodes are small servers
//! inside the test, with certificates of a CA that the test makes.

mod authority;
mod faults;
mod files;
mod logins;
mod node;
mod values;

use std::time::Duration;

use ringbinder_client::{Absence, Builder, Client, Error, OnAway, Tls, TlsFault};

use authority::Authority;

/// Longer than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A patient client of this address that reports an unreachable node as an error.
fn client_of(address: impl Into<String>) -> Builder {
    let builder = Client::with_servers([address.into()]).connections(1).timeout(PATIENCE);
    builder.thread_aside(false).on_away(OnAway::Error)
}

async fn connect(builder: Builder) -> Client {
    builder.connect().await.expect("an address and files in order")
}

/// TLS that trusts this CA.
fn trust(ca: &Authority) -> Tls {
    Tls::new().ca_pem(&ca.pem)
}

/// The fault of TLS.
#[track_caller]
fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> TlsFault {
    match result {
        Err(Error::Away { why: Absence::Tls(fault), .. }) => fault,
        other => panic!("no fault of TLS: {other:?}"),
    }
}

/// Waits for a condition that comes about by itself.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}
