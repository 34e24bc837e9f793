//! The effect of a change of the ring: the keys that move, exactly, found by walking both continua.

use std::collections::BTreeMap;

use crate::node::{Node, NodeIndex};
use crate::ring::Ring;

/// A part of the key space, as a number of the 2^32 points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u64);

impl Share {
    /// The whole key space.
    pub const WHOLE: Share = Share(1 << 32);

    /// Number of points, of 2^32.
    pub fn points(self) -> u64 {
        self.0
    }

    /// The exact fraction of the key space, from 0.0 to 1.0.
    pub fn fraction(self) -> f64 {
        self.0 as f64 / Share::WHOLE.0 as f64
    }
}

impl std::iter::Sum for Share {
    fn sum<I: Iterator<Item = Share>>(shares: I) -> Share {
        Share(shares.map(|share| share.0).sum())
    }
}

/// A node in either ring or both.
///
/// A node is its address: clients dial the address, and the values are there. With another name it
/// is the same node; with another address it is a new, empty one, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// The node as the new ring describes it, or the old ring if the node is gone.
    pub node: Node,
    /// Its index in the old ring.
    pub old: Option<NodeIndex>,
    /// Its index in the new ring.
    pub new: Option<NodeIndex>,
    /// The node's share in the old ring.
    pub before: Share,
    /// The node's share in the new ring.
    pub after: Share,
}

/// Keys that move from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The node that loses them: index in [`Comparison::nodes`].
    pub from: usize,
    /// The node that gains them: index in [`Comparison::nodes`].
    pub to: usize,
    /// The size of the move.
    pub share: Share,
}

/// The changes of the key space when one ring follows another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    nodes: Vec<NodeChange>,
    moves: Vec<Move>,
}

impl Comparison {
    /// Every node: those of the new ring in its order, then the removed ones in the old order.
    pub fn nodes(&self) -> &[NodeChange] {
        &self.nodes
    }

    /// Every pair of nodes between which keys move, the largest share first.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The keys that change their owner.
    pub fn moved(&self) -> Share {
        self.moves.iter().map(|step| step.share).sum()
    }
}

/// Compares two rings, point by point. Time and memory grow with the number of nodes.
pub fn compare(old: &Ring, new: &Ring) -> Comparison {
    let mut nodes: Vec<NodeChange> = new
        .nodes()
        .iter()
        .zip(0..)
        .map(|(node, index)| NodeChange {
            node: node.clone(),
            old: old.index_of(node),
            new: Some(index),
            before: Share(0),
            after: Share(0),
        })
        .collect();
    // The position of each node of the old ring in the list.
    let places: Vec<usize> = old
        .nodes()
        .iter()
        .zip(0..)
        .map(|(node, index)| match new.index_of(node) {
            Some(place) => place as usize,
            None => {
                nodes.push(NodeChange {
                    node: node.clone(),
                    old: Some(index),
                    new: None,
                    before: Share(0),
                    after: Share(0),
                });
                nodes.len() - 1
            }
        })
        .collect();

    let mut moves: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (points, from, to) in overlay(&old.ketama().arcs(), &new.ketama().arcs()) {
        let (from, to) = (places[from as usize], to as usize);
        nodes[from].before.0 += points;
        nodes[to].after.0 += points;
        if from != to {
            *moves.entry((from, to)).or_default() += points;
        }
    }
    let mut moves: Vec<Move> = moves
        .into_iter()
        .map(|((from, to), points)| Move { from, to, share: Share(points) })
        .collect();
    // Stable: equal shares stay in the order of the nodes.
    moves.sort_by_key(|step| std::cmp::Reverse(step.share));
    Comparison { nodes, moves }
}

/// The pieces into which two divisions cut the circle: number of points, and the owner by each
/// division. Both divisions end at the last point of the circle.
fn overlay<'a>(
    old: &'a [(u32, NodeIndex)],
    new: &'a [(u32, NodeIndex)],
) -> impl Iterator<Item = (u64, NodeIndex, NodeIndex)> + 'a {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut start = 0;
    std::iter::from_fn(move || {
        let (&&(old_end, from), &&(new_end, to)) = (old.peek()?, new.peek()?);
        let end = old_end.min(new_end);
        old.next_if(|_| old_end == end);
        new.next_if(|_| new_end == end);
        let next = u64::from(end) + 1;
        let points = next - start;
        start = next;
        Some((points, from, to))
    })
}
