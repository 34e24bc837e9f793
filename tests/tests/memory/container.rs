//! Tests in the shipped container: `-m 256` and a limit of 384 MiB, beyond which the kernel kills the
//! process.

use ringbinder_stress::Cgroup;
use ringbinder_tests::crowd::Crowd;
use ringbinder_tests::skip::skip;
use ringbinder_tests::wait;

use crate::Subject;

/// The value of `-m` in `deploy/`, in MiB.
const MEMORY: u64 = 256;
const LIMIT: u64 = 384;

/// Size in bytes of the values that are sent and requested.
const LARGE: usize = 1_000_000;

const PIECE: usize = 64 * 1024;

/// A server in a container, full of items.
struct Contained {
    subject: Subject,
    // Declared after the server: a group can be removed only when no process runs in it.
    group: Cgroup,
}

impl Contained {
    fn start(test: &str) -> Option<Contained> {
        let group = match Cgroup::with_limit(LIMIT << 20) {
            Ok(group) => group,
            Err(why) => {
                skip(test, &format!("no control group with a limit of memory: {why}"));
                return None;
            }
        };
        let mut subject = Subject::start(MEMORY, &["-t", "4"]);
        group.take(subject.server.pid()).expect("a process of ours");
        // The values are large, since memcached takes long to move memory from small values to large ones.
        subject.store_as(0..300, |_| LARGE);
        assert!(subject.figure("evictions") > 0, "it is not full");
        Some(Contained { subject, group })
    }

    /// Asserts that the server still answers.
    #[track_caller]
    fn survives(&mut self, input: &str) {
        let conn = &mut self.subject.conn;
        conn.send("version\r\n");
        wait::until("an answer, or the end", || {
            conn.poll_now();
            (conn.ended() || conn.pending().ends_with(b"\n")).then_some(())
        });
        assert!(!conn.ended(), "killed by {input}");
        conn.take_line();
        let (peak, group) = (self.subject.peak_kib(), self.group.peak());
        println!("{input}: survives, {peak} KiB resident, {group:?} bytes of the group");
        self.subject.keeps_the_promise(input);
    }
}

#[test]
fn a_container_survives_readers_that_do_not_read() {
    let Some(mut contained) = Contained::start("a_container_survives_readers") else { return };
    let subject = &mut contained.subject;
    let value = "v".repeat(LARGE);
    let mut crowd = Crowd::default();
    for number in 0..150 {
        // Each reader gets its own value: a value that is replaced is held only by its readers.
        subject.conn.talk(format!("set large 0 0 {LARGE}\r\n{value}\r\n"), "STORED\r\n");
        crowd.join(subject.server.address()).expect("the server takes connections");
        crowd.tell(number, "get large\r\n".repeat(6), 0, b"");
        crowd.send(PIECE);
    }
    contained.survives("150 readers of 1 MB that do not read");
}

#[test]
fn a_container_survives_half_sent_sets() {
    let Some(mut contained) = Contained::start("a_container_survives_half_sent_sets") else {
        return;
    };
    let mut crowd = Crowd::of(150, contained.subject.server.address());
    crowd.everyone(LARGE - 1000, |number| format!("set half-{number} 0 0 {LARGE}\r\n"));
    crowd.send(PIECE);
    contained.survives("150 half-sent sets of 1 MB");
}

#[test]
fn a_container_stores_slow_uploads() {
    const COUNT: usize = 200;
    let Some(mut contained) = Contained::start("a_container_stores_slow_uploads") else { return };
    let mut crowd = Crowd::of(COUNT, contained.subject.server.address());
    for number in 0..COUNT {
        crowd.tell(number, format!("set slow-{number} 0 0 {LARGE}\r\n"), LARGE, b"\r\n");
    }
    let rest = crowd.send(10_000);
    let stored = crowd.lines().iter().flatten().filter(|line| *line == "STORED").count();
    println!("{stored} of {COUNT} uploads stored, {rest} bytes not taken");
    contained.survives("200 slow uploads of 1 MB");
    assert_eq!(stored, COUNT);
}
