//! Tests of answers that grow with the data of other clients: their memory is bounded if the client does not
//! read them, and other clients do not wait.

use std::fmt::Write as _;

use ringbinder_tests::process::rss_kib;
use ringbinder_tests::{Conn, wait};

use super::{Target, ours_only};

/// Connections that send requests and never read.
const DEAF: usize = 120;

/// Memory that each of them may take in the node, in KiB: about 64 KiB each for its answers and its requests,
/// and memory that an allocator keeps.
const EACH: u64 = 400;

/// Repeats a request on many connections without reading answers. Asserts that the node holds little memory
/// for them and answers other clients.
#[track_caller]
fn assert_bounded(t: &mut Target, request: &str) {
    let before = rss_kib(t.server.pid());
    let asked = request.repeat(40_000 / request.len());
    let deaf: Vec<Conn> = (0..DEAF)
        .map(|_| {
            let mut conn = t.server.connect();
            assert_eq!(conn.send_unread(asked.as_bytes()), asked.len());
            conn
        })
        .collect();
    let stuck = wait::until("all of them to be waited for", || {
        // Other clients are answered meanwhile.
        t.talk("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        let conns = t.conn.ask_text("stats conns\r\n");
        let stuck = conns.matches(":state conn_mwrite").count();
        (stuck == DEAF).then_some(stuck)
    });
    let held = rss_kib(t.server.pid()).saturating_sub(before);
    assert!(held < stuck as u64 * EACH, "{held} KiB for {stuck} askers of {request:?}");
    drop(deaf);
}

#[test]
fn prefixes_are_told_in_pieces() {
    ours_only!();
    let mut t = Target::start();
    t.set("a", "1");
    t.talk("stats detail on\r\n", "OK\r\n");
    let mut sets = String::new();
    for number in 0..10_100 {
        let _ = write!(sets, "set {number:0>240}:x 0 0 1 noreply\r\n1\r\n");
    }
    t.talk(sets, "");
    assert_eq!(t.stat("settings", "detail_max_prefixes"), "10000");
    assert_eq!((t.count("detail_prefixes"), t.count("detail_unrecorded")), (10_000, 100));
    assert_eq!(t.conn.ask_text("stats detail dump\r\n").lines().count(), 10_001);
    assert_bounded(&mut t, "stats detail dump\r\n");
}

#[test]
fn dumps_are_made_as_they_are_read() {
    ours_only!();
    let mut t = Target::start();
    t.set("a", "1");
    let mut sets = String::new();
    for number in 0..40_000 {
        let _ = write!(sets, "set {number:0>240} 0 0 1 noreply\r\n1\r\n");
    }
    t.talk(sets, "");
    for request in ["lru_crawler mgdump all\r\n", "stats cachedump 1 0\r\n"] {
        assert_bounded(&mut t, request);
    }
}

#[test]
fn values_and_misses_are_answered_as_they_are_read() {
    ours_only!();
    let mut t = Target::start();
    t.set("a", "1");
    t.talk(format!("set v 0 0 3000\r\n{}\r\n", "v".repeat(3_000)), "STORED\r\n");
    assert_bounded(&mut t, &format!("get{}\r\n", " v".repeat(100)));
    assert_bounded(&mut t, "mg v v\r\nstats\r\nstats settings\r\nstats latency\r\nget v\r\n");
}

#[test]
fn connections_are_told_in_pieces_and_each_once() {
    ours_only!();
    let mut t = Target::start();
    let others: Vec<Conn> = (0..600)
        .map(|_| {
            let mut conn = t.server.connect();
            conn.talk("get a\r\n", "END\r\n");
            conn
        })
        .collect();
    let answer = t.conn.ask_text("stats conns\r\n");
    let ports = others.iter().map(Conn::local_port).chain([t.conn.local_port()]);
    for port in ports {
        let address = format!(":addr tcp:127.0.0.1:{port}\r\n");
        assert_eq!(answer.matches(&address).count(), 1, "{port}");
    }
    assert_eq!(answer.matches("conn_listening").count(), 1);
    assert_eq!(answer.matches("conn_parse_cmd").count(), 1);
    assert!(answer.ends_with("\r\nEND\r\n"));
}

#[test]
fn a_line_of_keys_that_miss_keeps_nobody_waiting() {
    ours_only!();
    let mut t = Target::with(&["-t", "1"]);
    let mut busy = t.server.connect();
    let before = t.count("conn_yields");
    let line = format!("get{}\r\n", " k".repeat(100_000));
    busy.talk(line, "END\r\n");
    assert!(t.count("conn_yields") - before >= 20, "others have their turn every 4,096 keys");
}

#[test]
fn a_dump_that_nobody_reads_stops_no_other() {
    let mut t = Target::start();
    ours_only!();
    let mut sets = String::new();
    for number in 0..60_000 {
        let _ = write!(sets, "set {number:0>240} 0 0 1 noreply\r\n1\r\n");
    }
    t.talk(sets, "");
    let mut deaf = t.server.connect();
    deaf.send_unread(b"lru_crawler metadump all\r\n");
    wait::until("the dump to be stuck", || {
        t.conn.ask_text("stats conns\r\n").contains(":state conn_mwrite").then_some(())
    });
    assert_eq!(t.count("lru_crawler_running"), 1);
    for _ in 0..3 {
        let mut other = t.server.connect();
        other.send("lru_crawler mgdump all\r\n");
        let dump = other.take_until(b"\r\nEN\r\n");
        assert!(dump.starts_with(b"OK\r\nmg 0"));
        assert_eq!(dump.iter().filter(|&&byte| byte == b'\n').count(), 60_002);
    }
    // The first answer is complete, even if it is read this late.
    let dump = deaf.take_until(b"\nEND\r\n");
    assert_eq!(dump.iter().filter(|&&byte| byte == b'\n').count(), 60_002);
    wait::until("no dump to run", || (t.count("lru_crawler_running") == 0).then_some(()));
}
