//! Tests of connections that hold memory: half-sent sets, and answers and lines that the client does not
//! read.

use ringbinder_tests::crowd::Crowd;
use ringbinder_tests::process::raise_open_files;
use ringbinder_tests::server::target;
use ringbinder_tests::skip::skip;
use ringbinder_tests::{Kind, wait};

use crate::Subject;

/// Bytes written at once to one of many connections.
const PIECE: usize = 64 * 1024;

/// The longest value that every server accepts without further flags, rounded.
const LARGE: usize = 1_000_000;

/// First number of ordinary items that do not exist yet.
const NEW: u64 = 10_000_000;

#[test]
fn half_sent_sets_evict_nothing() {
    let mut subject = Subject::start(64, &["-t", "2"]);
    let before = subject.fill();
    let mut crowd = Crowd::of(60, subject.server.address());
    crowd.everyone(LARGE - 1000, |number| format!("set half-{number} 0 0 {LARGE}\r\n"));
    crowd.send(PIECE);
    subject.store(NEW..NEW + 3000);
    let input = "60 half-sent sets of 1 MB";
    subject.kept(before, input);
    subject.keeps_the_promise(input);
    drop(crowd);
    subject.store(NEW..NEW + 3000);
    subject.kept(before, "60 half-sent sets that are gone");
}

#[test]
fn thousands_of_half_sent_sets_evict_nothing() {
    const COUNT: usize = 1500;
    if !raise_open_files(COUNT as u64 + 200) {
        return skip("thousands_of_half_sent_sets", "the limit of open files cannot be raised");
    }
    let mut subject = Subject::start(64, &["-t", "2", "-c", "2000"]);
    let before = subject.fill();
    let mut crowd = Crowd::of(COUNT, subject.server.address());
    crowd.everyone(100_000, |number| format!("set half-{number} 0 0 {LARGE}\r\n"));
    crowd.send(PIECE);
    subject.store(NEW..NEW + 3000);
    let input = "1,500 half-sent sets";
    subject.kept(before, input);
    subject.keeps_the_promise(input);
}

#[test]
fn values_that_nobody_reads_evict_nothing() {
    let mut subject = Subject::start(64, &["-t", "2"]);
    // memcached stays empty, because it takes long to move memory from small items to large ones.
    let before = if target() == Kind::Ringbinder { subject.fill() } else { 0 };
    let mut crowd = Crowd::default();
    let value = "v".repeat(LARGE);
    for round in 0..200 {
        let answer = subject.conn.ask(format!("set large 0 0 {LARGE}\r\n{value}\r\n"));
        // memcached sometimes refuses it while readers hold all of its memory.
        assert!(answer == b"STORED\r\n" || target() != Kind::Ringbinder, "round {round}");
        crowd.join(subject.server.address()).expect("the server takes connections");
        crowd.tell(round, "get large\r\n".repeat(6), 0, b"");
        crowd.send(PIECE);
    }
    crowd.await_answers();
    subject.store(NEW..NEW + 3000);
    let input = "200 readers of 1 MB that do not read";
    subject.keeps_the_promise(input);
    // The large value itself has displaced a thousand.
    subject.kept(before.saturating_sub(1000), input);
}

#[test]
fn answers_that_nobody_read_leave_nothing_behind() {
    let mut subject = Subject::start(64, &["-t", "8"]);
    subject.fill();
    subject.store_as(NEW..NEW + 1500, |_| 3000);
    let before = subject.figure("curr_items");
    let keys = (NEW..NEW + 1500).map(|number| format!(" {number:08}"));
    let line = format!("get{}\r\n", keys.collect::<String>());
    let mut crowd = Crowd::of(320, subject.server.address());
    crowd.everyone(0, |_| line.clone());
    crowd.send(PIECE);
    crowd.await_answers();
    let input = "320 readers of up to 4.5 MB that do not read";
    subject.kept(before, input);
    drop(crowd);
    wait::until("connections to close", || (subject.figure("curr_connections") < 10).then_some(()));
    subject.fill();
    subject.kept(before, "320 readers that are gone");
    subject.keeps_the_promise(input);
}

#[test]
fn long_lines_that_nobody_reads_the_answers_of_evict_nothing() {
    let mut subject = Subject::start(64, &["-t", "2"]);
    let before = subject.fill();
    let line = format!("get{}\r\n", " 70000".repeat(100_000));
    subject.conn.talk("set 70000 0 0 1\r\nx\r\n", "STORED\r\n");
    let mut crowd = Crowd::of(150, subject.server.address());
    crowd.everyone(0, |_| line.clone());
    crowd.send(PIECE);
    subject.store(NEW..NEW + 3000);
    let input = "150 lines of 100,000 keys, answers unread";
    subject.kept(before, input);
    subject.keeps_the_promise(input);
}

#[test]
fn what_only_announces_holds_nothing() {
    // More than any server reads at once.
    const LENGTH: usize = 300_000;
    let mut subject = Subject::start(64, &["-t", "2"]);
    // The values are large, since memcached takes long to move memory from small values to large ones.
    subject.store_as(0..250, |_| LENGTH);
    let before = subject.figure("curr_items");
    let mut crowd = Crowd::of(80, subject.server.address());
    // All of `-m` together, to the byte.
    let length = (64 << 20) / 80;
    crowd.everyone(0, |number| format!("set announced-{number} 0 0 {length}\r\n"));
    assert_eq!(crowd.send(PIECE), 0);
    assert_eq!(subject.store_as(NEW..NEW + 20, |_| LENGTH), 20, "sets were refused");
    let input = "80 announced sets of 839 KB";
    subject.keeps_the_promise(input);
    subject.kept(before, input);
}

#[test]
fn honest_uploads_that_are_slow_are_stored() {
    const COUNT: usize = 100;
    let mut subject = Subject::start(64, &["-t", "2"]);
    // The values have the same length, since memcached takes long to move memory from small values to large
    // ones.
    subject.store_as(0..150, |_| LARGE / 2);
    let before = subject.figure("curr_items");
    let mut crowd = Crowd::of(COUNT, subject.server.address());
    for number in 0..COUNT {
        let head = format!("set slow-{number} 0 0 {}\r\n", LARGE / 2);
        crowd.tell(number, head, LARGE / 2, b"\r\n");
    }
    assert_eq!(crowd.send(5_000), 0, "not all of it was taken");
    let answers = crowd.lines();
    let stored = answers.iter().flatten().filter(|line| *line == "STORED").count();
    assert_eq!(stored, COUNT, "{answers:?}");
    let input = "100 slow uploads of 500 KB";
    subject.keeps_the_promise(input);
    subject.kept(before, input);
}
