//! The admin port: metrics as Prometheus reads them, health checks, what is turned away.

mod asking;
mod crowd;
mod health;
mod metrics;
mod prometheus;

use std::net::SocketAddr;

use ringbinder_tests::http::admin_of;
use ringbinder_tests::{Kind, Server};

/// A node with an admin port, or nothing where there is no node to be had.
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
