//! Tests of health checks while other clients hold all connections of the admin port.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ringbinder_tests::http::get;
use ringbinder_tests::{Conn, process, skip, wait};

use crate::node;

/// Number of connections that an attacker holds, and of threads that hold them.
const HELD: usize = 600;
const THREADS: usize = 2;

/// Whether the other side has closed the connection.
fn is_over(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Opens connections that send these bytes and nothing more, and replaces each as it ends, until `stop`.
/// Counts the connections opened in `opened`.
fn hold(admin: SocketAddr, words: &str, stop: &AtomicBool, opened: &AtomicUsize) {
    let open = || {
        let mut stream = TcpStream::connect(admin).ok()?;
        stream.write_all(words.as_bytes()).ok()?;
        stream.set_nonblocking(true).ok()?;
        opened.fetch_add(1, Ordering::Relaxed);
        Some(stream)
    };
    let mut held: Vec<Option<TcpStream>> = (0..HELD / THREADS).map(|_| open()).collect();
    while !stop.load(Ordering::Relaxed) {
        for stream in &mut held {
            if stream.as_ref().is_none_or(is_over) {
                *stream = open();
            }
        }
        // Other threads need the processor too.
        thread::yield_now();
    }
}

/// Runs `work` while connections that send these bytes are held. `work` gets the number of opened
/// connections.
fn in_a_crowd(admin: SocketAddr, words: &str, work: impl FnOnce(&AtomicUsize)) {
    let (stop, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| hold(admin, words, &stop, &opened));
        }
        wait::until("the crowd", || (opened.load(Ordering::Relaxed) >= HELD).then_some(()));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&opened)));
        stop.store(true, Ordering::Relaxed);
        if let Err(failed) = done {
            std::panic::resume_unwind(failed);
        }
    });
}

#[test]
fn connections_that_come_again_as_they_end_keep_no_health_check_out() {
    if !process::raise_open_files(4 * HELD as u64) {
        return skip::skip("a crowd at the admin port", "too few open files");
    }
    let Some((_server, admin)) = node("a crowd at the admin port", &[]) else { return };
    for words in ["", "GET /healthz HT", "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        in_a_crowd(admin, words, |_| {
            for _ in 0..30 {
                let answer = get(admin, "/healthz");
                assert_eq!((answer.status, answer.body.as_str()), (200, "healthy\n"), "{words:?}");
            }
        });
    }
}

#[test]
fn an_address_that_keeps_to_its_share_of_the_places_loses_none() {
    if !process::raise_open_files(4 * HELD as u64) {
        return skip::skip("shares of the admin port", "too few open files");
    }
    let Some((server, admin)) = node("shares of the admin port", &[]) else { return };
    let IpAddr::V4(ip) = admin.ip() else { panic!("{admin} is no IPv4 address") };
    in_a_crowd(admin, "", |opened| {
        let to = SocketAddrV4::new(ip, admin.port());
        let mut slow = Conn::tcp_from(Ipv4Addr::new(127, 0, 0, 2), to).expect("a connection");
        slow.send("GET /healthz HTTP/1.1\r\n");
        // By this time each connection has been replaced many times.
        let before = opened.load(Ordering::Relaxed);
        wait::until("the crowd to turn over", || {
            (opened.load(Ordering::Relaxed) > before + 5 * HELD).then_some(())
        });
        slow.send(format!("Host: {admin}\r\n\r\n"));
        let answer = String::from_utf8_lossy(&slow.take_rest()).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    });
    assert!(server.log().contains("all 128 connections of the admin port"), "{}", server.log());
}
