//! Tests of connections: their number, idle time-outs, addresses, Unix sockets.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::{Target, ours_only};
use ringbinder_tests::server::{scratch, target};
use ringbinder_tests::skip::skip;
use ringbinder_tests::{Conn, Kind, Server, wait};

#[test]
fn one_connection_too_many_is_told_and_closed() {
    let t = Target::with(&["-c", "40", "-t", "1"]);
    // memcached reserves some connections for itself.
    let mut held: Vec<Conn> = Vec::new();
    let refused = loop {
        assert!(held.len() <= 40, "41 connections with -c 40");
        let mut conn = t.server.connect();
        conn.send("version\r\n");
        let line = conn.take_line();
        if !line.starts_with("VERSION ") {
            break line + &String::from_utf8_lossy(&conn.take_rest());
        }
        held.push(conn);
    };
    assert!(held.len() >= 20, "only {} connections with -c 40", held.len());
    assert_eq!(refused, "ERROR Too many open connections\r\n");
    drop(held);
    wait::until("a place to become free", || {
        let mut conn = t.server.connect();
        conn.send("version\r\n");
        conn.take_line().starts_with("VERSION").then_some(())
    });
}

#[test]
fn connections_are_counted() {
    let mut t = Target::start();
    let before = t.count("curr_connections");
    let total = t.count("total_connections");
    let mut other = t.server.connect();
    other.talk("get a\r\n", "END\r\n");
    assert_eq!(t.count("curr_connections"), before + 1);
    assert_eq!(t.count("total_connections"), total + 1);
    drop(other);
    wait::until("the connection to be counted off", || {
        (t.count("curr_connections") == before).then_some(())
    });
}

#[test]
fn an_idle_connection_is_closed() {
    let mut t = Target::with(&["-o", "idle_timeout=1"]);
    t.talk("get a\r\n", "END\r\n");
    let started = Instant::now();
    t.conn.take_rest();
    assert!(started.elapsed() > Duration::from_millis(500), "{:?}", started.elapsed());
    assert!(Target { conn: t.server.connect(), ..t }.count("idle_kicks") >= 1);
}

#[test]
fn an_upload_that_goes_on_is_no_idling() {
    let mut t = Target::with(&["-o", "idle_timeout=1"]);
    let mut slow = t.server.connect();
    // Values that need their own buffer, or that are too large to store, are read all the same.
    let mut refused = t.server.connect();
    slow.send("set a 0 0 100000\r\n");
    refused.send("set b 0 0 2000000\r\n");
    // A line of many keys. memcached does not wait for the end of such a line.
    let mut asking = t.is_ours().then(|| t.server.connect());
    if let Some(asking) = &mut asking {
        asking.send("get".to_owned() + &" k".repeat(3_000));
    }
    let start = t.count("uptime");
    let mut sent = 0;
    wait::until("the server's clock to go on", || {
        slow.send("x");
        refused.send("x");
        if let Some(asking) = &mut asking {
            asking.send(" k");
        }
        sent += 1;
        (t.count("uptime") >= start + 4).then_some(())
    });
    slow.send("x".repeat(100_000 - sent));
    slow.talk("\r\n", "STORED\r\n");
    refused.send("x".repeat(2_000_000 - sent));
    refused.talk("\r\n", "SERVER_ERROR object too large for cache\r\n");
    if let Some(asking) = &mut asking {
        asking.talk("\r\n", "END\r\n");
    }
}

#[test]
fn a_unix_socket_serves_with_the_mask_given() {
    for (mask, mode) in [("0700", 0o700), ("0777", 0o777)] {
        let dir = scratch();
        let path = dir.path().join("cache.sock");
        let server = Server::start_unix(target(), &path, &["-a", mask], dir);
        let mut conn = Conn::unix(&path).expect("a connection");
        conn.talk("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
        if target() == Kind::Ringbinder {
            let conns = conn.ask_text("stats conns\r\n");
            assert!(conns.lines().any(|line| line.ends_with(":addr unix:")), "{conns}");
        }
        let found = std::fs::metadata(&path).expect("the socket").permissions().mode() & 0o777;
        assert_eq!(found, mode, "-a {mask}");
        drop(server);
    }
}

#[test]
fn a_stale_unix_socket_is_taken_over() {
    let dir = scratch();
    let path = dir.path().join("cache.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket of nobody"));
    assert!(path.exists());
    let _server = Server::start_unix(target(), &path, &[], dir);
    Conn::unix(&path).expect("a connection").talk("get a\r\n", "END\r\n");
}

#[test]
fn several_addresses_are_served() {
    let server = Server::start_on(target(), &["-p", "-1", "-l", "127.0.0.1,127.0.0.2"], |_| {});
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    // The port file lists ports without hosts.
    let mut first = Conn::tcp(([127, 0, 0, 1], addresses[0].port()).into()).expect("127.0.0.1");
    let mut second = Conn::tcp(([127, 0, 0, 2], addresses[1].port()).into()).expect("127.0.0.2");
    first.talk("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    second.talk("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
}

#[test]
fn several_l_flags_are_served() {
    let flags = ["-p", "-1", "-l", "127.0.0.1", "-l", "127.0.0.2"];
    let server = Server::start_on(target(), &flags, |_| {});
    assert_eq!(server.addresses().len(), 2);
}

#[test]
fn ipv6_is_served() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return skip("ipv6_is_served", "this machine has no IPv6 loopback");
    }
    let server = Server::start_on(target(), &["-p", "-1", "-l", "::1"], |_| {});
    assert!(server.address().is_ipv6(), "{}", server.address());
    server.connect().talk("get a\r\n", "END\r\n");
}

#[test]
fn many_connections_at_once_see_one_cache() {
    ours_only!();
    let t = Target::with(&["-t", "4"]);
    std::thread::scope(|scope| {
        for client in 0..16 {
            let server = &t.server;
            scope.spawn(move || {
                let mut conn = server.connect();
                for round in 0..200 {
                    let request = format!(
                        "set k{client} 0 0 3\r\n{round:03}\r\nget k{client}\r\nma n N0\r\n"
                    );
                    let expected =
                        format!("STORED\r\nVALUE k{client} 0 3\r\n{round:03}\r\nEND\r\nHD\r\n");
                    conn.talk(request, expected);
                }
            });
        }
    });
    // The first of 3,200 created it with the value 0.
    t.server.connect().talk("mg n v\r\n", "VA 4\r\n3199\r\n");
}
