//! What was asked of all nodes, and what was found so far: what each part of the verdict works on.

use std::collections::HashMap;

use ringbinder_client::Error;
use ringbinder_ring::{Ring, RingId};

use super::finding::{Finding, Kind, listed};
use super::said::Said;
use super::views::Views;

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
