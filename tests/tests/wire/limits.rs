//! Sizes: of items, of lines, of what a client may leave unread.

use std::time::{Duration, Instant};

use super::{Target, ours_only};
use ringbinder_tests::process::rss_kib;
use ringbinder_tests::wait;

/// What memcached counts for an item beside key, flags and value.
const OVERHEAD: usize = 48 + 8 + 1 + 2;

fn store(key: &str, length: usize) -> Vec<u8> {
    let mut request = format!("set {key} 0 0 {length}\r\n").into_bytes();
    request.extend_from_slice(&vec![b'v'; length]);
    request.extend_from_slice(b"\r\n");
    request
}

#[test]
fn an_item_may_have_a_mebibyte_with_all_that_counts() {
    let mut t = Target::start();
    let most = 1024 * 1024 - OVERHEAD - "a".len();
    t.talk(store("a", most), "STORED\r\n");
    t.talk("mg a s\r\n", format!("HD s{most}\r\n"));
    let refusal = "SERVER_ERROR object too large for cache\r\n";
    t.talk(store("a", most + 1), refusal);
    // The old value is gone too: its owner believes it replaced.
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
    for line in ["x".repeat(9000), "set ".to_owned() + &"k".repeat(9000)] {
        let mut t = Target::start();
        t.conn.send(line);
        let rest = String::from_utf8(t.conn.take_rest()).expect("text");
        // memcached closes without a word.
        let expected = if t.is_ours() { "CLIENT_ERROR line too long\r\n" } else { "" };
        assert_eq!(rest, expected);
        t.server.connect().talk("get a\r\n", "END\r\n");
    }
}

#[test]
fn a_get_line_has_an_end_too() {
    ours_only!();
    let mut t = Target::start();
    t.conn.send("get ".to_owned() + &"key ".repeat(1 << 19));
    t.conn.take_rest();
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
    // 40,000 answers of half a megabyte are asked for and none is read.
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
    // It still gets what it asked for, whole.
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
    // Others are served meanwhile, and it still gets all it asked for.
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

#[test]
fn unfinished_lines_share_an_allowance() {
    ours_only!();
    // Room for two mebibytes of what is still arriving.
    let mut t = Target::with(&["-m", "2"]);
    let line = "get".to_owned() + &" k".repeat(450_000);
    let mut others: Vec<_> = (0..6).map(|_| t.server.connect()).collect();
    for other in &mut others {
        other.send(&line);
    }
    wait::until("what is too much to be refused", || {
        let begun = t.count("total_connections") > 6;
        (begun && t.count("curr_connections") <= 3).then_some(())
    });
    let mut kept = 0;
    for other in &mut others {
        other.poll_now();
        if !other.pending().is_empty() {
            assert_eq!(other.pending(), b"SERVER_ERROR out of memory reading request\r\n");
        } else if !other.ended() {
            // What was kept is heard to the end.
            other.talk("\r\n", "END\r\n");
            kept += 1;
        }
    }
    assert!((1..=2).contains(&kept), "{kept}");
    // All is given back.
    drop(others);
    t.talk(line + "\r\n", "END\r\n");
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
