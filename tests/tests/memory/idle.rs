//! Tests of the memory of an idle connection, and of a node that was busy before.

use ringbinder_tests::conn::Conn;
use ringbinder_tests::crowd::Crowd;
use ringbinder_tests::process::{raise_open_files, rss_kib};
use ringbinder_tests::server::target;
use ringbinder_tests::skip::skip;
use ringbinder_tests::{Kind, Server, wait};

use crate::Subject;

#[test]
fn an_idle_connection_costs_little() {
    const CONNECTIONS: u64 = 2000;
    const MOST_BYTES_EACH: u64 = 1536;
    if target() != Kind::Ringbinder {
        return;
    }
    if !raise_open_files(2 * CONNECTIONS) {
        return skip("an_idle_connection_costs_little", "the limit of open files cannot be raised");
    }
    let server = Server::start(target(), &["-c", "4096", "-t", "2"]);
    let connect = |count: u64| -> Vec<Conn> {
        let one = |_| {
            let mut conn = server.connect();
            conn.talk("set idle 0 0 1\r\nx\r\n", "STORED\r\n");
            conn.talk("get idle\r\n", "VALUE idle 0 1\r\nx\r\nEND\r\n");
            conn
        };
        (0..count).map(one).collect()
    };
    // Everything that is allocated once is allocated before the first measurement.
    let first = connect(50);
    let before = rss_kib(server.pid());
    let idle = connect(CONNECTIONS);
    let grown = rss_kib(server.pid()).saturating_sub(before) * 1024;
    println!("{} bytes a connection", grown / CONNECTIONS);
    assert!(
        grown <= CONNECTIONS * MOST_BYTES_EACH,
        "{} bytes for each of {CONNECTIONS} idle connections",
        grown / CONNECTIONS
    );
    drop((first, idle));
}

#[test]
fn a_node_that_was_busy_is_as_small_as_before() {
    const MOST_MORE_KIB: u64 = 8 * 1024;
    if target() != Kind::Ringbinder {
        return;
    }
    let mut subject = Subject::start(64, &["-t", "8"]);
    subject.store_as(0..1500, |_| 3000);
    let before = rss_kib(subject.server.pid());
    let keys = (0..1500).map(|number| format!(" {number:08}"));
    let line = format!("get{}\r\n", keys.collect::<String>());
    let mut crowd = Crowd::of(320, subject.server.address());
    crowd.everyone(0, |_| line.clone());
    crowd.send(64 * 1024);
    crowd.await_answers();
    let busy = rss_kib(subject.server.pid());
    assert!(busy > before + MOST_MORE_KIB, "{busy} KiB while it was busy, {before} before");
    drop(crowd);
    wait::until("memory to be given back", || {
        (rss_kib(subject.server.pid()) <= before + MOST_MORE_KIB).then_some(())
    });
}
