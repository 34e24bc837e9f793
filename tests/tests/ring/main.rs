//! Tests of several nodes that share a ring: foreign keys, ring changes, faulty peers.
//!
//! Each file is one subject. `linearizable` is the randomised one: clients on all nodes while rings replace
//! each other, with every key's history checked.

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

use ringbinder_tests::Conn;
use ringbinder_tests::ring::Fleet;

/// A request that sets `value` with flags 0.
fn set(key: &str, value: &str) -> String {
    format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())
}

/// The answer to a get that finds `value` with flags 0.
fn hit(key: &str, value: &str) -> String {
    format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len())
}

/// The value that a get returns; `None` for a miss.
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

/// Asserts that every node gives the same answer to a get of each key: the written value, or a miss on all
/// nodes.
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
