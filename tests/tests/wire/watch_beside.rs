//! Tests of watch compared with memcached: the log lines of every command.

use super::start_unswept;
use ringbinder_tests::{Conn, Kind, Server, skip, wait};

const SCRIPT: &[&str] = &[
    "set a 0 0 1\r\nx\r\n",
    "set t 0 1000 3\r\nxyz\r\n",
    "get a\r\n",
    "get nope\r\n",
    "gets a nope\r\n",
    "gat 1000 a nope\r\n",
    "touch a 1000\r\n",
    "touch nope 100\r\n",
    "add a 0 0 1\r\nx\r\n",
    "add b 0 0 1\r\nx\r\n",
    "replace nope 0 0 1\r\nx\r\n",
    "replace b 0 50 1\r\nz\r\n",
    "append t 0 0 1\r\ny\r\n",
    "append nope 0 0 1\r\ny\r\n",
    "prepend t 0 0 2\r\nyy\r\n",
    "prepend nope 0 0 1\r\ny\r\n",
    "cas nope 0 0 1 1\r\nx\r\n",
    "cas a 0 0 1 999999\r\nx\r\n",
    "set n 0 0 1\r\n5\r\n",
    "incr n 1\r\n",
    "decr n 1\r\n",
    "incr n 100\r\n",
    "incr nope 1\r\n",
    "incr a 1\r\n",
    "delete b\r\n",
    "delete nope\r\n",
    "mg a v\r\n",
    "mg nope v\r\n",
    "mg a t T1000\r\n",
    "mg created N1000 v\r\n",
    "mg created N1000 v\r\n",
    "mg touched N1000 T1000\r\n",
    "mg a k q\r\n",
    "mg a u\r\n",
    "mg a h\r\n",
    "me a\r\n",
    "me nope\r\n",
    "ms m 1 T1000\r\nx\r\n",
    "ms m 1 ME\r\nx\r\n",
    "ms m 1 MA\r\nx\r\n",
    "ms m 2 MP\r\nxx\r\n",
    "ms m 1 MR\r\nx\r\n",
    "ms nope 1 MR\r\nx\r\n",
    "ms nope 1 MA\r\nx\r\n",
    "ms joined 1 MA N1000\r\nx\r\n",
    "ms m 1 C1\r\nx\r\n",
    "ms nope 1 C1\r\nx\r\n",
    "ms DQo= 1 b\r\nx\r\n",
    "md m I T30\r\n",
    "mg m v\r\n",
    "md m C1\r\n",
    "md nope\r\n",
    "md nope I\r\n",
    "md m\r\n",
    "md n x\r\n",
    "set n 0 0 1\r\n5\r\n",
    "ma n\r\n",
    "ma n D200\r\n",
    "ma n T1000\r\n",
    "ma count N1000 J10\r\n",
    "ma count N1000\r\n",
    "ma count C1\r\n",
    "ma nope\r\n",
    "ma a\r\n",
    "set c 0 0 1\r\nxxx\r\n",
    "add c 0 0 1200000\r\nLARGE\r\n",
    "set big 0 0 600000\r\nLARGE\r\n",
    "append big 0 0 600000\r\nLARGE\r\n",
    "set a 0 0 1200000\r\nLARGE\r\n",
    "get a\r\n",
    "set e1 0 1 1\r\nx\r\n",
    "set e2 0 1 1\r\nx\r\n",
    "set e3 0 1 1\r\nx\r\n",
    "set e4 0 1 1\r\n1\r\n",
    "set e5 0 1 1\r\n1\r\n",
    EXPIRE,
    "get e1\r\n",
    "set e2 0 0 1\r\nx\r\n",
    "delete e3\r\n",
    "incr e4 1\r\n",
    "touch e5 1\r\n",
];

/// Stands for a wait until every item with a time to live of one second has expired.
const EXPIRE: &str = "";

struct Side {
    conn: Conn,
    watcher: Conn,
    _server: Server,
}

