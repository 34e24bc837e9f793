//! Tests of ms.

use super::Target;

#[test]
fn ms_stores() {
    let mut t = Target::start();
    t.talk("ms a 3\r\nabc\r\n", "HD\r\n");
    t.talk("get a\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
    t.talk("ms a 0 F9 T1000 k Oq\r\n\r\n", "HD ka Oq\r\n");
    t.talk("mg a f s\r\n", "HD f9 s0\r\n");
    let left = t.conn.ask_text("mg a t\r\n");
    assert!(["HD t1000\r\n", "HD t999\r\n", "HD t998\r\n"].contains(&left.as_str()), "{left}");
    t.talk("ms a 1 T-1\r\nx\r\n", "HD\r\n");
    t.talk("mg a\r\n", "EN\r\n");
}

#[test]
fn modes_are_those_of_the_classic_commands() {
    let mut t = Target::start();
    t.talk("ms a 1 MR\r\nx\r\n", "NS\r\n");
    t.talk("ms a 1 MA\r\nx\r\n", "NS\r\n");
    t.talk("ms a 1 MP\r\nx\r\n", "NS\r\n");
    t.talk("ms a 1 ME\r\nb\r\n", "HD\r\n");
    t.talk("ms a 1 ME\r\nx\r\n", "NS\r\n");
    t.talk("ms a 1 MA\r\nc\r\n", "HD\r\n");
    t.talk("ms a 1 MP\r\na\r\n", "HD\r\n");
    t.talk("get a\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
    t.talk("ms a 1 MR\r\nr\r\n", "HD\r\n");
    t.talk("ms a 1 MS\r\ns\r\n", "HD\r\n");
    t.talk("get a\r\n", "VALUE a 0 1\r\ns\r\nEND\r\n");
    t.talk("ms a 1 MX\r\ns\r\n", "CLIENT_ERROR invalid mode for ms M token\r\n");
}

#[test]
fn c_answers_the_new_cas_and_capital_c_compares() {
    let mut t = Target::start();
    let answer = t.conn.ask_text("ms a 1 c\r\n1\r\n");
    let cas: u64 = answer.trim().strip_prefix("HD c").expect("a CAS").parse().expect("a number");
    assert_eq!(t.cas("a"), cas);
    t.talk(format!("ms a 1 C{}\r\n2\r\n", cas + 1), "EX\r\n");
    t.talk(format!("ms a 1 C{cas}\r\n2\r\n"), "HD\r\n");
    t.talk(format!("ms a 1 MA C{cas}\r\n3\r\n"), "EX\r\n");
    t.talk(format!("ms nope 1 C{cas}\r\n3\r\n"), "NF\r\n");
    t.talk("get a\r\n", "VALUE a 0 1\r\n2\r\nEND\r\n");
}

#[test]
fn i_lets_a_lower_cas_store_and_marks_it_stale() {
    let mut t = Target::start();
    t.set("a", "1");
    let cas = t.cas("a");
    t.set("a", "2");
    t.talk(format!("ms a 1 C{cas}\r\n3\r\n"), "EX\r\n");
    t.talk(format!("ms a 1 I C{cas}\r\n3\r\n"), "HD\r\n");
    t.talk("mg a v\r\n", "VA 1 X W\r\n3\r\n");
    let now = t.cas("a");
    t.talk(format!("ms a 1 I C{}\r\n4\r\n", now + 1000), "EX\r\n");
}

#[test]
fn q_keeps_success_quiet() {
    let mut t = Target::start();
    t.talk("ms a 1 q k\r\nx\r\n", "");
    t.talk("ms a 1 q ME\r\nx\r\n", "NS\r\n");
    t.talk("ms a 1 q z\r\nx\r\n", "CLIENT_ERROR invalid flag\r\n");
    t.talk("mg a v\r\n", "VA 1\r\nx\r\n");
}

#[test]
fn a_refusal_swallows_the_body() {
    let mut t = Target::start();
    for (flags, answer) in [
        ("z", "CLIENT_ERROR invalid flag"),
        ("c c", "CLIENT_ERROR duplicate flag"),
        ("Tx", "CLIENT_ERROR bad token in command line format"),
        ("C-x", "CLIENT_ERROR bad token in command line format"),
        ("Fx", "CLIENT_ERROR bad command line format"),
    ] {
        t.talk(format!("ms a 7 {flags}\r\nget a\r\n\r\n"), format!("{answer}\r\n"));
    }
    let opaque = format!("O{}", "x".repeat(32));
    t.talk(format!("ms a 1 {opaque}\r\nx\r\n"), "CLIENT_ERROR opaque token too long\r\n");
    t.talk("ms !!!! 1 b\r\nx\r\n", "CLIENT_ERROR error decoding key\r\n");
    t.talk("ms a 3\r\nabcde", "CLIENT_ERROR bad data chunk\r\n");
    t.talk("mg a\r\n", "EN\r\n");
    if t.has_latest() {
        t.talk("ms a 1 M\r\nx\r\n", "CLIENT_ERROR invalid mode for ms M token\r\n");
        t.talk("ms a 1 MSS\r\nx\r\n", "HD\r\n");
    }
}

#[test]
fn what_memcached_learned_since() {
    let mut t = Target::start();
    if !t.has_latest() {
        return;
    }
    // E: a CAS from the client.
    t.talk("ms a 1 E1234 c\r\nx\r\n", "HD c1234\r\n");
    t.talk("ms a 1 C1234 E5678\r\ny\r\n", "HD\r\n");
    t.talk("mg a c v\r\n", "VA 1 c5678\r\ny\r\n");
    // s: the current size.
    t.talk("ms a 3 s\r\nabc\r\n", "HD s3\r\n");
    t.talk("ms a 2 MA s\r\nde\r\n", "HD s5\r\n");
    // N: an append to a missing key creates the item.
    t.talk("ms b 2 MA N0\r\nab\r\n", "HD\r\n");
    t.talk("ms b 1 MA N0\r\nc\r\n", "HD\r\n");
    t.talk("ms c 1 MP N1000 s\r\nz\r\n", "HD s1\r\n");
    t.talk("get b c\r\n", "VALUE b 0 3\r\nabc\r\nVALUE c 0 1\r\nz\r\nEND\r\n");
    t.talk("ms d 1 MR N0\r\nz\r\n", "NS\r\n");
    // Without append or prepend, N has no effect.
    t.talk("ms n 1 N50\r\nx\r\n", "HD\r\n");
    t.talk("mg n t\r\n", "HD t-1\r\n");
    // E0: the server assigns a CAS, since 0 cannot be compared.
    t.talk("ms e 1 E0\r\nx\r\n", "HD\r\n");
    assert_ne!(t.cas("e"), 0);
    // md x: the value is removed, and the key stays with the given flags.
    t.talk("set f 5 0 1\r\nx\r\n", "STORED\r\n");
    t.talk("md f x F7\r\n", "HD\r\n");
    t.talk("mg f f s\r\n", "HD f7 s0\r\n");
}
