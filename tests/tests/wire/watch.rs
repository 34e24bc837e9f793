//! Tests of watch: log lines in memcached's format.

use super::Target;
use ringbinder_tests::Conn;

/// Starts watching and waits for the server's confirmation.
fn watch(t: &Target, what: &str) -> Conn {
    let mut conn = t.server.connect();
    conn.send(format!("watch {what}\r\n"));
    assert_eq!(conn.take_line(), "OK\r\n");
    conn
}

/// Asserts that a line is `ts=<secs>.<micros> gid=<n> ` followed by `rest`, in which `*` stands for any
/// number of digits.
#[track_caller]
fn assert_line(line: &str, rest: &str) {
    let line = line.strip_suffix('\n').unwrap_or_else(|| panic!("{line:?} has no end"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = line.split(' ');
    let stamp = words.next().and_then(|word| word.strip_prefix("ts=")?.split_once('.'));
    assert!(stamp.is_some_and(|(secs, micros)| digits(secs) && digits(micros)), "{line:?}");
    let gid = words.next().and_then(|word| word.strip_prefix("gid="));
    assert!(gid.is_some_and(digits), "{line:?}");
    let words: Vec<&str> = words.collect();
    let wanted: Vec<&str> = rest.split(' ').collect();
    let same = words.len() == wanted.len()
        && words.iter().zip(&wanted).all(|(word, wanted)| match wanted.split_once("=*") {
            Some((name, _)) => {
                word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).is_some_and(digits)
            }
            None => word == wanted,
        });
    assert!(same, "\nexpected: ... {rest}\n     got: {line}");
}

#[test]
fn fetchers_tell_hits_and_misses() {
    let mut t = Target::start();
    t.talk("set a%b 0 0 3\r\nabc\r\n", "STORED\r\n");
    let mut watcher = watch(&t, "fetchers");
    t.conn.ask("get nope\r\n");
    t.conn.ask("get a%b\r\n");
    t.conn.ask("mg a%b\r\n");
    assert_line(
        &watcher.take_line(),
        "type=item_get key=nope status=not_found clsid=0 cfd=* size=0",
    );
    for _ in 0..2 {
        let line = watcher.take_line();
        assert_line(&line, "type=item_get key=a%25b status=found clsid=1 cfd=* size=3");
    }
    // Without an argument, watch means fetchers.
    let mut watcher = watch(&t, "");
    t.conn.ask("get nope\r\n");
    assert_line(
        &watcher.take_line(),
        "type=item_get key=nope status=not_found clsid=0 cfd=* size=0",
    );
}

#[test]
fn mutations_tell_what_became_of_them() {
    let mut t = Target::start();
    let mut watcher = watch(&t, "mutations");
    for (request, line) in [
        ("set a 0 0 3\r\nabc\r\n", "key=a status=stored cmd=set ttl=0 clsid=1 cfd=* size=3"),
        ("add a 0 0 1\r\nx\r\n", "key=a status=not_stored cmd=add ttl=0 clsid=1 cfd=* size=1"),
        ("set a 0 500 1\r\nx\r\n", "key=a status=stored cmd=set ttl=500 clsid=1 cfd=* size=1"),
        ("cas a 0 0 1 9999\r\nx\r\n", "key=a status=exists cmd=cas ttl=0 clsid=1 cfd=* size=1"),
        ("cas b 0 0 1 1\r\nx\r\n", "key=b status=not_found cmd=cas ttl=0 clsid=1 cfd=* size=1"),
        (
            "replace b 0 0 1\r\nx\r\n",
            "key=b status=not_stored cmd=replace ttl=0 clsid=1 cfd=* size=1",
        ),
        ("ms c 1\r\nx\r\n", "key=c status=stored cmd=set ttl=0 clsid=1 cfd=* size=1"),
    ] {
        t.conn.ask(request);
        assert_line(&watcher.take_line(), &format!("type=item_store {line}"));
    }
}

#[test]
fn evictions_are_told() {
    let mut t = Target::with(&["-m", "8", "-I", "512k"]);
    let mut watcher = watch(&t, "evictions");
    for number in 0..300 {
        let request = format!("set k{number} 0 0 100000 noreply\r\n{}\r\n", "v".repeat(100_000));
        t.talk(request, "");
    }
    let line = watcher.take_line();
    let rest = line.split_once(" type=").map(|(_, rest)| format!("type={rest}"));
    let rest = rest.unwrap_or_else(|| panic!("{line:?}"));
    assert!(rest.starts_with("type=eviction key=k"), "{line}");
    let (_, facts) = rest.split_once(" fetch=no ttl=-1 la=").unwrap_or_else(|| panic!("{line}"));
    assert!(facts.contains(" clsid=") && facts.ends_with(" size=100000\n"), "{line}");
    assert!(t.count("evictions") > 0);
}

#[test]
fn connevents_tell_who_comes_and_goes() {
    let t = Target::start();
    let mut watcher = watch(&t, "connevents");
    let mut conn = t.server.connect();
    conn.talk("get a\r\n", "END\r\n");
    let port = conn.local_port();
    let line = watcher.take_line();
    assert_line(&line, &format!("type=conn_new rip=127.0.0.1 rport={port} transport=tcp cfd=*"));
    conn.send("quit\r\n");
    conn.take_rest();
    let line = watcher.take_line();
    assert_line(
        &line,
        &format!("type=conn_close rip=127.0.0.1 rport={port} transport=tcp reason=normal cfd=*"),
    );
}

#[test]
fn deletions_are_told_by_the_newer() {
    let mut t = Target::start();
    if !t.has_latest() {
        return;
    }
    let mut watcher = watch(&t, "deletions");
    t.set("a", "abc");
    t.set("b", "x");
    t.talk("delete a\r\n", "DELETED\r\n");
    assert_line(&watcher.take_line(), "type=deleted key=a cmd=delete clsid=1 size=3");
    t.talk("md b\r\n", "HD\r\n");
    assert_line(&watcher.take_line(), "type=deleted key=b cmd=md clsid=1 size=1");
}

#[test]
fn a_watcher_may_ask_for_several() {
    let mut t = Target::start();
    let mut watcher = watch(&t, "fetchers mutations");
    t.set("a", "1");
    t.conn.ask("get a\r\n");
    // memcached also logs the look-up inside the set.
    let found = "type=item_get key=a status=found";
    let mut lines = vec![watcher.take_line()];
    while !lines.last().expect("a line").contains(found) {
        lines.push(watcher.take_line());
    }
    assert!(lines.iter().any(|line| line.contains("type=item_store key=a")), "{lines:?}");
}

#[test]
fn a_slow_watcher_loses_lines_and_slows_nobody() {
    let mut t = Target::start();
    let mut watcher = watch(&t, "fetchers");
    let request = format!("get {}\r\n", "x".repeat(240)).repeat(20_000);
    for _ in 0..5 {
        // 30 MB of lines that are not read.
        t.talk(&request, "END\r\n".repeat(20_000));
    }
    ringbinder_tests::wait::until("a line about skipped lines", || {
        t.conn.ask("get again\r\n");
        watcher.poll_now();
        ringbinder_tests::conn::find(watcher.pending(), b"skipped=").map(|_| ())
    });
}

#[test]
fn nonsense_is_not_watched() {
    let t = Target::start();
    let mut conn = t.server.connect();
    conn.send("watch nonsense\r\n");
    assert_eq!(conn.take_line(), "ERROR\r\n");
}
