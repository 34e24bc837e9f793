//! When a node serves a key: the state machine that keeps two nodes from serving the same one
//! while a ring replaces another.
//!
//! Rings are ordered by [`RingId`]. A node takes a ring only if it comes after the one in force.
//! It *serves* a key where
//!
//! 1. the ring in force gives it the key, and
//! 2. it has joined: every peer of that ring has told which older rings may still be served by,
//!    or is given up; and
//! 3. for every such older ring, the node that ring gave the key to has confirmed the ring in
//!    force, or is given up, or is this node.
//!
//! A node confirms a ring once all its workers hold it, and the confirmation names every older ring
//! it knows to be unsettled, so that the one who asked learns of owners it had not heard of before
//! it serves. Only a confirmation of *exactly* the ring in force counts: a peer with a newer one may
//! have handed the key on already.
//!
//! Why no two nodes serve one key at one moment, as long as nobody is given up who still serves:
//! suppose n serves it by ring c and x by ring u < c. Then x confirmed neither c nor anything after
//! u to n, although u gave it the key. If n knows u, rule 3 holds n back. If not, somebody that n
//! asked was asked by x before (x needed the same confirmations at u), knew u from then on, and
//! named it to n. The simulation beside this file looks for a counterexample in random schedules.
//!
//! A node that skipped a version may have missed a ring that gave its keys away and back. So may one
//! that slept longer than its peers wait. It joins again: its peers tell it the rings in between,
//! and it forgets the keys that those gave to others.
//!
//! Nothing here does I/O or reads a clock.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ringbinder_protocol::{PeerLine, Stamp};
use ringbinder_ring::{NodeIndex, Ring, RingId};

use super::peer::{Address, Peers, address_of};
use super::view::{Former, Past, View};

/// Rings kept at most, the one in force included.
pub(crate) const MAX_RINGS: usize = PeerLine::MAX_KNOWN;

pub(crate) fn stamp(id: RingId) -> Stamp {
    Stamp { version: id.version, digest: id.digest }
}

pub(crate) fn ring_id(stamp: Stamp) -> RingId {
    RingId { version: stamp.version, digest: stamp.digest }
}

/// How a node finds itself in a ring.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// By the name it was started with.
    Name(String),
    /// By the addresses it listens on.
    Addresses(Vec<SocketAddr>),
}

impl Identity {
    /// This node's place in a ring, if it has one.
    pub(crate) fn place_in(&self, ring: &Ring) -> Option<NodeIndex> {
        let place = match self {
            Identity::Name(name) => ring.nodes().iter().position(|node| node.name == *name),
            Identity::Addresses(addresses) => ring.nodes().iter().position(|node| {
                let host: Option<IpAddr> = node.host.trim_matches(['[', ']']).parse().ok();
                host.is_some_and(|host| addresses.contains(&SocketAddr::new(host, node.port)))
            }),
        };
        place.and_then(|index| NodeIndex::try_from(index).ok())
    }
}

/// What a peer's answer to a greeting asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing.
    Nothing,
    /// Its ring, which is newer than the one in force.
    Newer(RingId),
    /// Rings that were in force before, oldest first. It is to be greeted again once they are here.
    Past(Vec<RingId>),
}

/// The state of one node.
#[derive(Debug)]
pub(crate) struct Membership {
    identity: Identity,
    /// Ascending; the last is in force.
    rings: Vec<Arc<Ring>>,
    /// Index of the oldest ring by which somebody may still serve.
    base: usize,
    /// All workers hold it.
    held: RingId,
    joined: bool,
    /// Rings after this one that are not known yet may have given keys away; `None` at the start,
    /// when there is nothing to lose.
    gap_after: Option<RingId>,
    /// Peers that have told of older rings since the ring in force came.
    met: HashSet<Address>,
    /// Peers that serve by the ring in force.
    confirmed: HashSet<Address>,
    /// Peers that are out of reach and no longer waited for.
    given_up: HashSet<Address>,
    /// What each peer said last, for people.
    said: HashMap<Address, RingId>,
    clean: bool,
    /// See [`Membership::revision`].
    revision: u64,
}

impl Membership {
    /// A node that starts with `ring` and holds nothing.
    pub(crate) fn new(identity: Identity, ring: Arc<Ring>) -> Membership {
        let held = ring.id();
        let mut membership = Membership {
            identity,
            rings: vec![ring],
            base: 0,
            held,
            joined: false,
            gap_after: None,
            met: HashSet::new(),
            confirmed: HashSet::new(),
            given_up: HashSet::new(),
            said: HashMap::new(),
            clean: true,
            revision: 0,
        };
        membership.settle();
        membership
    }

