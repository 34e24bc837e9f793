//! Fault: nodes are stopped and restarted, or replaced by a new process, and keep their items while clients
//! write. No client may read a value that was replaced. Nodes that are killed after a snapshot have items
//! older than the acknowledged writes, so they start cold.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Conn, wait};

use crate::{NODES, Row, back_to, briefly, checked, figure, goes_on, knows, levels, plan, stat};

const KEPT: usize = 200;

#[test]
fn nodes_are_restarted_and_replaced_with_their_items() {
    briefly("nodes_are_restarted_and_replaced_with_their_items");
}

fn set(conn: &mut Conn, key: &str, value: usize) {
    let value = format!("{value:09}");
    conn.talk(format!("set {key} 0 0 9\r\n{value}\r\n"), "STORED\r\n");
}

/// The number of keys that a node still has. Asserts that none has another value.
fn found(conn: &mut Conn, keys: &[String], value: usize) -> usize {
    let mut found = 0;
    for key in keys {
        let answer = conn.ask_text(&format!("get {key}\r\n"));
        if answer != "END\r\n" {
            assert_eq!(answer, format!("VALUE {key} 0 9\r\n{value:09}\r\nEND\r\n"));
            found += 1;
        }
    }
    found
}

fn await_restored(conn: &mut Conn) {
    wait::until("the items to be taken up", || {
        (stat(conn, "restore_state") != "running").then_some(())
    });
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    if !knows("--snapshot") || !knows("--hand-over") {
        return Err("this ringbinderd starts cold");
    }
    let mut fleet = Fleet::new(3);
    let path = |fleet: &Fleet, name: String| {
        fleet.dir().join(name).to_str().expect("a plain path").to_owned()
    };
    let settings = NODES.map(|node| {
        let snapshot = path(&fleet, format!("snapshot-{node}"));
        let socket = path(&fleet, format!("socket-{node}"));
        ["--snapshot".to_owned(), snapshot, "--hand-over".to_owned(), socket]
    });
    let arguments = |node: usize| settings[node].each_ref().map(String::as_str);
    let ring = fleet.ring(1, &NODES);
    for node in NODES {
        fleet.write(node, &ring);
        fleet.start(node, &arguments(node));
    }
    fleet.await_settled(&NODES, 1);
    let keys = NODES.map(|node| fleet.keys_of(0, node, "kept-", KEPT));
    let before = levels(&mut fleet);
    let ((rounds, version), summary) = checked(&mut fleet, &plan(), |fleet, gauge| {
        let (start, mut rounds, mut version) = (Instant::now(), 0, 1);
        while rounds < 4 || goes_on(start, duration) {
            let node = rounds % 3;
            let mut conn = fleet.connect(node);
            keys[node].iter().for_each(|key| set(&mut conn, key, rounds));
            drop(conn);
            let kept = match rounds % 4 {
                // Stopped and restarted.
                0 => {
                    let (status, log) = fleet.end(node, Signal::SIGTERM);
                    assert!(status.success(), "{status}: {log}");
                    fleet.start(node, &arguments(node));
                    true
                }
                // Replaced while it serves.
                1 => {
                    let status = fleet.replace(node, &arguments(node));
                    assert!(status.success(), "{status}");
                    true
                }
                // A snapshot, then newer values, then killed.
                2 => {
                    let mut conn = fleet.connect(node);
                    keys[node].iter().for_each(|key| set(&mut conn, key, rounds + 1_000_000));
                    fleet.signal(node, Signal::SIGUSR2);
                    wait::until("the snapshot", || {
                        (figure(&mut conn, "snapshot_last_success_time") > 0).then_some(())
                    });
                    keys[node].iter().for_each(|key| set(&mut conn, key, rounds));
                    fleet.kill(node);
                    fleet.start(node, &arguments(node));
                    false
                }
                // Stopped, while the ring changes to one without it and back: other nodes have served its
                // keys.
                _ => {
                    let mut conn = fleet.connect(node);
                    keys[node].iter().for_each(|key| set(&mut conn, key, rounds + 1_000_000));
                    drop(conn);
                    let (status, log) = fleet.end(node, Signal::SIGTERM);
                    assert!(status.success(), "{status}: {log}");
                    let others: Vec<usize> = NODES.into_iter().filter(|&it| it != node).collect();
                    version += 1;
                    fleet.write(others[0], &fleet.ring(version, &others));
                    fleet.await_settled(&others, version);
                    let mut conn = fleet.connect(others[0]);
                    keys[node].iter().for_each(|key| set(&mut conn, key, rounds));
                    version += 1;
                    // The files of all nodes: a snapshot is restored only if its ring is the one that the
                    // node starts with.
                    NODES.iter().for_each(|&it| fleet.write(it, &fleet.ring(version, &NODES)));
                    fleet.start(node, &arguments(node));
                    false
                }
            };
            fleet.await_settled(&NODES, version);
            let mut conn = fleet.connect(node);
            await_restored(&mut conn);
            let found = found(&mut conn, &keys[node], rounds);
            if kept {
                assert!(found * 10 >= KEPT * 9, "{found} of {KEPT}: {}", fleet.server(node).log());
            } else {
                assert_eq!(found, 0, "{}", fleet.server(node).log());
            }
            gauge.await_more(200);
            rounds += 1;
        }
        (rounds, version)
    });
    let held = back_to(&fleet, &before, 16);
    Ok(Row {
        fault: "warm restart",
        done: format!(
            "{rounds} times a node was stopped and started, replaced by a new process (--hand-over), \
             killed after a snapshot, or stopped while {} rings came",
            version - 1
        ),
        summary,
        held: format!("items were kept by the first two, none came back after the others; {held}"),
    })
}
