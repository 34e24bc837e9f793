//! Decides when a node serves a key: the state machine that keeps two nodes from serving the same
//! key while one ring replaces another.
//!
//! Rings are ordered by [`RingId`]. A node adopts a ring only if it comes after the current one. It
//! *serves* a key if
//!
//! 1. the current ring gives it the key, and
//! 2. it has joined: every peer of the current ring has reported which older rings may still be
//!    served by, or has been declared failed; and
//! 3. for every such older ring, the node to which that ring gave the key has confirmed the current
//!    ring, has been declared failed, or is this node.
//!
//! A node confirms a ring once all its workers hold it. The confirmation names every older ring
//! that the node knows to be unsettled, so the peer that asked learns of earlier owners before it
//! serves. Only a confirmation of *exactly* the current ring counts: a peer with a newer ring may
//! already have passed the key on.
//!
//! Two nodes never serve one key at one moment, as long as no node that still serves is declared
//! failed. Suppose n serves the key by ring c, and x serves it by ring u < c. Then x confirmed to n
//! neither c nor any ring after u, although u gave x the key. If n knows u, rule 3 holds n back. If
//! n does not know u, some node that n asked had been asked by x before, because x needed the same
//! confirmations at u. That node knew u from then on, and named it to n. The simulation beside this
//! file searches random schedules for a counterexample.
//!
//! All this is about nodes. [`self::identity`] ensures that this process, and no other process,
//! *is* the node: a process serves only while its claim is confirmed, and it has met a peer only
//! once that peer accepts no other process under its name.
//!
//! A node that skipped a version may have missed a ring that gave its keys away and back. So may a
//! node that was paused for longer than its peers wait. Such a node joins again: its peers report
//! the rings in between, and the node drops the keys that those rings gave to others.
//!
//! This module does no I/O and reads no clock.
//!
//! | file | purpose |
//! |---|---|
//! | `identity` | whether this process is the node that the ring means |
//! | `accepted` | which process a node accepts at the address of a peer |

pub(crate) mod accepted;
pub(crate) mod identity;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ringbinder_protocol::{Instance, PeerLine, PeerProcess, Stamp, Standing};
use ringbinder_ring::{Node, NodeIndex, Ring, RingId};

pub(crate) use self::identity::Identity;
use self::identity::IdentityClaim;
use super::peer::{Address, NAMELESS, Peers, address_of};
use super::view::{Former, Past, View};

/// The number of rings kept at most, including the current one.
pub(crate) const MAX_RINGS: usize = PeerLine::MAX_KNOWN;

pub(crate) fn stamp(id: RingId) -> Stamp {
    Stamp { version: id.version, digest: id.digest }
}

pub(crate) fn ring_id(stamp: Stamp) -> RingId {
    RingId { version: stamp.version, digest: stamp.digest }
}

/// The request that follows from a peer's answer to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Nothing to ask for.
    Nothing,
    /// The peer's ring, which is newer than the current one.
    Newer(RingId),
    /// Earlier rings, oldest first. Greet the peer again once this node has them.
    Past(Vec<RingId>),
}

/// The state of one node.
#[derive(Debug)]
pub(crate) struct Membership {
    identity: Identity,
    claim: IdentityClaim,
    /// The standing that the workers act by. Peers are sent this one.
    acted: Standing,
    /// Ascending; the last ring is the current one.
    rings: Vec<Arc<Ring>>,
    /// The index of the oldest ring by which some node may still serve.
    base: usize,
    /// The newest ring that all workers hold.
    held: RingId,
    joined: bool,
    /// Unknown rings after this one may have given keys away. `None` at the start, when the node
    /// holds no keys.
    gap_after: Option<RingId>,
    /// Peers that have reported older rings since the current ring was adopted.
    met: HashSet<Address>,
    /// Peers that serve by the current ring.
    confirmed: HashSet<Address>,
    /// Peers that were unreachable for too long and are declared failed.
    given_up: HashSet<Address>,
    /// The ring that each peer last reported, for status output only.
    reported: HashMap<Address, RingId>,
    clean: bool,
    /// See [`Membership::revision`].
    revision: u64,
}

impl Membership {
    /// A node that starts with `ring` and holds no keys.
    pub(crate) fn new(identity: Identity, instance: Instance, ring: Arc<Ring>) -> Membership {
        let held = ring.id();
        let mut membership = Membership {
            identity,
            claim: IdentityClaim::new(instance),
            acted: Standing::Unconfirmed,
            rings: vec![ring],
            base: 0,
            held,
            joined: false,
            gap_after: None,
            met: HashSet::new(),
            confirmed: HashSet::new(),
            given_up: HashSet::new(),
            reported: HashMap::new(),
            clean: true,
            revision: 0,
        };
        membership.claim_place();
        membership.acted = membership.standing();
        membership.settle();
        membership
    }

