//! Tests of `flush_all`, which empties all nodes through one and reports failures, and of `ring flush`, which
//! empties one node.

use ringbinder_tests::ring::{Fleet, owner};
use ringbinder_tests::{Conn, Kind, needs, wait};

use crate::{hit, set, value_of};

const NODES: [usize; 3] = [0, 1, 2];

/// Keys of every node, `count` for each.
fn keys_of_all(fleet: &Fleet, nodes: &[usize], count: usize) -> Vec<String> {
    let of = |owner: &usize| fleet.keys_of(nodes[0], *owner, "flushed-", count);
    nodes.iter().flat_map(of).collect()
}

fn store_all(conn: &mut Conn, keys: &[String]) {
    for key in keys {
        conn.talk(set(key, "value"), "STORED\r\n");
    }
}

/// The number of these keys that are found through a node.
fn found(fleet: &Fleet, node: usize, keys: &[String]) -> usize {
    let mut conn = fleet.connect(node);
    keys.iter().filter(|key| value_of(&mut conn, key).is_some()).count()
}

#[track_caller]
fn assert_empty(fleet: &Fleet, nodes: &[usize], keys: &[String]) {
    for &node in nodes {
        assert_eq!(found(fleet, node, keys), 0, "through node {node}");
    }
}

/// One line of a node's `stats`.
fn general(fleet: &Fleet, node: usize, name: &str) -> u64 {
    let text = fleet.connect(node).ask_text("stats\r\n");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {text}"))
}

fn flushes(fleet: &Fleet, nodes: &[usize]) -> Vec<u64> {
    nodes.iter().map(|&node| general(fleet, node, "cmd_flush")).collect()
}

/// The form of a node in an answer.
fn shown(fleet: &Fleet, node: usize) -> String {
    format!("{} (127.0.0.1:{})", fleet.name(node), fleet.port(node))
}

#[test]
fn flush_all_through_one_node_empties_all() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let keys = keys_of_all(&fleet, &NODES, 30);
    for (round, node) in (1..).zip(NODES) {
        let mut conn = fleet.connect(node);
        store_all(&mut conn, &keys);
        assert_eq!(found(&fleet, node, &keys), keys.len());
        conn.talk("flush_all\r\n", "OK\r\n");
        assert_empty(&fleet, &NODES, &keys);
        // Each node was asked once and forwarded nothing.
        assert_eq!(flushes(&fleet, &NODES), [round; 3]);
        // Items stored later stay.
        store_all(&mut conn, &keys);
        assert_eq!(found(&fleet, node, &keys), keys.len());
    }
}

#[test]
fn a_pipeline_keeps_its_order_around_a_flush() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let keys = keys_of_all(&fleet, &NODES, 5);
    let mut conn = fleet.connect(0);
    for flush in ["flush_all\r\n", "flush_all 0\r\n", "flush_all noreply\r\n"] {
        let (mut requests, mut answers) = (String::new(), String::new());
        for key in &keys {
            requests += &set(key, "before");
            answers += "STORED\r\n";
        }
        // The client does not wait for this request, but it too completes before the flush starts.
        requests += &format!("set {} 0 0 4 noreply\r\nlate\r\n", keys[7]);
        requests += flush;
        answers += if flush.contains("noreply") { "" } else { "OK\r\n" };
        for key in &keys {
            requests += &format!("get {key}\r\n");
            answers += "END\r\n";
        }
        for key in &keys {
            requests += &set(key, "after");
            requests += &format!("get {key}\r\n");
            answers += &format!("STORED\r\n{}", hit(key, "after"));
        }
        conn.talk(requests, answers);
    }
    assert_eq!(flushes(&fleet, &NODES), [3; 3]);
}

#[test]
fn a_flush_that_nobody_waits_for_reaches_all() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let keys = keys_of_all(&fleet, &NODES, 10);
    let mut conn = fleet.connect(1);
    store_all(&mut conn, &keys);
    conn.send("flush_all noreply\r\n");
    // The client closes its connection before the request is executed.
    drop(conn);
    wait::until("all nodes to be empty", || {
        NODES.iter().all(|&node| found(&fleet, node, &keys) == 0).then_some(())
    });
    assert_eq!(flushes(&fleet, &NODES), [1; 3]);
}

