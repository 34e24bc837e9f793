//! What can be wrong with a ring: where it was, and what.

use crate::message::quoted;
use crate::node::MAX_NODES;

/// Most bytes that a ring file may have; the canonical text of a ring of the most nodes, with names
/// and hosts of the greatest length, needs three quarters of them. It bounds what a parser may take:
/// a list of short values grows a hundredfold in memory.
pub const MAX_FILE_BYTES: usize = 2 << 20;

/// Why a text is no ring. The message is one line that names the text, the line or key at fault,
/// and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {fault}")]
pub struct RingError {
    origin: String,
    fault: RingFault,
}

impl RingError {
    pub(crate) fn new(origin: &str, fault: RingFault) -> RingError {
        RingError { origin: origin.to_owned(), fault }
    }

    /// What the text was called: a path, mostly.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// What is wrong with it.
    pub fn fault(&self) -> &RingFault {
        &self.fault
    }
}

/// What is wrong with a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingFault {
    /// There is nothing to read.
    #[error("cannot read it: {0}")]
    Unreadable(String),
    /// The file's name does not tell its format.
    #[error("the name of a ring file ends in .toml, .yaml, .yml or .json; rename it")]
    Extension,
    /// More bytes than any ring needs.
    #[error("a ring file has at most {MAX_FILE_BYTES} bytes, and this one is larger")]
    TooLarge,
    /// Bytes that are no text.
    #[error("line {line} is not UTF-8")]
    NotText {
        /// Counted from 1.
        line: usize,
    },
    /// The text is not of its format.
    #[error("{0}")]
    Syntax(String),
    /// A key that must be there is not.
    #[error("`{key}` is missing")]
    Missing {
        /// Which, and of which node.
        key: String,
    },
    /// A key or value that a ring has no use for.
    #[error("{0}")]
    Shape(String),
    /// The ring's version is out of its bounds.
    #[error("`version` is a whole number from 1 to {max}, and not {found}", max = crate::MAX_VERSION)]
    Version {
        /// As written.
        found: i128,
    },
    /// A hash other than ketama.
    #[error("`hash` is {}; the only one there is, and the default, is \"ketama\"", quoted(found))]
    Hash {
        /// As written.
        found: String,
    },
    /// A ring without nodes.
    #[error("it has no node; a ring needs at least one")]
    NoNodes,
    /// More nodes than a ring may have.
    #[error("it has {found} nodes; a ring has at most {MAX_NODES}")]
    TooManyNodes {
        /// How many there are.
        found: usize,
    },
    /// A value of one node cannot be used.
    #[error("node {place}{}: {reason}", named(name))]
    Node {
        /// The node's place in the file, counted from 1.
        place: usize,
        /// Its name; empty where that is what is wrong.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Two nodes claim one name or one address.
    #[error("nodes {first} and {second} have the same {what}, {value}")]
    Duplicate {
        /// Name or address.
        what: &'static str,
        /// As the second one writes it.
        value: String,
        /// Place of the first, counted from 1.
        first: usize,
        /// Place of the second.
        second: usize,
    },
}

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" ({name})") }
}