impl Side {
    fn start(kind: Kind) -> Side {
        let server = start_unswept(kind);
        let mut watcher = server.connect();
        watcher.send("watch fetchers mutations deletions\r\n");
        assert_eq!(watcher.take_line(), "OK\r\n");
        Side { conn: server.connect(), watcher, _server: server }
    }

    /// The log lines of a request, without parts that differ between servers.
    fn lines(&mut self, request: &str) -> Vec<String> {
        let len = request.lines().next().and_then(|line| line.split(' ').nth(4));
        let len = len.and_then(|word| word.parse().ok()).unwrap_or(0);
        self.conn.ask(request.replace("LARGE", &"v".repeat(len)));
        // This request marks the end: no other one logs its line.
        self.conn.ask("get the-end\r\n");
        let mut lines = Vec::new();
        loop {
            let line = self.watcher.take_line();
            if line.contains(" key=the-end ") {
                return lines;
            }
            let words = line.split_whitespace();
            let told = words.filter(|word| {
                // A limit of memcached itself: 1.6.45 logs no class and no connection for refused requests.
                ["ts=", "gid=", "clsid=", "cfd="].iter().all(|own| !word.starts_with(own))
            });
            lines.push(told.map(rounded).collect::<Vec<_>>().join(" "));
        }
    }

    fn expire(&mut self) {
        self.conn.talk("set the-end 0 1 1\r\n1\r\n", "STORED\r\n");
        wait::until("an item to expire", || {
            (self.conn.ask("get the-end\r\n") == b"END\r\n").then_some(())
        });
        self.lines("mn\r\n");
    }
}

/// A word; a remaining time to live of almost a thousand seconds is rounded to that.
fn rounded(word: &str) -> &str {
    let left = word.strip_prefix("ttl=").and_then(|digits| digits.parse().ok()).unwrap_or(0);
    if (900..=1_000).contains(&left) { "ttl=~1000" } else { word }
}

#[test]
fn every_request_is_told_as_memcached_tells_it() {
    if !Kind::Memcached.available() {
        return skip::skip("every_request_is_told_as_memcached_tells_it", "memcached");
    }
    if Kind::Memcached.version() < (1, 6, 32) {
        // It does not log deletions and has fewer flags, so only newer versions are compared.
        return;
    }
    let mut sides = [Kind::Memcached, Kind::Ringbinder].map(Side::start);
    let mut wrong = Vec::new();
    for &request in SCRIPT {
        if request == EXPIRE {
            sides.iter_mut().for_each(Side::expire);
            continue;
        }
        let [theirs, ours] = sides.each_mut().map(|side| side.lines(request));
        if theirs != ours {
            wrong.push(format!("{request:?}\n  memcached {theirs:#?}\n  ours {ours:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines of 1.6.45, for machines without one to compare with.
#[test]
fn commands_that_look_and_commands_that_store_are_told() {
    let mut side = Side::start(Kind::Ringbinder);
    side.conn.talk("set n 0 1000 1\r\n5\r\n", "STORED\r\n");
    side.lines("mn\r\n");
    let found = "type=item_get key=n status=found size=1";
    let absent = "type=item_get key=x status=not_found size=0";
    for (request, lines) in [
        ("incr n 1\r\n", &[found][..]),
        ("touch n 1000\r\n", &[found]),
        ("me n\r\n", &[found]),
        ("ma n\r\n", &[found]),
        (
            "add n 0 0 1\r\n1\r\n",
            &[found, "type=item_store key=n status=not_stored cmd=add ttl=0 size=1"],
        ),
        (
            "append n 0 0 2\r\n12\r\n",
            &[found, "type=item_store key=n status=stored cmd=append ttl=~1000 size=3"],
        ),
        (
            "ma x N60 J10\r\n",
            &[absent, absent, "type=item_store key=x status=stored cmd=add ttl=0 size=2"],
        ),
        (
            "delete x\r\n",
            &["type=item_get key=x status=found size=2", "type=deleted key=x cmd=delete size=2"],
        ),
        ("md x\r\n", &[absent]),
    ] {
        assert_eq!(side.lines(request), lines, "{request:?}");
    }
}