#[test]
fn a_delayed_flush_is_delayed_on_all() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let keys = keys_of_all(&fleet, &NODES, 10);
    let mut conn = fleet.connect(2);
    store_all(&mut conn, &keys);
    conn.talk("flush_all 3600\r\n", "OK\r\n");
    assert_eq!(flushes(&fleet, &NODES), [1; 3]);
    for node in NODES {
        assert_eq!(found(&fleet, node, &keys), keys.len(), "through node {node}");
    }
    // A later flush replaces the pending one, as on a single node.
    conn.talk("flush_all 2\r\n", "OK\r\n");
    wait::until("the flush to come due everywhere", || {
        NODES.iter().all(|&node| found(&fleet, node, &keys) == 0).then_some(())
    });
    store_all(&mut conn, &keys);
    assert_eq!(found(&fleet, 0, &keys), keys.len());
    // A Unix time in the past.
    conn.talk("flush_all 1000000000\r\n", "OK\r\n");
    assert_empty(&fleet, &NODES, &keys);
    conn.talk("flush_all soon\r\n", "CLIENT_ERROR invalid exptime argument\r\n");
}

#[test]
fn a_node_that_is_down_is_named_and_the_others_are_emptied() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::running(3, &[]);
    let keys = keys_of_all(&fleet, &NODES, 10);
    let mut conn = fleet.connect(0);
    store_all(&mut conn, &keys);
    fleet.kill(1);
    let failed = format!("SERVER_ERROR flush_all failed on {}: no answer\r\n", shown(&fleet, 1));
    conn.talk("flush_all\r\n", &failed);
    assert_empty(&fleet, &[0, 2], &keys);
    // The client gets no answer to this one, but the log reports it.
    conn.talk("flush_all noreply\r\n", "");
    let log = fleet.server(0).log();
    assert!(log.contains("cannot flush all nodes of the ring for "), "{log}");
    assert!(log.contains(&format!("{}: no answer", shown(&fleet, 1))), "{log}");
    fleet.start(1, &[]);
    fleet.await_settled(&NODES, 1);
    for node in [0, 2] {
        fleet.await_stat(node, "peer:cache-1:state", |state| state == "up");
    }
    store_all(&mut conn, &keys);
    conn.talk("flush_all\r\n", "OK\r\n");
    assert_empty(&fleet, &NODES, &keys);
}

#[test]
fn a_node_that_hangs_is_named() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &["--peer-timeout", "2000"]);
    let keys = keys_of_all(&fleet, &NODES, 10);
    let mut conn = fleet.connect(0);
    store_all(&mut conn, &keys);
    let paused = fleet.pause(2);
    let failed = format!("SERVER_ERROR flush_all failed on {}: no answer\r\n", shown(&fleet, 2));
    for _ in 0..3 {
        conn.talk("flush_all\r\n", &failed);
    }
    assert_empty(&fleet, &[0, 1], &keys);
    // From here on the node counts as unreachable, as after a request for a key.
    assert_eq!(fleet.stat(0, "peer:cache-2:state"), "away");
    drop(paused);
    fleet.await_stat(0, "peer:cache-2:state", |state| state == "up");
    conn.talk("flush_all\r\n", "OK\r\n");
    assert_empty(&fleet, &NODES, &keys);
}

