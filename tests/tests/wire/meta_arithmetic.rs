//! Tests of ma.

use super::{Target, ours_only};

#[test]
fn ma_counts_by_one_unless_told() {
    let mut t = Target::start();
    t.talk("ma a\r\n", "NF\r\n");
    t.set("a", "10");
    t.talk("ma a\r\n", "HD\r\n");
    t.talk("ma a v\r\n", "VA 2\r\n12\r\n");
    t.talk("ma a v D8\r\n", "VA 2\r\n20\r\n");
    t.talk("ma a v MD D5\r\n", "VA 2\r\n15\r\n");
    t.talk("ma a v M- D100\r\n", "VA 1\r\n0\r\n");
    t.talk("ma a v M+\r\n", "VA 1\r\n1\r\n");
    t.talk("ma a v MI k Oq t\r\n", "VA 1 ka Oq t-1\r\n2\r\n");
    t.talk("ma nope v k Oq\r\n", "NF knope Oq\r\n");
}

#[test]
fn n_and_j_start_what_is_absent() {
    let mut t = Target::start();
    t.talk("ma a N0 v\r\n", "VA 1\r\n0\r\n");
    t.talk("ma a N0 J50 v\r\n", "VA 1\r\n1\r\n");
    t.talk("ma b N0 J50 D7 v\r\n", "VA 2\r\n50\r\n");
    t.talk("ma b N0 J50 D7 v\r\n", "VA 2\r\n57\r\n");
    t.talk("ma c N1000 J18446744073709551615\r\n", "HD\r\n");
    t.talk("ma c v\r\n", "VA 1\r\n0\r\n");
    let left = t.conn.ask_text("mg c t\r\n");
    assert!(["HD t1000\r\n", "HD t999\r\n", "HD t998\r\n"].contains(&left.as_str()), "{left}");
}

#[test]
fn t_sets_another_expiry_and_c_compares() {
    let mut t = Target::start();
    t.set("a", "1");
    let answer = t.conn.ask_text("ma a c\r\n");
    let cas: u64 = answer.trim().strip_prefix("HD c").expect("a CAS").parse().expect("a number");
    assert_eq!(t.cas("a"), cas);
    t.talk(format!("ma a C{} v\r\n", cas + 1), "EX\r\n");
    t.talk(format!("ma a C{cas} v\r\n"), "VA 1\r\n3\r\n");
    t.talk("ma a T-1\r\n", "HD\r\n");
    t.talk("mg a\r\n", "EN\r\n");
}

#[test]
fn q_keeps_success_quiet() {
    let mut t = Target::start();
    t.set("a", "1");
    t.talk("ma a q v\r\n", "");
    t.talk("mg a v\r\n", "VA 1\r\n2\r\n");
    t.set("a", "x");
    let refusal = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    t.talk("ma a q\r\n", refusal);
}

#[test]
fn malformed_flags_are_refused() {
    let mut t = Target::start();
    t.set("a", "1");
    t.talk("ma a MX\r\n", "CLIENT_ERROR invalid mode for ma M token\r\n");
    for flags in ["z", "v v", "Dx", "D-1", "Jx", "Cx", "Tx", "Nx"] {
        let answer = "CLIENT_ERROR invalid or duplicate flag\r\n";
        t.talk(format!("ma a {flags}\r\n"), answer);
    }
    if t.has_latest() {
        t.talk("ma\r\n", "CLIENT_ERROR bad command line format\r\n");
        t.talk("ma !!!! b\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n");
    }
    t.talk("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn an_opaque_that_is_too_long_changes_nothing() {
    ours_only!();
    let mut t = Target::start();
    t.set("a", "1");
    let long = "x".repeat(32);
    t.talk(format!("ma a O{long}\r\n"), "CLIENT_ERROR opaque token too long\r\n");
    t.talk("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn what_memcached_learned_since() {
    let mut t = Target::start();
    if !t.has_latest() {
        return;
    }
    t.set("a", "1");
    t.talk("ma a E77 c v\r\n", "VA 1 c77\r\n2\r\n");
    t.talk("ma b N0 J5 E88 c v\r\n", "VA 1 c88\r\n5\r\n");
}
