//! A ring: checked, immutable, with its continuum built.

use std::collections::HashMap;
use std::path::Path;

use md5::{Digest as _, Md5};

use crate::address::AddressKey;
use crate::error::{RingError, RingFault};
use crate::file::{self, Contents, Entry, Format};
use crate::ketama::{Ketama, Point, digests, point};
use crate::node::{MAX_NODES, Node, NodeFault, NodeIndex};

/// Largest version: the largest that every format of the ring file can write.
pub const MAX_VERSION: u64 = i64::MAX as u64;

/// Identifies a ring: the version orders rings, the digest tells apart two with the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId {
    /// The file's `version`, 1 to [`MAX_VERSION`].
    pub version: u64,
    /// First eight bytes of the MD5 of [`Ring::to_toml`], big-endian.
    pub digest: u64,
}

/// A ring: assigns each key to the node that owns it.
#[derive(Clone, Debug)]
pub struct Ring {
    id: RingId,
    nodes: Vec<Node>,
    names: HashMap<String, NodeIndex>,
    addresses: HashMap<AddressKey, NodeIndex>,
    ketama: Ketama,
}

impl PartialEq for Ring {
    /// All other fields follow from these.
    fn eq(&self, other: &Ring) -> bool {
        self.id == other.id && self.nodes == other.nodes
    }
}

impl Eq for Ring {}

impl Ring {
    /// Reads a ring file; its extension determines its [`Format`].
    ///
    /// # Errors
    /// If the file cannot be read, or does not hold a valid ring.
    pub fn load(path: impl AsRef<Path>) -> Result<Ring, RingError> {
        let path = path.as_ref();
        let format = Format::of(path)?;
        let origin = path.display().to_string();
        let text = file::read(path).map_err(|fault| RingError::new(&origin, fault))?;
        Ring::parse(&text, format, &origin)
    }

    /// Parses a ring. `origin` is the name of the text in messages.
    ///
    /// # Errors
    /// If it is not a valid ring.
    pub fn parse(text: &str, format: Format, origin: &str) -> Result<Ring, RingError> {
        file::parse(text, format).and_then(build).map_err(|fault| RingError::new(origin, fault))
    }

    /// The ring of these nodes, as if read from a file that lists them. `origin` is its name in
    /// messages.
    ///
    /// # Errors
    /// If they do not make a valid ring.
    pub fn of_nodes(version: u64, nodes: &[Node], origin: &str) -> Result<Ring, RingError> {
        let entries = nodes.iter().map(|node| Entry {
            name: node.name.clone(),
            address: node.to_string(),
            weight: node.weight.into(),
        });
        let (version, hash) = (version.into(), "ketama".to_owned());
        build(Contents { version, hash, nodes: entries.collect() })
            .map_err(|fault| RingError::new(origin, fault))
    }

    /// The ring's identity.
    pub fn id(&self) -> RingId {
        self.id
    }

    /// The ring's nodes, in the order of the file. There is at least one.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that owns a key. Does not allocate.
    #[inline]
    pub fn owner(&self, key: &[u8]) -> NodeIndex {
        self.owner_at(point(key))
    }

    /// The node that owns a point. Does not allocate.
    #[inline]
    pub fn owner_at(&self, point: Point) -> NodeIndex {
        self.ketama.owner(point)
    }

    /// The owners of many keys, in their order.
    pub fn owners<'a, K>(&'a self, keys: K) -> impl Iterator<Item = NodeIndex> + use<'a, K>
    where
        K: IntoIterator<Item: AsRef<[u8]>>,
    {
        keys.into_iter().map(|key| self.owner(key.as_ref()))
    }

    /// The circle as arcs, in order and without gaps: the last point of each, and its owner.
    pub fn arcs(&self) -> Vec<(Point, NodeIndex)> {
        let arcs = self.ketama.arcs().into_iter();
        arcs.map(|(end, owner)| (Point(end), owner)).collect()
    }

    /// The node with this name.
    pub fn index_of_name(&self, name: &str) -> Option<NodeIndex> {
        self.names.get(name).copied()
    }

    /// The node with this address, however its host is spelled: names match in either case, IP
    /// addresses by value, IPv6 with or without brackets.
    pub fn index_of_address(&self, host: &str, port: u16) -> Option<NodeIndex> {
        self.addresses.get(&AddressKey::new(host, port)).copied()
    }

    /// Warnings about settings that are valid but probably mistakes, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let total: u64 = self.nodes.iter().map(|node| u64::from(node.weight)).sum();
        let digests = digests(&self.nodes).into_iter().zip(&self.nodes);
        digests
            .filter(|&(digests, _)| digests == 0)
            .map(|(_, node)| {
                format!(
                    "node {} owns no key: a weight of {} is too small compared with the {total} \
                     of all nodes; give it at least {}",
                    node.name,
                    node.weight,
                    // A node's own weight is part of the total.
                    (total - u64::from(node.weight)).div_ceil(40 * self.nodes.len() as u64 - 1)
                )
            })
            .collect()
    }

    /// The ring in its canonical form: a TOML file that parses as this ring again. Two rings are
    /// equal if these texts are.
    pub fn to_toml(&self) -> String {
        file::write(self.id.version, &self.nodes)
    }

    pub(crate) fn ketama(&self) -> &Ketama {
        &self.ketama
    }

    pub(crate) fn index_of(&self, node: &Node) -> Option<NodeIndex> {
        self.index_of_address(&node.host, node.port)
    }
}

/// Builds a ring from a file's contents.
fn build(raw: Contents) -> Result<Ring, RingFault> {
    let version = u64::try_from(raw.version)
        .ok()
        .filter(|version| (1..=MAX_VERSION).contains(version))
        .ok_or(RingFault::Version { found: raw.version })?;
    if raw.hash != "ketama" {
        return Err(RingFault::Hash { found: raw.hash });
    }
    if raw.nodes.is_empty() {
        return Err(RingFault::NoNodes);
    }
    if raw.nodes.len() > MAX_NODES {
        return Err(RingFault::TooManyNodes { found: raw.nodes.len() });
    }

    let mut nodes = Vec::with_capacity(raw.nodes.len());
    let mut names = HashMap::with_capacity(raw.nodes.len());
    let mut addresses = HashMap::with_capacity(raw.nodes.len());
    for (entry, index) in raw.nodes.into_iter().zip(0..) {
        let node = check(entry, nodes.len() + 1)?;
        let second = nodes.len() + 1;
        if let Some(first) = names.insert(node.name.clone(), index) {
            let first = first as usize + 1;
            return Err(RingFault::Duplicate { what: "name", value: node.name, first, second });
        }
        if let Some(first) = addresses.insert(AddressKey::new(&node.host, node.port), index) {
            let (value, first) = (node.to_string(), first as usize + 1);
            return Err(RingFault::Duplicate { what: "address", value, first, second });
        }
        nodes.push(node);
    }

    let digest = Md5::digest(file::write(version, &nodes));
    let digest = digest.iter().take(8).fold(0, |digest, &byte| digest << 8 | u64::from(byte));
    let ketama = Ketama::new(&nodes);
    Ok(Ring { id: RingId { version, digest }, nodes, names, addresses, ketama })
}

/// Checks one node of the list by itself.
fn check(entry: Entry, place: usize) -> Result<Node, RingFault> {
    Node::new(&entry.name, &entry.address, entry.weight).map_err(|fault| {
        let name = match fault {
            NodeFault::Name { .. } => String::new(),
            NodeFault::Address { .. } | NodeFault::Weight { .. } => entry.name,
        };
        RingFault::Node { place, name, reason: fault.to_string() }
    })
}
