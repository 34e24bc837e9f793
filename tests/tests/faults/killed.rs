//! Fault: nodes are killed and restarted without their data.

use std::time::{Duration, Instant};

use rand::Rng as _;
use ringbinder_tests::ring::Fleet;

use crate::{NODES, Row, back_to, briefly, checked, goes_on, levels, plan};

#[test]
fn nodes_are_killed_and_come_back_empty() {
    briefly("nodes_are_killed_and_come_back_empty");
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    let mut fleet = Fleet::running(3, &[]);
    let before = levels(&mut fleet);
    let (kills, summary) = checked(&mut fleet, &plan(), |fleet, gauge| {
        let (start, mut kills) = (Instant::now(), 0);
        while goes_on(start, duration) {
            let node = NODES[rand::rng().random_range(0..NODES.len())];
            fleet.kill(node);
            if kills % 2 == 0 {
                // Long enough for the others to notice. In every second round the node is back before that.
                gauge.await_more(500);
            }
            fleet.start(node, &[]);
            gauge.await_more(300);
            kills += 1;
        }
        fleet.await_settled(&NODES, 1);
        kills
    });
    assert!(kills > 0 && summary.broken > 0, "{kills} kills: {summary:?}");
    let held = back_to(&fleet, &before, 16);
    Ok(Row {
        fault: "SIGKILL",
        done: format!("{kills} times a node was killed and started again"),
        summary,
        held: format!("its keys missed, nothing came back; {held}"),
    })
}
