//! HAProxy: one address through which any client reaches the nodes that are up.

use std::net::IpAddr;

use ringbinder_ring::{Node, Ring};

use super::text::{comments, lines, loopback_port};
use super::waiting::TIMEOUT_MS;

/// The largest weight that HAProxy accepts.
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
    text.push_str(&format!(
        r"    mode tcp
    option tcplog
    balance leastconn
    # Clients keep connections for long without a word.
    timeout client 24h
    timeout server 24h
    option clitcpka
    option srvtcpka
    # Every further attempt to connect goes to another node.
    timeout connect {TIMEOUT_MS}ms
    retries 3
    option redispatch 1
    # A node is up that answers; connections to one that no longer does are closed. Two checks that
    # fail in a row say so, and take 850 ms at most: 300 + 250 and 50 + 250.
    timeout check 250ms
    option tcp-check
    tcp-check connect
    tcp-check send version\r\n
    tcp-check expect string VERSION
    default-server check inter 300ms fastinter 50ms fall 2 rise 1 on-marked-down shutdown-sessions
"
    ));
    let heaviest = ring.nodes().iter().map(|node| u64::from(node.weight)).max().unwrap_or(1);
    text.push_str(&lines(ring, 4, |node| server(node, heaviest)));
    text
}

fn server(node: &Node, heaviest: u64) -> String {
    // Weights are scaled only if one is too large, and never to 0, which means off.
    let scale = heaviest.max(MAX_WEIGHT);
    let weight = (u64::from(node.weight) * MAX_WEIGHT).div_ceil(scale);
    let mut line = format!("server {} {node} weight {weight}", node.name);
    if node.host.parse::<IpAddr>().is_err() {
        // A node whose name cannot be resolved is left out. Otherwise HAProxy would not start.
        line.push_str(" init-addr libc,none");
    }
    line
}
