//! Several nodes that share a ring: foreign keys, changes of the ring, peers that misbehave.
//!
//! Each file is one subject. `linearizable` is the randomized one: clients on all nodes while rings
//! replace each other, and every key's history checked.

mod changes;
mod claims;
mod drift;
mod failures;
mod flush;
mod forwarding;
mod linearizable;
mod long_answers;
mod peers;
mod places;
mod policies;
mod sampling;

use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Conn, Kind};

/// Whether the node under test can be started; says so where not.
fn here(test: &str) -> bool {
    let here = Kind::Ringbinder.available();
    if !here {
        ringbinder_tests::skip::skip(test, "no ringbinderd");
    }
    here
}

/// What a set of `value` with flags 0 sends.
fn set(key: &str, value: &str) -> String {
    format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())
}

/// What a get that finds `value` with flags 0 is answered with.
fn hit(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len())
}

/// The value that a get answers with, or none for a miss.
#[track_caller]
fn value_of(conn: &mut Conn, key: &str) -> Option<String> {
    let answer = conn.ask_text(&format!("get {key}\r\n"));
    if answer == "END\r\n" {
        return None;
    }
    let body = answer.strip_prefix(&format!("VALUE {key} 0 "));
    let body = body.and_then(|rest| rest.split_once("\r\n")?.1.strip_suffix("\r\nEND\r\n"));
    Some(body.unwrap_or_else(|| panic!("get {key}: {answer:?}")).to_owned())
}

/// Asserts that every node answers a get of every key alike: with what was written, or all miss.
#[track_caller]
fn assert_all_agree(
    fleet: &Fleet,
    nodes: &[usize],
    keys: &[String],
    value: impl Fn(&str) -> String,
) {
    for &node in nodes {
        let mut conn = fleet.connect(node);
        for key in keys {
            conn.talk(format!("get {key}\r\n"), hit(key, &value(key)));
        }
    }
}
