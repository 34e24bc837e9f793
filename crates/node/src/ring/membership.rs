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
//! All this is said of nodes. That this process *is* the node, and no other one is, is the business of
//! [`super::standing`]: a process serves only while its claim is confirmed, and it has met a peer only
//! once that peer accepts no other process under its name.
//!
//! A node that skipped a version may have missed a ring that gave its keys away and back. So may one
//! that slept longer than its peers wait. It joins again: its peers tell it the rings in between,
//! and it forgets the keys that those gave to others.
//!
//! Nothing here does I/O or reads a clock.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ringbinder_protocol::{Instance, PeerLine, PeerProcess, Stamp, Standing};
use ringbinder_ring::{Node, NodeIndex, Ring, RingId};

use super::peer::{Address, NAMELESS, Peers, address_of};
use super::standing::Claim;
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
pub(crate) struct Identity {
    /// The name that it was started with. Without one it finds itself by its addresses.
    pub(crate) name: Option<String>,
    /// The addresses that it listens on.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Identity {
    /// This node's place in a ring, if it has one.
    pub(crate) fn place_in(&self, ring: &Ring) -> Option<NodeIndex> {
        let place = match &self.name {
            Some(name) => ring.nodes().iter().position(|node| node.name == *name),
            None => self.place_by_address(ring),
        };
        place.and_then(|index| NodeIndex::try_from(index).ok())
    }

    /// The node of a ring that this process must be by the addresses it listens on, whatever name it
    /// was started with.
    pub(crate) fn place_by_address(&self, ring: &Ring) -> Option<usize> {
        ring.nodes().iter().position(|node| self.listens_on(node))
    }

