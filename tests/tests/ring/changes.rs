//! Tests of ring changes, and of nodes that are unreachable meanwhile.

use std::collections::HashSet;

use nix::sys::signal::Signal;
use ringbinder_tests::ring::{Fleet, owner};
use ringbinder_tests::{Kind, needs, wait};

use crate::{assert_all_agree, hit, set, value_of};

const AWAY: &str = "SERVER_ERROR the node that owns this key does not answer\r\n";

fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

fn store_all(fleet: &Fleet, node: usize, keys: &[String], value: &str) {
    let mut conn = fleet.connect(node);
    for key in keys {
        conn.talk(set(key, value), "STORED\r\n");
    }
}

#[test]
fn a_new_ring_given_to_one_node_reaches_all() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &[]);
    let all = [0, 1, 2];
    for (given_to, version) in [(1, 2), (0, 3), (2, 7)] {
        let weights = [(0, 1), (1, u32::try_from(version).unwrap()), (2, 2)];
        fleet.write(given_to, &fleet.weighted(version, &weights));
        fleet.await_settled(&all, version);
        let rings: HashSet<String> =
            all.map(|node| fleet.connect(node).ask_text("ring get\r\n")).into();
        assert_eq!(rings.len(), 1, "{rings:?}");
        let keys = keys("spread", 50);
        store_all(&fleet, 0, &keys, &format!("by ring {version}"));
        assert_all_agree(&fleet, &all, &keys, |_| format!("by ring {version}"));
    }
    assert!(fleet.stat(2, "ring_taken_from").contains("ring-2"), "{:?}", fleet.stats(2));
    assert_eq!(fleet.stat(1, "ring_changes"), "3");
}

#[test]
fn nodes_that_start_with_different_rings_agree_on_the_newest() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    let rings = [fleet.ring(1, &[0, 1]), fleet.ring(2, &[0, 1, 2]), fleet.ring(3, &[0, 2])];
    for (node, ring) in rings.iter().enumerate() {
        fleet.launch(&[node], ring, &[]);
    }
    fleet.await_settled(&[0, 1, 2], 3);
    let keys = keys("agreed", 60);
    store_all(&fleet, 1, &keys, "one");
    assert_all_agree(&fleet, &[0, 1, 2], &keys, |_| "one".to_owned());
    assert_eq!(fleet.stat(1, "ring_member"), "no");
}

#[test]
fn a_ring_file_that_is_no_newer_ring_is_not_taken() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &[]);
    let ring = fleet.ring(5, &[0, 1]);
    fleet.write(0, &ring);
    fleet.await_settled(&[0, 1], 5);
    let keys = keys("kept", 20);
    store_all(&fleet, 1, &keys, "kept");
    let still_served = || {
        assert_eq!(fleet.stat(0, "ring_version"), "5");
        assert_all_agree(&fleet, &[0, 1], &keys, |_| "kept".to_owned());
    };
    let lower = fleet.ring(4, &[0]);
    let other = fleet.weighted(5, &[(0, 9), (1, 1)]);
    let nobody = "version = 6\n".to_owned();
    for (text, complaint) in [
        (&lower, "its version, 4, is lower than the current one, 5"),
        (&other, "differs from the current ring but has the same version, 5"),
        (&"version = 6\n[[node".to_owned(), "ring-0.toml"),
        (&nobody, "ring-0.toml"),
    ] {
        fleet.write(0, text);
        fleet.await_stat(0, "ring_last_error", |error| error.contains(complaint));
        still_served();
        assert!(
            fleet.server(0).log().contains("rejected the ring in"),
            "{}",
            fleet.server(0).log()
        );
        fleet.write(0, &ring);
        fleet.await_stat(0, "ring_last_error", |error| error == "-");
    }
    fleet.remove_file(0);
    fleet.signal(0, Signal::SIGHUP);
    fleet.await_stat(0, "ring_last_error", |error| error.contains("ring-0.toml"));
    still_served();
    fleet.write(0, &fleet.ring(6, &[0, 1]));
    fleet.await_settled(&[0, 1], 6);
    fleet.await_stat(0, "ring_last_error", |error| error == "-");
    assert_all_agree(&fleet, &[0, 1], &keys, |_| "kept".to_owned());
}

#[test]
fn a_hangup_reads_the_ring_file_again() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(1, &[]);
    assert!(!fleet.server(0).log().contains("the ring file is unchanged"));
    fleet.signal(0, Signal::SIGHUP);
    wait::until("a word on the ring file", || {
        fleet.server(0).log().contains("the ring file is unchanged").then_some(())
    });
    fleet.connect(0).talk(set("k", "v"), "STORED\r\n");
    assert_eq!(fleet.stat(0, "ring_version"), "1");
}

