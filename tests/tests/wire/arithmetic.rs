//! Tests of incr and decr.

use super::Target;

#[test]
fn numbers_rise_and_fall() {
    let mut t = Target::start();
    t.talk("incr a 1\r\n", "NOT_FOUND\r\n");
    t.talk("decr a 1\r\n", "NOT_FOUND\r\n");
    t.talk("set a 9 1000 2\r\n10\r\n", "STORED\r\n");
    t.talk("incr a 5\r\n", "15\r\n");
    t.talk("decr a 14\r\n", "1\r\n");
    t.talk("incr a 0\r\n", "1\r\n");
    t.talk("incr a 99 noreply\r\n", "");
    t.talk("decr a 1 noreply\r\n", "");
    t.talk("get a\r\n", "VALUE a 9 3\r\n99 \r\nEND\r\n");
    let left = t.conn.ask_text("mg a t\r\n");
    assert!(["HD t1000\r\n", "HD t999\r\n", "HD t998\r\n"].contains(&left.as_str()), "{left}");
}

#[test]
fn decr_keeps_the_length_and_stops_at_zero() {
    let mut t = Target::start();
    t.set("a", "100");
    t.talk("decr a 1\r\n", "99\r\n");
    t.talk("get a\r\n", "VALUE a 0 3\r\n99 \r\nEND\r\n");
    // Read only once: memcached drops the padding of an item that its background thread holds, which it does
    // for a moment after a second read.
    t.set("a", "100");
    t.talk("decr a 1000\r\n", "0\r\n");
    t.talk("incr a 12\r\n", "12\r\n");
    t.talk("get a\r\n", "VALUE a 0 3\r\n12 \r\nEND\r\n");
    t.talk("incr a 1000\r\n", "1012\r\n");
    t.talk("get a\r\n", "VALUE a 0 4\r\n1012\r\nEND\r\n");
}

#[test]
fn incr_wraps_at_64_bits() {
    let mut t = Target::start();
    t.set("a", "18446744073709551615");
    t.talk("incr a 1\r\n", "0\r\n");
    t.talk("get a\r\n", format!("VALUE a 0 20\r\n0{}\r\nEND\r\n", " ".repeat(19)));
    t.set("a", "2");
    t.talk("incr a 18446744073709551615\r\n", "1\r\n");
}

#[test]
fn only_numbers_count() {
    let mut t = Target::start();
    let refusal = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    for value in ["", "abc", "1a", "1.5", "18446744073709551616", "-5", "0x10"] {
        t.set("a", value);
        t.talk("incr a 1\r\n", refusal);
        t.talk("decr a 1\r\n", refusal);
        let length = value.len();
        t.talk("get a\r\n", format!("VALUE a 0 {length}\r\n{value}\r\nEND\r\n"));
    }
    for (value, sum) in [("007", "8"), (" 7", "8"), ("7 ", "8"), ("+7", "8"), ("7 x", "8")] {
        t.set("a", value);
        t.talk("incr a 1\r\n", format!("{sum}\r\n"));
    }
}

#[test]
fn a_delta_is_an_unsigned_number() {
    let mut t = Target::start();
    t.set("a", "1");
    for delta in ["abc", "-1", "1.5", "18446744073709551616", "5x"] {
        t.talk(format!("incr a {delta}\r\n"), "CLIENT_ERROR invalid numeric delta argument\r\n");
    }
    t.talk("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}
