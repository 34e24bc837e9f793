//! twemproxy (nutcracker).

use ringbinder_ring::Ring;

use super::text::{comments, lines, loopback_port};

/// A pool.
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
         distribution: ketama\n  # Ejecting a node would give its keys to others, which do not own \
         them.\n  auto_eject_hosts: false\n  timeout: 2000\n  servers:\n",
    );
    // An IPv6 address has no brackets here: port and weight are found from the end.
    text.push_str(&lines(ring, 4, |node| format!("- {}:{}:{}", node.host, node.port, node.weight)));
    text
}
