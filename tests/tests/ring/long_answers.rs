//! Tests of answers about a ring of many nodes: they are complete, and bounded for clients that do not read
//! them.

use ringbinder_tests::process::rss_kib;
use ringbinder_tests::ring::{Fleet, ring_file};
use ringbinder_tests::{Conn, Kind, needs, wait};

/// Nodes of the ring besides the one that runs. Their ports are closed.
const OTHERS: u16 = 900;

/// Connections that send requests and never read.
const DEAF: usize = 60;

/// Memory that each of them may take in the node, in KiB. The wire tests have the same bound.
const EACH: u64 = 400;

fn one_of_many() -> Fleet {
    let mut fleet = Fleet::new(1);
    let own = (fleet.name(0).to_owned(), fleet.port(0));
    let others: Vec<_> = (1..=OTHERS).map(|port| (format!("other-{port}"), port)).collect();
    let all = others.iter().chain([&own]).map(|(name, port)| (name.as_str(), *port, 1));
    let ring = ring_file(1, all);
    fleet.launch(&[0], &ring, &["--foreign-keys", "serve"]);
    fleet
}

#[test]
fn a_ring_of_many_nodes_is_told_whole_and_holds_little_for_those_who_do_not_read() {
    needs!(Kind::Ringbinder);
    let fleet = one_of_many();
    let server = fleet.server(0);
    let mut conn = server.connect();

    conn.send("ring get\r\n");
    let line = conn.take_line();
    let len = line.trim_end().rsplit(' ').next().and_then(|word| word.parse().ok());
    let text = String::from_utf8(conn.take(len.expect("a length"))).expect("text");
    assert_eq!(text.matches("[[node]]").count(), usize::from(OTHERS) + 1);
    assert_eq!(conn.take(7), b"\r\nEND\r\n");
    conn.talk("version\r\n", "VERSION 1.6.45\r\n");

    let status = conn.ask_text("stats ring\r\n");
    for port in 1..=OTHERS {
        let peer = format!("STAT peer:other-{port}:address 127.0.0.1:{port}\r\n");
        assert_eq!(status.matches(&peer).count(), 1, "{port}");
    }
    assert_eq!(status.matches("STAT ring_version ").count(), 1);
    assert!(status.ends_with("\r\nEND\r\n"));

    let list = conn.ask_text("config get cluster\r\n");
    let (line, payload) = list.split_once("\r\n").expect("a line");
    let len: usize = line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a length");
    assert_eq!(&payload[len..], "\r\nEND\r\n");
    let list = conn.ask_text("get AmazonElastiCache:cluster\r\n");
    assert_eq!(list, format!("VALUE AmazonElastiCache:cluster 0 {len}\r\n{payload}"));

    for request in ["ring get\r\n", "stats ring\r\n", "config get cluster\r\n"] {
        let before = rss_kib(server.pid());
        let asked = request.repeat(40_000 / request.len());
        let deaf: Vec<Conn> = (0..DEAF)
            .map(|_| {
                let mut conn = server.connect();
                assert_eq!(conn.send_unread(asked.as_bytes()), asked.len());
                conn
            })
            .collect();
        wait::until("all of them to be waited for", || {
            conn.talk("get a\r\n", "END\r\n");
            let conns = conn.ask_text("stats conns\r\n");
            (conns.matches(":state conn_mwrite").count() == DEAF).then_some(())
        });
        let held = rss_kib(server.pid()).saturating_sub(before);
        assert!(held < DEAF as u64 * EACH, "{held} KiB for {DEAF} askers of {request:?}");
        drop(deaf);
    }
}
