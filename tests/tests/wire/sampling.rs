//! Tests of stats hotkeys and stats latency, which ringbinderd derives from one request in 128.

use super::{Target, ours_only};

/// Sends pipelined requests and discards the answers.
fn ask_often(t: &mut Target, requests: &str, times: usize) {
    let mut left = times;
    while left > 0 {
        // Few enough that the answers fit into the socket buffers.
        let some = left.min(500);
        t.conn.send(format!("{}mn\r\n", requests.repeat(some)));
        t.conn.take_until(b"MN\r\n");
        left -= some;
    }
}

fn figure(t: &mut Target, what: &str, name: &str) -> f64 {
    t.stat(what, name).parse().expect("a number")
}

#[test]
fn hot_keys_are_told_hottest_first_with_what_they_take() {
    ours_only!();
    let mut t = Target::with(&["-t", "2"]);
    t.talk("stats hotkeys\r\n", "STAT window_seconds 1\r\nSTAT sampled_every 128\r\nEND\r\n");
    // By weight, `a b%` is a half, `warm` a quarter, and `mn` one in 2000.
    for round in 0..40 {
        let others: String = (0..500).map(|at| format!("get x{round}-{at}\r\n")).collect();
        ask_often(&mut t, &others, 1);
        ask_often(&mut t, "get ä:b% warm\r\ngets ä:b%\r\n", 500);
    }
    let told = t.conn.ask_text("stats hotkeys\r\n");
    let keys: Vec<&str> = told.lines().filter(|line| line.contains(":key ")).collect();
    assert_eq!(keys.len(), 50, "{told}");
    assert_eq!(keys[0], "STAT 1:key %C3%A4%3Ab%25");
    assert_eq!(keys[1], "STAT 2:key warm");
    assert_eq!(t.stat("hotkeys", "sampled_every"), "128");
    // About 1250 samples in total.
    let share = figure(&mut t, "hotkeys", "1:share");
    assert!((0.4..0.6).contains(&share), "{share}");
    let (window, rate) =
        (figure(&mut t, "hotkeys", "window_seconds"), figure(&mut t, "hotkeys", "1:rate"));
    assert!(window >= 1.0 && rate > 0.0 && rate <= 128.0 * 1250.0, "{rate} in {window}");
    t.talk("stats reset\r\n", "RESET\r\n");
    assert!(!t.conn.ask_text("stats hotkeys\r\n").contains(":key"), "after a reset");
}

#[test]
fn every_command_that_names_a_key_can_make_it_hot() {
    ours_only!();
    let mut t = Target::start();
    for (requests, class) in [
        ("get K\r\n", "get"),
        ("gat 0 K\r\n", "gat"),
        ("set K 0 0 1\r\n1\r\n", "set"),
        ("delete K\r\n", "delete"),
        ("incr K 1\r\n", "incr"),
        ("touch K 0\r\n", "touch"),
        ("mg K v\r\n", "meta_get"),
        ("mg K N0\r\n", "meta_get"),
        ("ms K 1\r\n1\r\n", "meta_set"),
        ("md K\r\n", "meta_delete"),
        ("ma K\r\n", "meta_arithmetic"),
        ("me K\r\n", "other"),
        ("set K 0 0 5000\r\nV\r\n", "set"),
        ("ms Sw== 1 b\r\n1\r\n", "meta_set"),
    ] {
        let requests = requests.replace('V', &"v".repeat(5000));
        t.talk("stats reset\r\n", "RESET\r\n");
        // The chance that none of 2,000 requests is sampled is one in 10^13.
        ask_often(&mut t, &requests, 2000);
        assert_eq!(t.stat("hotkeys", "1:key"), "K", "{}", requests.escape_debug());
        assert!(figure(&mut t, "latency", &format!("{class}:count")) > 0.0, "{class}");
    }
}

#[test]
fn hot_keys_are_refused_with_capital_x() {
    ours_only!();
    let mut t = Target::with(&["-X"]);
    t.talk("stats hotkeys\r\n", "CLIENT_ERROR stats hotkeys not allowed\r\n");
    assert_eq!(t.stat("latency", "sampled_every"), "128");
}

#[test]
fn latencies_are_cumulative_histograms() {
    ours_only!();
    let mut t = Target::start();
    t.talk("stats latency\r\n", "STAT sampled_every 128\r\nEND\r\n");
    t.set("a", "1");
    ask_often(&mut t, "get a\r\n", 10_000);
    let told = t.conn.ask_text("stats latency\r\n");
    let counts: Vec<(String, u64)> = told
        .lines()
        .filter_map(|line| line.strip_prefix("STAT get:")?.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect();
    let names: Vec<&str> = counts.iter().map(|(name, _)| name.as_str()).collect();
    let bounds = (0..=20).map(|at| format!("le_{}us", 1 << at));
    let expected: Vec<String> =
        ["count", "sum_us"].into_iter().map(str::to_owned).chain(bounds).collect();
    assert_eq!(names[..names.len() - 1], expected[..]);
    let count = counts[0].1;
    assert!((50..=350).contains(&count), "{count} of 10,000");
    assert!(counts[2..].windows(2).all(|pair| pair[0].1 <= pair[1].1), "{told}");
    assert_eq!(counts.last(), Some(&("le_inf".to_owned(), count)));
    assert!(counts[1].1 > 0, "no time at all: {told}");
    t.talk("stats reset\r\n", "RESET\r\n");
    assert!(!t.conn.ask_text("stats latency\r\n").contains("get:"), "after a reset");
}
