//! Tests of a node whose ring file differs from the current ring. The node reports it. A node that keeps a
//! copy of the ring does not return to the older ring when it starts.

use std::fs;

use nix::sys::signal::Signal;
use ringbinder_tests::ring::{Fleet, ring_file};
use ringbinder_tests::{Kind, needs, wait};

const ALL: [usize; 3] = [0, 1, 2];

fn start_with_copy(fleet: &mut Fleet, node: usize) {
    let copy = fleet.path(&format!("copy-{node}.toml"));
    fleet.start(node, &["--ring-cache", &copy]);
}

/// Three nodes whose files have ring 1, except for node 0, whose file has changed to ring 2. All have adopted
/// ring 2 and keep copies of it.
fn after_a_change() -> Fleet {
    let mut fleet = Fleet::new(3);
    for node in ALL {
        fleet.write(node, &fleet.ring(1, &ALL));
        start_with_copy(&mut fleet, node);
    }
    fleet.await_settled(&ALL, 1);
    fleet.write(0, &fleet.weighted(2, &[(0, 1), (1, 5), (2, 1)]));
    fleet.await_settled(&ALL, 2);
    for node in ALL {
        fleet.await_stat(node, "ring_cache_version", |version| version == "2");
    }
    fleet
}

fn await_log(fleet: &Fleet, node: usize, words: &str) {
    wait::until(words, || fleet.server(node).log().contains(words).then_some(()));
}

fn times(fleet: &Fleet, node: usize, words: &str) -> usize {
    fleet.server(node).log().matches(words).count()
}

#[test]
fn nodes_with_copies_keep_a_ring_whose_only_file_is_lost() {
    needs!(Kind::Ringbinder);
    let mut fleet = after_a_change();
    let digest = fleet.stat(0, "ring_digest");
    // A power failure, after which the node with the new file stays down.
    ALL.iter().for_each(|&node| fleet.kill(node));
    for node in [1, 2] {
        start_with_copy(&mut fleet, node);
    }
    for node in [1, 2] {
        assert_eq!(fleet.stat(node, "ring_version"), "2", "{}", fleet.logs());
        assert_eq!(fleet.stat(node, "ring_digest"), digest);
        assert_eq!(fleet.stat(node, "ring_file_version"), "1");
        let taken_from = fleet.stat(node, "ring_taken_from");
        assert!(taken_from.contains("copy-"), "{taken_from}");
        let drift = fleet.stat(node, "ring_drift");
        assert!(drift.contains("has ring 1, but the current ring is 2"), "{drift}");
        assert_eq!(times(&fleet, node, "has the newer ring 2"), 1, "{}", fleet.logs());
    }
    fleet.await_settled(&[1, 2], 2);

    // The new ring is written to the file of one of them. The file of the other is still old.
    let ring = fleet.connect(1).ask_text("ring get\r\n");
    let (_, text) = ring.split_once("\r\n").expect("a header");
    fleet.write(1, text.strip_suffix("\r\nEND\r\n").expect("an end"));
    fleet.await_stat(1, "ring_drift", |drift| drift == "-");
    await_log(&fleet, 1, "has the current ring again: ring 2");
    assert_eq!(fleet.stat(1, "ring_file_digest"), digest);
    assert_ne!(fleet.stat(2, "ring_drift"), "-");
}

#[test]
fn nodes_without_copies_go_back_to_their_files() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::running(3, &[]);
    fleet.write(0, &fleet.weighted(2, &[(0, 1), (1, 5), (2, 1)]));
    fleet.await_settled(&ALL, 2);
    ALL.iter().for_each(|&node| fleet.kill(node));
    fleet.start(1, &[]);
    fleet.start(2, &[]);
    fleet.await_settled(&[1, 2], 1);
    assert_eq!(fleet.stat(1, "ring_cache"), "-");
    // The node with the new file brings that ring back.
    fleet.start(0, &[]);
    fleet.await_settled(&ALL, 2);
}

#[test]
fn a_start_without_a_good_file_takes_the_copy() {
    needs!(Kind::Ringbinder);
    let mut fleet = after_a_change();
    let whole = fleet.weighted(2, &[(0, 1), (1, 5), (2, 1)]);
    for text in [None, Some(""), Some("version = 2\n[[no"), Some(&whole[..whole.len() / 2])] {
        fleet.kill(1);
        match text {
            None => fleet.remove_file(1),
            Some(text) => fleet.write(1, text),
        }
        start_with_copy(&mut fleet, 1);
        assert_eq!(fleet.stat(1, "ring_version"), "2", "{text:?}");
        let error = fleet.stat(1, "ring_last_error");
        assert!(error.contains("ring-1.toml"), "{error}");
        assert_eq!(fleet.stat(1, "ring_file_version"), "-");
        let drift = fleet.stat(1, "ring_drift");
        assert!(drift.contains("has no valid ring") && drift.contains("ring get"), "{drift}");
        assert!(
            fleet.server(1).log().contains("using the earlier copy of the ring"),
            "{}",
            fleet.logs()
        );
        fleet.await_settled(&ALL, 2);

        fleet.write(1, &whole);
        fleet.await_stat(1, "ring_last_error", |error| error == "-");
        fleet.await_stat(1, "ring_drift", |drift| drift == "-");
        assert_eq!(fleet.stat(1, "ring_file_version"), "2");
    }
}

