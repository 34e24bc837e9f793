//! The answers of all nodes and the findings so far, on which each part of the verdict works.

use std::collections::HashMap;

use ringbinder_client::Error;
use ringbinder_protocol::stats::RingReport;
use ringbinder_ring::{Ring, RingId};

use super::finding::{Finding, Kind, listed};
use super::views::Views;

/// All answers, in the order of the ring.
pub(super) struct Asked<'a> {
    /// The ring of the file.
    pub(super) ring: &'a Ring,
    /// The location of the file.
    pub(super) origin: &'a str,
    pub(super) nodes: Vec<Answers>,
    pub(super) views: Views,
}

/// The answers of one node.
pub(super) struct Answers {
    /// The ring it holds.
    pub(super) held: Result<RingId, Error>,
    /// Its report about itself. `None` if it was not asked, because it did not answer the question before.
    pub(super) report: Option<Result<RingReport, Error>>,
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

    /// A node's report about itself, if there is one.
    pub(super) fn report(&self, node: usize) -> Option<&RingReport> {
        self.nodes[node].report.as_ref()?.as_ref().ok()
    }

    /// Whether it holds exactly the ring of the file.
    pub(super) fn holds_it(&self, node: usize) -> bool {
        self.nodes[node].held.as_ref().is_ok_and(|held| *held == self.ring.id())
    }

    /// A list of node names for a sentence.
    pub(super) fn listed(&self, nodes: &[usize]) -> String {
        listed(nodes.iter().map(|&node| self.name(node)))
    }
}

/// The findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    /// The kinds of findings about each node.
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

    /// Whether there is a finding of such a kind about a node.
    pub(super) fn has(&self, node: usize, is_meant: impl Fn(Kind) -> bool) -> bool {
        self.of(node).any(is_meant)
    }

    /// The gravest failure found about a node.
    pub(super) fn state(&self, node: usize) -> Option<Kind> {
        self.of(node).filter(|kind| kind.is_failure()).min()
    }

    fn of(&self, node: usize) -> impl Iterator<Item = Kind> {
        self.found.get(&node).into_iter().flatten().copied()
    }
}
