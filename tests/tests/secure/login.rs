//! Byte-level tests of authentication (`-Y`).

use std::os::unix::fs::PermissionsExt as _;

use ringbinder_tests::server::{scratch, target};
use ringbinder_tests::{Conn, Kind, Server};

use super::client::{Client, Dial, login};
use super::{await_log, certs, pair, start};

const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated\r\n";

fn ours() -> bool {
    target() == Kind::Ringbinder
}

/// A server with the two users of memcached's own tests.
fn server(arguments: &[&str]) -> Server {
    let dir = scratch();
    let path = dir.path().join("users");
    std::fs::write(&path, "foo:bar\nbaaaz:quux\n").unwrap();
    let mode = if ours() { 0o600 } else { 0o644 };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let mut all = vec!["-Y", path.to_str().unwrap()];
    all.extend_from_slice(arguments);
    // The file is read before the first client is served.
    Server::start(target(), &all)
}

#[test]
fn nothing_is_served_before() {
    let server = server(&[]);
    let mut client = Client::plain(server.address());
    for request in [
        "get a\r\n",
        "version\r\n",
        "mn\r\n",
        "stats\r\n",
        "flush_all\r\n",
        "mg a v\r\n",
        "refresh_certs\r\n",
        "add auth 0 0 7\r\n",
        "set auth 0 7\r\n",
        "set auth 0 0 x\r\n",
        "set auth 0 0 -1\r\n",
        "quit\r\n",
    ] {
        client.tell(request, UNAUTHENTICATED);
    }
    if ours() {
        for request in ["ring version\r\n", "config get cluster\r\n", "shutdown\r\n"] {
            client.tell(request, UNAUTHENTICATED);
        }
    }
    client.tell(login("foo", "bar"), "STORED\r\n");
    client.talk("get auth\r\n", "END\r\n");
    client
        .talk("set auth 0 0 2\r\nhi\r\nget auth\r\n", "STORED\r\nVALUE auth 0 2\r\nhi\r\nEND\r\n");
}

#[test]
fn a_login_is_a_set_of_anything() {
    let server = server(&[]);
    for request in [
        "set x 0 0 7\r\nfoo bar\r\n",
        "set x 0 0 7\nfoo bar\r\n",
        " set x abc def 7 noreply and more\r\nfoo bar\r\n",
        "set x 0 0 10\r\nbaaaz quux\r\n",
    ] {
        Client::plain(server.address()).tell(request, "STORED\r\n");
    }
    let key = "k".repeat(300);
    let mut client = Client::plain(server.address());
    client.tell(format!("set {key} 0 0 7\r\nfoo bar\r\n"), "STORED\r\n");
    client.talk(login("foo", "bar"), "STORED\r\n");
    client.talk("get auth\r\n", "VALUE auth 0 7\r\nfoo bar\r\nEND\r\n");
}

#[test]
fn what_is_wrong_is_said_and_may_be_tried_again() {
    let server = server(&[]);
    let mut client = Client::plain(server.address());
    for (request, answer) in [
        ("set x 0 0 7\r\nfoo bax\r\n", "CLIENT_ERROR authentication failure\r\n"),
        ("set x 0 0 7\r\nfop bar\r\n", "CLIENT_ERROR authentication failure\r\n"),
        ("set x 0 0 8\r\nbaaaz bar\r\n", "CLIENT_ERROR bad command line termination\r\n"),
    ] {
        let request = request.replace("baaaz bar", "baaaz ba!");
        client.tell(request, answer);
        if answer.contains("termination") {
            // The rest of it is a line by itself.
            client = Client::plain(server.address());
        }
    }
    client.tell("set x 0 0 6\r\nfoobar\r\n", "CLIENT_ERROR bad authentication token format\r\n");
    client.tell("set x 0 0 0\r\n\r\n", "CLIENT_ERROR bad authentication token format\r\n");
    client.tell(login("baaaz", "quux"), "STORED\r\n");
    let stats = client.ask_text("stats\r\n");
    assert!(stats.contains("STAT auth_cmds 3\r\nSTAT auth_errors 2\r\n"), "{stats}");
    let settings = client.ask_text("stats settings\r\n");
    assert!(settings.contains("STAT auth_enabled_ascii /"), "{settings}");
}

#[test]
fn a_login_may_come_in_pieces_and_with_what_follows_it() {
    let server = server(&[]);
    let request = login("foo", "bar");
    for cut in 1..request.len() {
        let mut client = Client::plain(server.address());
        client.send(&request[..cut]);
        client.send(&request[cut..]);
        client.tell("get a\r\n", "STORED\r\nEND\r\n");
    }
    let mut client = Client::plain(server.address());
    client.tell(
        request + "set a 0 0 1\r\nx\r\nget a\r\n",
        "STORED\r\nSTORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
    );
}

