//! Fault: nodes are paused (SIGSTOP) and continued, with and without ring changes. Pauses are shorter than
//! the time-out of their peers, longer than that, or so long that the peers declare them failed.
//!
//! Clients also send requests directly to the paused node. They are in its sockets when it continues.
//! `crates/node/src/ring/pause.rs` explains why it answers none of them with its old data.

use std::time::{Duration, Instant};

use ringbinder_tests::load::Plan;
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Conn, wait};

use crate::{NODES, Row, alone, back_to, briefly, checked, goes_on, levels, plan, ready};

/// Time-outs for answers and for declaring a node failed, in milliseconds.
const PATIENCE: [&str; 4] = ["--peer-timeout", "500", "--peer-give-up", "1000"];

/// Pauses: shorter than `peer-timeout`, longer than it, and longer than a handshake's second and
/// `peer-give-up`.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(900), Duration::from_millis(2600)];

#[test]
fn nodes_stand_still() {
    briefly("nodes_stand_still");
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    let mut fleet = Fleet::running(3, &PATIENCE);
    let before = levels(&mut fleet);
    let plan = Plan { patience: Duration::from_millis(300), ..plan() };
    let ((pauses, rings), summary) = checked(&mut fleet, &plan, |fleet, gauge| {
        let (start, mut pauses, mut version) = (Instant::now(), 0, 1);
        while pauses < 6 || goes_on(start, duration) {
            let node = pauses % 3;
            let others: Vec<usize> = NODES.into_iter().filter(|&other| other != node).collect();
            let pause = PAUSES[(pauses / 2) % 3];
            let paused = fleet.pause(node);
            let since = Instant::now();
            if pauses % 2 == 1 {
                version += 1;
                fleet.write(others[0], &fleet.ring(version, &others));
            }
            // The length of the pause is part of the test.
            std::thread::sleep(pause.saturating_sub(since.elapsed()));
            if pauses % 2 == 1 && pause == PAUSES[2] {
                fleet.await_settled(&others, version);
            }
            drop(paused);
            gauge.await_more(200);
            if pauses % 2 == 1 {
                fleet.await_version(&NODES, version);
                version += 1;
                fleet.write(others[0], &fleet.ring(version, &NODES));
            }
            fleet.await_settled(&NODES, version);
            pauses += 1;
        }
        (pauses, version - 1)
    });
    let held = back_to(&fleet, &before, 16);
    let [short, long, longest] = PAUSES.map(|pause| pause.as_millis());
    Ok(Row {
        fault: "SIGSTOP, SIGCONT",
        done: format!(
            "{pauses} pauses of {short}, {long} and {longest} ms with {}, {rings} changes of the \
             ring meanwhile",
            PATIENCE.join(" ")
        ),
        summary,
        held: format!("no node answered with what it had before; {held}"),
    })
}

/// A node that was declared failed during its pause finds requests in its sockets. By its own ring it still
/// owns their keys, and it has values; other nodes have accepted newer ones.
#[test]
fn a_node_that_stood_still_answers_nothing_with_what_it_had_before() {
    let _turn = alone();
    if ready().is_err() {
        return;
    }
    const ROUNDS: usize = 2;
    let fleet = Fleet::running(3, &PATIENCE);
    let mut version = 1;
    for round in 0..ROUNDS {
        let keys = fleet.keys_of(0, 2, &format!("slept-{round}-"), 30);
        let mut via_0 = fleet.connect(0);
        for key in &keys {
            via_0.talk(format!("set {key} 0 0 3\r\nold\r\n"), "STORED\r\n");
        }
        // Connections to both workers.
        let mut direct: Vec<Conn> = keys.iter().map(|_| fleet.connect(2)).collect();
        for conn in &mut direct {
            conn.talk("", "");
        }
        let paused = fleet.pause(2);
        version += 1;
        fleet.write(0, &fleet.ring(version, &[0, 1]));
        fleet.await_settled(&[0, 1], version);
        for key in &keys {
            via_0.talk(format!("set {key} 0 0 3\r\nnew\r\n"), "STORED\r\n");
        }
        for (conn, key) in direct.iter_mut().zip(&keys) {
            conn.send(format!("get {key}\r\nmn\r\n"));
        }
        drop(paused);
        for (conn, key) in direct.iter_mut().zip(&keys) {
            let answer = String::from_utf8(conn.take_until(b"MN\r\n")).expect("text");
            assert!(!answer.contains("old"), "{key}: {answer:?}\n{}", fleet.logs());
        }
        let log = fleet.server(2).log();
        assert!(log.contains("was paused for"), "{log}");
        for key in &keys {
            let mut conn = fleet.connect(2);
            wait::until("the new value", || {
                let answer = conn.ask_text(&format!("get {key}\r\n"));
                assert!(!answer.contains("old"), "{key}: {answer:?}");
                answer.contains("new").then_some(())
            });
        }
        version += 1;
        fleet.write(0, &fleet.ring(version, &NODES));
        fleet.await_settled(&NODES, version);
    }
}
