//! How long clients wait for a node, and when they try a failed node again.
//!
//! One set of figures for every target, so that a client beside a proxy, or two clients in one
//! application, notice a lost node at the same time. Targets differ in units and in what a failure
//! makes them do; their own files say that.

/// Milliseconds to connect, and to wait for an answer.
///
/// Longer than a node waits for another node (`--peer-timeout`, 200 ms by default). A shorter time-out
/// would blame a healthy node that waits for a lost one. Well below a second, so that a frozen node
/// costs a request less than that.
pub(super) const TIMEOUT_MS: u64 = 500;

/// Seconds until a client that gives a failed node's keys to other nodes tries that node again.
///
/// Other nodes forward meanwhile, so a longer wait costs a hop and a shorter one more time-outs.
pub(super) const RETRY_SECONDS: u64 = 5;

/// Seconds until libmemcached tries a failed node again. It keeps the keys of that node, so they fail
/// at once until then.
pub(super) const LIBMEMCACHED_RETRY_SECONDS: u64 = 2;

/// Seconds as Python and Ruby write them.
pub(super) fn timeout_seconds() -> String {
    format!("{}.{:03}", TIMEOUT_MS / 1000, TIMEOUT_MS % 1000).trim_end_matches('0').to_owned()
}
