//! A problem that `check` found.

use serde::Serialize;

/// Most names in one sentence; the rest are counted.
const LISTED: usize = 8;

/// The kind of problem, the gravest first. The names in JSON do not change.
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
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Away => "away",
            Kind::NoTls => "no tls",
            Kind::NoLogin => "no login",
            Kind::Nonsense => "nonsense",
            Kind::NoRing => "no ring",
            Kind::Behind => "behind",
            Kind::Ahead => "ahead",
            Kind::Differs => "differs",
            Kind::Settling => "settling",
            Kind::NotAMember => "not a member",
            Kind::NameMismatch => "wrong name",
            Kind::Replaced => "replaced",
            Kind::Disputed => "disputed",
            Kind::SameProcess => "same process",
            Kind::Unconfirmed => "unconfirmed",
            Kind::Unreachable => "unreachable",
            Kind::ReachesNobody => "cut off",
            Kind::NoStats => "no stats",
            Kind::FileRefused => "file refused",
            Kind::Drift => "drift",
            Kind::CacheError => "cache error",
            Kind::PoliciesDiffer => "policies differ",
            Kind::NotReported => "not reported",
        }
    }

    /// The severity of a finding of this kind.
    pub(super) fn severity(self) -> Severity {
        match self {
            Kind::FileRefused
            | Kind::Drift
            | Kind::CacheError
            | Kind::PoliciesDiffer
            | Kind::NotReported => Severity::Warning,
            Kind::Away
            | Kind::NoTls
            | Kind::NoLogin
            | Kind::Nonsense
            | Kind::NoRing
            | Kind::Behind
            | Kind::Ahead
            | Kind::Differs
            | Kind::Settling
            | Kind::NotAMember
            | Kind::NameMismatch
            | Kind::Replaced
            | Kind::Disputed
            | Kind::SameProcess
            | Kind::Unconfirmed
            | Kind::Unreachable
            | Kind::ReachesNobody
            | Kind::NoStats => Severity::Failure,
        }
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
