//! The continuum: libmemcached's weighted ketama on a circle of 2^32 points.
//!
//! A node of average weight gets 160 points, others more or fewer in proportion. A key belongs to
//! the first point at or after its own. The placement of points follows `update_continuum` in
//! libmemcached's `hosts.cc` to the bit: clients that use libmemcached must find the same owner.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hash, Hasher};

use hashring::HashRing;
use md5::{Digest as _, Md5};

use crate::node::{Node, NodeIndex};

/// A key's position on the continuum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(pub u32);

/// A key's position: the first four bytes of its MD5, little-endian.
#[inline]
pub fn point(key: &[u8]) -> Point {
    let [a, b, c, d, ..]: [u8; 16] = Md5::digest(key).into();
    Point(u32::from_le_bytes([a, b, c, d]))
}

/// The port that libmemcached omits from the hashed text.
const DEFAULT_PORT: u16 = 11211;

/// Points from one MD5 digest.
const POINTS_PER_DIGEST: usize = 4;

/// Every point of every node, in order.
#[derive(Clone, Debug)]
pub(crate) struct Ketama {
    ring: HashRing<Placed, Verbatim>,
}

impl Ketama {
    /// Places all nodes. There must be at least one.
    pub(crate) fn new(nodes: &[Node]) -> Ketama {
        let digests = digests(nodes);
        let total: usize = digests.iter().map(|&digests| digests as usize).sum();
        let mut points = Vec::with_capacity(total * POINTS_PER_DIGEST);
        let mut text = String::new();
        for ((node, index), digests) in nodes.iter().zip(0..).zip(digests) {
            text.clear();
            text.push_str(&node.host);
            if node.port != DEFAULT_PORT {
                // Writing to a string cannot fail.
                let _ = write!(text, ":{}", node.port);
            }
            text.push('-');
            let stem = text.len();
            for number in 0..digests {
                text.truncate(stem);
                let _ = write!(text, "{number}");
                let digest: [u8; 16] = Md5::digest(text.as_bytes()).into();
                points.extend(digest.chunks_exact(4).map(|word| {
                    let word: [u8; 4] = word.try_into().expect("chunks of four");
                    Placed { point: u32::from_le_bytes(word), node: index }
                }));
            }
        }
        let mut ring = HashRing::with_hasher(Verbatim);
        ring.batch_add(points);
        Ketama { ring }
    }

    /// The node that owns a point. Does not allocate.
    #[inline]
    pub(crate) fn owner(&self, point: Point) -> NodeIndex {
        // Node 0 at a point sorts before every other node there.
        let from = Placed { point: point.0, node: 0 };
        self.ring.get(&from).map_or(0, |placed| placed.node)
    }

    /// The circle as arcs, in order and without gaps: the last point of each, and its owner. Built
    /// from lookups, so that it cannot differ from them.
    pub(crate) fn arcs(&self) -> Vec<(u32, NodeIndex)> {
        let mut arcs = Vec::with_capacity(self.ring.len() + 1);
        let mut from = Some(0);
        while let Some(start) = from
            && let Some(&Placed { point, node }) = self.ring.get(&Placed { point: start, node: 0 })
        {
            // The points after the last one belong to the first one.
            let end = if point < start { u32::MAX } else { point };
            arcs.push((end, node));
            from = end.checked_add(1);
        }
        arcs
    }
}

/// Number of digests of each node, in the single precision of libmemcached, whose rounding decides
/// borderline cases.
pub(crate) fn digests(nodes: &[Node]) -> Vec<u32> {
    let total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    nodes
        .iter()
        .map(|node| {
            let share = node.weight as f32 / total as f32;
            let digests = (share * 160.0 / 4.0 * nodes.len() as f32 + 1e-10).floor();
            #[expect(clippy::cast_possible_truncation, reason = "at most 40 for each of the nodes")]
            let digests = digests as u32;
            digests
        })
        .collect()
}

/// A node at one of its points.
#[derive(Clone, Copy, Debug)]
struct Placed {
    point: u32,
    node: NodeIndex,
}

impl Hash for Placed {
    /// Sorts by point; nodes at the same point in the order of the file.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.point) << 32 | u64::from(self.node));
    }
}

/// Passes its number on: points are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct Verbatim;

impl BuildHasher for Verbatim {
    type Hasher = VerbatimHasher;

    #[inline]
    fn build_hasher(&self) -> VerbatimHasher {
        VerbatimHasher(0)
    }
}

struct VerbatimHasher(u64);

impl Hasher for VerbatimHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only placed nodes are hashed, and those as one number");
    }
}
