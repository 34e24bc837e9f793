//! Tests of snapshots of nodes in a ring: data that other nodes may have served meanwhile never returns.

use ringbinder_tests::ring::Fleet;
use ringbinder_tests::wait;

use super::restored;

/// Two nodes with a snapshot each, settled in a ring of version 1.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new(2);
    let ring = fleet.ring(1, &[0, 1]);
    for node in [0, 1] {
        fleet.write(node, &ring);
        start(&mut fleet, node);
    }
    fleet.await_settled(&[0, 1], 1);
    fleet
}

fn start(fleet: &mut Fleet, node: usize) {
    let file = fleet.path(&format!("snapshot-{node}"));
    fleet.start(node, &["-e", &file, "--peer-give-up", "500"]);
}

fn set(fleet: &Fleet, node: usize, keys: &[String], value: &str) {
    let mut conn = fleet.connect(node);
    for key in keys {
        conn.talk(format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
    }
}

/// The number of keys with this value, as read through a node. Asserts that all others miss.
fn holding(fleet: &Fleet, node: usize, keys: &[String], value: &str) -> usize {
    let mut conn = fleet.connect(node);
    let hit = |key: &String| format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len());
    keys.iter()
        .filter(|key| {
            let answer = conn.ask_text(&format!("get {key}\r\n"));
            assert!(answer == "END\r\n" || answer == hit(key), "{key}: {answer}");
            answer != "END\r\n"
        })
        .count()
}

#[test]
fn a_node_of_a_ring_comes_back_with_its_items() {
    let mut fleet = fleet();
    let keys = fleet.keys_of(0, 0, "key", 50);
    set(&fleet, 1, &keys, "value");
    fleet.stop(0);
    start(&mut fleet, 0);
    assert_eq!(restored(fleet.server(0)), "done");
    fleet.await_settled(&[0, 1], 1);
    assert_eq!(holding(&fleet, 0, &keys, "value"), 50);
    assert_eq!(holding(&fleet, 1, &keys, "value"), 50, "through its peer");
    // In a change in which it takes part, a node loses only the keys that it no longer owns.
    let both = fleet.ring(2, &[0, 1]);
    fleet.write(0, &both);
    fleet.await_settled(&[0, 1], 2);
    assert_eq!(holding(&fleet, 1, &keys, "value"), 50);
}

#[test]
fn a_ring_that_changed_meanwhile_means_a_cold_start() {
    let mut fleet = fleet();
    let keys = fleet.keys_of(0, 0, "key", 50);
    set(&fleet, 0, &keys, "old");
    fleet.stop(0);
    fleet.write(1, &fleet.ring(2, &[1]));
    fleet.await_settled(&[1], 2);
    set(&fleet, 1, &keys, "new");
    let back = fleet.ring(3, &[0, 1]);
    for node in [0, 1] {
        fleet.write(node, &back);
    }
    start(&mut fleet, 0);
    assert_eq!(restored(fleet.server(0)), "refused");
    assert!(fleet.server(0).log().contains("the ring has changed since"));
    fleet.await_settled(&[0, 1], 3);
    holding(&fleet, 0, &keys, "new");
    holding(&fleet, 1, &keys, "new");
}

#[test]
fn a_node_that_comes_back_with_an_old_ring_drops_its_items_before_it_serves_them() {
    let mut fleet = fleet();
    let keys = fleet.keys_of(0, 0, "key", 50);
    set(&fleet, 0, &keys, "old");
    fleet.stop(0);
    fleet.write(1, &fleet.ring(2, &[1]));
    fleet.await_settled(&[1], 2);
    set(&fleet, 1, &keys, "new");
    // Its own file still has the previous ring.
    start(&mut fleet, 0);
    fleet.await_version(&[0], 2);
    let log = || fleet.server(0).log();
    wait::until("the items to be dropped", || {
        log().contains("the ring changed while this node was down").then_some(())
    });
    assert_eq!(holding(&fleet, 0, &keys, "new"), 50, "through its peer");
    fleet.write(1, &fleet.ring(3, &[0, 1]));
    fleet.await_settled(&[0, 1], 3);
    assert_eq!(holding(&fleet, 0, &keys, "new"), 0, "what moved misses once");
}
