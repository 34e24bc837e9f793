//! Tests of the memory of connections: what counts, which connections wait, and which are closed.

use ringbinder_tests::wait;

use crate::{Target, ours_only, store};

const MIB: u64 = 1 << 20;

/// Memory of connections by the node's own report, this connection included.
fn held(t: &mut Target) -> u64 {
    t.count("memory_connections")
}

#[test]
fn what_is_only_announced_takes_nothing() {
    ours_only!();
    let mut t = Target::with(&["-t", "1"]);
    let before = held(&mut t);
    let mut others: Vec<_> = (0..100).map(|_| t.server.connect()).collect();
    for other in &mut others {
        other.send("set k 0 0 1000000\r\n");
    }
    wait::until("all to be read", || (t.count("curr_connections") > 100).then_some(()));
    let taken = held(&mut t).saturating_sub(before);
    assert!(taken < 100 * 1024, "{taken} bytes for what was announced");
    // The beginning of a value takes about as much memory as its bytes.
    for other in &mut others {
        other.send("v".repeat(10_000));
    }
    let expected = 100 * 10_000;
    let bytes = |t: &mut Target| held(t).saturating_sub(before);
    wait::until("the beginnings to be read", || (bytes(&mut t) >= expected).then_some(()));
    assert!(bytes(&mut t) < 2 * expected, "{} for {expected} bytes", bytes(&mut t));
    drop(others);
    wait::until("all to be given back", || (bytes(&mut t) < 100 * 1024).then_some(()));
}

#[test]
fn a_refused_value_is_dropped_as_it_comes() {
    ours_only!();
    let mut t = Target::with(&["-t", "1"]);
    let before = held(&mut t);
    let mut others: Vec<_> = (0..100).map(|_| t.server.connect()).collect();
    for other in &mut others {
        other.send("set k 0 0 2000000\r\n".to_owned() + &"v".repeat(10_000));
        assert_eq!(other.take_line(), "SERVER_ERROR object too large for cache\r\n");
    }
    let taken = held(&mut t).saturating_sub(before);
    assert!(taken < 100 * 1024, "{taken} bytes for what is dropped");
}

#[test]
fn unfinished_lines_wait_for_each_other_and_all_are_answered() {
    ours_only!();
    let mut t = Target::with(&["-m", "2", "--connection-memory", "2"]);
    let line = "get".to_owned() + &" k".repeat(450_000);
    let mut others: Vec<_> = (0..6).map(|_| t.server.connect()).collect();
    for other in &mut others {
        other.send(&line);
    }
    wait::until("some to wait", || (t.count("memory_waits") > 0).then_some(()));
    // Half of it, the initial memory of each connection, and one connection that may exceed the limit.
    assert!(held(&mut t) < 3 * MIB, "{} bytes", held(&mut t));
    others.iter_mut().for_each(|other| other.send("\r\n"));
    for other in &mut others {
        other.talk("", "END\r\n");
    }
    assert_eq!(t.count("memory_closed_connections"), 0);
}

#[test]
fn values_that_arrive_slowly_wait_for_each_other_and_all_are_stored() {
    ours_only!();
    let mut t = Target::with(&["-m", "64", "--connection-memory", "2", "-t", "2"]);
    let mut others: Vec<_> = (0..12).map(|_| t.server.connect()).collect();
    for (number, other) in others.iter_mut().enumerate() {
        other.send(format!("set slow{number} 0 0 900000\r\n"));
    }
    // In turn, so that no value is complete before the last round.
    for _ in 0..9 {
        for other in &mut others {
            other.send("v".repeat(100_000));
        }
    }
    others.iter_mut().for_each(|other| other.send("\r\n"));
    for other in &mut others {
        other.talk("", "STORED\r\n");
    }
    assert_eq!(t.count("memory_closed_connections"), 0);
    assert_eq!(t.count("curr_items"), 12);
}

#[test]
fn who_does_not_read_is_closed_before_anybody_is_refused() {
    ours_only!();
    let mut t = Target::with(&["-m", "64", "--connection-memory", "1", "-t", "1"]);
    for number in 0..100 {
        t.talk(store(&format!("k{number}"), 3_000), "STORED\r\n");
    }
    let keys: String = (0..100).map(|number| format!(" k{number}")).collect();
    let line = format!("get{keys}\r\n").repeat(20);
    // Each holds the maximum of answers for one connection, beyond those in the kernel's buffers.
    let mut stuck: Vec<_> = (0..40).map(|_| t.server.connect()).collect();
    for one in &mut stuck {
        one.send(&line);
    }
    wait::until("the first to be closed", || {
        // Each request is answered.
        t.talk("get none\r\n", "END\r\n");
        (t.count("memory_closed_connections") > 0).then_some(())
    });
    assert!(held(&mut t) < 2 * MIB, "{} bytes", held(&mut t));
    // The line follows the counter.
    wait::until("the line in the log", || {
        t.server.log().contains("connections that neither read nor sent").then_some(())
    });
    drop(stuck);
    t.talk("get none\r\n", "END\r\n");
}

#[test]
fn a_value_that_a_socket_still_sends_counts_once_its_item_is_gone() {
    ours_only!();
    let mut t = Target::with(&["-m", "64", "-t", "1"]);
    t.talk(store("big", 1_000_000), "STORED\r\n");
    let before = held(&mut t);
    // More than the kernel buffers: the rest waits in the node.
    let mut reader = t.server.connect();
    reader.send("get big\r\n".repeat(20));
    let mut other = t.server.connect();
    wait::until("its answers to wait", || {
        let conns = other.ask_text("stats conns\r\n");
        conns.contains("conn_mwrite").then_some(())
    });
    assert!(held(&mut t) < before + 200_000, "the item's memory counts as the item's");
    t.talk(store("big", 10), "STORED\r\n");
    assert!(held(&mut t) > before + 500_000, "the socket answers for it now");
    drop(reader);
    wait::until("it to be given back", || (held(&mut t) < before + 200_000).then_some(()));
}

#[test]
fn an_item_of_half_the_memory_is_stored() {
    ours_only!();
    let mut t = Target::with(&["-m", "64", "-I", "32m", "--connection-memory", "8"]);
    for round in 0..4 {
        t.talk(store(&format!("huge{round}"), (31 << 20) + 500_000), "STORED\r\n");
    }
    assert_eq!(t.count("curr_items"), 2);
}
