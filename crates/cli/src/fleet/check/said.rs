//! The answer of one node to `stats ring`, read.
//!
//! A node's words are not trusted: texts are escaped and bounded as they are read, numbers that do not
//! parse count as missing, and lines about nodes that the ring file does not have, or has at another
//! address, are left out. So one answer takes at most one [`PeerSaid`] for each node of the file.

use std::collections::HashMap;

use ringbinder_ring::{NodeIndex, Ring, RingId};

use crate::escape::words;

/// Lines without which nobody can tell whether one process serves each key. Older nodes lack them.
const NEEDED: [&str; 3] = ["ring_instance", "ring_standing", "ring_drift"];

/// How a process stands to the node that it says it is.
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

/// What a node says of itself and of its peers. Texts are escaped.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The name that it goes by; none if it has none.
    pub(super) name: Option<String>,
    /// Whether its ring names it.
    pub(super) member: Option<bool>,
    pub(super) standing: Option<Standing>,
    /// Why its standing is not `confirmed`.
    pub(super) standing_reason: Option<String>,
    /// The number that its process drew at its start.
    pub(super) instance: Option<u64>,
    /// Another process that it knows to claim its place.
    pub(super) rival: Option<u64>,
    /// Whether it serves all that it owns.
    pub(super) settled: Option<bool>,
    /// Addresses of the nodes that it waits for.
    pub(super) awaited: Option<String>,
    /// How many peers it has declared failed since its start.
    pub(super) given_up: u64,
    /// Why it does not use the newest ring that it was given.
    pub(super) last_error: Option<String>,
    /// How its source and the ring in force differ.
    pub(super) drift: Option<String>,
    /// Why it cannot write its copy of the ring.
    pub(super) cache_error: Option<String>,
    /// The ring in its own source.
    pub(super) file: Option<RingId>,
    /// What it does with requests for keys of other nodes.
    pub(super) policy: Option<String>,
    /// Those of [`NEEDED`] that its version does not report.
    pub(super) missing: Vec<&'static str>,
    /// What it says of others.
    pub(super) peers: HashMap<NodeIndex, PeerSaid>,
}

/// What a node says of one other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerSaid {
    /// Whether it does not reach that node; none if it does not say.
    pub(super) away: Option<bool>,
    /// Why it does not. A node that reports reasons asks its peers all the time, and its `up` is
    /// proof; an older one says `up` until it has forwarded something in vain.
    pub(super) reason: Option<String>,
    /// Whether it reports reasons at all.
    pub(super) asks: bool,
    /// The process that it accepts under that name.
    pub(super) instance: Option<u64>,
    /// Another process that claims the name.
    pub(super) rival: Option<u64>,
    /// Whether it is about a node at another address than the file's.
    pub(super) elsewhere: bool,
}

impl Said {
    /// Out of the lines of the answer. `ring` is that of the file.
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

    /// One line about a peer: `NAME:field`. Names have no colon.
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

/// 16 hexadecimal digits.
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
