//! Python: pylibmc, pymemcache, and Django through pylibmc.

use ringbinder_ring::Ring;

use super::text::{LIBMEMCACHED_SERVERS, comments, double_quoted, lines, weighted};
use super::waiting::{LIBMEMCACHED_RETRY_SECONDS, RETRY_SECONDS, TIMEOUT_MS, timeout_seconds};

/// The hasher in pymemcache's configuration.
///
/// It replaces uhashring's ketama, which differs from libmemcached's in two cases: single precision costs a
/// node a digest, or two nodes share a point. If pymemcache considers a node dead, the hasher keeps that
/// node's points, so that no other node's keys move.
const PYMEMCACHE: &str = include_str!("pymemcache.py");

/// The configuration of a pylibmc client.
pub(super) fn pylibmc(ring: &Ring) -> String {
    let mut text = comments(
        ring,
        "#",
        "A pylibmc client",
        "It goes where the application makes its client, and sends each key to its owner. Servers are\n\
         host:port:weight, spelled and ordered as in the ring file: both count in the hashing.",
    );
    text.push_str(&bounds(ring));
    text.push_str("import pylibmc\n\nclient = pylibmc.Client(\n    [\n");
    text.push_str(&servers(ring, 8));
    text.push_str("    ],\n    behaviors={\n");
    text.push_str(&behaviors(8));
    text.push_str("    },\n)\n");
    text
}

/// Django's `CACHES`.
pub(super) fn django(ring: &Ring) -> String {
    let mut text = comments(
        ring,
        "#",
        "Django's cache",
        "It goes into settings.py, needs pylibmc, and sends each key to its owner. Servers are\n\
         host:port:weight, spelled and ordered as in the ring file: both count in the hashing.",
    );
    text.push_str(&bounds(ring));
    text.push_str(
        "CACHES = {\n    \"default\": {\n        \"BACKEND\": \
         \"django.core.cache.backends.memcached.PyLibMCCache\",\n        \"LOCATION\": [\n",
    );
    text.push_str(&servers(ring, 12));
    text.push_str("        ],\n        \"OPTIONS\": {\n            \"behaviors\": {\n");
    text.push_str(&behaviors(16));
    text.push_str("            },\n        },\n    },\n}\n");
    text
}

/// The configuration of a pymemcache client with its hasher.
pub(super) fn pymemcache(ring: &Ring) -> String {
    let mut text = comments(
        ring,
        "#",
        "A pymemcache client",
        "It goes where the application makes its client, and sends each key to its owner. Nodes are\n\
         spelled and ordered as in the ring file: both count in the hashing. Write a prefix into the\n\
         keys themselves: pymemcache's key_prefix is added after the owner was looked for.",
    );
    text.push_str(
        "import bisect\nimport hashlib\nimport struct\n\nfrom pymemcache.client.hash import \
         HashClient\n\n# Host, port and weight of each node.\nNODES = [\n",
    );
    text.push_str(&lines(ring, 4, |node| {
        format!("({}, {}, {}),", double_quoted(&node.host), node.port, node.weight)
    }));
    text.push_str("]\n");
    text.push_str(PYMEMCACHE);
    text.push_str(&hash_client());
    text
}

/// The code that creates pymemcache's client. It removes a node from the hasher after the first failure. If
/// attempts were left, it would meanwhile answer that node's keys with misses and return `False` for unsent
/// writes.
fn hash_client() -> String {
    let timeout = timeout_seconds();
    format!(
        r#"

client = HashClient(
    [(host, port) for host, port, _ in NODES],
    hasher=Ketama,
    # Seconds to connect and to answer. Keep them above the nodes' --peer-timeout.
    connect_timeout={timeout},
    timeout={timeout},
    # TCP_NODELAY: else a request may wait 40 ms for the receipt of the one before.
    no_delay=True,
    # After one failure, other nodes get this node's keys for {RETRY_SECONDS} seconds. They forward to it if they
    # can (--foreign-keys forward, the default), so each key still has one owner.
    retry_attempts=0,
    dead_timeout={RETRY_SECONDS},
    # Wait for the answer to a write, so that a failed write raises an exception.
    default_noreply=False,
)
"#
    )
}

/// libmemcached's settings for pylibmc and Django.
///
/// A failed node keeps its keys. `auto_eject` would give them to other nodes, which must refuse to write them
/// while the owner is unreachable. libmemcached up to 1.0.17, which pylibmc's wheels contain, considers a
/// node that answers `SERVER_ERROR` failed, so it would eject every healthy node in turn.
fn behaviors(indent: usize) -> String {
    let settings = format!(
        r#"# Weighted ketama, the nodes' hashing; "ketama" is another one.
"ketama_weighted": True,
# TCP_NODELAY: else a request may wait 40 ms for the receipt of the one before.
"tcp_nodelay": True,
# Milliseconds to connect and to answer. Keep them above the nodes' --peer-timeout.
"connect_timeout": {TIMEOUT_MS},
"_poll_timeout": {TIMEOUT_MS},
# Seconds until a failed node is tried again. Requests for its keys fail until then.
"retry_timeout": {LIBMEMCACHED_RETRY_SECONDS},
# Leave this off: it makes libmemcached eject a node that refuses one write.
"auto_eject": False,
"#
    );
    settings.lines().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

/// The list of nodes for pylibmc and Django.
fn servers(ring: &Ring, indent: usize) -> String {
    lines(ring, indent, |node| format!("{},", double_quoted(&weighted(node))))
}

/// The requirements of this ring that some versions of libmemcached do not meet. pylibmc's wheels contain
/// 1.0.16, which does not support IPv6 and is built without assertions.
fn bounds(ring: &Ring) -> String {
    let mut text = String::new();
    if ring.nodes().iter().any(|node| node.host.contains(':')) {
        text.push_str(
            "# IPv6 needs libmemcached 1.0.18 or later, and pylibmc's wheels hold 1.0.16: build \
             pylibmc\n# against a later one, take Debian's python3-pylibmc, or export for \
             pymemcache.\n",
        );
    }
    if ring.nodes().len() > LIBMEMCACHED_SERVERS {
        text.push_str(
            "# With more than 100 servers take pylibmc from its wheels: a libmemcached built with\n\
             # assertions, such as Debian's, ends the process. Or export for pymemcache.\n",
        );
    }
    text
}
