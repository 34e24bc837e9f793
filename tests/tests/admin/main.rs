//! Tests of the admin port: metrics for Prometheus, health checks, and rejected requests.

mod asking;
mod crowd;
mod health;
mod metrics;
mod prometheus;

use std::net::SocketAddr;

use ringbinder_tests::http::admin_of;
use ringbinder_tests::{Kind, Server};

/// Starts a node with an admin port. Returns `None` if the tested node is not available.
fn node(test: &str, arguments: &[&str]) -> Option<(Server, SocketAddr)> {
    if !Kind::Ringbinder.available() {
        ringbinder_tests::skip::skip(test, "no ringbinderd");
        return None;
    }
    let mut all = vec!["--admin", "0"];
    all.extend_from_slice(arguments);
    let server = Server::start(Kind::Ringbinder, &all);
    let admin = admin_of(&server);
    Some((server, admin))
}
