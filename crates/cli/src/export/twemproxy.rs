//! Configuration for twemproxy (nutcracker).

use ringbinder_ring::Ring;

use super::text::{comments, lines, loopback_port};
use super::waiting::{RETRY_SECONDS, TIMEOUT_MS};

/// Renders a pool.
pub(super) fn render(ring: &Ring) -> String {
    let mut text = comments(
        ring,
        "#",
        "A twemproxy (nutcracker) pool",
        "It is a configuration file, or one more pool for one. The proxy sends each key to its owner:\n\
         servers are host:port:weight, spelled and ordered as in the ring file, and have no names,\n\
         since twemproxy would hash a name in place of the address; nor is there a hash_tag, with\n\
         which it would hash a part of the key.\n\
         It knows memcached's classic commands for keys, and no meta commands.",
    );
    text.push_str(&format!(
        "ringbinder:\n  # Where clients connect: any free address.\n  listen: 127.0.0.1:{}\n",
        loopback_port(ring, 22_121)
    ));
    text.push_str(
        "  # These two are the nodes' hashing; twemproxy's defaults are another one.\n  hash: md5\n  \
         distribution: ketama\n",
    );
    text.push_str(&failures(ring));
    text.push_str("  servers:\n");
    // twemproxy takes an IPv6 address without brackets: it parses port and weight from the end.
    text.push_str(&lines(ring, 4, |node| format!("- {}:{}:{}", node.host, node.port, node.weight)));
    text
}

/// twemproxy's settings for failed nodes. Without ejection every request for the node's keys would cost a
/// time-out, because twemproxy does not remember failures otherwise.
fn failures(ring: &Ring) -> String {
    let ejection = if ring.nodes().len() == 1 {
        String::from(
            "  # There is no other node that could get this node's keys.\n  auto_eject_hosts: false\n",
        )
    } else {
        format!(
            "  # After one failure, other nodes get this node's keys for {RETRY_SECONDS} seconds. They forward to it if\n  \
             # they can (--foreign-keys forward, the default), so each key still has one owner.\n  \
             auto_eject_hosts: true\n  server_failure_limit: 1\n  server_retry_timeout: {}\n",
            RETRY_SECONDS * 1000
        )
    };
    format!(
        "{ejection}  # Milliseconds to connect and to answer. Keep this above the nodes' \
         --peer-timeout.\n  timeout: {TIMEOUT_MS}\n"
    )
}
