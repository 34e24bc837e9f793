//! Tests of the counters for requests that no owner answers.
//!
//! The owner never received such a request, so no other counter of any node includes it. A client's hit ratio
//! is right only if each such request counts once, at the node that the client asked.

use std::collections::HashMap;

use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Kind, needs, wait};

use crate::{hit, set};

const AWAY: &str = "SERVER_ERROR the node that owns this key does not answer\r\n";

/// A node's `stats`.
fn general(fleet: &Fleet, node: usize) -> HashMap<String, u64> {
    let text = fleet.connect(node).ask_text("stats\r\n");
    let entry = |line: &str| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

/// One figure of a node's `stats`.
fn figure(fleet: &Fleet, node: usize, name: &str) -> u64 {
    let stats = general(fleet, node);
    *stats.get(name).unwrap_or_else(|| panic!("no {name} in stats: {stats:?}"))
}

#[test]
fn each_counts_once_where_it_was_asked_and_gets_by_themselves() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::running(3, &[]);
    let lost = fleet.keys_of(0, 2, "lost-", 4);
    let kept = fleet.keys_of(0, 1, "kept-", 4);
    let mut conn = fleet.connect(0);
    for key in &kept {
        conn.talk(set(key, "v"), "STORED\r\n");
    }
    fleet.kill(2);
    // One connection is reset and others are refused: all failures count alike.
    let all = [&lost[..], &kept[..]].concat().join(" ");
    let found: String = kept.iter().map(|key| format!("VALUE {key} 0 1\r\nv\r\n")).collect();
    conn.talk(format!("get {all}\r\n"), format!("{found}END\r\n"));
    conn.talk(format!("gets {}\r\n", lost.join(" ")), "END\r\n");
    for key in &lost {
        conn.talk(format!("mg {key} v\r\n"), "EN\r\n");
        conn.talk(format!("mg {key} v q\r\n"), "");
        conn.talk(format!("gat 0 {key}\r\n"), "END\r\n");
        conn.talk(set(key, "v"), AWAY);
        conn.talk(format!("delete {key}\r\n"), AWAY);
        conn.talk(format!("incr {key} 1\r\n"), AWAY);
        conn.talk(format!("set {key} 0 0 1 noreply\r\nv\r\n"), "");
    }
    // Per key: get, gets, two mg; and gat, set, delete, incr, a silent set.
    let (gets, others) = (4 * 4, 4 * 5);
    assert_eq!(figure(&fleet, 0, "foreign_get_failed"), gets);
    assert_eq!(figure(&fleet, 0, "foreign_failed"), gets + others);
    assert_eq!(fleet.count(0, "foreign_get_failed"), gets);
    assert_eq!(fleet.count(0, "foreign_failed"), gets + others);
    assert_eq!(fleet.count(0, "peer:cache-2:failed"), gets + others);
    assert_eq!(fleet.count(0, "peer:cache-1:failed"), 0);
    // A request that its owner answered counts only there.
    assert_eq!(figure(&fleet, 1, "get_hits"), 4);
    for name in ["foreign_get_failed", "foreign_failed"] {
        assert_eq!(figure(&fleet, 1, name), 0, "{name}");
    }
    for name in ["cmd_get", "get_hits", "get_misses"] {
        assert_eq!(figure(&fleet, 0, name), 0, "{name}");
    }

    // The total survives the removal of the peer, which a ring without it forgets.
    for node in [0, 1] {
        fleet.write(node, &fleet.ring(2, &[0, 1]));
    }
    fleet.await_settled(&[0, 1], 2);
    wait::until("the lost node to be forgotten", || {
        (!fleet.stats(0).contains_key("peer:cache-2:failed")).then_some(())
    });
    assert_eq!(fleet.count(0, "foreign_failed"), gets + others);
    // `stats reset` resets it, like all counters.
    conn.talk("stats reset\r\n", "RESET\r\n");
    assert_eq!(fleet.count(0, "foreign_failed"), 0);
    assert_eq!(figure(&fleet, 0, "foreign_get_failed"), 0);
    conn.talk(format!("get {}\r\n", kept[0]), hit(&kept[0], "v"));
}

#[test]
fn a_peer_that_hangs_fails_what_waits_for_it_once() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &["--peer-timeout", "300"]);
    let keys = fleet.keys_of(0, 1, "slow-", 20);
    let mut conn = fleet.connect(0);
    conn.talk(format!("get {}\r\n", keys[0]), "END\r\n");
    let before = fleet.count(0, "foreign_get_failed");
    let paused = fleet.pause(1);
    // All requests wait for one answer, which does not come. After that the peer counts as unreachable.
    conn.talk(format!("get {}\r\n", keys.join(" ")), "END\r\n");
    conn.talk(format!("get {}\r\n", keys.join(" ")), "END\r\n");
    for name in ["foreign_get_failed", "foreign_failed", "peer:cache-1:failed"] {
        assert_eq!(fleet.count(0, name) - before, 40, "{name}");
    }
    drop(paused);
}
