//! Fault: the ring is in etcd, and etcd is killed, paused, or returns without its data.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringbinder_tests::etcd::{Etcd, missing};
use ringbinder_tests::ring::Fleet;

use crate::{NODES, Row, back_to, briefly, checked, goes_on, levels, plan};

const MEANWHILE: u64 = 1000;

#[test]
fn etcd_goes_away() {
    briefly("etcd_goes_away");
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    if let Some(missing) = missing() {
        return Err(missing);
    }
    let mut etcd = Etcd::start();
    let mut fleet = Fleet::new(3);
    etcd.put(&fleet.ring(1, &NODES));
    for node in NODES {
        let cache = fleet.file(&format!("cache-{node}.toml"), "");
        std::fs::remove_file(&cache).expect("a file");
        fleet.start_with(node, &etcd.url(), &["--ring-cache", &cache], |_| {});
    }
    fleet.await_settled(&NODES, 1);
    let before = levels(&mut fleet);
    let ((rounds, version), summary) = checked(&mut fleet, &plan(), |fleet, gauge| {
        let (start, mut version, mut rounds) = (Instant::now(), 1, 0);
        while rounds < 3 || goes_on(start, duration) {
            let paused = rounds % 3 == 1;
            if paused {
                etcd.signal(Signal::SIGSTOP);
            } else {
                etcd.stop();
            }
            gauge.await_more(MEANWHILE);
            for node in NODES {
                assert_eq!(fleet.stat(node, "ring_version"), version.to_string());
            }
            match rounds % 3 {
                0 => etcd.start_again(),
                1 => etcd.signal(Signal::SIGCONT),
                _ => etcd.start_empty(),
            }
            version += 1;
            let weight = 1 + u32::try_from(version % 3).expect("small");
            etcd.put(&fleet.weighted(version, &[(0, 1), (1, weight), (2, 1)]));
            fleet.await_version(&NODES, version);
            rounds += 1;
        }
        fleet.await_settled(&NODES, version);
        (rounds, version)
    });
    assert_eq!(summary.broken, 0, "{summary:?}");
    let held = back_to(&fleet, &before, 16);
    Ok(Row {
        fault: "etcd gone",
        done: format!(
            "{rounds} times etcd was killed, stopped, or came back without its data, and was given \
             the next ring afterwards"
        ),
        summary,
        held: format!(
            "the ring in force stayed, and each of the {} new ones was taken; {held}",
            version - 1
        ),
    })
}
