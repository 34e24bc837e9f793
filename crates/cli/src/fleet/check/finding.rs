//! The problems that `check` found, and the answers in which it finds them.

use std::collections::HashMap;
use std::time::Duration;

use ringbinder_client::Error;
use ringbinder_protocol::stats::RingReport;
use ringbinder_ring::{Ring, RingId};
use serde::Serialize;

use crate::fleet::check::views::Views;

/// Most names in one sentence; the rest are counted.
const LISTED: usize = 8;

/// The kind of problem, the gravest first; the warnings begin with [`Kind::FileRefused`]. The names in JSON do
/// not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The node does not answer.
    Away,
    /// TLS cannot be established, or the node requires it.
    NoTls,
    /// The node does not accept the login.
    NoLogin,
    /// The answer violates the memcached protocol.
    Nonsense,
    /// The node has no ring.
    NoRing,
    /// The node reports its ring and refuses all other questions.
    NoStats,
    /// One process answers at the addresses of two nodes.
    SameProcess,
    /// The process at the node's address reports another name.
    NameMismatch,
    /// The process at the node's address has been replaced by another.
    Replaced,
    /// The ring does not contain the node.
    NotAMember,
    /// Two processes claim the node's name.
    Disputed,
    /// The node holds an older ring than the file.
    Behind,
    /// The node holds a newer ring than the file.
    Ahead,
    /// The node holds another ring with the version of the file.
    Differs,
    /// The node has no proof that its address leads to it.
    Unconfirmed,
    /// The node waits for other nodes before it serves all that it owns.
    Settling,
    /// Other nodes cannot reach the node, and this program can.
    Unreachable,
    /// The node reaches no other node.
    ReachesNobody,
    /// The node rejects the newest ring that it received.
    FileRefused,
    /// The node's own ring file differs from its current ring.
    Drift,
    /// The node cannot write its copy of the ring.
    CacheError,
    /// The nodes treat requests for each other's keys differently.
    PoliciesDiffer,
    /// The node's version does not report every value that is compared.
    NotReported,
}

/// Whether a finding makes the check fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// Some keys are served by no process or by two, or the nodes disagree.
    Failure,
    /// Every key that could be checked is served by one process, but something needs attention.
    Warning,
}

impl Kind {
    /// The name for people.
    pub(super) fn name(self) -> String {
        match self {
            Kind::NameMismatch => "wrong name".to_owned(),
            Kind::ReachesNobody => "cut off".to_owned(),
            kind => serde_json::to_value(kind)
                .ok()
                .and_then(|name| Some(name.as_str()?.replace('_', " ")))
                .unwrap_or_default(),
        }
    }

    /// The severity of a finding of this kind.
    pub(super) fn severity(self) -> Severity {
        if self < Kind::FileRefused { Severity::Failure } else { Severity::Warning }
    }

    /// Whether the process at an address is not the node that the ring lists there. Such a fault does not
    /// heal by itself, and may mean two values for one key. It has its own exit code.
    pub(super) fn is_identity(self) -> bool {
        matches!(
            self,
            Kind::NotAMember
                | Kind::NameMismatch
                | Kind::Replaced
                | Kind::Disputed
                | Kind::SameProcess
        )
    }

    /// Whether the node cannot be asked.
    pub(super) fn is_absence(self) -> bool {
        matches!(self, Kind::Away | Kind::NoTls | Kind::NoLogin)
    }

    /// Whether it makes the check fail.
    pub(super) fn is_failure(self) -> bool {
        self.severity() == Severity::Failure
    }
}

/// One finding. One cause is one finding, even if several nodes report it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// The node concerned; `None` if it concerns all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    /// Other nodes involved; at most [`LISTED`].
    pub(super) about: Vec<String>,
    pub(super) severity: Severity,
    /// The text: what happened, to what, and what to do.
    pub(super) text: String,
}

impl Finding {
    /// A finding about one node.
    pub(super) fn of(kind: Kind, node: &str, text: String) -> Finding {
        let severity = kind.severity();
        Finding { kind, node: Some(node.to_owned()), about: Vec::new(), severity, text }
    }

    /// Adds other nodes that are involved.
    pub(super) fn about<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Finding {
        let about = names.into_iter().take(LISTED).map(ToOwned::to_owned).collect();
        Finding { about, ..self }
    }
}

/// Names for a sentence: `a`, `a and b`, `a, b and 7 more nodes`.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let names: Vec<&str> = names.take(LISTED).collect();
    match names.as_slice() {
        [] => "no node".to_owned(),
        [only] => (*only).to_owned(),
        [some @ .., last] if count == names.len() => format!("{} and {last}", some.join(", ")),
        some => format!("{} and {} more nodes", some.join(", "), count - some.len()),
    }
}

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
    /// Time from one question to its answer.
    pub(super) took: Option<Duration>,
    /// The version of its program, escaped.
    pub(super) program: Option<String>,
    /// Its report about itself. `None` if it was not asked, because it did not answer the question before.
    pub(super) report: Option<Result<RingReport, Error>>,
}

impl Answers {
    /// Whether the node answers questions.
    pub(super) fn is_there(&self) -> bool {
        !matches!(
            self.held,
            Err(Error::Away { .. } | Error::Nonsense { .. } | Error::Unauthenticated { .. })
        )
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_within_bounds() {
        let of = |names: &[&str]| listed(names.iter().copied());
        assert_eq!(of(&["a"]), "a");
        assert_eq!(of(&["a", "b"]), "a and b");
        assert_eq!(of(&["a", "b", "c"]), "a, b and c");
        assert_eq!(of(&["n"; 4096]), "n, n, n, n, n, n, n, n and 4088 more nodes");
    }
}
