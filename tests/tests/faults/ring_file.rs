//! Fault: a ring file is written in place in pieces, emptied, or replaced by a directory or an invalid file.
//! The current ring stays, and the next complete one is adopted.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::time::{Duration, Instant};

use ringbinder_tests::load::Gauge;
use ringbinder_tests::ring::Fleet;

use crate::{NODES, Row, back_to, briefly, checked, goes_on, levels, plan};

/// Number of requests answered between two pieces, and while the file is invalid.
const MEANWHILE: u64 = 300;

#[test]
fn a_ring_file_is_written_badly() {
    briefly("a_ring_file_is_written_badly");
}

/// A ring whose premature use would be noticed: its first half lists one node less.
fn next(fleet: &Fleet, version: u64) -> String {
    let weight = |node| 1 + u32::try_from((node + version) % 3).expect("small");
    fleet.weighted(version, &[(0, weight(0)), (1, weight(1)), (2, weight(2))])
}

fn assert_in_force(fleet: &Fleet, version: u64) {
    for node in NODES {
        assert_eq!(fleet.stat(node, "ring_version"), version.to_string(), "{}", fleet.logs());
    }
}

/// Writes the ring in place in three pieces. One cut is within a line, and the other leaves a valid ring.
fn in_pieces(fleet: &Fleet, gauge: &Gauge, version: u64) {
    let text = next(fleet, version);
    let last_node = text.rfind("\n[[node]]").expect("three nodes");
    let (first, second) = (text.len() / 3, last_node);
    let mut file = File::create(fleet.ring_path(0)).expect("a ring file");
    let start = Instant::now();
    for piece in [&text[..first], &text[first..second], &text[second..]] {
        // Nodes wait for a writer that keeps the file open, but not forever.
        if start.elapsed() < Duration::from_millis(1000) {
            assert_in_force(fleet, version - 1);
        }
        file.write_all(piece.as_bytes()).expect("a ring file");
        gauge.await_more(MEANWHILE);
    }
    drop(file);
    fleet.await_version(&NODES, version);
}

/// Makes the file invalid and waits until the node has reported it.
fn spoil(fleet: &Fleet, gauge: &Gauge, version: u64, kind: u64) {
    let path = fleet.ring_path(0);
    match kind {
        0 => drop(File::create(path).expect("a ring file")),
        1 => fs::write(path, b"\0\xffversion = [[").expect("a ring file"),
        2 => {
            let whole = next(fleet, version + 1);
            let cut = whole.rfind("address").expect("three nodes") + 12;
            fs::write(path, &whole[..cut]).expect("a ring file");
        }
        3 => {
            let mut file = OpenOptions::new().append(true).open(path).expect("a ring file");
            file.write_all(b"\n[[node]]\nname = \"cache-0\"\n").expect("a ring file");
        }
        _ => {
            fs::remove_file(path).expect("a ring file");
            fs::create_dir(path).expect("a directory in its place");
        }
    }
    fleet.await_stat(0, "ring_last_error", |error| error != "-");
    gauge.await_more(MEANWHILE);
    assert_in_force(fleet, version);
    if kind > 3 {
        fs::remove_dir(path).expect("our directory");
    }
}

pub(crate) fn run(duration: Duration) -> Result<Row, &'static str> {
    let mut fleet = Fleet::running(3, &[]);
    let before = levels(&mut fleet);
    let (version, summary) = checked(&mut fleet, &plan(), |fleet, gauge| {
        let (start, mut version) = (Instant::now(), 1);
        while version < 6 || goes_on(start, duration) {
            spoil(fleet, gauge, version, version % 5);
            version += 1;
            if version % 2 == 0 {
                in_pieces(fleet, gauge, version);
            } else {
                fleet.write(0, &next(fleet, version));
                fleet.await_version(&NODES, version);
            }
            fleet.await_stat(0, "ring_last_error", |error| error == "-");
        }
        fleet.await_settled(&NODES, version);
        version
    });
    assert_eq!(summary.broken, 0, "{summary:?}");
    let held = back_to(&fleet, &before, 16);
    let changes = version - 1;
    Ok(Row {
        fault: "a ring file written badly",
        done: format!(
            "{changes} times the file was emptied, cut in half, garbled, or replaced by a directory, \
             then a whole ring written, every other time in place and in three pieces"
        ),
        summary,
        held: format!(
            "the ring in force stayed, and each of the {changes} whole ones was taken; {held}"
        ),
    })
}
