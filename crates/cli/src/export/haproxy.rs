//! HAProxy: one address on which any client reaches whatever nodes are up.

use std::net::IpAddr;

use ringbinder_ring::{Node, Ring};

use super::text::{comments, lines, loopback_port};

/// HAProxy's largest weight.
const MAX_WEIGHT: u64 = 256;

/// A `listen` section.
pub(super) fn render(ring: &Ring) -> String {
    let mut text = comments(
        ring,
        "#",
        "An HAProxy section",
        "It goes to the end of haproxy.cfg on the clients' own host, or stands alone as one. A client\n\
         of its address reaches any node that is up, and that node forwards what others own: right\n\
         with every client, at the cost of one more step for most keys.",
    );
    text.push_str(&format!(
        "listen ringbinder\n    # Where clients connect: any free address.\n    bind 127.0.0.1:{}\n",
        loopback_port(ring, 11_211)
    ));
    text.push_str(
        "    mode tcp\n    option tcplog\n    balance leastconn\n    # Clients keep connections for \
         long without a word.\n    timeout connect 2s\n    timeout client 24h\n    timeout server 24h\n    \
         option clitcpka\n    option srvtcpka\n    option redispatch\n    # A node is up that answers; \
         connections to one that no longer does are closed.\n    option tcp-check\n    tcp-check \
         connect\n    tcp-check send version\\r\\n\n    tcp-check expect string VERSION\n    \
         default-server check inter 2s fall 2 rise 1 on-marked-down shutdown-sessions\n",
    );
    let heaviest = ring.nodes().iter().map(|node| u64::from(node.weight)).max().unwrap_or(1);
    text.push_str(&lines(ring, 4, |node| server(node, heaviest)));
    text
}

fn server(node: &Node, heaviest: u64) -> String {
    // Only weights that are too large for it are scaled, and none of them to 0, which means off.
    let scale = heaviest.max(MAX_WEIGHT);
    let weight = (u64::from(node.weight) * MAX_WEIGHT).div_ceil(scale);
    let mut line = format!("server {} {node} weight {weight}", node.name);
    if node.host.parse::<IpAddr>().is_err() {
        // A name that cannot be looked up leaves its node out, where it would keep HAProxy down.
        line.push_str(" init-addr libc,none");
    }
    line
}