    /// Takes the place that the current ring gives this node. Returns true if the place has another
    /// address than before, and it is not yet proved that this address leads to this process.
    fn claim_place(&mut self) -> bool {
        let ring = Arc::clone(self.ring());
        let node = self.me().map(|me| &ring.nodes()[me as usize]);
        let listens = node.is_some_and(|node| self.identity.listens_on(node));
        self.claim.move_to(node.map(address_of), listens)
    }

    /// This process's standing towards its place in the current ring.
    pub(crate) fn standing(&self) -> Standing {
        self.claim.standing()
    }

    /// This process's claim to its place.
    pub(crate) fn claim(&self) -> &IdentityClaim {
        &self.claim
    }

    /// The means by which this node finds itself.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Records the process that a connection to this node's own address reached.
    pub(crate) fn dialled_itself(&mut self, found: Instance) {
        let before = self.standing();
        self.claim.dialled(found);
        self.stood(before);
    }

    /// Takes the place without a proof if no peer can give one: see [`IdentityClaim::presume`].
    /// Returns true if this changes anything.
    pub(crate) fn presume(&mut self) -> bool {
        let alone = self.joined && self.met.is_empty();
        let presumed = alone && self.standing() == Standing::Unconfirmed;
        if presumed {
            self.claim.presume();
            self.revision += 1;
        }
        presumed
    }

    /// Records that a peer does not answer: its reports about this node no longer count.
    pub(crate) fn lost(&mut self, peer: &Address) {
        let before = self.standing();
        self.claim.lost(peer);
        self.stood(before);
    }

    /// Records that all workers act by the present standing, and that the keys a replaced process
    /// held have been dropped.
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

