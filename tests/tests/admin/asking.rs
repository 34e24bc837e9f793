//! Tests of the requests that the admin port answers, and of the headers in its answers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use ringbinder_tests::http::{ask, get, send};
use ringbinder_tests::ring::reserve_port;
use ringbinder_tests::{Kind, Server};

use crate::node;

#[test]
fn it_is_off_unless_asked_for() {
    if !Kind::Ringbinder.available() {
        return ringbinder_tests::skip::skip("admin port", "no ringbinderd");
    }
    let server = Server::start(Kind::Ringbinder, &[]);
    assert!(!server.log().contains("admin port"), "{}", server.log());
}

#[test]
fn answers_carry_what_browsers_must_know() {
    let Some((_server, admin)) = node("answers' headers", &[]) else { return };
    for path in [
        "/",
        "/draw.js",
        "/page.js",
        "/style.css",
        "/icon.svg",
        "/metrics",
        "/api/ring",
        "/nowhere",
    ] {
        let answer = get(admin, path);
        assert_eq!(answer.status, if path == "/nowhere" { 404 } else { 200 }, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(!answer.header("content-type").is_empty(), "{path}");
    }
}

#[test]
fn names_of_others_are_turned_away_and_so_are_their_posts() {
    let Some((_server, admin)) = node("Host", &["--admin-hosts", "cache.example, b.example"])
    else {
        return;
    };
    let with = |host: &str| ask(admin, "GET", "/metrics", &[&format!("Host: {host}")]).status;
    assert_eq!(with("localhost:1"), 200);
    assert_eq!(with("b.example"), 200);
    assert_eq!(with("evil.example"), 421);
    assert_eq!(with("10.0.0.1"), 421, "a loopback port has loopback addresses only");
    assert_eq!(with(""), 421);
    for trick in
        ["evil.example#.localhost", "evil.example/.localhost", "a@localhost", "[localhost]"]
    {
        assert_eq!(with(trick), 421, "{trick}");
    }
    let twice = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n";
    assert_eq!(send(admin, twice.as_bytes()).unwrap().status, 400);
    for (target, host, status) in [
        ("http://evil.example/metrics", "localhost", 421),
        ("http://localhost/metrics", "evil.example", 421),
        ("http://localhost@evil.example/metrics", "localhost", 421),
        ("http://localhost/metrics", "localhost", 200),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(send(admin, request.as_bytes()).unwrap().status, status, "{target} {host}");
    }
    assert_eq!(send(admin, b"GET /healthz HTTP/1.0\r\n\r\n").unwrap().status, 200, "no browser");
    assert_eq!(ask(admin, "POST", "/metrics", &[]).status, 403);
    assert_eq!(ask(admin, "POST", "/metrics", &["X-Ringbinder: 1"]).status, 405);
    let strange = ["X-Ringbinder: 1", "Origin: http://evil.example"];
    assert_eq!(ask(admin, "POST", "/metrics", &strange).status, 403);
    assert_eq!(ask(admin, "OPTIONS", "/metrics", &["Origin: http://evil.example"]).status, 405);
}

#[test]
fn a_snapshot_is_written_on_demand_and_told_of() {
    let dir = tempfile::tempdir().expect("a temp dir");
    let file = dir.path().join("items");
    let Some((server, admin)) = node("POST /snapshot", &["-e", file.to_str().expect("a path")])
    else {
        return;
    };
    server.connect().ask_text("set a 0 0 1\r\n1\r\n");
    assert_eq!(ask(admin, "GET", "/snapshot", &[]).status, 405);
    assert_eq!(ask(admin, "POST", "/snapshot", &[]).status, 403);
    assert!(!file.exists());
    let answer = ask(admin, "POST", "/snapshot", &["X-Ringbinder: 1"]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("holds 1 items"), "{}", answer.body);
    assert!(file.exists());
    let metrics = get(admin, "/metrics").body;
    assert!(metrics.contains("\nringbinder_snapshot_items 1\n"), "{metrics}");
    assert!(metrics.contains("\nringbinder_restore_state{state=\"none\"} 1\n"), "{metrics}");
    let Some((_server, admin)) = node("POST /snapshot", &[]) else { return };
    let answer = ask(admin, "POST", "/snapshot", &["X-Ringbinder: 1"]);
    assert_eq!((answer.status, answer.body.contains("-e")), (409, true), "{}", answer.body);
}

#[test]
fn what_is_too_long_is_refused_and_one_request_is_all_that_a_connection_has() {
    let Some((_server, admin)) = node("bounds", &[]) else { return };
    let long = format!("X-Long: {}", "x".repeat(64 << 10));
    assert_eq!(ask(admin, "GET", "/healthz", &[&long]).status, 431);
    let many: Vec<String> = (0..200).map(|number| format!("X-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(ask(admin, "GET", "/healthz", &many).status, 431);
    let twice = format!("GET /healthz HTTP/1.1\r\nHost: {admin}\r\n\r\n").repeat(2);
    let answer = send(admin, twice.as_bytes()).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "healthy\n"));
    assert_eq!(answer.header("connection"), "close");
}

#[test]
fn connections_that_say_nothing_do_not_keep_others_out_for_long() {
    let Some((server, admin)) = node("silent connections", &[]) else { return };
    let mut silent: Vec<TcpStream> =
        (0..128).map(|_| TcpStream::connect(admin).expect("a connection")).collect();
    for stream in &mut silent {
        stream.write_all(b"GET /healthz HT").expect("a letter or two");
    }
    // They are closed before this client's time-out, and the cache serves meanwhile.
    assert!(server.connect().ask_text("version\r\n").starts_with("VERSION "));
    assert_eq!(get(admin, "/healthz").status, 200);
    for mut stream in silent {
        // Only the end of the connection is left to read.
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn an_address_that_is_taken_ends_the_start_as_it_does_for_listeners() {
    let Some((_server, admin)) = node("a taken address", &[]) else { return };
    let taken = admin.to_string();
    let (port, free) = (admin.port().to_string(), reserve_port().to_string());
    for address in [&taken, &port] {
        let output = Kind::Ringbinder
            .command()
            .args(["-p", &free, "--admin", address])
            .stdin(Stdio::null())
            .output()
            .expect("a program that starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(71), "{text}");
        assert!(text.contains("for the admin port"), "{text}");
        assert!(text.contains("choose another port with --admin"), "{text}");
    }
}

#[test]
fn one_that_others_can_reach_is_warned_of() {
    let Some((server, admin)) = node("the warning", &[]) else { return };
    assert!(admin.ip().is_loopback());
    assert!(!server.log().contains("no authentication"), "{}", server.log());
    let Some((server, _)) = node("the warning", &["--admin", "0.0.0.0:0"]) else { return };
    assert!(server.log().contains("without authentication"), "{}", server.log());
}
