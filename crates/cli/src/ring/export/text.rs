//! Helpers shared by the targets: comments, strings, a port to listen on, and time-outs.

use std::net::IpAddr;

use ringbinder_ring::{Node, Ring};

/// Most servers that libmemcached supports. With more, a libmemcached built with assertions, such as
/// Debian's, aborts the process: it assumes a fixed size that weighted ketama never comes near.
pub(super) const LIBMEMCACHED_SERVERS: usize = 100;

/// The header of a configuration: the ring, the target, and the notes, each line a comment.
pub(super) fn comments(ring: &Ring, mark: &str, target: &str, notes: &str) -> String {
    let mut text = format!(
        "{mark} {target} for Ringbinder's ring version {}, digest {:016x}.\n{mark} Made by \
         `ringbinder ring export`: export it again when the ring changes.\n",
        ring.id().version,
        ring.id().digest
    );
    for line in notes.lines() {
        text.push_str(format!("{mark} {line}").trim_end());
        text.push('\n');
    }
    text
}

/// A string in double quotes, as JSON and Python read it.
pub(super) fn double_quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A string in single quotes, as PHP and Ruby read it.
pub(super) fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// `host:port:weight`, an IPv6 host in brackets.
pub(super) fn weighted(node: &Node) -> String {
    format!("{node}:{}", node.weight)
}

/// One line for each node, indented.
pub(super) fn lines(ring: &Ring, indent: usize, line: impl Fn(&Node) -> String) -> String {
    let line = |node| format!("{:indent$}{}\n", "", line(node));
    ring.nodes().iter().map(line).collect()
}

/// A port of 127.0.0.1 for a proxy: the first from `wanted` on that no node of the ring listens on.
pub(super) fn loopback_port(ring: &Ring, wanted: u16) -> u16 {
    let is_local = |node: &Node| {
        let address = node.host.parse::<IpAddr>();
        address.map_or(node.host.eq_ignore_ascii_case("localhost"), |ip| {
            let ip = ip.to_canonical();
            ip.is_loopback() || ip.is_unspecified()
        })
    };
    let taken = |port| ring.nodes().iter().any(|node| node.port == port && is_local(node));
    // A ring has fewer nodes than there are ports from any wanted port on.
    (wanted..=u16::MAX).find(|&port| !taken(port)).unwrap_or(wanted)
}

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
