//! Configuration for mcrouter.
//!
//! mcrouter has no ketama hash. `WeightedCh3` spreads keys by weight, and nodes forward.

use ringbinder_ring::Ring;
use serde_json::json;

use super::text::comments;
use super::waiting::{RETRY_SECONDS, TIMEOUT_MS};

/// The failures after which mcrouter asks another node. In each of them nothing has been sent.
const NOTHING_SENT: [&str; 3] = ["tko", "connect_error", "connect_timeout"];

/// A configuration file: JSON with comments, which mcrouter reads.
pub(super) fn render(ring: &Ring) -> String {
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
    let config = json!({
        "pools": { "ringbinder": {
            "servers": servers(ring),
            "connect_timeout": TIMEOUT_MS,
            "server_timeout": TIMEOUT_MS,
        } },
        "route": route(ring),
    });
    text.push_str(&format!("{config:#}\n"));
    text
}

fn servers(ring: &Ring) -> Vec<String> {
    ring.nodes().iter().map(ToString::to_string).collect()
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