#[test]
fn a_key_that_moves_away_and_back_has_lost_its_old_value() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    let all = [0, 1, 2];
    fleet.launch(&all, &fleet.ring(1, &[0, 1]), &[]);
    fleet.await_settled(&all, 1);
    let keys = keys("wander", 120);
    store_all(&fleet, 0, &keys, "old");
    fleet.write(0, &fleet.ring(2, &[0, 1, 2]));
    fleet.await_settled(&all, 2);
    let (moved, stayed): (Vec<String>, Vec<String>) = {
        let mut conn = fleet.connect(0);
        keys.iter().cloned().partition(|key| owner(&mut conn, key) == 2)
    };
    assert!(moved.len() > 10 && stayed.len() > 10, "{} moved", moved.len());
    assert_all_agree(&fleet, &all, &stayed, |_| "old".to_owned());
    // One half is written at its new owner, the other is left alone.
    let (written, left) = moved.split_at(moved.len() / 2);
    store_all(&fleet, 1, written, "new");
    assert_all_agree(&fleet, &all, written, |_| "new".to_owned());
    fleet.write(1, &fleet.ring(3, &[0, 1]));
    fleet.await_settled(&all, 3);
    for node in all {
        let mut conn = fleet.connect(node);
        for key in written.iter().chain(left) {
            conn.talk(format!("get {key}\r\n"), "END\r\n");
        }
        for key in &stayed {
            conn.talk(format!("get {key}\r\n"), hit(key, "old"));
        }
    }
}

#[test]
fn two_changes_in_quick_succession_bring_no_old_value_back() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    let all = [0, 1, 2];
    fleet.launch(&all, &fleet.ring(1, &[0, 1]), &[]);
    fleet.await_settled(&all, 1);
    let keys = keys("quick", 60);
    for round in 0..3 {
        let version = 1 + 2 * round;
        let value = |number: u32| format!("{round}-{number}");
        store_all(&fleet, 0, &keys, &value(1));
        fleet.write(0, &fleet.ring(version + 1, &[0, 1, 2]));
        store_all(&fleet, 1, &keys, &value(2));
        // The next ring goes to another node, which may not have received the previous one.
        fleet.write(1, &fleet.ring(version + 2, &[0, 1]));
        store_all(&fleet, 0, &keys[..30], &value(3));
        let newest = |at: usize| if at < 30 { value(3) } else { value(2) };
        let check = || {
            for node in all {
                let mut conn = fleet.connect(node);
                for (at, key) in keys.iter().enumerate() {
                    let found = value_of(&mut conn, key);
                    assert!(found.is_none() || found == Some(newest(at)), "{key}: {found:?}");
                }
            }
        };
        check();
        fleet.await_settled(&all, version + 2);
        check();
    }
}

#[test]
fn with_the_secret_a_ring_given_to_the_new_node_reaches_all() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    let secret = fleet.file("secret", "a secret that is long enough\n");
    let arguments = ["--peer-secret-file", secret.as_str()];
    fleet.launch(&[0, 1], &fleet.ring(1, &[0, 1]), &arguments);
    fleet.await_settled(&[0, 1], 1);
    let keys = keys("grown", 60);
    store_all(&fleet, 0, &keys, "before");
    fleet.launch(&[2], &fleet.ring(2, &[0, 1, 2]), &arguments);
    fleet.await_settled(&[0, 1, 2], 2);
    store_all(&fleet, 2, &keys, "after");
    assert_all_agree(&fleet, &[0, 1, 2], &keys, |_| "after".to_owned());
    assert!(keys.iter().any(|key| fleet.owner(0, key) == 2));
}

#[test]
fn without_the_secret_a_new_node_leaves_its_keys_to_their_owners() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(3);
    let secret = fleet.file("secret", "a secret that is long enough\n");
    let wrong = fleet.file("wrong", "another one, just as long\n");
    fleet.launch(&[0, 1], &fleet.ring(1, &[0, 1]), &["--peer-secret-file", &secret]);
    fleet.await_settled(&[0, 1], 1);
    let keys = keys("guest", 60);
    store_all(&fleet, 0, &keys, "before");
    fleet.launch(&[2], &fleet.ring(2, &[0, 1, 2]), &["--peer-secret-file", &wrong]);
    fleet.await_stat(2, "ring_joined", |joined| joined == "yes");
    assert_all_agree(&fleet, &[0, 1, 2], &keys, |_| "before".to_owned());
    for writer in [2, 0] {
        let value = format!("by {writer}");
        store_all(&fleet, writer, &keys, &value);
        assert_all_agree(&fleet, &[0, 1, 2], &keys, |_| value.clone());
    }
    assert_eq!(fleet.stat(2, "ring_settled"), "no");
    assert_ne!(fleet.stat(2, "ring_awaited"), "-");
    assert_eq!(fleet.stat(0, "ring_version"), "1");
    // The file is written at a node that the others trust.
    fleet.write(0, &fleet.ring(2, &[0, 1, 2]));
    fleet.await_settled(&[0, 1, 2], 2);
    store_all(&fleet, 1, &keys, "together");
    assert_all_agree(&fleet, &[0, 1, 2], &keys, |_| "together".to_owned());
}

