//! What a worker knows of the ring: an immutable picture, replaced as a whole.
//!
//! A view answers one question, who serves this key, and the answer is safe because of one rule: a
//! node says [`Route::Local`] only for keys that the ring in force gives it *and* that every node
//! which may have served them by an older ring has given up. See [`super::membership`] for how that
//! comes to be known.

use std::collections::HashSet;
use std::sync::Arc;

use ringbinder_ring::{NodeIndex, Point, Ring, RingId};

use super::peer::{Peer, address_of};

/// Who serves a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route<'a> {
    /// This node.
    Local,
    /// The owner by the ring in force.
    Owner(&'a Arc<Peer>),
    /// This node owns the key now; this peer owned it before and may still serve it.
    Former(&'a Arc<Peer>),
    /// Not known yet: this node has not heard of all its peers since it started, or since it may
    /// have missed a ring.
    Unknown,
}

/// A node of an older ring.
#[derive(Clone, Debug)]
pub(crate) enum Former {
    /// It serves by the ring in force, or is given up, or is this node itself.
    Settled,
    /// It may serve by that older ring.
    Serving(Arc<Peer>),
}

/// An older ring by which somebody may still serve.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) ring: Arc<Ring>,
    /// By [`NodeIndex`].
    pub(crate) nodes: Vec<Former>,
}

/// The picture.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) ring: Arc<Ring>,
    /// By [`NodeIndex`]; this node's own place is `None`.
    pub(crate) peers: Vec<Option<Arc<Peer>>>,
    pub(crate) me: Option<NodeIndex>,
    pub(crate) joined: bool,
    /// Newest first; empty once everybody is known to serve by the ring in force.
    pub(crate) past: Vec<Past>,
    /// The store holds no key that the ring in force gives to another node: a hit needs no look at
    /// the ring.
    pub(crate) clean: bool,
}

impl View {
    pub(crate) fn id(&self) -> RingId {
        self.ring.id()
    }

    /// What the rings in use call the node at an address.
    pub(crate) fn names_at(&self, address: &str) -> Vec<String> {
        let rings = std::iter::once(&self.ring).chain(self.past.iter().map(|past| &past.ring));
        let nodes = rings.flat_map(|ring| ring.nodes());
        nodes.filter(|node| *address_of(node) == *address).map(|node| node.name.clone()).collect()
    }

    /// Whether a peer is named by a ring in use.
    pub(crate) fn has_peer(&self, peer: &Arc<Peer>) -> bool {
        let is = |other: &Arc<Peer>| Arc::ptr_eq(other, peer);
        let serving = |former: &Former| matches!(former, Former::Serving(other) if is(other));
        self.peers.iter().flatten().any(is)
            || self.past.iter().any(|past| past.nodes.iter().any(serving))
    }

    /// Every other node that may serve a key: those of the ring in force, and those that may serve by
    /// an older one.
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

    /// Whether what is found in the store may be served without asking for its owner.
    #[inline]
    pub(crate) fn hits_are_ours(&self) -> bool {
        self.clean && self.is_settled()
    }

    /// Whether this node serves every key that the ring in force gives it.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.joined && self.past.is_empty()
    }

    /// Who serves a key.
    #[inline]
    pub(crate) fn route(&self, point: Point) -> Route<'_> {
        match &self.peers[self.ring.owner_at(point) as usize] {
            Some(owner) => Route::Owner(owner),
            None if self.is_settled() => Route::Local,
            None => self.own(point),
        }
    }

    /// Whether this node serves a key of its own already.
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
