//! check, with all nodes there and different rings.

use crate::Ring;

#[test]
fn nodes_that_hold_the_ring_are_in_order() {
    let ring = Ring::running(3);
    let ran = ring.run(&["check"]).succeeds();
    let ok = "ok: every key is served by exactly one process; all 3 nodes hold ring 1\n";
    // Nodes that do not report everything leave a doubt, and are told to be upgraded.
    let reported = ring.run(&["stats", "ring", "--all"]).succeeds().out;
    let needed = ["ring_instance", "ring_standing", "ring_drift"];
    match needed.iter().all(|line| reported.contains(&format!("cache-0 {line} "))) {
        true => assert!(ran.out.ends_with(ok), "{ran:?}"),
        false => assert!(ran.out.contains("do not report ring_"), "{ran:?}"),
    }
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
    // Another one with the same version.
    ring.file = ring.fleet.file("other.toml", &ring.fleet.weighted(3, &[(0, 1), (1, 7)]));
    let ran = ring.run(&["check"]);
    assert!(ran.code == 1 && ran.out.contains("another ring with version 3"), "{ran:?}");
    assert_eq!(ring.run(&["check", "--json"]).json()["nodes"][0]["state"], "differs");
    // The very one.
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
