//! What the answers of all nodes mean together.
//!
//! One cause is one finding: what follows from another finding is left out. The parts run in this
//! order, and each knows what the parts before it found about a node:
//!
//! 1. [`held`]: whether the node answers, and whether it holds the ring of the file.
//! 2. [`identity`]: whether the process at its address is the node that the ring names.
//! 3. [`reach`]: whether the nodes reach each other.
//! 4. [`agree`]: whether anything will break that agreement later, or cannot be checked.

use std::collections::HashMap;

use ringbinder_client::Error;
use ringbinder_ring::{Ring, RingId};

use super::finding::{Finding, Kind, listed};
use super::said::Said;
use super::views::Views;
use super::{agree, held, identity, reach};

/// Everything that was asked, of all nodes in the order of the ring.
pub(super) struct Asked<'a> {
    /// The ring of the file.
    pub(super) ring: &'a Ring,
    /// Where the file is.
    pub(super) origin: &'a str,
    pub(super) nodes: Vec<Answers>,
    pub(super) views: Views,
}

/// The answers of one node.
pub(super) struct Answers {
    /// The ring it holds.
    pub(super) held: Result<RingId, Error>,
    /// What it says of itself; none if it was not asked since the question before had no answer.
    pub(super) said: Option<Result<Said, Error>>,
}

impl Asked<'_> {
    /// A node's name.
    pub(super) fn name(&self, node: usize) -> &str {
        &self.ring.nodes()[node].name
    }

    /// A node's address.
    pub(super) fn address(&self, node: usize) -> String {
        self.ring.nodes()[node].to_string()
    }

    /// What a node says of itself, if it does.
    pub(super) fn said(&self, node: usize) -> Option<&Said> {
        self.nodes[node].said.as_ref()?.as_ref().ok()
    }

    /// Whether it holds the very ring of the file.
    pub(super) fn holds_it(&self, node: usize) -> bool {
        self.nodes[node].held.as_ref().is_ok_and(|held| *held == self.ring.id())
    }

    /// The names of nodes, for a sentence.
    pub(super) fn listed(&self, nodes: &[usize]) -> String {
        listed(nodes.iter().map(|&node| self.name(node)))
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    /// What was found about each node.
    found: HashMap<usize, Vec<Kind>>,
}

impl Findings {
    /// Adds a finding about these nodes.
    pub(super) fn add(&mut self, nodes: &[usize], finding: Finding) {
        for &node in nodes {
            self.found.entry(node).or_default().push(finding.kind);
        }
        self.list.push(finding);
    }

    /// Whether something of this kind was found about a node.
    pub(super) fn has(&self, node: usize, is_meant: impl Fn(Kind) -> bool) -> bool {
        self.of(node).any(is_meant)
    }

    /// The gravest failure that was found about a node.
    pub(super) fn state(&self, node: usize) -> Option<Kind> {
        self.of(node).filter(|kind| kind.is_failure()).min()
    }

    fn of(&self, node: usize) -> impl Iterator<Item = Kind> {
        self.found.get(&node).into_iter().flatten().copied()
    }
}

/// Compares everything with everything.
pub(super) fn judge(asked: &Asked<'_>) -> Findings {
    let mut findings = Findings::default();
    held::judge(asked, &mut findings);
    identity::judge(asked, &mut findings);
    reach::judge(asked, &mut findings);
    agree::judge(asked, &mut findings);
    // Failures first; the order of the ring within.
    findings.list.sort_by_key(|finding| !finding.kind.is_failure());
    findings
}

#[cfg(test)]
mod tests {
    use super::super::said::tests::ring;
    use super::super::said::{PeerSaid, Standing};
    use super::*;

    /// As many findings as nodes, however many statements there are, and no work beyond one look at
    /// each statement.
    #[test]
    fn a_large_ring_that_is_wholly_apart_is_one_finding_for_each_node() {
        const NODES: u32 = 1024;
        let ring = ring(NODES as usize);
        let mut views = Views::new(NODES as usize);
        let answers = |by: u32| {
            let peer = PeerSaid {
                away: Some(true),
                reason: Some("no route".to_owned()),
                ..PeerSaid::default()
            };
            let mut said = Said {
                name: Some(format!("n{by}")),
                instance: Some(u64::from(by)),
                standing: Some(Standing::Confirmed),
                peers: (0..NODES).map(|of| (of, peer.clone())).collect(),
                ..Said::default()
            };
            views.add(by, &mut said);
            Answers { held: Ok(ring.id()), said: Some(Ok(said)) }
        };
        let nodes = (0..NODES).map(answers).collect();
        views.sort();
        let findings = judge(&Asked { ring: &ring, origin: "it", nodes, views });
        assert_eq!(findings.list.len(), NODES as usize);
        assert!(findings.list.iter().all(|finding| finding.kind == Kind::ReachesNobody));
        assert_eq!(
            findings.list[0].text,
            "n0 reaches no other node (no route): check its network, its firewall and its TLS settings"
        );
    }
}