    /// The current ring.
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.rings[self.rings.len() - 1]
    }

    pub(crate) fn id(&self) -> RingId {
        self.ring().id()
    }

    /// This node's place in the current ring.
    pub(crate) fn me(&self) -> Option<NodeIndex> {
        self.identity.place_in(self.ring())
    }

    /// This node's place in any ring.
    pub(crate) fn me_in(&self, ring: &Ring) -> Option<NodeIndex> {
        self.identity.place_in(ring)
    }

    /// Whether the node at an address of a kept ring is this process. A process neither greets
    /// itself nor waits for itself. The place of a replaced process belongs to another process.
    fn is_own(&self, node: &Node) -> bool {
        match self.claim.address() {
            Some(own) if **own == *address_of(node) => self.standing() != Standing::Replaced,
            _ => self.identity.listens_on(node),
        }
    }

    /// Whether a ring in use gives the node at an address this name. A process that has no name yet
    /// may be any node.
    pub(crate) fn is_called(&self, address: &Address, name: &str) -> bool {
        let nodes = self.rings[self.base..].iter().flat_map(|ring| ring.nodes());
        name == NAMELESS
            || nodes.filter(|node| *address_of(node) == **address).any(|node| node.name == name)
    }

    /// A kept ring.
    pub(crate) fn kept(&self, id: RingId) -> Option<&Arc<Ring>> {
        self.rings.iter().find(|ring| ring.id() == id)
    }

    /// All kept rings, oldest first.
    pub(crate) fn rings(&self) -> &[Arc<Ring>] {
        &self.rings
    }

    /// A number that changes with every change that may affect the view, the answer to handshakes,
    /// the peers to greet or the peers to wait for. It does not cover the report of
    /// [`Membership::reported`].
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether every peer has reported which older rings may still be served by, or was declared
    /// failed.
    pub(crate) fn joined(&self) -> bool {
        self.joined
    }

    /// Whether every peer of the current ring has reported the older rings it knows, and has no
    /// newer ring. A peer that was declared failed has reported nothing.
    pub(crate) fn has_met_all(&self) -> bool {
        self.joined && self.current_peers().all(|address| self.met.contains(&address))
    }

    /// Whether this node waits for no peer.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        self.joined && self.base + 1 == self.rings.len()
    }

    /// The answer to a handshake.
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

    /// The ring that the peer at an address held when it last answered.
    pub(crate) fn reported(&self, address: &Address) -> Option<RingId> {
        self.reported.get(address).copied()
    }

    /// Every peer to greet: the peers of the current ring, and peers that may still serve by an
    /// older ring.
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

    /// The peers that this node waits for. A replaced process waits for none.
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

    /// Activates a ring; returns false if it is not newer. The caller must give the workers the new
    /// view and then call [`Membership::hold`].
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
        // Peers may still accept the process that was at the new address before.
        if skipped || (was_placed && moved) {
            self.joined = false;
        }
        self.clean = false;
        self.start_over();
        true
    }

    /// Records that all workers hold the ring, and that the keys it gives to others have been
    /// dropped.
    pub(crate) fn hold(&mut self, id: RingId) {
        self.held = id;
        self.clean = id == self.id();
        self.revision += 1;
    }

    /// Joins again after a pause in which peers may have gone on without this node.
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

    /// Drops the oldest rings beyond the limit, starting with those that no node serves by.
    fn trim(&mut self) {
        while self.rings.len() > MAX_RINGS {
            self.rings.remove(0);
            self.base = self.base.saturating_sub(1);
        }
    }

    /// Processes a peer's answer to a handshake.
    pub(crate) fn heard(&mut self, from: &Address, line: &PeerLine) -> Wanted {
        let held = ring_id(line.held);
        self.reported.insert(Arc::clone(from), held);
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

    /// Whether the ring by which a peer answers gives this node the same address as the current
    /// ring.
    fn is_at_its_place_in(&self, line: &PeerLine) -> bool {
        self.kept(ring_id(line.newest())).is_some_and(|ring| {
            let place = self.identity.place_in(ring).map(|me| &ring.nodes()[me as usize]);
            place.map(address_of).as_ref() == self.claim.address()
        })
    }

    /// The ring that a peer of the current ring holds, if it is newer than the current one.
    pub(crate) fn newer_of(&self, from: &Address, line: &PeerLine) -> Option<RingId> {
        let newest = ring_id(line.newest());
        let is_named = || self.current_peers().any(|address| address == *from);
        (newest > self.id() && is_named()).then_some(newest)
    }

    /// Rings that a peer knows and that this node must know before it serves.
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

    /// Adds a ring that preceded the current one. Returns true if this node skipped that ring and
    /// must drop the keys that it gives to others.
    pub(crate) fn learn(&mut self, ring: Arc<Ring>) -> bool {
        let id = ring.id();
        if id >= self.id() || self.kept(id).is_some() {
            return false;
        }
        let at = self.rings.partition_point(|kept| kept.id() < id);
        self.rings.insert(at, ring);
        // According to a peer, some node may still serve by this ring or by one after it.
        self.base = self.base.min(at);
        self.trim();
        self.settle();
        self.gap_after.is_some_and(|gap| id > gap)
    }

    /// Declares an unreachable peer failed. Returns true if this node was waiting for it.
    pub(crate) fn give_up(&mut self, address: &Address) -> bool {
        if !self.awaits(address) {
            return false;
        }
        self.given_up.insert(Arc::clone(address));
        self.settle();
        true
    }

    /// Updates the derived state after a change of the rings, or of the peers met, confirmed or
    /// failed.
    fn settle(&mut self) {
        self.revision += 1;
        if !self.joined && self.current_peers().all(|address| self.is_among(&self.met, &address)) {
            self.joined = true;
            self.gap_after = None;
        }
        if self.joined && self.standing() == Standing::Confirmed {
            self.claim.establish();
        }
        let has_confirmed = |address| self.is_among(&self.confirmed, &address);
        if self.joined && self.past_peers().all(has_confirmed) {
            self.base = self.rings.len() - 1;
        }
    }

    /// Whether a peer is in this set, or was declared failed.
    fn is_among(&self, set: &HashSet<Address>, address: &Address) -> bool {
        set.contains(address) || self.given_up.contains(address)
    }

    /// The view for the workers.
    pub(crate) fn view(&self, peers: &Peers) -> View {
        let ring = Arc::clone(self.ring());
        let me = self.me().filter(|_| self.standing() != Standing::Replaced);
        let place = me.map(|me| me as usize);
        let nodes = ring.nodes().iter().enumerate();
        let view_peers =
            nodes.map(|(index, node)| (place != Some(index)).then(|| peers.of(node))).collect();
        let former = |node| {
            let settled = self.is_own(node) || self.is_among(&self.confirmed, &address_of(node));
            if settled { Former::Settled } else { Former::Serving(peers.of_past(node)) }
        };
        let past = self.rings[self.base..self.rings.len() - 1].iter().rev();
        let past = past.map(|ring| {
            let nodes = ring.nodes().iter().map(former).collect();
            Past { ring: Arc::clone(ring), nodes }
        });
        View {
            ring,
            peers: view_peers,
            me,
            joined: self.joined && self.standing() != Standing::Unconfirmed,
            past: past.collect(),
            clean: self.clean,
        }
    }
}
