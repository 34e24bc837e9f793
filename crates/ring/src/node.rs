//! A node of a ring.

use std::fmt;

use crate::address::Address;
use crate::message::quoted;

/// Index of a node in [`Ring::nodes`](crate::Ring::nodes).
pub type NodeIndex = u32;

/// Most nodes of a ring.
pub const MAX_NODES: usize = 4096;

/// Largest weight. pylibmc keeps a weight in 16 bits and silently truncates a larger one. It would
/// then find other owners than all other clients.
pub const MAX_WEIGHT: u32 = 65_535;

/// Longest name of a node, in bytes.
pub const MAX_NAME_LEN: usize = 64;

/// One node of a ring.
///
/// Its `Display` is the address to dial: `host:port`, an IPv6 host in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name for people: 1 to [`MAX_NAME_LEN`] letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Host name or IP address, spelled as in the file, since ketama hashes that spelling; an IPv6
    /// address without its brackets.
    pub host: String,
    /// Port; never 0.
    pub port: u16,
    /// Share of the keys relative to the other nodes, 1 to [`MAX_WEIGHT`].
    pub weight: u32,
}

/// The reason why a node is invalid. The message says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeFault {
    /// The name is invalid.
    #[error(
        "the name {} is not 1 to {MAX_NAME_LEN} letters, digits, '.', '_' and '-'",
        quoted(found)
    )]
    Name {
        /// The name as written.
        found: String,
    },
    /// The address is invalid.
    #[error("{reason}")]
    Address {
        /// The fault, and what to do.
        reason: String,
    },
    /// The weight is out of bounds.
    #[error("the weight must be a whole number from 1 to {MAX_WEIGHT}, not {found}")]
    Weight {
        /// The weight as written.
        found: i128,
    },
}

impl Node {
    /// Makes a node and checks it by itself. `address` is `host:port` or `[IPv6]:port`.
    ///
    /// # Errors
    /// The first of the three values that is invalid.
    pub fn new(name: &str, address: &str, weight: i128) -> Result<Node, NodeFault> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=MAX_NAME_LEN).contains(&name.len()) || !name.bytes().all(word) {
            return Err(NodeFault::Name { found: name.to_owned() });
        }
        let Address { host, port } =
            Address::parse(address).map_err(|reason| NodeFault::Address { reason })?;
        let weight = u32::try_from(weight)
            .ok()
            .filter(|weight| (1..=MAX_WEIGHT).contains(weight))
            .ok_or(NodeFault::Weight { found: weight })?;
        Ok(Node { name: name.to_owned(), host: host.to_owned(), port, weight })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