#[test]
fn an_owner_that_hangs_costs_its_keys_and_nothing_else() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &["--peer-timeout", "2000"]);
    let own = fleet.keys_of(0, 0, "own-", 20);
    let foreign = fleet.keys_of(0, 1, "foreign-", 40);
    store_all(&fleet, 0, &own, "mine");
    store_all(&fleet, 0, &foreign, "theirs");
    let paused = fleet.pause(1);
    let mut conn = fleet.connect(0);
    conn.talk(format!("get {} {} {}\r\n", own[0], foreign[0], own[0]), {
        let found = hit(&own[0], "mine");
        found.replace("END\r\n", "") + &found
    });
    assert_eq!(fleet.stat(0, "peer:cache-1:state"), "away");
    for key in &foreign {
        conn.talk(format!("get {key}\r\n"), "END\r\n");
        conn.talk(set(key, "lost"), AWAY);
        conn.talk(format!("set {key} 0 0 4 noreply\r\nlost\r\n"), "");
        conn.talk(format!("delete {key}\r\n"), AWAY);
        conn.talk(format!("mg {key} v\r\n"), "EN\r\n");
    }
    for key in &own {
        conn.talk(format!("get {key}\r\n"), hit(key, "mine"));
    }
    assert_eq!(fleet.stat(0, "peer:cache-1:state"), "away");
    // Only the first request waited: the other nodes already knew.
    let log = fleet.server(0).log();
    assert_eq!(log.matches("is unreachable: no answer within").count(), 1, "{log}");
    assert!(fleet.count(0, "foreign_failed") >= 160, "{:?}", fleet.stats(0));
    drop(paused);
    fleet.await_stat(0, "peer:cache-1:state", |state| state == "up");
    store_all(&fleet, 0, &foreign, "again");
    assert_all_agree(&fleet, &[0, 1], &foreign, |_| "again".to_owned());
}

#[test]
fn an_owner_that_dies_is_found_again_when_it_is_back() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::running(3, &[]);
    let foreign = fleet.keys_of(0, 1, "dead-", 10);
    let others = fleet.keys_of(0, 2, "alive-", 10);
    store_all(&fleet, 0, &foreign, "before");
    store_all(&fleet, 0, &others, "kept");
    fleet.kill(1);
    let mut conn = fleet.connect(0);
    for key in &foreign {
        conn.talk(format!("get {key}\r\n"), "END\r\n");
        conn.talk(set(key, "lost"), AWAY);
    }
    assert_all_agree(&fleet, &[0, 2], &others, |_| "kept".to_owned());
    fleet.start(1, &[]);
    fleet.await_settled(&[0, 1, 2], 1);
    for node in [0, 2] {
        fleet.await_stat(node, "peer:cache-1:state", |state| state == "up");
    }
    for key in &foreign {
        conn.talk(format!("get {key}\r\n"), "END\r\n");
    }
    store_all(&fleet, 0, &foreign, "after");
    assert_all_agree(&fleet, &[0, 1, 2], &foreign, |_| "after".to_owned());
}

#[test]
fn a_node_that_hangs_and_is_removed_is_given_up() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(3, &["--peer-timeout", "1000", "--peer-give-up", "500"]);
    let gone = fleet.keys_of(0, 2, "gone-", 20);
    store_all(&fleet, 0, &gone, "before");
    let paused = fleet.pause(2);
    fleet.write(0, &fleet.ring(2, &[0, 1]));
    fleet.await_settled(&[0, 1], 2);
    for node in [0, 1] {
        assert!(fleet.count(node, "ring_given_up") >= 1, "{:?}", fleet.stats(node));
        let log = fleet.server(node).log();
        assert!(log.contains("unreachable and declared failed"), "{log}");
        let mut conn = fleet.connect(node);
        for key in gone.iter().filter(|_| node == 0) {
            conn.talk(format!("get {key}\r\n"), "END\r\n");
        }
    }
    store_all(&fleet, 1, &gone, "after");
    assert_all_agree(&fleet, &[0, 1], &gone, |_| "after".to_owned());
    drop(paused);
    // The node receives the ring that it missed during its pause, and drops its data.
    fleet.await_version(&[2], 2);
    assert_all_agree(&fleet, &[0, 1, 2], &gone, |_| "after".to_owned());
    assert_eq!(fleet.stat(2, "ring_member"), "no");
}
