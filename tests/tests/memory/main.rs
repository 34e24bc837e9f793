//! Tests of a server's memory, measured from outside: items kept, and resident size.
//!
//! The promise, for every input here: resident size is at most the sum of `-m`, the memory of connections,
//! and [`FIXED_KIB`], and connections evict no items. `drift` and `idle` test normal use. The others are
//! hostile: connections in `connections` hold sent or requested data, `contents` stores contents that are
//! hard to store, `container` does both where the kernel kills a process that is too large, and `abuse` mixes
//! all of them at random. `ringbinder bench memory --hostile` does the same at full size and compares with
//! memcached.
//!
//! The hostile tests also run against memcached (`RINGBINDER_WIRE_TARGET=memcached`), which shows that they
//! demand nothing impossible. memcached makes a different promise, so its resident size is not asserted.

mod abuse;
mod connections;
mod container;
mod contents;
mod drift;
mod idle;

use ringbinder_tests::conn::{Conn, find};
use ringbinder_tests::process::status_kib;
use ringbinder_tests::server::target;
use ringbinder_tests::{Kind, Server};

/// Memory of a server besides items and connections: code, threads, the allocator's slack.
const FIXED_KIB: u64 = 32 * 1024;

/// Bytes of an ordinary value.
const ORDINARY: usize = 1000;

/// The percentage of items that must survive the connections.
const KEPT: u64 = 97;

/// Most memory of all connections together, for this `-m`.
fn connections_kib(megabytes: u64) -> u64 {
    (megabytes / 8).max(32) * 1024
}

/// Most resident memory, for this `-m`.
fn promise_kib(megabytes: u64) -> u64 {
    megabytes * 1024 + connections_kib(megabytes) + FIXED_KIB
}

/// A server whose memory is measured, and one connection to it.
struct Subject {
    server: Server,
    megabytes: u64,
    conn: Conn,
}

impl Subject {
    /// Starts a server with this `-m` and these flags.
    fn start(megabytes: u64, flags: &[&str]) -> Subject {
        let memory = megabytes.to_string();
        let mut all = vec!["-m", &memory];
        all.extend_from_slice(flags);
        let server = Server::start(target(), &all);
        let conn = server.connect();
        Subject { server, megabytes, conn }
    }

    /// Sets ordinary values with these numbers. Returns how many were stored.
    fn store(&mut self, numbers: impl IntoIterator<Item = u64>) -> u64 {
        self.store_as(numbers, |_| ORDINARY)
    }

    /// Like `store`, with values of the sizes that `length` returns.
    fn store_as(
        &mut self,
        numbers: impl IntoIterator<Item = u64>,
        mut length: impl FnMut(u64) -> usize,
    ) -> u64 {
        const BATCH: usize = 200;
        let mut numbers = numbers.into_iter();
        let (mut stored, mut request) = (0, Vec::new());
        loop {
            request.clear();
            for number in numbers.by_ref().take(BATCH) {
                let length = length(number);
                request.extend_from_slice(format!("set {number:08} 0 0 {length}\r\n").as_bytes());
                request.resize(request.len() + length, b'v');
                request.extend_from_slice(b"\r\n");
            }
            if request.is_empty() {
                return stored;
            }
            let answer = self.conn.ask(&request);
            stored +=
                answer.split(|&byte| byte == b'\n').filter(|it| *it == b"STORED\r").count() as u64;
        }
    }

    /// Stores ordinary values until old ones are evicted, and returns the number of items at that point. The
    /// numbers of the values are below `10_000_000`.
    fn fill(&mut self) -> u64 {
        let fit = (self.megabytes << 20) / ORDINARY as u64;
        self.store(0..fit + fit / 8);
        assert!(self.figure("evictions") > 0, "it is not full");
        self.figure("curr_items")
    }

    /// A figure of `stats`.
    fn figure(&mut self, name: &str) -> u64 {
        let stats = self.conn.ask_text("stats\r\n");
        let prefix = format!("STAT {name} ");
        let line = stats.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
    }

    /// Whether this key exists.
    fn has(&mut self, key: &str) -> bool {
        find(&self.conn.ask(format!("mg {key}\r\n")), b"HD").is_some()
    }

    /// The peak of resident memory, in KiB.
    fn peak_kib(&self) -> u64 {
        status_kib(self.server.pid(), "VmHWM").expect("the server is gone")
    }

    /// Asserts that resident size has kept the promise so far.
    #[track_caller]
    fn keeps_the_promise(&self, input: &str) {
        let (peak, promise) = (self.peak_kib(), promise_kib(self.megabytes));
        println!("{input}: at most {peak} KiB resident, {promise} promised");
        assert!(
            peak <= promise || target() != Kind::Ringbinder,
            "{peak} KiB resident after {input}; promised {promise} with -m {}",
            self.megabytes
        );
    }

    /// Asserts that almost all of `before` ordinary items remain. Later ordinary sets do not matter: each
    /// displaces one item.
    #[track_caller]
    fn kept(&mut self, before: u64, input: &str) {
        let after = self.figure("curr_items");
        println!("{input}: {after} of {before} items kept");
        assert!(after * 100 >= before * KEPT, "{before} items became {after}: {input}");
    }
}
