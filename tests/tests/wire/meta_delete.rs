//! Tests of md.

use super::Target;

#[test]
fn md_removes() {
    let mut t = Target::start();
    t.talk("md a\r\n", "NF\r\n");
    t.talk("md a k Oq\r\n", "NF ka Oq\r\n");
    t.set("a", "1");
    t.talk("md a Oq k\r\n", "HD Oq ka\r\n");
    t.talk("mg a\r\n", "EN\r\n");
}

#[test]
fn capital_c_compares() {
    let mut t = Target::start();
    t.set("a", "1");
    let cas = t.cas("a");
    t.talk(format!("md a C{}\r\n", cas + 1), "EX\r\n");
    t.talk("md a C0\r\n", "EX\r\n");
    t.talk(format!("md a C{cas}\r\n"), "HD\r\n");
    t.talk("mg a\r\n", "EN\r\n");
}

#[test]
fn i_marks_stale_and_keeps() {
    let mut t = Target::start();
    t.set("a", "1");
    let cas = t.cas("a");
    t.talk("md a I\r\n", "HD\r\n");
    assert!(t.cas("a") > cas);
    // That read was the winner.
    t.talk("mg a v t\r\n", "VA 1 t-1 Z X\r\n1\r\n");
    t.talk("md a I T1000\r\n", "HD\r\n");
    let answer = t.conn.ask_text("mg a t\r\n");
    assert!(answer.starts_with("HD t") && answer.ends_with(" X W\r\n"), "{answer}");
    assert!(!answer.contains("t-1"), "{answer}");
    t.talk("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    t.set("a", "2");
    t.talk("mg a v\r\n", "VA 1\r\n2\r\n");
}

#[test]
fn q_keeps_all_but_errors_quiet() {
    let mut t = Target::start();
    t.set("a", "1");
    t.talk("md a q\r\n", "");
    if t.has_latest() {
        t.talk("md a q z\r\n", "CLIENT_ERROR invalid flag\r\n");
        t.talk("md a I I\r\n", "CLIENT_ERROR duplicate flag\r\n");
        t.talk("md a Cx\r\n", "CLIENT_ERROR bad token in command line format\r\n");
        t.talk("md\r\n", "CLIENT_ERROR bad command line format\r\n");
    }
    let long = "x".repeat(32);
    t.talk(format!("md a O{long}\r\n"), "CLIENT_ERROR opaque token too long\r\n");
    t.talk(format!("md {}\r\n", "k".repeat(251)), "CLIENT_ERROR bad command line format\r\n");
}

#[test]
fn what_memcached_learned_since() {
    let mut t = Target::start();
    if !t.has_latest() {
        return;
    }
    t.talk("set a 5 1000 3\r\nabc\r\n", "STORED\r\n");
    // x: the key stays, and its value and flags are removed.
    t.talk("md a x\r\n", "HD\r\n");
    t.talk("mg a v s f\r\n", "VA 0 s0 f0\r\n\r\n");
    t.set("a", "abc");
    t.talk("md a x I T1000\r\n", "HD\r\n");
    t.talk("mg a v\r\n", "VA 0 X W\r\n\r\n");
    // E: a CAS from the client for the remaining item.
    t.set("a", "abc");
    t.talk("md a I E4321\r\n", "HD\r\n");
    t.talk("mg a c\r\n", "HD c4321 X W\r\n");
}