#[test]
fn a_node_that_refuses_is_named_with_its_reason() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    let ring = fleet.ring(1, &NODES);
    fleet.launch(&[0, 2], &ring, &[]);
    fleet.launch(&[1], &ring, &["-F"]);
    fleet.await_settled(&NODES, 1);
    let keys = keys_of_all(&fleet, &NODES, 10);
    let mut conn = fleet.connect(0);
    store_all(&mut conn, &keys);
    let failed =
        format!("SERVER_ERROR flush_all failed on {}: flush_all not allowed\r\n", shown(&fleet, 1));
    conn.talk("flush_all\r\n", &failed);
    for node in NODES {
        // The other nodes are empty, and its items stay.
        assert_eq!(found(&fleet, node, &keys), 10, "through node {node}");
    }
    let before = flushes(&fleet, &[0, 2]);
    for line in ["flush_all\r\n", "flush_all 10\r\n", "ring flush\r\n"] {
        fleet.connect(1).talk(line, "CLIENT_ERROR flush_all not allowed\r\n");
    }
    // It does not ask other nodes.
    assert_eq!(flushes(&fleet, &[0, 2]), before);
    assert_eq!(found(&fleet, 0, &keys), 10);
}

#[test]
fn ring_flush_empties_one_node() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let keys = keys_of_all(&fleet, &NODES, 10);
    let mut conn = fleet.connect(0);
    store_all(&mut conn, &keys);
    conn.talk("ring flush\r\n", "OK\r\n");
    for node in NODES {
        assert_eq!(found(&fleet, node, &keys), 20, "through node {node}");
    }
    assert_eq!(flushes(&fleet, &NODES), [1, 0, 0]);
    fleet.connect(1).talk("ring flush 2\r\n", "OK\r\n");
    wait::until("the flush to come due", || (found(&fleet, 0, &keys) == 10).then_some(()));
    conn.talk("ring flush soon\r\n", "CLIENT_ERROR invalid exptime argument\r\n");
    conn.talk(
        "ring flush 1 2\r\n",
        "CLIENT_ERROR usage: ring version|get|owner <key>|flush [delay]\r\n",
    );
}

#[test]
fn what_a_node_passes_on_is_not_passed_on() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let keys = keys_of_all(&fleet, &NODES, 10);
    store_all(&mut fleet.connect(0), &keys);
    let mut conn = fleet.connect(0);
    conn.talk("ring forward 1.0000000000000000 owner\r\n", "");
    // This node holds a newer ring than the asking node, so there may be other nodes to ask.
    conn.talk("flush_all\r\n", "MOVED\r\n");
    assert_eq!(flushes(&fleet, &NODES), [1, 0, 0]);
    assert_eq!(found(&fleet, 1, &keys), 20);
    conn.talk("ring forward 1.ffffffffffffffff owner\r\n", "");
    conn.talk("flush_all\r\n", "OK\r\n");
    assert_eq!(flushes(&fleet, &NODES), [2, 0, 0]);
}

#[test]
fn nodes_that_do_not_forward_flush_themselves() {
    needs!(Kind::Ringbinder);
    for policy in ["serve", "refuse"] {
        let fleet = Fleet::running(2, &["--foreign-keys", policy]);
        let (own, foreign) =
            (&fleet.keys_of(0, 0, "own-", 1)[0], &fleet.keys_of(0, 1, "foreign-", 1)[0]);
        fleet.connect(0).talk(set(own, "mine"), "STORED\r\n");
        fleet.connect(1).talk(set(foreign, "theirs"), "STORED\r\n");
        fleet.connect(0).talk("flush_all\r\n", "OK\r\n");
        fleet.connect(0).talk(format!("get {own}\r\n"), "END\r\n");
        fleet.connect(1).talk(format!("get {foreign}\r\n"), hit(foreign, "theirs"));
        assert_eq!(flushes(&fleet, &[0, 1]), [1, 0], "{policy}");
    }
}

/// Three nodes. The third has left the ring without knowing it: the others reach it, but it cannot fetch the
/// new ring, and still serves its keys. Also returns some of these keys.
fn with_a_former_owner(arguments: &[&str]) -> (Fleet, Vec<String>) {
    let mut fleet = Fleet::new(3);
    fleet.put_relays();
    fleet.launch(&NODES, &fleet.ring(1, &NODES), arguments);
    fleet.await_settled(&NODES, 1);
    let of_two = fleet.keys_of(0, 2, "flushed-", 10);
    store_all(&mut fleet.connect(2), &of_two);
    for node in [0, 1] {
        fleet.relay(node).hold("cache-2", true);
        fleet.write(node, &fleet.ring(2, &[0, 1]));
    }
    fleet.await_version(&[0, 1], 2);
    assert_eq!(found(&fleet, 2, &of_two), 10);
    (fleet, of_two)
}

