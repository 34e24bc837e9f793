//! Tests of set, add, replace, append, prepend and cas.

use super::Target;

#[test]
fn set_stores_and_replaces() {
    let mut t = Target::start();
    t.talk("set a 5 0 3\r\nabc\r\n", "STORED\r\n");
    t.talk("get a\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\n");
    t.talk("set a 4294967295 0 0\r\n\r\n", "STORED\r\n");
    t.talk("get a\r\n", "VALUE a 4294967295 0\r\n\r\nEND\r\n");
    if t.takes_older_lines() {
        t.talk("set a +7 0 +1\r\nx\r\n", "STORED\r\n");
        t.talk("get a\r\n", "VALUE a 7 1\r\nx\r\nEND\r\n");
    }
    // A value may contain line breaks and text that looks like answers.
    t.talk("set a 0 0 9\r\na\r\nEND\r\nb\r\n", "STORED\r\n");
    t.talk("get a\r\n", "VALUE a 0 9\r\na\r\nEND\r\nb\r\nEND\r\n");
}

#[test]
fn add_stores_only_what_is_absent() {
    let mut t = Target::start();
    t.talk("add a 1 0 1\r\nx\r\n", "STORED\r\n");
    t.talk("add a 2 0 1\r\ny\r\n", "NOT_STORED\r\n");
    t.talk("get a\r\n", "VALUE a 1 1\r\nx\r\nEND\r\n");
    t.talk("set a 0 -1 1\r\nx\r\n", "STORED\r\n");
    t.talk("add a 3 0 1\r\nz\r\n", "STORED\r\n");
    t.talk("get a\r\n", "VALUE a 3 1\r\nz\r\nEND\r\n");
}

#[test]
fn replace_stores_only_over_what_is_present() {
    let mut t = Target::start();
    t.talk("replace a 1 0 1\r\nx\r\n", "NOT_STORED\r\n");
    t.talk("get a\r\n", "END\r\n");
    t.set("a", "x");
    t.talk("replace a 2 0 1\r\ny\r\n", "STORED\r\n");
    t.talk("get a\r\n", "VALUE a 2 1\r\ny\r\nEND\r\n");
}

#[test]
fn append_and_prepend_keep_flags_and_expiry() {
    let mut t = Target::start();
    t.talk("append a 0 0 1\r\nx\r\n", "NOT_STORED\r\n");
    t.talk("prepend a 0 0 1\r\nx\r\n", "NOT_STORED\r\n");
    t.talk("set a 3 1000 2\r\nbc\r\n", "STORED\r\n");
    t.talk("append a 9 -1 1\r\nd\r\n", "STORED\r\n");
    t.talk("prepend a 9 0 1\r\na\r\n", "STORED\r\n");
    t.talk("append a 0 0 0\r\n\r\n", "STORED\r\n");
    t.talk("get a\r\n", "VALUE a 3 4\r\nabcd\r\nEND\r\n");
    let left = t.conn.ask_text("mg a t\r\n");
    assert!(["HD t1000\r\n", "HD t999\r\n", "HD t998\r\n"].contains(&left.as_str()), "{left}");
}

#[test]
fn cas_stores_only_over_the_state_it_names() {
    let mut t = Target::start();
    t.talk("cas a 0 0 1 1\r\nx\r\n", "NOT_FOUND\r\n");
    t.set("a", "1");
    let cas = t.cas("a");
    t.talk(format!("cas a 0 0 1 {}\r\n2\r\n", cas + 1), "EXISTS\r\n");
    t.talk("cas a 0 0 1 0\r\n2\r\n", "EXISTS\r\n");
    t.talk("cas a 0 0 1 18446744073709551615\r\n2\r\n", "EXISTS\r\n");
    t.talk(format!("cas a 7 0 1 {cas}\r\n2\r\n"), "STORED\r\n");
    let later = t.cas("a");
    assert!(later > cas, "{later} > {cas}");
    t.talk("gets a\r\n", format!("VALUE a 7 1 {later}\r\n2\r\nEND\r\n"));
    t.talk(format!("cas a 0 0 1 {cas}\r\n3\r\n"), "EXISTS\r\n");
    t.talk(format!("cas a 0 0 1 {later} noreply\r\n4\r\nget a\r\n"), "VALUE a 0 1\r\n4\r\nEND\r\n");
}

