//! Parser for one node's answer to `stats ring`.
//!
//! A node's answer is not trusted. Texts are escaped and bounded as they are read. Numbers that do not parse
//! count as missing. Lines about a node that the ring file does not list, or lists at another address, are
//! left out. One answer therefore takes at most one [`PeerSaid`] for each node of the file.

use std::collections::HashMap;

use ringbinder_ring::{NodeIndex, Ring, RingId};

use crate::escape::words;

/// Lines required to verify that one process serves each key. Older nodes lack them.
const NEEDED: [&str; 3] = ["ring_instance", "ring_standing", "ring_drift"];

/// A process's relation to the node that it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has proof that its address in the ring leads to it.
    Confirmed,
    /// It has no proof yet, and serves none of its keys.
    Unconfirmed,
    /// Another process answers at its address.
    Replaced,
    /// The ring does not name it.
    Absent,
}

/// A node's report about itself and its peers. Texts are escaped.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Its name, if it has one.
    pub(super) name: Option<String>,
    /// Whether its ring lists it.
    pub(super) member: Option<bool>,
    pub(super) standing: Option<Standing>,
    /// The reason why its standing is not `confirmed`.
    pub(super) standing_reason: Option<String>,
    /// The number that its process drew at its start.
    pub(super) instance: Option<u64>,
    /// Another process that claims its place, if it knows of one.
    pub(super) rival: Option<u64>,
    /// Whether it serves all the keys that it owns.
    pub(super) settled: Option<bool>,
    /// Addresses of the nodes for which it waits.
    pub(super) awaited: Option<String>,
    /// Number of peers that it has declared failed since its start.
    pub(super) given_up: u64,
    /// The reason why it rejects the newest ring that it received.
    pub(super) last_error: Option<String>,
    /// The difference between its source and its current ring.
    pub(super) drift: Option<String>,
    /// The reason why it cannot write its copy of the ring.
    pub(super) cache_error: Option<String>,
    /// The ring in its own source.
    pub(super) file: Option<RingId>,
    /// The policy for requests for keys of other nodes.
    pub(super) policy: Option<String>,
    /// The lines of [`NEEDED`] that its version does not report.
    pub(super) missing: Vec<&'static str>,
    /// Its report about each peer.
    pub(super) peers: HashMap<NodeIndex, PeerSaid>,
}

/// A node's report about one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerSaid {
    /// Whether the peer is unreachable for it; `None` if it does not report that.
    pub(super) away: Option<bool>,
    /// The reason why the peer is unreachable. A node that reports reasons probes its peers all the time, so
    /// its `up` is proof. An older node reports `up` until a forwarded request fails.
    pub(super) reason: Option<String>,
    /// Whether the node reports reasons at all.
    pub(super) asks: bool,
    /// The process that it accepts under that name.
    pub(super) instance: Option<u64>,
    /// Another process that claims the name.
    pub(super) rival: Option<u64>,
    /// Whether the report is about a node at another address than in the file.
    pub(super) elsewhere: bool,
}

impl Said {
    /// Parses the lines of an answer. `ring` is the ring of the file.
    pub(super) fn parse(stats: &[(String, String)], ring: &Ring) -> Said {
        let mut said = Said { missing: NEEDED.to_vec(), ..Said::default() };
        let (mut version, mut digest) = (None, None);
        for (name, value) in stats {
            if let Some(rest) = name.strip_prefix("peer:") {
                said.peer(rest, value, ring);
                continue;
            }
            let text = || (value != "-").then(|| words(value));
            match name.as_str() {
                "ring_node" => said.name = text(),
                "ring_member" => said.member = yes_or_no(value),
                "ring_standing" => said.standing = Standing::parse(value),
                "ring_standing_reason" => said.standing_reason = text(),
                "ring_instance" => said.instance = hex(value),
                "ring_rival" => said.rival = hex(value),
                "ring_settled" => said.settled = yes_or_no(value),
                "ring_awaited" => said.awaited = text(),
                "ring_given_up" => said.given_up = value.parse().unwrap_or(0),
                "ring_last_error" => said.last_error = text(),
                "ring_drift" => said.drift = text(),
                "ring_cache_error" => said.cache_error = text(),
                "ring_file_version" => version = value.parse().ok(),
                "ring_file_digest" => digest = hex(value),
                "foreign_keys" => said.policy = text(),
                _ => {}
            }
            let understood = match name.as_str() {
                "ring_instance" => said.instance.is_some(),
                "ring_standing" => said.standing.is_some(),
                _ => true,
            };
            said.missing.retain(|missing| missing != name || !understood);
        }
        said.file = version.zip(digest).map(|(version, digest)| RingId { version, digest });
        said.peers.retain(|_, peer| !peer.elsewhere);
        said
    }

