//! Tests of `/healthz` and `/readyz`.

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use ringbinder_tests::http::{admin_of, get};
use ringbinder_tests::ring::{Fleet, local, reserve_port, ring_file};
use ringbinder_tests::{Kind, Server, process, wait};

use crate::node;

fn says(admin: SocketAddr, path: &str) -> (u16, String) {
    let answer = get(admin, path);
    (answer.status, answer.body)
}

#[test]
fn a_node_alone_is_healthy_and_ready() {
    let Some((_server, admin)) = node("health", &[]) else { return };
    assert_eq!(says(admin, "/healthz"), (200, "healthy\n".to_owned()));
    assert_eq!(says(admin, "/readyz"), (200, "ready\n".to_owned()));
}

#[test]
fn a_full_node_is_healthy() {
    let Some((server, admin)) = node("health of a full node", &["-c", "2"]) else { return };
    let mut all: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for conn in &mut all {
        assert!(conn.ask_text("version\r\n").starts_with("VERSION "));
    }
    assert_eq!(says(admin, "/healthz").0, 200);
}

#[test]
fn a_node_that_stops_says_so_until_its_last_answer_is_out() {
    let Some((mut server, admin)) = node("readiness of one that stops", &[]) else { return };
    // A client that does not read its answers keeps the node from stopping at once.
    let mut conn = server.connect();
    let value = "x".repeat(900_000);
    conn.send(format!("set large 0 0 {}\r\n{value}\r\n", value.len()));
    conn.send("get large\r\n".repeat(64));
    wait::until("the answers to pile up", || {
        let stats = server.connect().ask_text("stats conns\r\n");
        stats.contains("conn_mwrite").then_some(())
    });
    process::signal(server.pid(), Signal::SIGTERM);
    wait::until("the node to say that it stops", || {
        (says(admin, "/readyz") == (503, "the node is stopping\n".to_owned())).then_some(())
    });
    assert_eq!(says(admin, "/healthz").0, 200);
    drop(conn);
    assert!(server.wait().success());
}

#[test]
fn a_node_that_waits_for_a_peer_says_for_which() {
    if !Kind::Ringbinder.available() {
        return ringbinder_tests::skip::skip("readiness in a ring", "no ringbinderd");
    }
    let fleet = Fleet::running(2, &["--admin", "0", "--peer-give-up", "3600000"]);
    // A node is paused when the next ring arrives. The others cannot know whether it serves by the old ring.
    let paused = fleet.pause(1);
    fleet.write(0, &fleet.ring(2, &[0, 1]));
    let admin = admin_of(fleet.server(0));
    let address = format!("127.0.0.1:{}", fleet.port(1));
    let expected = format!("ring 2 is not settled: waiting for {address}\n");
    wait::until("the node to say whom it waits for", || {
        (says(admin, "/readyz") == (503, expected.clone())).then_some(())
    });
    assert_eq!(says(admin, "/healthz").0, 200);
    drop(paused);
    wait::until("the node to be ready", || (says(admin, "/readyz").0 == 200).then_some(()));
}

#[test]
fn a_node_that_the_ring_calls_otherwise_is_not_ready_and_one_that_it_does_not_name_is() {
    if !Kind::Ringbinder.available() {
        return ringbinder_tests::skip::skip("readiness of a renamed node", "no ringbinderd");
    }
    let mut fleet = Fleet::new(2);
    let ring = fleet.ring(1, &[0, 1]);
    fleet.launch(&[0], &ring, &["--admin", "0"]);
    fleet.launch(&[1], &ring, &["--admin", "0", "--node", "cache-1"]);
    fleet.await_settled(&[0, 1], 1);
    let admin = admin_of(fleet.server(1));
    assert_eq!(says(admin, "/readyz"), (200, "ready\n".to_owned()));

    // Another node has its address, so no node serves the keys of that name.
    let (first, second) = (fleet.port(0), fleet.port(1));
    let renamed = ring_file(2, [("cache-0", first, 1), ("cache-b", second, 1)]);
    fleet.write(1, &renamed);
    let said = wait::until("the renamed node to say so", || {
        let (status, text) = says(admin, "/readyz");
        (status == 503 && text.contains("cache-b")).then_some(text)
    });
    assert!(said.starts_with("this node is absent: ring 2 has no node cache-1"), "{said}");
    assert!(said.contains("--node cache-b"), "{said}");

    // A node that the ring does not list forwards for its clients, so they must be able to find it.
    fleet.write(1, &fleet.ring(3, &[0]));
    fleet.await_version(&[1], 3);
    wait::until("the node to be ready", || (says(admin, "/readyz").0 == 200).then_some(()));
}

#[test]
fn a_node_whose_place_another_process_has_is_not_ready() {
    if !Kind::Ringbinder.available() {
        return ringbinder_tests::skip::skip("readiness of a replaced node", "no ringbinderd");
    }
    let mut fleet = Fleet::new(3);
    let first = fleet.ring(1, &[0, 1]);
    fleet.launch(&[0], &first, &["--admin", "0"]);
    fleet.launch(&[1], &first, &["--admin", "0", "--node", "cache-1"]);
    fleet.await_settled(&[0, 1], 1);
    // The name moves to a new process at another address, and the old process keeps running.
    let second = ring_file(2, [("cache-0", fleet.port(0), 1), ("cache-1", fleet.port(2), 1)]);
    fleet.launch(&[2], &second, &["--admin", "0", "--node", "cache-1"]);
    for node in [0, 1] {
        fleet.write(node, &second);
    }
    let [old, new] = [1, 2].map(|node| admin_of(fleet.server(node)));
    let said = wait::until("the old process to say that it is replaced", || {
        let (status, text) = says(old, "/readyz");
        (status == 503 && text.contains("this node is replaced: ")).then_some(text)
    });
    assert!(said.contains("cache-1"), "{said}");
    let metrics = get(old, "/metrics").body;
    for line in ["ringbinder_ring_standing{standing=\"replaced\"} 1", "ringbinder_ring_member 0"] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{line}: {metrics}");
    }
    // Its page distinguishes the two.
    let page = get(old, "/api/ring").body;
    for name in ["\"name\":\"cache-1\"", "\"name\":\"cache-1, this node\""] {
        assert!(page.contains(name), "{page}");
    }
    wait::until("the new process to be ready", || (says(new, "/readyz").0 == 200).then_some(()));
    let metrics = get(new, "/metrics").body;
    assert!(
        metrics.contains("\nringbinder_ring_standing{standing=\"confirmed\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn the_admin_port_is_handed_over_like_the_others() {
    if !Kind::Ringbinder.available() {
        return ringbinder_tests::skip::skip("handing over the admin port", "no ringbinderd");
    }
    let dir = tempfile::tempdir().expect("a temp dir");
    let door = dir.path().join("door");
    let (port, admin) = (reserve_port().to_string(), local(reserve_port()));
    let admin_text = admin.to_string();
    let arguments = [
        "-l",
        "127.0.0.1",
        "-p",
        &port,
        "--admin",
        &admin_text,
        "--hand-over",
        door.to_str().expect("a plain path"),
    ];
    let mut first = Server::start_on(Kind::Ringbinder, &arguments, |_| {});
    assert_eq!(says(admin, "/readyz").0, 200);
    let second = Server::start_on(Kind::Ringbinder, &arguments, |_| {});
    assert!(first.wait().success(), "{}", first.log());
    assert_eq!(says(admin, "/readyz").0, 200, "{}", second.log());
}