    /// Whether a node's address is an IP address and port that this process listens on.
    pub(crate) fn listens_on(&self, node: &Node) -> bool {
        let host: Option<IpAddr> = node.host.trim_matches(['[', ']']).parse().ok();
        host.is_some_and(|host| self.addresses.contains(&SocketAddr::new(host, node.port)))
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
    claim: Claim,
    /// The standing that the workers act by: what peers are told.
    acted: Standing,
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
    pub(crate) fn new(identity: Identity, instance: Instance, ring: Arc<Ring>) -> Membership {
        let held = ring.id();
        let mut membership = Membership {
            identity,
            claim: Claim::new(instance),
            acted: Standing::Unconfirmed,
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
        membership.claim_place();
        membership.acted = membership.standing();
        membership.settle();
        membership
    }

    /// Takes the place that the ring in force gives this node. True if it is at another address than
    /// before, and nothing proves yet that it leads to this process.
    fn claim_place(&mut self) -> bool {
        let ring = Arc::clone(self.ring());
        let node = self.me().map(|me| &ring.nodes()[me as usize]);
        let listens = node.is_some_and(|node| self.identity.listens_on(node));
        self.claim.move_to(node.map(address_of), listens)
    }

    /// How this process stands to its place in the ring in force.
    pub(crate) fn standing(&self) -> Standing {
        self.claim.standing()
    }

    /// This process's claim to its place.
    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// How this node finds itself.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes in the process that a connection to this node's own address reached.
    pub(crate) fn dialled_itself(&mut self, found: Instance) {
        let before = self.standing();
        self.claim.dialled(found);
        self.stood(before);
    }

    /// Takes the place without a proof, where nobody can give one: see [`Claim::presume`]. True if
    /// that changes anything.
    pub(crate) fn presume(&mut self) -> bool {
        let alone = self.joined && self.met.is_empty();
        let presumed = alone && self.standing() == Standing::Unconfirmed;
        if presumed {
            self.claim.presume();
            self.revision += 1;
        }
        presumed
    }

    /// A peer does not answer: what it reported of this node counts no more.
    pub(crate) fn lost(&mut self, peer: &Address) {
        let before = self.standing();
        self.claim.lost(peer);
        self.stood(before);
    }

    /// All workers act by the present standing, and what a replaced process held is forgotten.
    pub(crate) fn stand(&mut self) {
        self.acted = self.standing();
        self.clean = self.held == self.id();
        self.revision += 1;
    }

    /// The standing that the workers act by.
    pub(crate) fn acted(&self) -> Standing {
        self.acted
    }

    fn stood(&mut self, before: Standing) {
        let now = self.standing();
        if now == before {
            return;
        }
        self.revision += 1;
        if self.joined && now == Standing::Confirmed {
            self.claim.establish();
        }
        self.clean &= now != Standing::Replaced;
        if before == Standing::Replaced {
            // Another process served in its place, and may have taken part in changes of the ring.
            self.rejoin();
        }
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

    /// Whether the node at an address of a kept ring is this process: it neither greets it nor waits for
    /// it. The place of a replaced process is another's.
    fn is_own(&self, node: &Node) -> bool {
        match self.claim.address() {
            Some(own) if **own == *address_of(node) => self.standing() != Standing::Replaced,
            _ => self.identity.listens_on(node),
        }
    }

    /// Whether a ring in use gives the node at an address this name. A process that has no name yet may
    /// be any.
    pub(crate) fn is_called(&self, address: &Address, name: &str) -> bool {
        let nodes = self.rings[self.base..].iter().flat_map(|ring| ring.nodes());
        name == NAMELESS
            || nodes.filter(|node| *address_of(node) == **address).any(|node| node.name == name)
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

    /// Whether every peer has told which older rings may still be served by, or was given up.
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
    pub(crate) fn peer_line(&self, name: &str) -> PeerLine {
        PeerLine {
            name: name.to_owned(),
            instance: self.claim.instance(),
            held: stamp(self.held),
            base: stamp(self.rings[self.base].id()),
            known: self.rings.iter().map(|ring| stamp(ring.id())).collect(),
            process: Some(PeerProcess { standing: self.acted, seen: None, cas: 0, list: 0 }),
        }
    }

    /// What the peer at an address held when it last answered.
    pub(crate) fn said(&self, address: &Address) -> Option<RingId> {
        self.said.get(address).copied()
    }

    /// Every peer to be greeted: those of the ring in force, and those that may still serve by an
    /// older one.
    pub(crate) fn peers(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = Vec::new();
        let mut seen = HashSet::new();
        for ring in self.rings[self.base..].iter().rev() {
            for node in ring.nodes().iter().filter(|node| !self.is_own(node)) {
                let address = address_of(node);
                if seen.insert(Arc::clone(&address)) {
                    addresses.push(address);
                }
            }
        }
        addresses
    }

    /// The peers that this node waits for. A replaced process has nothing to wait for.
    pub(crate) fn awaited(&self) -> Vec<Address> {
        if self.standing() == Standing::Replaced {
            return Vec::new();
        }
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
        let nodes = self.ring().nodes().iter();
        nodes.filter(|node| !self.is_own(node)).map(address_of)
    }

    fn past_peers(&self) -> impl Iterator<Item = Address> + '_ {
        let past = &self.rings[self.base..self.rings.len() - 1];
        let nodes = past.iter().flat_map(|ring| ring.nodes());
        nodes.filter(|node| !self.is_own(node)).map(address_of)
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
        let was_placed = self.claim.address().is_some();
        let moved = self.claim_place();
        // Whoever was at the new address before may still be accepted there.
        if skipped || (was_placed && moved) {
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
        let peers: Vec<Address> = self.current_peers().collect();
        self.claim.keep(&peers);
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
        if self.current_peers().any(|peer| peer == *from) {
            let before = self.standing();
            let seen = line.process.and_then(|process| process.seen);
            // A peer with another ring may mean another address by the same name.
            self.claim.reported(from, seen.filter(|_| self.is_at_its_place_in(line)));
            self.stood(before);
        }
        if ring_id(line.newest()) > self.id() {
            return self.newer_of(from, line).map_or(Wanted::Nothing, Wanted::Newer);
        }
        let missing = self.missing(line);
        if !missing.is_empty() {
            return Wanted::Past(missing);
        }
        let met = if self.claim.is_contested_by(from) {
            !self.joined && self.met.remove(from)
        } else {
            self.met.insert(Arc::clone(from))
        };
        let confirmed = held == self.id() && self.confirmed.insert(Arc::clone(from));
        if met || confirmed {
            self.settle();
        }
        Wanted::Nothing
    }

    /// Whether the ring by which a peer answers gives this node the address that the ring in force does.
    fn is_at_its_place_in(&self, line: &PeerLine) -> bool {
        self.kept(ring_id(line.newest())).is_some_and(|ring| {
            let place = self.identity.place_in(ring).map(|me| &ring.nodes()[me as usize]);
            place.map(address_of).as_ref() == self.claim.address()
        })
    }

    /// A ring that a peer of the ring in force has, if it is newer than that.
    pub(crate) fn newer_of(&self, from: &Address, line: &PeerLine) -> Option<RingId> {
        let newest = ring_id(line.newest());
        let is_named = || self.current_peers().any(|address| address == *from);
        (newest > self.id() && is_named()).then_some(newest)
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
        if self.joined && self.standing() == Standing::Confirmed {
            self.claim.establish();
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
        let me = self.me().filter(|_| self.standing() != Standing::Replaced);
        let place = me.map(|me| me as usize);
        let nodes = ring.nodes().iter().enumerate();
        let view_peers =
            nodes.map(|(index, node)| (place != Some(index)).then(|| peers.of(node))).collect();
        let former = |node| {
            let address = address_of(node);
            let settled = self.is_own(node)
                || self.confirmed.contains(&address)
                || self.given_up.contains(&address);
            if settled { Former::Settled } else { Former::Serving(peers.of_past(node)) }
        };
        let past = self.rings[self.base..self.rings.len() - 1].iter().rev();
        let past = past
            .map(|ring| Past {
                ring: Arc::clone(ring),
                nodes: ring.nodes().iter().map(former).collect(),
            })
            .collect();
        View {
            ring,
            peers: view_peers,
            me,
            joined: self.joined && self.standing() != Standing::Unconfirmed,
            past,
            clean: self.clean,
        }
    }
}
