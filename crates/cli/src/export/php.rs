//! PHP's memcached extension, which is libmemcached.

use ringbinder_ring::Ring;

use super::ExportError;
use super::text::{LIBMEMCACHED_SERVERS, comments, lines, single_quoted};

/// A client of the extension.
///
/// # Errors
/// With more servers than libmemcached bears. Unlike Python's, PHP's extension comes without a
/// libmemcached of its own that does.
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
         and take another id for another ring.",
    ));
    text.push_str(
        "$memcached = new Memcached();\n$memcached->setOptions([\n    // Weighted ketama, the nodes' \
         hashing.\n    Memcached::OPT_LIBKETAMA_COMPATIBLE => true,\n    // A prefix is part of the \
         key, as it is for the nodes.\n    Memcached::OPT_HASH_WITH_PREFIX_KEY => true,\n]);\n\
         $memcached->addServers([\n",
    );
    text.push_str(&lines(ring, 4, |node| {
        format!("[{}, {}, {}],", single_quoted(&node.host), node.port, node.weight)
    }));
    text.push_str("]);\n");
    Ok(text)
}
