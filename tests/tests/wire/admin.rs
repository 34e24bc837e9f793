//! Tests of version, verbosity, quit, flush_all, cache_memlimit, shutdown, and the tuning commands.

use super::{Target, ours_only};

#[test]
fn version_is_memcacheds_number() {
    let mut t = Target::start();
    let answer = t.conn.ask_text("version\r\n");
    let number = answer.strip_prefix("VERSION ").and_then(|rest| rest.strip_suffix("\r\n"));
    let number = number.unwrap_or_else(|| panic!("{answer:?}"));
    assert!(ringbinder_tests::server::parse_version(number).is_some(), "{number}");
    if t.is_ours() {
        assert_eq!(number, "1.6.45");
    }
    assert_eq!(t.stat("", "version"), number);
}

#[test]
fn quit_closes_after_what_was_asked_before() {
    let mut t = Target::start();
    t.conn.talk_to_close(
        "set a 0 0 1\r\nx\r\nget a\r\nquit\r\nget a\r\n",
        "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
    );
}

#[test]
fn verbosity_takes_a_number() {
    let mut t = Target::start();
    t.talk("verbosity 1\r\n", "OK\r\n");
    t.talk("verbosity 0 noreply\r\n", "");
    t.talk("verbosity abc\r\n", "CLIENT_ERROR bad command line format\r\n");
    if t.has_latest() {
        t.talk("verbosity\r\n", "CLIENT_ERROR bad command line format\r\n");
        t.talk("verbosity 1 2 3\r\n", "OK\r\n");
    }
}

#[test]
fn flush_all_forgets_at_once_or_later() {
    let mut t = Target::start();
    for line in ["flush_all", "flush_all 0", "flush_all noreply", "flush_all 0 noreply"] {
        t.set("a", "1");
        let expected = if line.ends_with("noreply") { "" } else { "OK\r\n" };
        t.talk(format!("{line}\r\n"), expected);
        t.talk("get a\r\n", "END\r\n");
        t.talk("incr a 1\r\n", "NOT_FOUND\r\n");
        // Later items are not affected.
        t.set("a", "2");
        t.talk("get a\r\n", "VALUE a 0 1\r\n2\r\nEND\r\n");
    }
    t.talk("flush_all abc\r\n", "CLIENT_ERROR invalid exptime argument\r\n");
    t.talk("flush_all 1\r\n", "OK\r\n");
    ringbinder_tests::wait::until("the flush to come due", || {
        (t.conn.ask("get a\r\n") == b"END\r\n").then_some(())
    });
    assert!(t.count("cmd_flush") >= 5);
}

#[test]
fn flush_all_is_off_with_capital_f() {
    let mut t = Target::with(&["-F"]);
    t.set("a", "1");
    t.talk("flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
    t.talk("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn dumps_are_off_with_capital_x_and_watch_with_capital_w() {
    let mut t = Target::with(&["-X", "-W"]);
    t.talk("stats cachedump 1 1\r\n", "CLIENT_ERROR stats cachedump not allowed\r\n");
    for (line, answer) in [
        ("lru_crawler metadump all\r\n", "ERROR metadump not allowed\r\n"),
        ("watch fetchers\r\n", "CLIENT_ERROR watch commands not allowed\r\n"),
    ] {
        let mut conn = t.server.connect();
        conn.send(line);
        assert_eq!(conn.take_line(), answer);
    }
}

#[test]
fn shutdown_needs_capital_a() {
    let mut t = Target::start();
    if t.has_latest() {
        t.talk("shutdown\r\n", "SERVER_ERROR: shutdown not enabled\r\n");
    }
    for line in ["shutdown\r\n", "shutdown graceful\r\n"] {
        let mut t = Target::with(&["-A"]);
        t.talk("shutdown bogus\r\n", "CLIENT_ERROR invalid shutdown mode\r\n");
        t.conn.send(line);
        t.conn.take_rest();
        let status = t.server.wait();
        assert!(status.success(), "{line:?}: {status}");
    }
}

#[test]
fn cache_memlimit_changes_the_limit_within_reason() {
    let mut t = Target::start();
    t.talk("cache_memlimit 1\r\n", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n");
    let bytes = "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n";
    t.talk("cache_memlimit 1073741824\r\n", bytes);
    t.talk("cache_memlimit abc\r\n", "ERROR\r\n");
    t.talk("cache_memlimit\r\n", "ERROR\r\n");
    t.talk("cache_memlimit 128\r\n", "OK\r\n");
    assert_eq!(t.count("limit_maxbytes"), 128 << 20);
    t.talk("cache_memlimit 100 noreply\r\n", "");
    assert_eq!(t.count("limit_maxbytes"), 100 << 20);
}

#[test]
fn tuning_commands_are_taken() {
    let mut t = Target::start();
    for (line, answer) in [
        ("lru tune 10 25 0.1 2.0", "OK"),
        ("lru tune 50 50 0.1 2.0", "ERROR hot and warm pcts must not exceed 80"),
        ("lru tune 10 25 0 2.0", "ERROR hot/warm age factors must be greater than 0"),
        ("lru mode flat", "OK"),
        ("lru mode segmented", "OK"),
        ("lru temp_ttl 60", "OK"),
        ("lru temp_ttl -1", "OK"),
        ("slabs automove 0", "OK"),
        ("slabs automove 1", "OK"),
        ("lru_crawler sleep 100", "OK"),
        ("lru_crawler sleep 1000001", "CLIENT_ERROR sleep must be one second or less"),
        ("lru_crawler tocrawl 1000", "OK"),
        ("lru_crawler tocrawl abc", "CLIENT_ERROR bad command line format"),
        ("lru_crawler disable", "OK"),
        ("lru_crawler crawl all", "CLIENT_ERROR lru crawler disabled"),
        ("lru_crawler enable", "OK"),
        ("lru_crawler crawl all", "OK"),
    ] {
        t.talk(format!("{line}\r\n"), format!("{answer}\r\n"));
    }
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let mut t = Target::start();
    let (mut request, mut expected) = (String::new(), String::new());
    for number in 0..1000 {
        request.push_str(&format!(
            "set k{number} 0 0 1\r\nx\r\nincr n 1\r\nget k{number}\r\nmg nope{number} k\r\n"
        ));
        expected.push_str(&format!(
            "STORED\r\nNOT_FOUND\r\nVALUE k{number} 0 1\r\nx\r\nEND\r\nEN knope{number}\r\n"
        ));
    }
    t.talk(request, expected);
}

#[test]
fn what_is_discovered_elsewhere_is_unknown_without_a_ring() {
    ours_only!();
    let mut t = Target::start();
    t.talk("get AmazonElastiCache:cluster\r\n", "END\r\n");
}