#[test]
fn a_copy_of_another_fleet_does_not_take_a_node_away() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(2);
    // The node was in another fleet, with the same address and the same name.
    let others = [("cache-0", fleet.port(0), 1), ("cache-1", 9, 1), ("cache-2", 7, 1)];
    let copy = fleet.file("copy-0.toml", &ring_file(40, others));
    for node in [0, 1] {
        fleet.write(node, &fleet.ring(3, &[0, 1]));
        start_with_copy(&mut fleet, node);
    }
    fleet.await_settled(&[0, 1], 3);
    assert_eq!(fleet.stat(0, "ring_drift"), "-");
    assert!(fleet.server(0).log().contains("as if it were another fleet's"), "{}", fleet.logs());
    fleet.await_stat(0, "ring_cache_version", |version| version == "3");

    // A copy of a ring from another file does not replace a missing file.
    let output = Kind::Ringbinder
        .command()
        .args(["-p", "-1", "--ring", &fleet.path("typo.toml"), "--ring-cache", &copy])
        .output()
        .expect("a node that ends");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{message}");
    assert!(message.contains("typo.toml") && message.contains("was kept for"), "{message}");
}

#[test]
fn a_copy_that_cannot_be_written_is_told_and_costs_nothing_else() {
    needs!(Kind::Ringbinder);
    let mut fleet = Fleet::new(1);
    fleet.write(0, &fleet.ring(1, &[0]));
    let place = fleet.path("nowhere/copy.toml");
    fleet.start(0, &["--ring-cache", &place]);
    let error = fleet.await_stat(0, "ring_cache_error", |error| error != "-");
    assert!(error.contains("No such file"), "{error}");
    assert_eq!(fleet.stat(0, "ring_cache"), place);
    assert_eq!(fleet.stat(0, "ring_cache_version"), "-");
    assert!(fleet.server(0).log().contains("cannot write ring 1"), "{}", fleet.logs());
    fleet.connect(0).talk("set k 0 0 1\r\nv\r\n", "STORED\r\n");

    fs::create_dir(fleet.path("nowhere")).expect("a directory");
    fleet.write(0, &fleet.ring(2, &[0]));
    fleet.await_stat(0, "ring_cache_version", |version| version == "2");
    assert_eq!(fleet.stat(0, "ring_cache_error"), "-");
    assert!(fleet.server(0).log().contains("wrote ring 2 to"), "{}", fleet.logs());
}

#[test]
fn a_file_that_was_not_changed_with_the_ring_is_told() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(2, &[]);
    for node in [0, 1] {
        assert_eq!(fleet.stat(node, "ring_drift"), "-");
        assert_eq!(fleet.stat(node, "ring_file_version"), "1");
        assert_eq!(fleet.stat(node, "ring_file_digest"), fleet.stat(node, "ring_digest"));
    }
    fleet.write(0, &fleet.ring(2, &[0, 1]));
    fleet.await_settled(&[0, 1], 2);
    let drift = fleet.stat(1, "ring_drift");
    for words in ["ring-1.toml has ring 1", "the current ring is 2 (from the node at", "ring get"] {
        assert!(drift.contains(words), "{drift}");
    }
    assert_eq!(fleet.stat(1, "ring_file_version"), "1");
    assert_ne!(fleet.stat(1, "ring_file_digest"), fleet.stat(1, "ring_digest"));
    assert_eq!(fleet.stat(1, "ring_last_error"), "-");
    await_log(&fleet, 1, "write ring 2 to it");
    assert!(fleet.server(1).log().contains("without --ring-cache a restart may go back"));

    // The answer to a query is up to date. If the file is rewritten with the same ring, nothing changes.
    fleet.signal(1, Signal::SIGHUP);
    await_log(&fleet, 1, "the ring file is unchanged: it has ring 1; the current ring is 2");
    fleet.write(1, &format!("# again\n{}", fleet.ring(1, &[0, 1])));
    fleet.signal(1, Signal::SIGHUP);
    wait::until("a second answer", || {
        (times(&fleet, 1, "the ring file is unchanged") == 2).then_some(())
    });
    assert_ne!(fleet.stat(1, "ring_drift"), "-");
    assert_eq!(times(&fleet, 1, "write ring 2 to it"), 1, "{}", fleet.logs());

    fleet.write(1, &fleet.ring(2, &[0, 1]));
    fleet.await_stat(1, "ring_drift", |drift| drift == "-");
    assert_eq!(fleet.stat(1, "ring_file_version"), "2");
    await_log(&fleet, 1, "has the current ring again: ring 2");
    fleet.signal(1, Signal::SIGHUP);
    await_log(&fleet, 1, "the ring file is unchanged: ring 2");

    // Node 0 had the ring in its file all the time.
    assert_eq!(fleet.stat(0, "ring_drift"), "-");
    assert!(!fleet.server(0).log().contains("the current ring again"), "{}", fleet.logs());
}

#[test]
fn a_file_that_is_refused_stays_refused_when_it_is_read_again() {
    needs!(Kind::Ringbinder);
    let fleet = Fleet::running(1, &[]);
    fleet.write(0, &fleet.ring(5, &[0]));
    fleet.await_version(&[0], 5);
    fleet.write(0, &fleet.ring(4, &[0]));
    fleet.await_stat(0, "ring_last_error", |error| {
        error.contains("is lower than the current one, 5")
    });
    fleet.signal(0, Signal::SIGHUP);
    wait::until("an answer", || (times(&fleet, 0, "rejected the ring in") == 2).then_some(()));
    assert!(fleet.stat(0, "ring_last_error").contains("is lower than the current one, 5"));
    let drift = fleet.stat(0, "ring_drift");
    assert!(drift.contains("has ring 4, but the current ring is 5"), "{drift}");
    assert!(!fleet.server(0).log().contains("is unchanged"), "{}", fleet.logs());

    fleet.write(0, &fleet.ring(5, &[0]));
    fleet.await_stat(0, "ring_last_error", |error| error == "-");
    fleet.await_stat(0, "ring_drift", |drift| drift == "-");
}