#[test]
fn every_mutation_moves_the_cas_on() {
    let mut t = Target::start();
    t.set("a", "1");
    let mut last = t.cas("a");
    for request in [
        "set a 0 0 1\r\n1\r\n",
        "replace a 0 0 1\r\n1\r\n",
        "append a 0 0 1\r\n1\r\n",
        "prepend a 0 0 1\r\n1\r\n",
        "incr a 1\r\n",
        "decr a 1\r\n",
        "ms a 1\r\n1\r\n",
        "ma a\r\n",
        "md a I\r\n",
    ] {
        t.conn.ask(request);
        let cas = t.cas("a");
        assert!(cas > last, "{request:?}: {cas} > {last}");
        last = cas;
    }
    for request in ["touch a 0\r\n", "gat 0 a\r\n", "mg a T0\r\n", "add a 0 0 1\r\nx\r\n"] {
        t.conn.ask(request);
        assert_eq!(t.cas("a"), last, "{request:?}");
    }
}

#[test]
fn noreply_is_silent_and_obeyed() {
    let mut t = Target::start();
    t.talk("set a 0 0 1 noreply\r\nb\r\n", "");
    t.talk("add a 0 0 1 noreply\r\nx\r\n", "");
    t.talk("append a 0 0 1 noreply\r\nc\r\n", "");
    t.talk("prepend a 0 0 1 noreply\r\na\r\n", "");
    t.talk("get a\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
    t.talk("replace a 0 0 1 noreply\r\nr\r\n", "");
    t.talk("get a\r\n", "VALUE a 0 1\r\nr\r\nEND\r\n");
    t.talk("cas a 0 0 1 99999 noreply\r\nr\r\n", "");
    // Any other word in that place is accepted, and the request is answered.
    t.talk("set a 0 0 1 norepl\r\nx\r\n", "STORED\r\n");
}

#[test]
fn a_key_may_have_250_bytes_and_any_above_space() {
    let mut t = Target::start();
    let key = "k".repeat(250);
    t.set(&key, "x");
    t.talk(format!("get {key}\r\n"), format!("VALUE {key} 0 1\r\nx\r\nEND\r\n"));
    let key = "\u{e4}\u{1f511}!\"#%/:;~";
    t.set(key, "y");
    t.talk(format!("get {key}\r\n"), format!("VALUE {key} 0 1\r\ny\r\nEND\r\n"));
    t.set("noreply", "z");
    t.talk("get noreply\r\n", "VALUE noreply 0 1\r\nz\r\nEND\r\n");
}

#[test]
fn a_bare_line_feed_ends_a_line() {
    let mut t = Target::start();
    t.talk("set a 0 0 1\nx\r\nget a\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    // The body must end in CRLF.
    t.talk("set a 0 0 1\nx\nyzzz\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n");
}

#[test]
fn expiry_is_relative_absolute_or_at_once() {
    let mut t = Target::start();
    let soon = super::unix_now() + 5000;
    for (exptime, alive) in [
        ("0", true),
        ("2592000", true),
        (&*soon.to_string(), true),
        ("-1", false),
        ("-2147483648", false),
        // One second more than 30 days is a Unix time in the distant past.
        ("2592001", false),
    ] {
        t.talk(format!("set a 0 {exptime} 1\r\nx\r\n"), "STORED\r\n");
        let expected = if alive { "VALUE a 0 1\r\nx\r\nEND\r\n" } else { "END\r\n" };
        t.talk("get a\r\n", expected);
    }
    t.talk(format!("set a 0 {soon} 1\r\nx\r\n"), "STORED\r\n");
    let left = t.conn.ask_text("mg a t\r\n");
    let left: u64 = left.trim().trim_start_matches("HD t").parse().expect("a number");
    assert!((4990..=5001).contains(&left), "{left}");
}

#[test]
fn a_short_expiry_comes_true() {
    let mut t = Target::start();
    t.talk("set a 0 1 1\r\nx\r\n", "STORED\r\n");
    ringbinder_tests::wait::until("the item to expire", || {
        (t.conn.ask("get a\r\n") == b"END\r\n").then_some(())
    });
    assert!(t.count("get_expired") >= 1);
}