    /// The ring in force.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.rings[self.rings.len() - 1]
    }

    pub(crate) fn id(&self) -> RingId {
        self.ring().id()
    }

    /// This node's place in the ring in force.
    pub(crate) fn me(&self) -> Option<NodeIndex> {
        self.identity.place_in(self.ring())
    }

    /// This node's place in any ring.
    pub(crate) fn me_in(&self, ring: &Ring) -> Option<NodeIndex> {
        self.identity.place_in(ring)
    }

    /// This node's address by the newest ring that names it.
    fn own_address(&self) -> Option<Address> {
        self.rings.iter().rev().find_map(|ring| {
            let me = self.identity.place_in(ring)?;
            Some(address_of(&ring.nodes()[me as usize]))
        })
    }

    /// A ring that is kept.
    pub(crate) fn kept(&self, id: RingId) -> Option<&Arc<Ring>> {
        self.rings.iter().find(|ring| ring.id() == id)
    }

    /// All rings that are kept, oldest first.
    pub(crate) fn rings(&self) -> &[Arc<Ring>] {
        &self.rings
    }

    /// Another number whenever anything may have changed that follows from this state: the view, the
    /// answer to greetings, who is to be greeted and who is waited for. What [`Membership::said`]
    /// tells is no part of that.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    #[cfg(test)]
    pub(crate) fn joined(&self) -> bool {
        self.joined
    }

    /// Whether every peer of the ring in force has told which older rings it knows, and has none that
    /// is newer. Who was given up has told nothing.
    pub(crate) fn has_met_all(&self) -> bool {
        self.joined && self.current_peers().all(|address| self.met.contains(&address))
    }

    /// Whether nobody is waited for.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        self.joined && self.base + 1 == self.rings.len()
    }

    /// What a greeting is answered with.
    pub(crate) fn peer_line(&self, name: &str, instance: u64) -> PeerLine {
        PeerLine {
            name: name.to_owned(),
            instance,
            held: stamp(self.held),
            base: stamp(self.rings[self.base].id()),
            known: self.rings.iter().map(|ring| stamp(ring.id())).collect(),
        }
    }

    /// What the peer at an address held when it last answered.
    pub(crate) fn said(&self, address: &Address) -> Option<RingId> {
        self.said.get(address).copied()
    }

    /// Every peer to be greeted: those of the ring in force, and those that may still serve by an
    /// older one.
    pub(crate) fn peers(&self) -> Vec<Address> {
        let own = self.own_address();
        let mut addresses: Vec<Address> = Vec::new();
        let mut seen = HashSet::new();
        for ring in self.rings[self.base..].iter().rev() {
            for address in ring.nodes().iter().map(address_of) {
                if own.as_ref() != Some(&address) && seen.insert(Arc::clone(&address)) {
                    addresses.push(address);
                }
            }
        }
        addresses
    }

    /// The peers that this node waits for.
    pub(crate) fn awaited(&self) -> Vec<Address> {
        let mut awaited: HashSet<Address> = self.past_peers().collect();
        if !self.joined {
            awaited.extend(self.current_peers().filter(|address| !self.met.contains(address)));
        }
        awaited.into_iter().filter(|address| self.may_be_awaited(address)).collect()
    }

    /// Whether this node waits for a peer.
    pub(crate) fn awaits(&self, address: &Address) -> bool {
        self.may_be_awaited(address) && self.awaited().contains(address)
    }

    fn may_be_awaited(&self, address: &Address) -> bool {
        !self.given_up.contains(address)
            && (!self.confirmed.contains(address) || !self.met.contains(address))
    }

    fn current_peers(&self) -> impl Iterator<Item = Address> + '_ {
        let own = self.own_address();
        self.ring().nodes().iter().map(address_of).filter(move |it| own.as_ref() != Some(it))
    }

    fn past_peers(&self) -> impl Iterator<Item = Address> + '_ {
        let own = self.own_address();
        let past = &self.rings[self.base..self.rings.len() - 1];
        past.iter()
            .flat_map(|ring| ring.nodes().iter().map(address_of))
            .filter(move |address| own.as_ref() != Some(address))
    }

    /// Puts a newer ring in force; false where it is none. The workers must be given the new view,
    /// then [`Membership::hold`] told.
    pub(crate) fn adopt(&mut self, ring: Arc<Ring>) -> bool {
        let before = self.id();
        if ring.id() <= before {
            return false;
        }
        let skipped = ring.id().version > before.version.saturating_add(1);
        self.rings.push(ring);
        self.trim();
        if skipped && self.gap_after.is_none() {
            self.gap_after = Some(before);
        }
        if skipped {
            self.joined = false;
        }
        self.clean = false;
        self.start_over();
        true
    }

    /// All workers hold the ring, and what it gives to others is forgotten.
    pub(crate) fn hold(&mut self, id: RingId) {
        self.held = id;
        self.clean = id == self.id();
        self.revision += 1;
    }

    /// Joins again, after a sleep in which peers may have gone on without this node.
    pub(crate) fn rejoin(&mut self) {
        self.joined = false;
        let before = self.rings[self.base].id();
        self.gap_after.get_or_insert(before);
        self.start_over();
    }

    fn start_over(&mut self) {
        self.met.clear();
        self.confirmed.clear();
        self.given_up.clear();
        self.settle();
    }

    /// Drops the oldest rings beyond what is kept, those that nobody serves by first.
    fn trim(&mut self) {
        while self.rings.len() > MAX_RINGS {
            self.rings.remove(0);
            self.base = self.base.saturating_sub(1);
        }
    }

    /// Takes in what a peer answered to a greeting.
    pub(crate) fn heard(&mut self, from: &Address, line: &PeerLine) -> Wanted {
        let held = ring_id(line.held);
        self.said.insert(Arc::clone(from), held);
        let newest = ring_id(line.newest());
        if newest > self.id() {
            let named = self.current_peers().any(|address| address == *from);
            return if named { Wanted::Newer(newest) } else { Wanted::Nothing };
        }
        let missing = self.missing(line);
        if !missing.is_empty() {
            return Wanted::Past(missing);
        }
        let met = self.met.insert(Arc::clone(from));
        let confirmed = held == self.id() && self.confirmed.insert(Arc::clone(from));
        if met || confirmed {
            self.settle();
        }
        Wanted::Nothing
    }

    /// Rings that a peer knows and this node must know before it serves.
    fn missing(&self, line: &PeerLine) -> Vec<RingId> {
        let base = ring_id(line.base);
        let since = match self.gap_after {
            Some(gap) if !self.joined => base.min(gap),
            _ => base,
        };
        let full_of_newer = |id| self.rings.len() == MAX_RINGS && id < self.rings[0].id();
        let wanted = |id: &RingId| {
            *id >= since && *id < self.id() && self.kept(*id).is_none() && !full_of_newer(*id)
        };
        let mut missing: Vec<RingId> =
            line.known.iter().copied().map(ring_id).filter(wanted).collect();
        missing.sort_unstable();
        missing
    }

    /// Takes in a ring that was in force before the present one. True where keys that it gives to
    /// others must be forgotten, because this node skipped it.
    pub(crate) fn learn(&mut self, ring: Arc<Ring>) -> bool {
        let id = ring.id();
        if id >= self.id() || self.kept(id).is_some() {
            return false;
        }
        let at = self.rings.partition_point(|kept| kept.id() < id);
        self.rings.insert(at, ring);
        // A peer says that somebody may still serve by it, or after it.
        self.base = self.base.min(at);
        self.trim();
        self.settle();
        self.gap_after.is_some_and(|gap| id > gap)
    }

    /// Stops waiting for a peer that is out of reach. True where it was waited for.
    pub(crate) fn give_up(&mut self, address: &Address) -> bool {
        if !self.awaits(address) {
            return false;
        }
        self.given_up.insert(Arc::clone(address));
        self.settle();
        true
    }

    /// Draws the conclusions from a change of the rings, or of who is met, confirmed or given up.
    fn settle(&mut self) {
        self.revision += 1;
        let settled = |set: &HashSet<Address>, address: &Address| {
            set.contains(address) || self.given_up.contains(address)
        };
        if !self.joined && self.current_peers().all(|address| settled(&self.met, &address)) {
            self.joined = true;
            self.gap_after = None;
        }
        let settled = |set: &HashSet<Address>, address: &Address| {
            set.contains(address) || self.given_up.contains(address)
        };
        if self.joined && self.past_peers().all(|address| settled(&self.confirmed, &address)) {
            self.base = self.rings.len() - 1;
        }
    }

    /// The picture for the workers.
    pub(crate) fn view(&self, peers: &Peers) -> View {
        let ring = Arc::clone(self.ring());
        let me = self.me();
        let own = self.own_address();
        let places: Vec<_> = ring.nodes().iter().enumerate().collect();
        let view_peers = places
            .into_iter()
            .map(|(index, node)| (me.map(|me| me as usize) != Some(index)).then(|| peers.of(node)))
            .collect();
        let former = |node| {
            let address = address_of(node);
            let settled = own.as_ref() == Some(&address)
                || self.confirmed.contains(&address)
                || self.given_up.contains(&address);
            if settled { Former::Settled } else { Former::Serving(peers.of(node)) }
        };
        let past = self.rings[self.base..self.rings.len() - 1].iter().rev();
        let past = past
            .map(|ring| Past {
                ring: Arc::clone(ring),
                nodes: ring.nodes().iter().map(former).collect(),
            })
            .collect();
        View { ring, peers: view_peers, me, joined: self.joined, past, clean: self.clean }
    }
}
