//! Test of the counters of every command, compared with memcached: one script for both, and all figures
//! compared after each request. Also tests the names of all figures.

use std::collections::BTreeMap;

use super::start_unswept;
use ringbinder_tests::{Conn, Kind, Server, skip, wait};

/// A step of the script.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A request for every version of memcached.
    Ask(&'static str),
    /// A request for versions newer than Debian's.
    AskLatest(&'static str),
    /// Waits until every item with a time to live of one second has expired.
    Expire,
}

use Step::{Ask, AskLatest, Expire};

const SCRIPT: &[Step] = &[
    Ask("set a 0 0 1\r\nx\r\n"),
    Ask("get a\r\n"),
    Ask("get nope\r\n"),
    Ask("gets a nope a\r\n"),
    Ask("gat 100 a nope\r\n"),
    Ask("gats 100 a\r\n"),
    Ask("touch a 100\r\n"),
    Ask("touch nope 100\r\n"),
    Ask("touch a\r\n"),
    Ask("add a 0 0 1\r\nx\r\n"),
    Ask("add b 0 0 1\r\nx\r\n"),
    Ask("replace nope 0 0 1\r\nx\r\n"),
    Ask("replace b 0 0 1\r\nz\r\n"),
    Ask("append a 0 0 1\r\ny\r\n"),
    Ask("append nope 0 0 1\r\ny\r\n"),
    Ask("prepend a 0 0 1\r\ny\r\n"),
    Ask("prepend nope 0 0 1\r\ny\r\n"),
    Ask("cas nope 0 0 1 1\r\nx\r\n"),
    Ask("cas a 0 0 1 999999\r\nx\r\n"),
    Ask("cas a 0 0 1 0\r\nx\r\n"),
    Ask("set n 0 0 1\r\n5\r\n"),
    Ask("incr n 1\r\n"),
    Ask("decr n 1\r\n"),
    Ask("incr nope 1\r\n"),
    Ask("decr nope 1\r\n"),
    Ask("incr a 1\r\n"),
    Ask("decr a 1\r\n"),
    Ask("incr n x\r\n"),
    Ask("delete b\r\n"),
    Ask("delete nope\r\n"),
    // Meta gets, and the items that they create.
    Ask("mg a v\r\n"),
    Ask("mg nope v\r\n"),
    Ask("mg a t T30\r\n"),
    Ask("mg nope T30\r\n"),
    Ask("mg created N30 v\r\n"),
    Ask("mg created N30 v\r\n"),
    Ask("mg created N30 T40 v\r\n"),
    Ask("mg touched N30 T40\r\n"),
    Ask("mg a k q\r\n"),
    Ask("mg nope k q\r\n"),
    Ask("mg a u h l t\r\n"),
    Ask("me a\r\n"),
    Ask("me nope\r\n"),
    // Meta sets.
    Ask("ms m 1\r\nx\r\n"),
    Ask("ms m 1 ME\r\nx\r\n"),
    Ask("ms m 1 MA\r\nx\r\n"),
    Ask("ms m 1 MP\r\nx\r\n"),
    Ask("ms m 1 MR\r\nx\r\n"),
    Ask("ms nope 1 MR\r\nx\r\n"),
    Ask("ms nope 1 MA\r\nx\r\n"),
    AskLatest("ms joined 1 MA N30\r\nx\r\n"),
    Ask("ms m 1 C1\r\nx\r\n"),
    Ask("ms nope 1 C1\r\nx\r\n"),
    Ask("ms m 1 q\r\nx\r\n"),
    // Meta deletes.
    Ask("md m I T30\r\n"),
    Ask("mg m v\r\n"),
    Ask("ms m 1 I C1\r\nx\r\n"),
    Ask("md m C1\r\n"),
    Ask("md nope\r\n"),
    Ask("md nope I\r\n"),
    AskLatest("md m x\r\n"),
    Ask("md m\r\n"),
    // Meta arithmetic, and the items that it creates.
    Ask("ma n\r\n"),
    Ask("ma n T30\r\n"),
    Ask("ma count N60 J10\r\n"),
    Ask("ma count N60\r\n"),
    Ask("ma count MD\r\n"),
    Ask("ma count C1\r\n"),
    Ask("ma nope\r\n"),
    Ask("ma nope MD\r\n"),
    Ask("ma down N60 MD\r\n"),
    Ask("ma a\r\n"),
    // Requests that are refused.
    Ask("set c 0 0 1\r\nxxx\r\n"),
    Ask("ms c 1\r\nxx\r\n"),
    Ask("set big 0 0 600000\r\nLARGE\r\n"),
    Ask("append big 0 0 600000\r\nLARGE\r\n"),
    Ask("set a 0 0 1200000\r\nLARGE\r\n"),
    Ask("add c 0 0 1200000\r\nLARGE\r\n"),
    Ask("ms c 1200000\r\nLARGE\r\n"),
    Ask("get a\r\n"),
    // Items that have expired when they are accessed.
    Ask("set e1 0 1 1\r\n1\r\n"),
    Ask("set e2 0 1 1\r\n1\r\n"),
    Ask("set e3 0 1 1\r\n1\r\n"),
    Ask("set e4 0 1 1\r\n1\r\n"),
    Ask("set e5 0 1 1\r\n1\r\n"),
    Ask("set e6 0 1 1\r\n1\r\n"),
    Ask("set e7 0 1 1\r\n1\r\n"),
    Ask("set e8 0 1 1\r\n1\r\n"),
    Ask("set e9 0 1 1\r\n1\r\n"),
    Ask("set e10 0 1 1\r\n1\r\n"),
    Ask("set e11 0 1 1\r\n1\r\n"),
    Ask("set e12 0 1 1\r\n1\r\n"),
    Expire,
    Ask("get e1\r\n"),
    Ask("set e2 0 0 1\r\n1\r\n"),
    Ask("delete e3\r\n"),
    Ask("incr e4 1\r\n"),
    Ask("touch e5 100\r\n"),
    Ask("gat 100 e6\r\n"),
    Ask("mg e7 v\r\n"),
    Ask("md e8\r\n"),
    Ask("ma e9 N0\r\n"),
    Ask("append e10 0 0 1\r\n1\r\n"),
    Ask("cas e11 0 0 1 5\r\n1\r\n"),
    Ask("me e12\r\n"),
    Ask("get e1 e2 e3\r\n"),
    Ask("set f1 0 0 1\r\n1\r\n"),
    Ask("set f2 0 0 1\r\n1\r\n"),
    Ask("set f3 0 0 1\r\n1\r\n"),
    Expire,
    Ask("flush_all\r\n"),
    Ask("get f1\r\n"),
    Ask("set f2 0 0 1\r\n1\r\n"),
    Ask("incr f3 1\r\n"),
    Ask("flush_all noreply\r\n"),
    Ask("flush_all x\r\n"),
    Ask("nonsense\r\n"),
];

/// The figures that are compared.
const NAMES: &[&str] = &[
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "cmd_meta",
    "get_hits",
    "get_misses",
    "get_expired",
    "get_flushed",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "total_items",
    "evictions",
];

/// Requests with an intended difference, and the reason. There are none so far.
const MEANT: &[(&str, &str)] = &[];

/// A server that runs the script.
struct Side {
    server: Server,
    conn: Conn,
    watcher: Conn,
}

impl Side {
    fn start(kind: Kind) -> Side {
        let server = start_unswept(kind);
        Side { conn: server.connect(), watcher: server.connect(), server }
    }

    fn figures(&mut self) -> BTreeMap<String, String> {
        figures(&self.watcher.ask_text("stats\r\n"))
    }

    fn counts(&mut self) -> Vec<i64> {
        let figures = self.figures();
        NAMES.iter().map(|&name| figures[name].parse().expect("a number")).collect()
    }

    /// The increase of each figure by a request.
    fn adds(&mut self, request: &str) -> Vec<(&'static str, i64)> {
        let before = self.counts();
        // 1.6.18 may close the connection after a value that is too large.
        let mut conn = self.server.connect();
        conn.ask(request.replace("LARGE", &"v".repeat(length(request))));
        let after = self.counts();
        let added = NAMES.iter().zip(after.iter().zip(&before));
        added
            .map(|(&name, (after, before))| (name, after - before))
            .filter(|it| it.1 != 0)
            .collect()
    }

    fn expire(&mut self) {
        self.conn.talk("set last 0 1 1\r\n1\r\n", "STORED\r\n");
        wait::until("an item to expire", || {
            (self.conn.ask("get last\r\n") == b"END\r\n").then_some(())
        });
        // Waits another second: memcached flushes items older than the current second.
        self.conn.talk("set last 0 1 1\r\n1\r\n", "STORED\r\n");
        wait::until("an item to expire", || {
            (self.conn.ask("get last\r\n") == b"END\r\n").then_some(())
        });
    }
}

/// The length that a storage request announces.
fn length(request: &str) -> usize {
    let line = request.lines().next().unwrap_or_default();
    line.split(' ').next_back().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn figures(answer: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    };
    answer.lines().filter_map(line).collect()
}

#[test]
fn every_request_counts_as_in_memcached() {
    if !Kind::Memcached.available() {
        return skip::skip("every_request_counts_as_in_memcached", "memcached");
    }
    let latest = Kind::Memcached.version() >= (1, 6, 32);
    let mut sides = [Kind::Memcached, Kind::Ringbinder].map(Side::start);
    let mut wrong = Vec::new();
    for step in SCRIPT {
        let request = match step {
            Ask(request) => request,
            AskLatest(request) if latest => request,
            AskLatest(request) => {
                // Both servers skip it, so their states stay equal.
                assert!(!request.is_empty());
                continue;
            }
            Expire => {
                sides.iter_mut().for_each(Side::expire);
                continue;
            }
        };
        let [theirs, ours] = sides.each_mut().map(|side| side.adds(request));
        if theirs != ours && !MEANT.iter().any(|(meant, _)| meant == request) {
            wrong.push(format!("{request:?}\n  memcached {theirs:?}\n  ours      {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_full_store_refuses_counts_as_in_memcached() {
    if !Kind::Memcached.available() {
        return skip::skip("what_a_full_store_refuses_counts_as_in_memcached", "memcached");
    }
    let adds = [Kind::Memcached, Kind::Ringbinder].map(|kind| {
        let server = Server::start(kind, &["-M", "-m", "16", "-I", "1m"]);
        let mut side = Side { conn: server.connect(), watcher: server.connect(), server };
        for number in 0..4_000 {
            let set = format!("set k{number} 0 0 5000 noreply\r\n{}\r\n", "v".repeat(5_000));
            side.conn.talk(set, "");
        }
        side.adds("set more 0 0 5000\r\nLARGE\r\n")
    });
    assert_eq!(adds, [vec![("store_no_memory", 1)], vec![("store_no_memory", 1)]]);
}

/// Figures of memcached that are left out, and the reasons.
const LEFT_OUT: &[(&str, &str)] = &[
    ("libevent", "not used"),
    ("hash_is_expanding", "1.6.45 leaves it out while there is nothing to expand"),
];

#[test]
fn every_name_of_memcached_is_there() {
    if !Kind::Memcached.available() {
        return skip::skip("every_name_of_memcached_is_there", "memcached");
    }
    let mut sides = [Kind::Memcached, Kind::Ringbinder].map(Side::start);
    for side in &mut sides {
        side.conn.talk("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    }
    for what in ["stats\r\n", "stats settings\r\n", "stats slabs\r\n", "stats items\r\n"] {
        let [theirs, ours] = sides.each_mut().map(|side| figures(&side.watcher.ask_text(what)));
        let left_out = |name: &str| LEFT_OUT.iter().any(|(left, _)| *left == name);
        let missing: Vec<_> =
            theirs.keys().filter(|name| !ours.contains_key(*name) && !left_out(name)).collect();
        assert!(missing.is_empty(), "{what:?} lacks {missing:?}");
    }
}
