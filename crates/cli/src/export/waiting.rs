//! Time-outs and retry intervals of clients.
//!
//! All targets use the same figures, so that a client beside a proxy, or two clients in one application,
//! notice a lost node at the same time. Targets differ in units and in their reaction to a failure; their own
//! files document that.

/// Milliseconds to connect, and to wait for an answer.
///
/// It exceeds the time that a node waits for another node (`--peer-timeout`, 200 ms by default): with a
/// shorter time-out, the client would blame a healthy node that waits for a lost one. It is well below a
/// second, so that a request to a frozen node costs less than a second.
pub(super) const TIMEOUT_MS: u64 = 500;

/// Seconds until a client that gives a failed node's keys to other nodes tries that node again.
///
/// Other nodes forward meanwhile. A longer interval costs a hop per request, and a shorter one costs more
/// time-outs.
pub(super) const RETRY_SECONDS: u64 = 5;

/// Seconds until libmemcached tries a failed node again. Meanwhile the node keeps its keys, and requests for
/// them fail at once.
pub(super) const LIBMEMCACHED_RETRY_SECONDS: u64 = 2;

/// The time-out in seconds, as Python and Ruby write it.
pub(super) fn timeout_seconds() -> String {
    format!("{}.{:03}", TIMEOUT_MS / 1000, TIMEOUT_MS % 1000).trim_end_matches('0').to_owned()
}
