//! Errors in a ring: where, and what.

use crate::message::quoted;
use crate::node::MAX_NODES;

/// Most bytes of a ring file. The canonical text of a ring with the most nodes, and the longest
/// names and hosts, needs three quarters of them. The limit bounds the memory of a parser, in which
/// a list of short values grows a hundredfold.
pub const MAX_FILE_BYTES: usize = 2 << 20;

/// The reason why a text is not a valid ring. The message is one line that names the text, the line
/// or key at fault, and what to do about it.
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

    /// The name of the text, usually a path.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The fault.
    pub fn fault(&self) -> &RingFault {
        &self.fault
    }
}

/// A fault in a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingFault {
    /// The file cannot be read.
    #[error("cannot read it: {0}")]
    Unreadable(String),
    /// The file's extension does not determine a format.
    #[error("the name of a ring file must end in .toml, .yaml, .yml or .json; rename it")]
    Extension,
    /// More bytes than any valid ring has.
    #[error("the file is larger than {MAX_FILE_BYTES} bytes, the limit of a ring file")]
    TooLarge,
    /// Bytes that are not text.
    #[error("line {line} is not UTF-8")]
    NotText {
        /// The line's number, from 1.
        line: usize,
    },
    /// A syntax error in the text.
    #[error("{0}")]
    Syntax(String),
    /// A required key is missing.
    #[error("`{key}` is missing")]
    Missing {
        /// The key, and its node.
        key: String,
    },
    /// A key or value that does not belong in a ring.
    #[error("{0}")]
    Shape(String),
    /// The ring's version is out of bounds.
    #[error("`version` must be a whole number from 1 to {max}, not {found}", max = crate::MAX_VERSION)]
    Version {
        /// The version as written.
        found: i128,
    },
    /// A hash other than ketama.
    #[error("`hash` is {}; the only hash, and the default, is \"ketama\"", quoted(found))]
    Hash {
        /// The hash as written.
        found: String,
    },
    /// A ring without nodes.
    #[error("it has no node; a ring needs at least one")]
    NoNodes,
    /// More nodes than a ring may have.
    #[error("it has {found} nodes; a ring has at most {MAX_NODES}")]
    TooManyNodes {
        /// Number of nodes.
        found: usize,
    },
    /// An invalid value of one node.
    #[error("node {place}{}: {reason}", named(name))]
    Node {
        /// The node's place in the file, counted from 1.
        place: usize,
        /// The node's name; empty if the name is the invalid value.
        name: String,
        /// The fault, and what to do.
        reason: String,
    },
    /// Two nodes have the same name or address.
    #[error("nodes {first} and {second} have the same {what}, {value}")]
    Duplicate {
        /// "name" or "address".
        what: &'static str,
        /// The value as the second node writes it.
        value: String,
        /// Place of the first node, counted from 1.
        first: usize,
        /// Place of the second node.
        second: usize,
    },
}

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" ({name})") }
}
