//! Proxies: HAProxy, mcrouter and twemproxy (nutcracker).

use std::net::IpAddr;

use ringbinder_ring::{Node, Ring};
use serde_json::json;

use crate::ring::export::text::{RETRY_SECONDS, TIMEOUT_MS, comments, lines, loopback_port};

/// The largest weight that HAProxy accepts.
const MAX_WEIGHT: u64 = 256;

/// A `listen` section.
pub(super) fn haproxy(ring: &Ring) -> String {
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
    text.push_str(&lines(ring, 4, |node| haproxy_server(node, heaviest)));
    text
}

fn haproxy_server(node: &Node, heaviest: u64) -> String {
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

/// The failures after which mcrouter asks another node. In each of them nothing has been sent.
const NOTHING_SENT: [&str; 3] = ["tko", "connect_error", "connect_timeout"];

/// A configuration file: JSON with comments, which mcrouter reads.
pub(super) fn mcrouter(ring: &Ring) -> String {
    let retry = RETRY_SECONDS * 1000;
    let mut text = comments(
        ring,
        "//",
        "An mcrouter configuration",
        &format!(
            "It is a file for --config. mcrouter has no ketama, so that most keys reach another node than\n\
         their owner, which forwards them: right, at the cost of one more step. When a node cannot be\n\
         reached, another one is asked, and that serves all that the missing node does not own.\n\
         Time-outs are milliseconds to connect and to answer. Keep them above the nodes' --peer-timeout.\n\
         Start mcrouter with --timeouts-until-tko=1 --probe-timeout-initial=1000\n\
         --probe-timeout-max={retry}: then another node is asked after one time-out, and a lost node is\n\
         tried again soon. The defaults are three time-outs, and a trial after 10 to 60 seconds.\n\
         Keys that begin with a routing prefix, /region/cluster/, lose it on their way. This follows\n\
         mcrouter's documentation; Ringbinder's tests do not run it."
        ),
    );
    let servers: Vec<String> = ring.nodes().iter().map(ToString::to_string).collect();
    let config = json!({
        "pools": { "ringbinder": {
            "servers": servers,
            "connect_timeout": TIMEOUT_MS,
            "server_timeout": TIMEOUT_MS,
        } },
        "route": route(ring),
    });
    text.push_str(&format!("{config:#}\n"));
    text
}

fn route(ring: &Ring) -> serde_json::Value {
    if ring.nodes().len() == 1 {
        return json!("PoolRoute|ringbinder");
    }
    let weights = ring.nodes().iter().map(|node| f64::from(node.weight));
    let heaviest = weights.clone().fold(0.0, f64::max);
    // mcrouter's weights are from 0 to 1. A node with weight 1 takes every key that hashes to it.
    let weights: Vec<f64> = weights.map(|weight| weight / heaviest).collect();
    json!({
        "type": "FailoverRoute",
        "children": [
            {
                "type": "PoolRoute",
                "pool": "ringbinder",
                "hash": { "hash_func": "WeightedCh3", "weights": weights },
            },
            // A few nodes in an order that depends on this host and not on the key.
            "LatestRoute|Pool|ringbinder",
        ],
        "failover_errors": NOTHING_SENT,
    })
}

/// Renders a pool.
pub(super) fn twemproxy(ring: &Ring) -> String {
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
