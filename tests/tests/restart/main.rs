//! Tests of a node that stops and returns with its items, by a snapshot or by a hand-over to the next
//! process.

mod activation;
mod handover;
mod rings;
mod snapshots;

use std::path::Path;

use nix::sys::signal::Signal;
use ringbinder_tests::{Conn, Kind, Server, wait};

/// Starts a node with a snapshot file.
fn with_snapshot(file: &Path, more: &[&str]) -> Server {
    let mut arguments = vec!["-e", file.to_str().expect("a plain path"), "-t", "2"];
    arguments.extend_from_slice(more);
    Server::start(Kind::Ringbinder, &arguments)
}

/// A line of `stats`.
fn stat(conn: &mut Conn, name: &str) -> String {
    let text = conn.ask_text("stats\r\n");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

/// Waits until the restore is complete, and returns its result.
fn restored(server: &Server) -> String {
    let mut conn = server.connect();
    wait::until("the items to be taken up", || {
        let state = stat(&mut conn, "restore_state");
        (state != "running").then_some(state)
    })
}

/// Stores `count` items, each of `len` bytes or more.
fn fill(server: &Server, count: usize, len: usize) {
    let mut conn = server.connect();
    let mut text = String::new();
    for number in 0..count {
        let value = value(number, len);
        text += &format!("set key{number} {number} 0 {} noreply\r\n{value}\r\n", value.len());
    }
    text += "mn\r\n";
    conn.send(&text);
    assert_eq!(conn.take(4), b"MN\r\n");
}

fn value(number: usize, len: usize) -> String {
    format!("{number:0len$}")
}

/// Counts the items that exist. Asserts that their values are right.
fn count(server: &Server, count: usize, len: usize) -> usize {
    let mut conn = server.connect();
    let mut there = 0;
    for number in 0..count {
        let value = value(number, len);
        let answer = conn.ask_text(&format!("get key{number}\r\n"));
        if answer != "END\r\n" {
            let expected =
                format!("VALUE key{number} {number} {}\r\n{value}\r\nEND\r\n", value.len());
            assert_eq!(answer, expected);
            there += 1;
        }
    }
    there
}

/// Stops a server gracefully.
fn stop(mut server: Server) -> String {
    let status = server.stop(Signal::SIGTERM);
    let log = server.log();
    assert!(status.success(), "{status}: {log}");
    log
}
