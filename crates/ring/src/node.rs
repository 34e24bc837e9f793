//! One node as the ring file describes it.

use std::fmt;

/// Index of a node in [`Ring::nodes`](crate::Ring::nodes).
pub type NodeIndex = u32;

/// Most nodes a ring may have.
pub const MAX_NODES: usize = 4096;

/// Largest weight. pylibmc keeps a weight in 16 bits and silently cuts what is larger, and would
/// then find other owners than everyone else.
pub const MAX_WEIGHT: u32 = 65_535;

/// Longest name of a node, in bytes.
pub const MAX_NAME_LEN: usize = 64;

/// Longest host, in bytes: what DNS can carry (RFC 1035, 2.3.4).
pub const MAX_HOST_LEN: usize = 253;

/// One node of a ring.
///
/// Its `Display` is the address to dial: `host:port`, an IPv6 host in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// For people: 1 to [`MAX_NAME_LEN`] letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Host name or IP address, spelled as in the file, since that spelling is what ketama hashes;
    /// an IPv6 address without its brackets.
    pub host: String,
    /// Port; never 0.
    pub port: u16,
    /// Share of the keys relative to the other nodes, 1 to [`MAX_WEIGHT`].
    pub weight: u32,
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
