//! PHP's memcached extension, which uses libmemcached.
//!
//! libmemcached since 1.0.18 marks a node as failed only if it cannot connect. A frozen node accepts
//! connections, so every request for its keys costs a time-out. No option of libmemcached changes that.

use ringbinder_ring::Ring;

use super::ExportError;
use super::text::{LIBMEMCACHED_SERVERS, comments, lines, single_quoted};
use super::waiting::{LIBMEMCACHED_RETRY_SECONDS, TIMEOUT_MS};

/// The configuration of a client of the extension.
///
/// # Errors
/// If the ring has more servers than libmemcached supports. PHP's extension, unlike Python's, does not bundle
/// a libmemcached that supports more.
pub(super) fn render(ring: &Ring) -> Result<String, ExportError> {
    let nodes = ring.nodes().len();
    if nodes > LIBMEMCACHED_SERVERS {
        return Err(ExportError::TooManyForPhp { nodes, limit: LIBMEMCACHED_SERVERS });
    }
    let mut text = String::from("<?php\n");
    text.push_str(&comments(
        ring,
        "//",
        "A client of the memcached extension",
        "It goes where the application makes its client, and sends each key to its owner. Servers are\n\
         host, port and weight, spelled and ordered as in the ring file: both count in the hashing.\n\
         A persistent Memcached('id') keeps its servers: add them only if getServerList() is empty,\n\
         and take another id for another ring.\n\
         A frozen node costs each request for its keys one time-out, because libmemcached from 1.0.18\n\
         on asks it every time. If that is too much, run twemproxy or HAProxy beside PHP.",
    ));
    text.push_str(&format!(
        r"$memcached = new Memcached();
$memcached->setOptions([
    // Weighted ketama, the nodes' hashing.
    Memcached::OPT_LIBKETAMA_COMPATIBLE => true,
    // A prefix is part of the key, as it is for the nodes.
    Memcached::OPT_HASH_WITH_PREFIX_KEY => true,
    // TCP_NODELAY: else a request may wait 40 ms for the receipt of the one before.
    Memcached::OPT_TCP_NODELAY => true,
    // Milliseconds to connect and to answer. Keep them above the nodes' --peer-timeout.
    Memcached::OPT_CONNECT_TIMEOUT => {TIMEOUT_MS},
    Memcached::OPT_POLL_TIMEOUT => {TIMEOUT_MS},
    // Seconds until an unreachable node is tried again. Requests for its keys fail until then.
    Memcached::OPT_RETRY_TIMEOUT => {LIBMEMCACHED_RETRY_SECONDS},
]);
$memcached->addServers([
"
    ));
    text.push_str(&lines(ring, 4, |node| {
        format!("[{}, {}, {}],", single_quoted(&node.host), node.port, node.weight)
    }));
    text.push_str("]);\n");
    Ok(text)
}
