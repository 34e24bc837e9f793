//! Clients: pylibmc, pymemcache and Django for Python, PHP's memcached extension, and dalli for Ruby.

use std::net::Ipv6Addr;

use ringbinder_ring::{Node, Ring};

use crate::error::CliError;
use crate::ring::export::text::{
    LIBMEMCACHED_RETRY_SECONDS, LIBMEMCACHED_SERVERS, RETRY_SECONDS, TIMEOUT_MS, comments,
    double_quoted, lines, single_quoted, timeout_seconds, weighted,
};

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

/// The configuration of a client of the extension.
///
/// # Errors
/// If the ring has more servers than libmemcached supports. PHP's extension, unlike Python's, does not bundle
/// a libmemcached that supports more.
pub(super) fn php(ring: &Ring) -> Result<String, CliError> {
    let nodes = ring.nodes().len();
    if nodes > LIBMEMCACHED_SERVERS {
        return Err(CliError::TooManyForPhp { nodes, limit: LIBMEMCACHED_SERVERS });
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

/// A warning about time-outs. dalli sets a time-out on its sockets since 4.0, and Ruby respects it since 3.2.
/// With an older version of either, a frozen node would hang the application: `socket_timeout` then limits
/// only the connection attempt.
const ENDLESS_WAIT: &str = r"
# Before dalli 4 or Ruby 3.2, socket_timeout does not end the wait for an answer; this does.
unless Dalli::VERSION.to_i >= 4 && IO.method_defined?(:timeout=)
  Dalli::Socket::TCP.prepend(Module.new do
    def gets(*)
      wait_readable(options[:socket_timeout]) ? super : raise(Timeout::Error, 'no answer')
    end
  end)
end
";

/// The configuration of a dalli client.
pub(super) fn ruby(ring: &Ring) -> String {
    let mut text = comments(
        ring,
        "#",
        "A dalli client",
        "It goes where the application makes its client; in Rails, give the same servers and options\n\
         to :mem_cache_store. dalli has a hashing of its own, so that most keys reach another node\n\
         than their owner, which forwards them: right, at the cost of one more step. When a node is\n\
         away, dalli takes another one, and that serves all that the missing node does not own.",
    );
    text.push_str(
        "require 'dalli'\n\n# Nodes speak no binary protocol.\nunless \
         defined?(Dalli::Protocol::Meta)\n  raise \"dalli #{Dalli::VERSION} speaks only the binary \
         protocol; nodes need dalli 3.2 or later\"\nend\n",
    );
    text.push_str(ENDLESS_WAIT);
    text.push_str(&format!(
        "\noptions = {{\n  # Seconds to connect and to answer. Keep this above the nodes' \
         --peer-timeout.\n  socket_timeout: {},\n  # After one failure, other nodes get this node's \
         keys for {RETRY_SECONDS} seconds.\n  socket_max_failures: 1,\n  down_retry_delay: {RETRY_SECONDS},\n}}\n",
        timeout_seconds()
    ));
    text.push_str(
        "# dalli 5 has no protocol to choose.\noptions[:protocol] = :meta if Dalli::VERSION.to_i < \
         5\nclient = Dalli::Client.new(\n  # host:port:weight\n  [\n",
    );
    text.push_str(&lines(ring, 4, |node| format!("{},", single_quoted(&dalli_server(node)))));
    text.push_str("  ],\n  options\n)\n");
    text
}

/// A server as `host:port:weight`. dalli accepts only hexadecimal digits and colons in an IPv6 address, so a
/// dotted last part is converted. The address does not affect the hashing.
fn dalli_server(node: &Node) -> String {
    let host = match node.host.parse::<Ipv6Addr>() {
        Ok(ip) => {
            let groups: Vec<String> = ip.segments().iter().map(|it| format!("{it:x}")).collect();
            let dotted = node.host.contains('.');
            format!("[{}]", if dotted { groups.join(":") } else { node.host.clone() })
        }
        Err(_) => node.host.clone(),
    };
    format!("{host}:{}:{}", node.port, node.weight)
}