#[test]
fn each_refused_line_is_answered() {
    if !ours() {
        return;
    }
    let server = server(&[]);
    let mut client = Client::plain(server.address());
    let lines = 20_000;
    client.send("get a\r\n".repeat(lines));
    assert_eq!(
        client.take(lines * UNAUTHENTICATED.len()),
        UNAUTHENTICATED.repeat(lines).as_bytes()
    );
    client.tell("set x 0 0 16385\r\n", "CLIENT_ERROR auth token too long\r\n");
    client.tell("set x 0 0 2147483646\r\n", "CLIENT_ERROR auth token too long\r\n");
    client.tell("set x 0 0 99999999999\r\n", UNAUTHENTICATED);
    let long = "u ".to_owned() + &"x".repeat(16_382);
    client
        .tell(format!("set x 0 0 16384\r\n{long}\r\n"), "CLIENT_ERROR authentication failure\r\n");
}

#[test]
fn guessing_ends() {
    if !ours() {
        return;
    }
    let server = server(&[]);
    let mut client = Client::plain(server.address());
    client.send(login("foo", "guess").repeat(100));
    let (answers, _) = client.try_rest();
    assert_eq!(answers, "CLIENT_ERROR authentication failure\r\n".repeat(8).as_bytes());
    await_log(&server, "did not authenticate: its user or its password is not in");
    Client::plain(server.address()).tell(login("foo", "bar"), "STORED\r\n");
}

#[test]
fn what_is_no_client_is_closed_before_as_well() {
    if !ours() {
        return;
    }
    let server = server(&[]);
    let connect = || Conn::tcp(server.address()).unwrap();
    connect().talk_to_close("GET / HTTP/1.1\r\n\r\n", "");
    connect().talk_to_close("x".repeat(3000), "CLIENT_ERROR line too long\r\n");
    let tls = "CLIENT_ERROR this port speaks the memcached text protocol without TLS: connect without it\r\n";
    connect().talk_to_close(b"\x16\x03\x01\x00\x05hello", tls);
}

#[test]
fn no_password_is_ever_shown() {
    if !ours() {
        return;
    }
    let server = server(&["-vvv"]);
    let mut watcher = Client::plain(server.address());
    watcher.tell(login("foo", "bar"), "STORED\r\n");
    watcher.tell("watch fetchers mutations connevents deletions\r\n", "OK\r\n");
    let mut client = Client::plain(server.address());
    client.tell("set x 0 0 10\r\nfoo secret1\r\n", "CLIENT_ERROR bad command line termination\r\n");
    let mut client = Client::plain(server.address());
    client.tell("foo secret2\r\n", UNAUTHENTICATED);
    client.tell(login("foo", "secret3"), "CLIENT_ERROR authentication failure\r\n");
    client.tell("set x 0 0 2\r\nfoo secret4\r\n", "CLIENT_ERROR bad command line termination\r\n");
    let mut client = Client::plain(server.address());
    client.tell(login("baaaz", "quux"), "STORED\r\n");
    client.talk("set mark 0 0 1\r\nx\r\n", "STORED\r\n");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("mark") {
        seen.extend(watcher.take(1));
    }
    await_log(&server, "set mark");
    for text in [server.log(), String::from_utf8_lossy(&seen).into_owned()] {
        for secret in ["secret", "quux", "bar"] {
            assert!(!text.contains(secret), "{secret} is in:\n{text}");
        }
    }
}

#[test]
fn a_unix_socket_asks_too() {
    let dir = scratch();
    let users = dir.path().join("users");
    std::fs::write(&users, "foo:bar\n").unwrap();
    let socket = dir.path().join("socket");
    let users = users.to_str().unwrap().to_owned();
    let server = Server::start_unix(target(), &socket, &["-a", "0777", "-Y", &users], dir);
    let mut conn = Conn::unix(&socket).unwrap();
    conn.send("get a\r\n");
    assert_eq!(conn.take_line(), UNAUTHENTICATED);
    conn.send(login("foo", "bar"));
    assert_eq!(conn.take_line(), "STORED\r\n");
    conn.talk("get a\r\n", "END\r\n");
    if ours() {
        let log = server.log();
        assert!(
            log.contains("every user of this machine can read or change it (mode 0644)"),
            "{log}"
        );
    }
}

#[test]
fn passwords_go_through_tls() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let users = certs::write(&dir.path().join("users"), "foo:bar\n");
    let server = start(&files, &["-Y", users.to_str().unwrap()]);
    let mut client = Dial::trusting(&authority.file).connect(server.address()).unwrap();
    client.tell("get a\r\n", UNAUTHENTICATED);
    client.tell(login("foo", "wrong"), "CLIENT_ERROR authentication failure\r\n");
    client.tell(login("foo", "bar"), "STORED\r\n");
    client.talk("set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
}
