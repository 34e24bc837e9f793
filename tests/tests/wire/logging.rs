//! Tests of a log that is not read: log lines are lost, but answers are not.

use std::fs;
use std::io::Read as _;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{Arc, Mutex};

use super::ours_only;
use nix::sys::signal::Signal;
use ringbinder_tests::process::signal;
use ringbinder_tests::server::scratch;
use ringbinder_tests::{Conn, Kind, wait};

/// A node that logs every request into a pipe that is not read.
struct Mute {
    child: Child,
    log: Option<ChildStderr>,
    conn: Conn,
    _dir: tempfile::TempDir,
}

impl Mute {
    fn start() -> Mute {
        let dir = scratch();
        let ports = dir.path().join("ports");
        let mut child = Kind::Ringbinder
            .command()
            .args(["-vv", "-p", "-1", "-l", "127.0.0.1"])
            .env("MEMCACHED_PORT_FILENAME", &ports)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the node starts");
        let log = child.stderr.take();
        let port: u16 = wait::until("the port file", || {
            fs::read_to_string(&ports).ok()?.strip_prefix("TCP INET: ")?.trim().parse().ok()
        });
        let conn = Conn::tcp(([127, 0, 0, 1], port).into()).expect("a connection");
        Mute { child, log, conn, _dir: dir }
    }

    fn lost(&mut self) -> u64 {
        let stats = self.conn.ask_text("stats\r\n");
        let lost = stats.lines().find_map(|line| line.strip_prefix("STAT log_lines_lost "));
        lost.and_then(|lost| lost.trim().parse().ok()).unwrap_or_else(|| panic!("{stats}"))
    }

    /// Sends requests until log lines are lost.
    fn fill(&mut self) {
        let key = "k".repeat(250);
        let requests = format!("get {key}\r\n").repeat(100);
        for _ in 0..1000 {
            self.conn.talk(&requests, "END\r\n".repeat(100));
            if self.lost() > 0 {
                return;
            }
        }
        panic!("no line is lost");
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    ours_only!();
    let mut node = Mute::start();
    node.fill();
    let lost = node.lost();
    // The reader returns. It gets the number of missing lines, and then the following ones.
    let text = Arc::new(Mutex::new(String::new()));
    let mut log = node.log.take().expect("a pipe");
    let reader = {
        let text = Arc::clone(&text);
        std::thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(len @ 1..) = log.read(&mut bytes) {
                text.lock().expect("a lock").push_str(&String::from_utf8_lossy(&bytes[..len]));
            }
        })
    };
    let contains = |words: &str| text.lock().expect("a lock").contains(words).then_some(());
    wait::until("the word of lines lost", || contains("of the log are lost here"));
    assert!(node.lost() >= lost);
    node.conn.talk("get mark\r\n", "END\r\n");
    wait::until("what is logged from then on", || contains("get mark"));
    signal(node.child.id(), Signal::SIGTERM);
    let status = wait::until("the end", || node.child.try_wait().expect("waiting for a child"));
    assert!(status.success(), "{status}");
    reader.join().expect("the reader");
    let text = text.lock().expect("a lock");
    assert!(text.trim_end().ends_with("stopped"), "the last line is out before the end");
    let told: u64 = text
        .lines()
        .filter_map(|line| line.split_once(" WARN ")?.1.split_once(" lines of the log are lost"))
        .map(|(lost, _)| lost.parse::<u64>().expect("a number"))
        .sum();
    assert!(told >= lost, "{told} of {lost} lost lines are told of");
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_a_node_from_ending() {
    ours_only!();
    let mut node = Mute::start();
    node.fill();
    signal(node.child.id(), Signal::SIGTERM);
    let status = wait::until("the end", || node.child.try_wait().expect("waiting for a child"));
    assert!(status.success(), "{status}");
}
