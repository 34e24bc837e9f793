//! Tests of `check` with all nodes running and different rings.

use std::path::PathBuf;

use ringbinder_tests::relay::Relay;
use ringbinder_tests::ring::{reserve_port, ring_file};
use ringbinder_tests::server::scratch;
use ringbinder_tests::{Kind, Server, wait};
use tempfile::TempDir;

use crate::command::Ran;
use crate::{Ring, of};

#[test]
fn nodes_that_hold_the_ring_are_in_order() {
    let ring = Ring::running(3);
    let ran = ring.run(&["check"]).succeeds();
    let ok = "ok: every key is served by exactly one process; all 3 nodes hold ring 1\n";
    assert!(ran.out.ends_with(ok), "{ran:?}");
    let json = ring.run(&["check", "--json"]).succeeds().json();
    assert_eq!((&json["agree"], &json["version"]), (&true.into(), &1.into()));
    for node in json["nodes"].as_array().unwrap() {
        assert_eq!((&node["state"], &node["ring_version"]), (&"ok".into(), &1.into()));
        assert_eq!(node["ring_digest"], json["digest"]);
        assert!(node["microseconds"].as_u64().is_some(), "{node}");
        assert_eq!(node["program"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn another_ring_than_that_of_the_file_is_told_with_what_to_do() {
    let mut ring = Ring::running(2);
    // The file is newer.
    ring.file = ring.fleet.file("newer.toml", &ring.fleet.ring(2, &[0, 1]));
    let ran = ring.run(&["check"]);
    assert_eq!(ran.code, 1);
    for node in ["cache-0", "cache-1"] {
        let advice = format!("{node} holds version 1 of 2: give it the file\n");
        assert!(ran.out.contains(&advice), "{ran:?}");
    }
    // The file is older.
    let newer = ring.fleet.ring(3, &[0, 1]);
    ring.fleet.write(0, &newer);
    ring.fleet.await_settled(&[0, 1], 3);
    let ran = ring.run(&["check"]);
    assert!(ran.code == 1 && ran.out.contains("holds version 3, and "), "{ran:?}");
    // Another ring with the same version.
    ring.file = ring.fleet.file("other.toml", &ring.fleet.weighted(3, &[(0, 1), (1, 7)]));
    let ran = ring.run(&["check"]);
    assert!(ran.code == 1 && ran.out.contains("another ring with version 3"), "{ran:?}");
    assert_eq!(ring.run(&["check", "--json"]).json()["nodes"][0]["state"], "differs");
    // Exactly the same ring.
    ring.file = ring.fleet.file("same.toml", &newer);
    ring.run(&["check"]).succeeds();
}

#[test]
fn a_file_that_a_node_refused_is_told() {
    let mut ring = Ring::running(1);
    ring.file = ring.fleet.file("newer.toml", &ring.fleet.ring(2, &[0]));
    ring.fleet.write(0, "version = nonsense\n");
    ring.fleet.await_stat(0, "ring_last_error", |error| error != "-");
    let ran = ring.run(&["check"]);
    assert!(ran.code == 1 && ran.out.contains("(it says: "), "{ran:?}");
}

#[test]
fn a_server_without_a_ring_is_told() {
    let server = ringbinder_tests::Server::start(ringbinder_tests::Kind::Ringbinder, &[]);
    let ring = Ring::running(1);
    let text = ringbinder_tests::ring::ring_file(1, [("alone", server.address().port(), 1)]);
    let file = ring.fleet.file("alone.toml", &text);
    let ran = crate::command::Ran::of(&mut crate::of(&file, &["check"]));
    assert!(ran.code == 1 && ran.out.contains("no ring"), "{ran:?}");
    assert!(ran.out.contains("start it with --ring"), "{ran:?}");
}

/// Nodes of a ring. All read the same file, and each is started with its own arguments.
struct Few {
    _directory: TempDir,
    file: PathBuf,
    servers: Vec<Server>,
}

impl Few {
    fn of(ring: &str) -> Few {
        let directory = scratch();
        let file = directory.path().join("ring.toml");
        std::fs::write(&file, ring).unwrap();
        Few { _directory: directory, file, servers: Vec::new() }
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    fn start(&mut self, port: u16, arguments: &[&str]) {
        let port = port.to_string();
        let ring = ["-l", "127.0.0.1", "-t", "2", "-p", &port, "--ring", self.file()];
        let server = Server::start_on(Kind::Ringbinder, &[&ring, arguments].concat(), |_| {});
        self.servers.push(server);
    }

    /// Runs `check` until it finds this kind of failure, and returns its output.
    fn finds(&self, kind: &str) -> Ran {
        wait::until(kind, || {
            let ran = Ran::of(&mut of(self.file(), &["check", "--json"]));
            let findings = ran.json()["findings"].as_array().unwrap().clone();
            findings.iter().any(|finding| finding["kind"] == kind).then_some(ran)
        })
    }
}

#[test]
fn nodes_behind_port_mapping_are_members_with_a_name_and_else_not() {
    let [a, b, inside_a, inside_b] = std::array::from_fn(|_| reserve_port());
    let ring = ring_file(1, [("cache-a", a, 1), ("cache-b", b, 1)]);
    let _relays = [Relay::start(a, inside_a), Relay::start(b, inside_b)];
    let mut few = Few::of(&ring);
    few.start(inside_a, &[]);
    few.start(inside_b, &[]);
    let ran = few.finds("not_a_member");
    assert_eq!(ran.code, 78, "{ran:?}");
    let json = ran.json();
    let states = [&json["nodes"][0]["state"], &json["nodes"][1]["state"]];
    assert_eq!(states, ["not_a_member", "not_a_member"], "{json}");
    few.servers.clear();
    few.start(inside_a, &["--node", "cache-a"]);
    few.start(inside_b, &["--node", "cache-b"]);
    wait::until("a ring in order", || {
        let ran = Ran::of(&mut of(few.file(), &["check", "--strict"]));
        (ran.code == 0 && ran.out.contains("ok: every key")).then_some(())
    });
}

#[test]
fn a_node_that_was_renamed_in_the_file_is_told() {
    let [a, b] = std::array::from_fn(|_| reserve_port());
    let mut few = Few::of(&ring_file(1, [("cache-a", a, 1), ("cache-b", b, 1)]));
    few.start(a, &[]);
    few.start(b, &["--node", "cache-b"]);
    let renamed = ring_file(2, [("cache-a", a, 1), ("cache-x", b, 1)]);
    std::fs::write(few.file.with_extension("new"), renamed).unwrap();
    std::fs::rename(few.file.with_extension("new"), &few.file).unwrap();
    let ran = few.finds("name_mismatch");
    assert_eq!((ran.code, &ran.json()["nodes"][1]["state"]), (78, &"name_mismatch".into()));
    assert!(ran.out.contains("goes by the name cache-b, which is not in the ring"), "{ran:?}");
}

#[test]
fn one_process_behind_two_addresses_of_the_ring_is_told() {
    let [a, b] = std::array::from_fn(|_| reserve_port());
    let ring = ring_file(1, [("cache-a", a, 1), ("cache-b", b, 1)]);
    let twin = format!("\n[[node]]\nname = \"twin\"\naddress = \"localhost:{a}\"\n");
    let mut few = Few::of(&format!("{ring}{twin}"));
    few.start(a, &["--node", "cache-a"]);
    few.start(b, &[]);
    let ran = few.finds("same_process");
    let json = ran.json();
    assert_eq!(ran.code, 78, "{json}");
    for node in [0, 2] {
        assert_eq!(json["nodes"][node]["state"], "same_process", "{json}");
    }
}
