//! Tests of the protocol at byte level, over sockets.
//!
//! Each file is one family of commands. Tests that also apply to memcached run against it with
//! `RINGBINDER_WIRE_TARGET=memcached` (and `RINGBINDER_TEST_MEMCACHED` for one that is not on `PATH`). That
//! proves that the expected answers are memcached's. If ringbinderd intentionally differs, or 1.6.18 and
//! 1.6.45 do, the test says so through [`Target`].

mod admin;
mod arithmetic;
mod checking;
mod connections;
mod counters;
mod dumps;
mod errors;
mod limits;
mod logging;
mod long_answers;
mod memory;
mod meta_arithmetic;
mod meta_delete;
mod meta_get;
mod meta_set;
mod retrieval;
mod sampling;
mod startup;
mod stats;
mod stopping;
mod storage;
mod watch;
mod watch_beside;

use ringbinder_tests::server::target;
use ringbinder_tests::{Conn, Kind, Server};

/// A running server and one connection to it.
struct Target {
    server: Server,
    conn: Conn,
    version: (u32, u32, u32),
}

impl Target {
    fn start() -> Target {
        Target::with(&[])
    }

    fn with(arguments: &[&str]) -> Target {
        let server = Server::start(target(), arguments);
        Target { conn: server.connect(), server, version: target().version() }
    }

    /// Whether the target is ringbinderd.
    fn is_ours(&self) -> bool {
        self.server.kind() == Kind::Ringbinder
    }

    /// Whether the target accepts lines that 1.6.18 accepts and 1.6.45 does not: with blanks before the
    /// command, or a plus sign before a length.
    fn takes_older_lines(&self) -> bool {
        self.is_ours() || self.version < (1, 6, 32)
    }

    /// Whether the target has the features of memcached after 1.6.18: meta flags, accepted lines, and error
    /// texts.
    fn has_latest(&self) -> bool {
        self.is_ours() || self.version >= (1, 6, 32)
    }

    #[track_caller]
    fn talk(&mut self, request: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.conn.talk(request, expected);
    }

    /// Stores a value without flags or expiry.
    #[track_caller]
    fn set(&mut self, key: &str, value: &str) {
        let request = format!("set {key} 0 0 {}\r\n{value}\r\n", value.len());
        self.conn.talk(request, "STORED\r\n");
    }

    /// The key's CAS number.
    fn cas(&mut self, key: &str) -> u64 {
        let answer = self.conn.ask_text(&format!("mg {key} c\r\n"));
        let digits = answer.split_whitespace().find_map(|word| word.strip_prefix('c'));
        digits.unwrap_or_else(|| panic!("no CAS in {answer:?}")).parse().expect("a number")
    }

    /// A `STAT` figure of `stats <what>`.
    fn stat(&mut self, what: &str, name: &str) -> String {
        let answer = self.conn.ask_text(&format!("stats {what}\r\n"));
        let prefix = format!("STAT {name} ");
        let line = answer.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned()
    }

    fn count(&mut self, name: &str) -> u64 {
        self.stat("", name).parse().expect("a number")
    }
}

/// A request that stores a value of this length.
fn store(key: &str, length: usize) -> Vec<u8> {
    let mut request = format!("set {key} 0 0 {length}\r\n").into_bytes();
    request.extend_from_slice(&vec![b'v'; length]);
    request.extend_from_slice(b"\r\n");
    request
}

/// A server in which only requests remove expired items.
fn start_unswept(kind: Kind) -> Server {
    let options = match kind {
        Kind::Ringbinder => "no_lru_crawler",
        Kind::Memcached | Kind::Subject => "no_lru_crawler,no_lru_maintainer",
    };
    Server::start(kind, &["-o", options])
}

/// Ends the test unless the target is ringbinderd.
macro_rules! ours_only {
    () => {
        if ringbinder_tests::server::target() != ringbinder_tests::Kind::Ringbinder {
            return;
        }
    };
}
use ours_only;

/// The current Unix time.
fn unix_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}