    /// Parses one line about a peer: `NAME:field`. Names have no colon.
    fn peer(&mut self, rest: &str, value: &str, ring: &Ring) {
        let Some((name, field)) = rest.split_once(':') else { return };
        let Some(index) = ring.index_of_name(name) else { return };
        let peer = self.peers.entry(index).or_default();
        match field {
            "address" => {
                let node = ring.nodes().get(index as usize);
                peer.elsewhere = node.is_some_and(|node| node.to_string() != value);
            }
            "state" => {
                peer.away = match value {
                    "away" => Some(true),
                    "up" => Some(false),
                    _ => None,
                }
            }
            "reason" => {
                peer.asks = true;
                peer.reason = (value != "-").then(|| words(value));
            }
            "instance" => peer.instance = hex(value),
            "rival" => peer.rival = hex(value),
            _ => {}
        }
    }
}

impl Standing {
    fn parse(text: &str) -> Option<Standing> {
        match text {
            "confirmed" => Some(Standing::Confirmed),
            "unconfirmed" => Some(Standing::Unconfirmed),
            "replaced" => Some(Standing::Replaced),
            "absent" => Some(Standing::Absent),
            _ => None,
        }
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Parses 16 hexadecimal digits.
fn hex(text: &str) -> Option<u64> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use ringbinder_ring::Node;

    use super::*;

    pub(in crate::fleet::check) fn ring(nodes: usize) -> Ring {
        let node = |index| Node::new(&format!("n{index}"), &format!("10.0.0.1:{}", index + 1), 1);
        let nodes: Vec<Node> = (0..nodes).map(|index| node(index).unwrap()).collect();
        Ring::of_nodes(7, &nodes, "test").unwrap()
    }

    fn parse(text: &str) -> Said {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let lines: Vec<_> =
            lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Said::parse(&lines, &ring(3))
    }

    #[test]
    fn a_node_tells_of_itself_and_of_others() {
        let said = parse(
            "ring_node n0\nring_member yes\nring_instance 00000000000000ff\nring_settled no\n\
             ring_standing unconfirmed\nring_standing_reason no proof yet\nring_awaited 10.0.0.1:2\n\
             ring_drift -\nring_file_version 6\nring_file_digest 0000000000000001\n\
             peer:n1:address 10.0.0.1:2\npeer:n1:state away\npeer:n1:reason refused\n\
             peer:n1:instance -\npeer:n1:rival 0000000000000002\n",
        );
        assert_eq!((said.name.as_deref(), said.member), (Some("n0"), Some(true)));
        assert_eq!((said.instance, said.standing), (Some(0xff), Some(Standing::Unconfirmed)));
        assert_eq!(said.file, Some(RingId { version: 6, digest: 1 }));
        assert!(said.missing.is_empty() && said.drift.is_none());
        let peer = &said.peers[&1];
        assert_eq!((peer.away, peer.reason.as_deref()), (Some(true), Some("refused")));
        assert_eq!((peer.instance, peer.rival), (None, Some(2)));
    }

    #[test]
    fn what_is_missing_or_malformed_is_known_to_be() {
        assert_eq!(parse("").missing, NEEDED);
        let said = parse("ring_instance 7\nring_standing fine\nring_drift -\nring_member maybe\n");
        assert_eq!(said.missing, ["ring_instance", "ring_standing"]);
        assert_eq!(said.member, None);
    }

    #[test]
    fn nodes_that_the_file_does_not_have_there_are_left_out() {
        let said = parse(
            "peer:n1:state away\npeer:n1:address 10.9.9.9:2\npeer:x:state away\npeer:n2\npeer:::a b\n",
        );
        assert!(said.peers.is_empty(), "{:?}", said.peers);
    }

    #[test]
    fn texts_are_escaped_and_bounded() {
        let long = "x".repeat(100_000);
        let said = parse(&format!("ring_drift a\u{9b}b\nring_last_error {long}\n"));
        assert_eq!(said.drift.as_deref(), Some("a\\u{9b}b"));
        assert!(said.last_error.unwrap().len() < 1000);
    }

    proptest! {
        #[test]
        fn no_answer_takes_more_than_a_line_for_each_node(
            lines in proptest::collection::vec(("(peer:n[0-9]:|ring_)?\\PC{0,20}", "\\PC{0,20}"), 0..50),
        ) {
            prop_assert!(Said::parse(&lines, &ring(3)).peers.len() <= 3);
        }
    }
}
