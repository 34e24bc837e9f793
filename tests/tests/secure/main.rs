//! Tests of TLS and authentication, from the view of clients, operators and other nodes.
//!
//! The tests make their own certificates. Tests that also apply to memcached's `-Y` run against it with
//! `RINGBINDER_WIRE_TARGET=memcached`.

mod certs;
mod client;
mod command;
mod fleet;
mod guessing;
mod handshakes;
mod kinds;
mod listeners;
mod login;
mod openssl;
mod places;
mod reload;
mod ring;
mod rust_client;
mod start;

use ringbinder_tests::{Kind, Server, wait};

use certs::{Authority, Files};

/// Starts a TLS server with the certificate in `files` and these additional arguments.
fn start(files: &Files, arguments: &[&str]) -> Server {
    let options = files.options();
    let mut all = vec!["-Z", "-o", &options];
    all.extend_from_slice(arguments);
    Server::start(Kind::Ringbinder, &all)
}

/// Starts a server on these addresses of 127.0.0.1, each a prefix such as `notls:`.
fn start_on(files: &Files, prefixes: &[&str], arguments: &[&str]) -> Server {
    let options = files.options();
    let list: Vec<String> = prefixes.iter().map(|prefix| format!("{prefix}127.0.0.1:0")).collect();
    // The same address with port 0 twice is not a duplicate: each gets its own port.
    let list: Vec<String> = list
        .iter()
        .zip(1..)
        .map(|(address, last)| address.replace("0.0.1", &format!("0.0.{last}")))
        .collect();
    let list = list.join(",");
    let mut all = vec!["-l", &list, "-Z", "-o", &options];
    all.extend_from_slice(arguments);
    Server::start_on(Kind::Ringbinder, &all, |_| {})
}

/// The addresses of a server from [`start_on`], in order.
fn addresses(server: &Server) -> Vec<std::net::SocketAddr> {
    let ports = server.addresses().into_iter().zip(1..);
    ports.map(|(address, last)| ([127, 0, 0, last], address.port()).into()).collect()
}

/// Waits until this text is in a server's log.
#[track_caller]
fn await_log(server: &Server, wanted: &str) {
    let shown = std::cell::RefCell::new(String::new());
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait::until(wanted, || {
            *shown.borrow_mut() = server.log();
            shown.borrow().contains(wanted).then_some(())
        });
    }));
    assert!(waited.is_ok(), "{wanted:?} is not in the log:\n{}", shown.borrow());
}

/// A figure of `stats <what>`.
fn stat(client: &mut client::Client, what: &str, name: &str) -> String {
    let answer = client.ask_text(&format!("stats {what}\r\n"));
    let prefix = format!("STAT {name} ");
    let line = answer.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned()
}

/// An authority, and a server certificate from it for the names `127.0.0.1` and `localhost`.
fn pair(dir: &std::path::Path) -> (Authority, Files) {
    let authority = Authority::new(dir, "authority");
    let files = authority.issue(
        dir,
        "server",
        &["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "localhost"],
    );
    (authority, files)
}