#[test]
fn a_former_owner_that_still_serves_is_emptied_too() {
    needs!(Kind::Ringbinder);
    // No node is declared failed before the test ends.
    let (fleet, of_two) = with_a_former_owner(&["--peer-give-up", "600000"]);
    let mut conn = fleet.connect(0);
    conn.talk("flush_all\r\n", "OK\r\n");
    assert_eq!(found(&fleet, 2, &of_two), 0);
    // The node is cut off, so it is not emptied, and the answer reports that.
    store_all(&mut fleet.connect(2), &of_two);
    fleet.cut_off(2, true);
    let answer = conn.ask_text("flush_all\r\n");
    assert!(answer.starts_with("SERVER_ERROR flush_all failed on "), "{answer}");
    assert!(answer.contains(&format!("{}: no answer", shown(&fleet, 2))), "{answer}");
    fleet.cut_off(2, false);
    fleet.await_settled(&NODES, 2);
    conn.talk("flush_all\r\n", "OK\r\n");
    assert_empty(&fleet, &NODES, &of_two);
}

#[test]
fn a_node_that_has_just_started_learns_whom_to_empty() {
    needs!(Kind::Ringbinder);
    let (mut fleet, of_two) = with_a_former_owner(&[]);
    fleet.kill(0);
    fleet.start(0, &[]);
    let mut conn = fleet.connect(0);
    wait::until("a flush that reaches all", || {
        (conn.ask("flush_all\r\n") == b"OK\r\n").then_some(())
    });
    assert_eq!(found(&fleet, 2, &of_two), 0);
}

#[test]
fn a_node_of_a_newer_ring_is_emptied_too() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    fleet.put_relays();
    let arguments = ["--peer-give-up", "600000"];
    fleet.launch(&NODES, &fleet.ring(1, &[0, 1]), &arguments);
    fleet.await_settled(&NODES, 1);
    for round in 1..=5 {
        let mut conn = fleet.connect(0);
        let mut writer = fleet.connect(1);
        let keys = (0..200).map(|key| format!("newer-{key}"));
        let keys: Vec<String> = keys.filter(|key| owner(&mut conn, key) == 1).collect();
        // Node 1 and the new node hold the newer ring. Node 0 receives it late: node 1 cannot send it, and
        // node 0 does not trust the new node.
        fleet.relay(0).hold("cache-1", true);
        let version = 2 * round;
        for node in [1, 2] {
            fleet.write(node, &fleet.ring(version, &NODES));
        }
        fleet.await_version(&[1, 2], version);
        let keys: Vec<String> =
            keys.into_iter().filter(|key| owner(&mut writer, key) == 2).collect();
        assert!(keys.len() > 10, "{}", keys.len());
        store_all(&mut writer, &keys);
        conn.talk("flush_all\r\n", "OK\r\n");
        assert_empty(&fleet, &[1, 2], &keys);
        fleet.relay(0).hold("cache-1", false);
        fleet.await_settled(&NODES, version);
        fleet.write(0, &fleet.ring(version + 1, &[0, 1]));
        fleet.await_settled(&NODES, version + 1);
    }
}

/// Keys moved to another node must be removed too. So in a ring the store is swept even if the crawler is
/// off.
#[test]
fn what_has_expired_is_removed_in_a_ring_without_the_crawler() {
    let mut fleet = Fleet::new(1);
    let ring = fleet.ring(1, &[0]);
    fleet.launch(&[0], &ring, &["-o", "no_lru_crawler"]);
    fleet.await_settled(&[0], 1);
    fleet.connect(0).talk("set a 0 1 1\r\nx\r\n", "STORED\r\n");
    wait::until("the item to be removed", || (general(&fleet, 0, "curr_items") == 0).then_some(()));
}
