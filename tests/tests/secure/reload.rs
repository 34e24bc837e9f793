//! Tests of certificates and users that change while a node runs.

use nix::sys::signal::Signal;
use ringbinder_tests::process;
use ringbinder_tests::server::{scratch, target};
use ringbinder_tests::{Kind, Server, wait};

use super::certs::write;
use super::client::{Client, Dial, login};
use super::{await_log, pair, start, stat};

#[test]
fn new_connections_see_the_new_certificate_and_old_ones_live_on() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &[]);
    let connect = || Dial::trusting(&authority.file).connect(server.address()).unwrap();
    let mut old = connect();
    let first = old.certificate();
    old.talk("set a 0 0 1\r\nx\r\n", "STORED\r\n");

    files.replace_by(&authority.issue(dir.path(), "second", &["127.0.0.1"]));
    old.talk("refresh_certs\r\n", "OK\r\n");
    let second = connect().certificate();
    assert_ne!(second, first);

    files.replace_by(&authority.issue(dir.path(), "third", &["127.0.0.1"]));
    process::signal(server.pid(), Signal::SIGHUP);
    wait::until("the third certificate", || {
        let shown = connect().certificate();
        (shown != first && shown != second).then_some(())
    });
    old.talk("get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
}

#[test]
fn what_cannot_be_used_leaves_what_is_in_force() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &[]);
    let connect = || Dial::trusting(&authority.file).connect(server.address()).unwrap();
    let mut client = connect();
    let shown = client.certificate();
    let other = authority.issue(dir.path(), "other", &["127.0.0.1"]);
    let expired = authority.issue_expired(dir.path(), "expired", &["127.0.0.1"]);
    let (chain, key) = (files.chain.clone(), files.key.clone());
    let good = std::fs::read_to_string(&chain).unwrap();
    let place = chain.display();
    let mut refused = |why: &str| {
        let answer = client.ask_text("refresh_certs\r\n");
        let line = answer.strip_prefix("Error ").and_then(|rest| rest.strip_suffix("\r\n"));
        let line = line.unwrap_or_else(|| panic!("{answer:?}"));
        assert!(
            line.contains(why) && line.ends_with("; keeping the current certificates"),
            "{line}"
        );
        await_log(&server, line);
        assert_eq!(connect().certificate(), shown);
    };
    write(&chain, "junk");
    refused(&format!("{place} holds no certificate in PEM form"));
    std::fs::copy(&other.chain, &chain).unwrap();
    refused(&format!("the key in {} is not that of the certificate in {place}", key.display()));
    files.replace_by(&expired);
    refused(&format!("the certificate in {place} expired on 2021-01-01"));
    std::fs::remove_file(&chain).unwrap();
    refused(&format!("cannot read {place}: No such file"));
    write(&chain, &good);
    let mut plain = Server::start(Kind::Ringbinder, &[]);
    Client::plain(plain.address()).talk("refresh_certs\r\n", "Error TLS not enabled\r\n");
    process::signal(plain.pid(), Signal::SIGHUP);
    await_log(&plain, "SIGHUP: nothing to reload");
    assert!(plain.running());
}

#[test]
fn users_are_read_anew_and_who_is_connected_stays() {
    let dir = scratch();
    let users = write(&dir.path().join("users"), "foo:secret1\n");
    let server = Server::start(Kind::Ringbinder, &["-Y", users.to_str().unwrap()]);
    let mut old = Client::plain(server.address());
    old.tell(login("foo", "secret1"), "STORED\r\n");
    write(&users, "foo:secret2\nother:one\n");
    process::signal(server.pid(), Signal::SIGHUP);
    await_log(&server, "users reloaded from");
    let mut new = Client::plain(server.address());
    new.tell(login("foo", "secret1"), "CLIENT_ERROR authentication failure\r\n");
    new.tell(login("foo", "secret2"), "STORED\r\n");
    Client::plain(server.address()).tell(login("other", "one"), "STORED\r\n");
    old.talk("get a\r\n", "END\r\n");

    write(&users, "nonsense\n");
    process::signal(server.pid(), Signal::SIGHUP);
    await_log(&server, "line 1 is not of the form user:password; keeping the current users");
    Client::plain(server.address()).tell(login("foo", "secret2"), "STORED\r\n");
    assert!(!server.log().contains("secret"), "{}", server.log());
}

#[test]
fn refresh_certs_without_tls_is_what_memcached_says() {
    if target() == Kind::Memcached && !ringbinder_has_tls() {
        return;
    }
    let server = Server::start(target(), &[]);
    Client::plain(server.address()).talk("refresh_certs\r\n", "Error TLS not enabled\r\n");
}

/// Whether the available memcached is built with TLS.
fn ringbinder_has_tls() -> bool {
    let output = target().command().arg("-h").output().expect("a program");
    String::from_utf8_lossy(&output.stdout).contains("ssl_chain_cert")
}

#[test]
fn a_session_key_of_a_certificate_withdrawn_is_worth_nothing() {
    let dir = scratch();
    let (authority, files) = pair(dir.path());
    let server = start(&files, &["-o", "ssl_session_cache"]);
    let config = Dial::trusting(&authority.file).config();
    let connect = || {
        let dial = Dial::trusting(&authority.file).resuming(&config);
        let mut client = dial.connect(server.address()).unwrap();
        client.talk("get a\r\n", "END\r\n");
        client
    };
    connect();
    assert!(connect().is_resumed());
    connect().talk("refresh_certs\r\n", "OK\r\n");
    let mut after = connect();
    assert!(!after.is_resumed());
    assert_eq!(stat(&mut after, "", "time_since_server_cert_refresh").len(), 1);
}
