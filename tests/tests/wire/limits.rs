//! Tests of size limits: items, lines, and answers that a client may leave unread.

use std::time::{Duration, Instant};

use super::{Target, ours_only, store};
use ringbinder_tests::process::rss_kib;
use ringbinder_tests::wait;

/// Bytes that memcached counts for an item besides key, flags and value.
const OVERHEAD: usize = 48 + 8 + 1 + 2;

#[test]
fn an_item_may_have_a_mebibyte_with_all_that_counts() {
    let mut t = Target::start();
    let most = 1024 * 1024 - OVERHEAD - "a".len();
    t.talk(store("a", most), "STORED\r\n");
    t.talk("mg a s\r\n", format!("HD s{most}\r\n"));
    let refusal = "SERVER_ERROR object too large for cache\r\n";
    t.talk(store("a", most + 1), refusal);
    // The old value is removed too: its client considers it replaced.
    t.talk("get a\r\n", "END\r\n");
    t.talk(store("a", 3 << 20), refusal);
    let flags = format!("ms a {most} F1\r\n{}\r\n", "v".repeat(most));
    t.talk(flags, refusal);
    t.talk("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    assert_eq!(t.count("store_too_large"), 3);
}

#[test]
fn capital_i_moves_the_limit() {
    let mut t = Target::with(&["-I", "2m"]);
    let most = (2 << 20) - OVERHEAD - "a".len();
    t.talk(store("a", most), "STORED\r\n");
    t.talk(store("a", most + 1), "SERVER_ERROR object too large for cache\r\n");
    assert_eq!(t.stat("settings", "item_size_max"), "2097152");
}

#[test]
fn a_line_without_end_is_refused() {
    for line in ["x".repeat(20_000), "set ".to_owned() + &"k".repeat(20_000)] {
        let mut t = Target::start();
        t.conn.send(line);
        let rest = String::from_utf8(t.conn.take_rest()).expect("text");
        // memcached closes without an answer.
        let expected = if t.is_ours() { "CLIENT_ERROR line too long\r\n" } else { "" };
        assert_eq!(rest, expected);
        t.server.connect().talk("get a\r\n", "END\r\n");
    }
}

#[test]
fn a_long_line_costs_its_neighbours_nothing() {
    let mut t = Target::start();
    t.set("a", "1");
    let found = "VALUE a 0 1\r\n1\r\nEND\r\n";
    let bad = "CLIENT_ERROR bad command line format\r\n";
    for len in [251, 2040, 2049, 4096, 9000, 16_000] {
        let key = "k".repeat(len);
        for line in ["delete {}", "incr {} 1", "touch {} 0", "me {}", "md {}"] {
            let request = format!("get a\r\n{}\r\nget a\r\n", line.replace("{}", &key));
            t.talk(request, format!("{found}{bad}{found}"));
        }
        if t.has_latest() {
            let request = format!("get a\r\nset {key} 0 0 7\r\nflush_a\r\nget a\r\n");
            t.talk(request, format!("{found}{bad}{found}"));
            let request = format!("get a\r\nms {key} 7\r\nflush_a\r\nget a\r\n");
            t.talk(request, format!("{found}{bad}{found}"));
        }
        let request = format!("get a\r\nversion {key}\r\nget a\r\n");
        let version = String::from_utf8(t.conn.ask(request)).expect("text");
        assert!(version.starts_with(&format!("{found}VERSION ")) && version.ends_with(found));
    }
}

/// A `get` line with this many keys.
fn multi_get(keys: usize) -> String {
    use std::fmt::Write as _;
    (0..keys).fold("get".to_owned(), |mut line, key| {
        let _ = write!(line, " key:{key:010}");
        line
    }) + "\r\n"
}

#[test]
fn a_line_of_many_mebibytes_is_answered() {
    let mut t = Target::with(&["-m", "128"]);
    let line = multi_get(400_000);
    assert!(line.len() > 5 << 20);
    for key in ["key:0000000000", "key:0000200000", "key:0000399999"] {
        t.set(key, "1");
    }
    let expected =
        [0, 200_000, 399_999].map(|key| format!("VALUE key:{key:010} 0 1\r\n1\r\n")).concat();
    t.talk(&line, format!("{expected}END\r\n"));
    assert!(t.count("get_misses") >= 399_997);
    // An invalid key near the end makes the server refuse the whole line.
    if t.takes_older_lines() {
        let bad = line.trim_end().to_owned() + " " + &"k".repeat(251) + "\r\n";
        t.talk(bad, "CLIENT_ERROR bad command line format\r\n");
    }
    t.talk("get key:0000000000\r\n", "VALUE key:0000000000 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn a_line_of_any_length_lets_others_have_their_turn() {
    ours_only!();
    let mut t = Target::with(&["-m", "128", "-t", "1"]);
    let mut other = t.server.connect();
    other.send(multi_get(1_000_000));
    // Sent while the worker reads and answers that line.
    wait::until("the line to be under way", || (t.count("get_misses") > 0).then_some(()));
    let yields = t.count("conn_yields");
    other.take_until(b"END\r\n");
    assert!(t.count("get_misses") >= 1_000_000);
    assert!(t.count("conn_yields") > yields || yields > 10, "others never had a turn");
}

#[test]
fn a_get_line_has_an_end_too() {
    ours_only!();
    let mut t = Target::with(&["-m", "256"]);
    t.conn.send("get ".to_owned() + &"key ".repeat(17 << 20));
    assert_eq!(t.conn.take_rest(), b"CLIENT_ERROR line too long\r\n");
    t.server.connect().talk("get a\r\n", "END\r\n");
}

#[test]
fn a_slow_reader_is_not_read_ahead_of() {
    let mut t = Target::with(&["-m", "64"]);
    t.talk(store("big", 500_000), "STORED\r\n");
    t.talk(
        "get big\r\n",
        [b"VALUE big 0 500000\r\n".as_slice(), &vec![b'v'; 500_000], b"\r\nEND\r\n"].concat(),
    );
    let before = rss_kib(t.server.pid());
    // Requests 40,000 answers of half a megabyte and reads none.
    let mut slow = t.server.connect();
    let request = b"get big\r\n".repeat(40_000);
    let (mut sent, mut idle_since) = (0, Instant::now());
    while sent < request.len() && idle_since.elapsed() < Duration::from_millis(500) {
        let written = slow.send_unread(&request[sent..]);
        sent += written;
        if written > 0 {
            idle_since = Instant::now();
        }
        std::thread::yield_now();
        let grown = rss_kib(t.server.pid()).saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} KiB more for one slow reader");
    }
    // Others are served meanwhile.
    t.talk("mg big s\r\n", "HD s500000\r\n");
    // It still gets all its answers, complete.
    let first = slow.take(20 + 500_000 + 7);
    assert!(first.starts_with(b"VALUE big 0 500000\r\n") && first.ends_with(b"v\r\nEND\r\n"));
}

#[test]
fn one_line_cannot_make_a_node_buffer_its_answers() {
    ours_only!();
    let mut t = Target::with(&["-m", "64"]);
    // Small enough to be copied: 20,000 of them are 80 MB of answers to one line.
    t.talk(store("k", 4_000), "STORED\r\n");
    let before = rss_kib(t.server.pid());
    let mut slow = t.server.connect();
    let line = [b"get".as_slice(), &b" k".repeat(20_000), b"\r\n"].concat();
    let (mut sent, mut idle_since) = (0, Instant::now());
    while idle_since.elapsed() < Duration::from_millis(500) {
        let written = slow.send_unread(&line[sent..]);
        sent += written;
        if written > 0 {
            idle_since = Instant::now();
        }
        std::thread::yield_now();
        let grown = rss_kib(t.server.pid()).saturating_sub(before);
        assert!(grown < 32 * 1024, "{grown} KiB more for one line");
    }
    // Others are served meanwhile, and it still gets all its answers.
    t.talk("mg k s\r\n", "HD s4000\r\n");
    let one = b"VALUE k 0 4000\r\n".len() + 4_000 + 2;
    for _ in 0..20_000 {
        let answer = slow.take(one);
        assert!(answer.starts_with(b"VALUE k 0 4000\r\n") && answer.ends_with(b"v\r\n"));
    }
    assert_eq!(slow.take(5), b"END\r\n");
}

#[test]
fn without_evictions_a_full_cache_says_so() {
    let mut t = Target::with(&["-m", "8", "-M", "-I", "512k"]);
    let mut full = false;
    for number in 0..200 {
        match t.conn.ask(store(&format!("k{number}"), 100_000)).as_slice() {
            b"STORED\r\n" => {}
            b"SERVER_ERROR out of memory storing object\r\n" => {
                full = true;
                break;
            }
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    assert!(full, "20 MB went into 8");
    assert!(t.count("store_no_memory") >= 1);
    assert_eq!(t.count("evictions"), 0);
}

/// docs/capacity.md promises a fiftieth of `-m`, and that items that are read stay.
#[test]
fn what_nobody_reads_stays_for_a_while_and_goes_first() {
    const VALUE: usize = 1000;
    ours_only!();
    let mut t = Target::with(&["-m", "64", "-t", "1"]);
    let store = |t: &mut Target, prefix: &str, from: usize, to: usize| {
        let value = "v".repeat(VALUE);
        let sets: String = (from..to)
            .map(|key| format!("set {prefix}{key} 0 0 {VALUE} noreply\r\n{value}\r\n"))
            .collect();
        t.talk(sets, "");
    };
    let hits = |t: &mut Target, prefix: &str, to: usize| {
        let keys: String = (0..to).map(|key| format!(" {prefix}{key}")).collect();
        let answer = t.conn.ask(format!("get{keys}\r\n"));
        answer.windows(6).filter(|bytes| bytes == b"VALUE ").count()
    };
    // Items that are read repeatedly, and other items that exceed the remaining memory.
    store(&mut t, "read", 0, 30_000);
    for _ in 0..3 {
        assert_eq!(hits(&mut t, "read", 30_000), 30_000);
    }
    store(&mut t, "filler", 0, 60_000);
    hits(&mut t, "read", 30_000);
    assert!(t.count("evictions") > 0, "the cache is full");
    store(&mut t, "late", 0, 100);
    store(&mut t, "fresh", 0, 100);
    // A fiftieth of 64 MiB in items of this size, with all their overhead.
    store(&mut t, "new", 0, (64 << 20) / 50 / (VALUE + 100));
    assert_eq!(hits(&mut t, "fresh", 100), 100);
    store(&mut t, "more", 0, 40_000);
    let late = hits(&mut t, "late", 100);
    assert!(late < 50, "{late} of 100 that nobody read are left");
    let kept = hits(&mut t, "read", 30_000);
    assert!(kept > 27_000, "only {kept} of 30,000 that were read are left");
}

#[test]
fn the_log_shows_a_bounded_part_of_a_line_and_no_control_character() {
    ours_only!();
    let mut t = Target::with(&["-vv"]);
    t.talk(format!("get{}\r\n", " key".repeat(100_000)), "END\r\n");
    t.talk("get \x1b[2J\r\n", "CLIENT_ERROR bad command line format\r\n");
    let log = ringbinder_tests::wait::until("the log", || {
        let log = t.server.log();
        log.contains("[2J").then_some(log)
    });
    let longest = log.lines().map(str::len).max();
    assert!(longest < Some(10_000), "{longest:?}");
    assert!(!log.replace('\n', "").contains(char::is_control), "a control character");
}
