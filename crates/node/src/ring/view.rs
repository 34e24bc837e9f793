//! A worker's view of the ring: an immutable value that is replaced as a whole.
//!
//! A view answers one question: which node serves this key. One rule makes the answer safe: a node
//! returns [`Route::Local`] only for keys that the current ring gives it *and* that no other node
//! serves by an older ring any more. [`super::membership`] establishes this.

use std::collections::HashSet;
use std::sync::Arc;

use ringbinder_ring::{NodeIndex, Point, Ring, RingId};

use super::peer::{Peer, address_of};

/// The node that serves a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route<'a> {
    /// This node.
    Local,
    /// The owner by the current ring.
    Owner(&'a Arc<Peer>),
    /// This node owns the key now; this peer owned it before and may still serve it.
    Former(&'a Arc<Peer>),
    /// Not known yet: this node has not heard from all its peers since it started, or since it may
    /// have missed a ring.
    Unknown,
}

/// A node of an older ring.
#[derive(Clone, Debug)]
pub(crate) enum Former {
    /// It serves by the current ring, was declared failed, or is this node itself.
    Settled,
    /// It may serve by that older ring.
    Serving(Arc<Peer>),
}

/// An older ring by which some node may still serve.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) ring: Arc<Ring>,
    /// By [`NodeIndex`].
    pub(crate) nodes: Vec<Former>,
}

/// The view.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) ring: Arc<Ring>,
    /// By [`NodeIndex`]; this node's own place is `None`.
    pub(crate) peers: Vec<Option<Arc<Peer>>>,
    pub(crate) me: Option<NodeIndex>,
    pub(crate) joined: bool,
    /// Newest first; empty once every node is known to serve by the current ring.
    pub(crate) past: Vec<Past>,
    /// The store holds no key that the current ring gives to another node, so a hit needs no check
    /// against the ring.
    pub(crate) clean: bool,
}

impl View {
    pub(crate) fn id(&self) -> RingId {
        self.ring.id()
    }

    /// The names that the rings in use give the node at an address.
    pub(crate) fn names_at(&self, address: &str) -> Vec<String> {
        let rings = std::iter::once(&self.ring).chain(self.past.iter().map(|past| &past.ring));
        let nodes = rings.flat_map(|ring| ring.nodes());
        nodes.filter(|node| *address_of(node) == *address).map(|node| node.name.clone()).collect()
    }

    /// Whether a ring in use names a peer.
    pub(crate) fn has_peer(&self, peer: &Arc<Peer>) -> bool {
        let is = |other: &Arc<Peer>| Arc::ptr_eq(other, peer);
        let serving = |former: &Former| matches!(former, Former::Serving(other) if is(other));
        self.peers.iter().flatten().any(is)
            || self.past.iter().any(|past| past.nodes.iter().any(serving))
    }

    /// Every other node that may serve a key: the nodes of the current ring, and nodes that may
    /// serve by an older ring.
    pub(crate) fn others(&self) -> Vec<Arc<Peer>> {
        let formers = self.past.iter().flat_map(|past| &past.nodes);
        let serving = formers.filter_map(|former| match former {
            Former::Serving(peer) => Some(peer),
            Former::Settled => None,
        });
        let mut seen = HashSet::new();
        let all = self.peers.iter().flatten().chain(serving);
        all.filter(|peer| seen.insert(Arc::clone(&peer.address))).cloned().collect()
    }

    /// Whether items found in the store may be served without a check of their owner.
    #[inline]
    pub(crate) fn hits_are_ours(&self) -> bool {
        self.clean && self.is_settled()
    }

    /// Whether this node serves every key that the current ring gives it.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.joined && self.past.is_empty()
    }

    /// The node that serves a key.
    #[inline]
    pub(crate) fn route(&self, point: Point) -> Route<'_> {
        match &self.peers[self.ring.owner_at(point) as usize] {
            Some(owner) => Route::Owner(owner),
            None if self.is_settled() => Route::Local,
            None => self.own(point),
        }
    }

    /// Whether this node already serves a key that it owns.
    #[cold]
    fn own(&self, point: Point) -> Route<'_> {
        if !self.joined {
            return Route::Unknown;
        }
        for past in &self.past {
            if let Former::Serving(peer) = &past.nodes[past.ring.owner_at(point) as usize] {
                return Route::Former(peer);
            }
        }
        Route::Local
    }
}
