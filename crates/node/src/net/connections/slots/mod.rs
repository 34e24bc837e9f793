//! The slots of connections: the `-c` slots of clients, and the additional slots of other nodes
//! of the ring.
//!
//! This is a state machine without sockets; the time is a parameter. A connection enters as a
//! client. If all `-c` slots are taken and the connection may be another node's, it enters as
//! [`SlotState::Unproved`] and has [`TIMEOUT`] to prove that. A connection that proves to be a
//! node's holds one of the nodes' slots and leaves any `-c` slot that it held. A client that
//! finds no slot is rejected or, with `no_maxconns_fast`, waits for one ([`SlotState::Queued`]). So
//! does a connection that may be a node's but has not proved it in time ([`SlotState::Waiting`]).
//!
//! The time limit of a connection begins when its worker first reads it
//! ([`Slots::start_timeout`]), so a node does not lose its connection because a worker is busy. A
//! late proof still counts while the connection waits to be closed or for a `-c` slot.
//!
//! These bounds hold whatever untrusted clients do:
//!
//! - clients: `-c`;
//! - nodes: the total of [`Shares`]; one address that proves no more than its address has its own
//!   share;
//! - unproved: [`NEIGHBOURS`] from addresses of the ring and [`UNKNOWNS`] from elsewhere, of which
//!   one address has [`NEIGHBOURS_EACH`] and [`UNKNOWNS_EACH`]. Beyond that, a new connection
//!   displaces one that has had [`GRACE`], starting with those that have begun no proof. A
//!   connection that has begun one is spared, unless such connections hold more than half of these
//!   slots: an untrusted client can begin a proof too, and must not hold more than half of the
//!   slots until [`TIMEOUT`] is over. If none can be displaced, the new one is rejected. As many
//!   again may be about to close;
//! - queued: as many as the queue has room for, in order of arrival.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ringbinder_store::Seconds;
use tokio::time::Instant;

/// The time in which a connection beyond `-c` must prove that it is another node's. It starts when
/// the worker first reads the connection.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// The time for which an unproved connection keeps its slot after its worker first reads it,
/// however many connections come after it.
const GRACE: Duration = Duration::from_millis(50);

/// Unproved connections from addresses of the ring, in all and from one address.
const NEIGHBOURS: usize = 128;
const NEIGHBOURS_EACH: usize = 32;

/// Unproved connections from other addresses, in all and from one address.
const UNKNOWNS: usize = 256;
const UNKNOWNS_EACH: usize = 8;

/// The most unproved connections, including those about to close.
pub(crate) const MAX_UNPROVED: usize = 2 * (NEIGHBOURS + UNKNOWNS);

/// The most slots of nodes, however large the ring: 256 nodes of 4 threads.
pub(crate) const MAX_PEERS: usize = 4096;

/// Seconds without a request after which a node's connection makes room for a new one if all slots
/// are taken. Its other end may be gone without having closed the connection, as after a power cut.
const GHOST: Seconds = 30;

/// The slot that a connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SlotState {
    /// A `-c` slot.
    Client,
    /// None yet: it must prove that it is a node's.
    Unproved,
    /// None: it proved nothing in time. It will be closed unless a proof has arrived by then.
    Leaving,
    /// None yet: it is a client's, waits for a `-c` slot, and is not read.
    Queued,
    /// None yet: it waits for a `-c` slot, and may still prove that it is a node.
    Waiting,
    /// A slot of the nodes.
    Peer,
}

impl SlotState {
    /// Whether its requests are carried out.
    #[inline]
    pub(crate) fn has_slot(self) -> bool {
        matches!(self, SlotState::Client | SlotState::Peer)
    }

    pub(super) fn from_bits(bits: u8) -> SlotState {
        match bits {
            0 => SlotState::Client,
            1 => SlotState::Unproved,
            2 => SlotState::Leaving,
            3 => SlotState::Queued,
            4 => SlotState::Waiting,
            _ => SlotState::Peer,
        }
    }
}

/// The origin of a connection, which decides how it may prove to be a node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An address of a node of the ring.
    Neighbour(IpAddr),
    /// Another address. Its connection can prove itself by the peer secret or a certificate.
    Unknown(IpAddr),
    /// It cannot prove anything.
    Client,
}

/// The number of slots of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    /// For all nodes together.
    pub(crate) total: usize,
    /// For each node.
    pub(crate) each: usize,
}

impl Shares {
    /// The shares for a ring of `nodes` nodes with `threads` worker threads each, like this
    /// process. Each node gets one link for each worker and a control connection, twice over for
    /// the time while one process replaces another, and a few more for talks. `limit` is the number
    /// that open files allow.
    pub(crate) fn of(nodes: usize, threads: u16, limit: usize) -> Shares {
        let each = 2 * usize::from(threads) + 8;
        let total = nodes.saturating_mul(each).min(MAX_PEERS).min(limit.max(each));
        Shares { total, each }
    }
}

/// A connection whose slot state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: u32,
    pub(super) to: SlotState,
}

/// The result of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The connection holds a slot of the nodes.
    Placed,
    /// The same; this other connection was idle for long enough and made room.
    Replaced(u32),
    /// Nodes have no slot left.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Unproved {
    id: u32,
    from: IpAddr,
    neighbour: bool,
    /// The time at which its worker first read it; `None` until then.
    read_since: Option<Instant>,
    /// It has sent the request with which a node begins a proof.
    has_begun: bool,
}

impl Unproved {
    /// Whether this time has passed since its worker first read it.
    fn has_had(&self, time: Duration, now: Instant) -> bool {
        self.read_since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }
}

/// The slots, by connection number.
#[derive(Debug, Default)]
pub(super) struct Slots {
    max_clients: usize,
    /// The number of clients that may wait for a slot.
    max_queued: usize,
    clients: usize,
    shares: Shares,
    /// By address.
    peers: HashMap<IpAddr, Vec<u32>>,
    peer_count: usize,
    /// Oldest first.
    unproved: VecDeque<Unproved>,
    leaving: usize,
    queued: VecDeque<u32>,
}

impl Slots {
    pub(super) fn new(max_clients: usize, max_queued: usize) -> Slots {
        Slots { max_clients, max_queued, ..Slots::default() }
    }

    /// The number of clients that hold a `-c` slot.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    /// The number of connections that hold a slot of the nodes.
    pub(super) fn peers(&self) -> usize {
        self.peer_count
    }

    pub(super) fn shares(&self) -> Shares {
        self.shares
    }

    /// Sets the number of slots of nodes. Connections that hold one keep it.
    pub(super) fn share(&mut self, shares: Shares) {
        self.shares = shares;
    }

    fn has_room(&self) -> bool {
        self.clients < self.max_clients && self.queued.is_empty()
    }

    /// Admits a connection; `None` if there is no slot of any kind. Another connection may have to
    /// close or to wait instead.
    pub(super) fn open(
        &mut self,
        id: u32,
        origin: impl FnOnce() -> Origin,
        now: Instant,
    ) -> Option<(SlotState, Option<Change>)> {
        if self.has_room() {
            self.clients += 1;
            return Some((SlotState::Client, None));
        }
        let (from, neighbour) = match origin() {
            Origin::Neighbour(from) => (from, true),
            Origin::Unknown(from) => (from, false),
            Origin::Client => return Some((self.queue(id, SlotState::Queued)?, None)),
        };
        // Connections from other addresses that are about to close must not take room from
        // neighbours.
        let most = if neighbour { MAX_UNPROVED } else { 2 * UNKNOWNS };
        if self.unproved.len() + self.leaving >= most {
            return Some((self.queue(id, SlotState::Waiting)?, None));
        }
        let (total, each) =
            if neighbour { (NEIGHBOURS, NEIGHBOURS_EACH) } else { (UNKNOWNS, UNKNOWNS_EACH) };
        let alike = |it: &&Unproved| it.neighbour == neighbour;
        let of_address = |it: &&Unproved| it.neighbour == neighbour && it.from == from;
        let all = self.unproved.iter();
        let (is_full, displaced) = if all.clone().filter(of_address).count() >= each {
            (true, to_displace(all.filter(of_address), each, now))
        } else if all.clone().filter(alike).count() >= total {
            (true, to_displace(all.filter(alike), total, now))
        } else {
            (false, None)
        };
        if is_full && displaced.is_none() {
            return Some((self.queue(id, SlotState::Waiting)?, None));
        }
        let change = displaced.map(|id| self.give_up(id));
        self.unproved.push_back(Unproved {
            id,
            from,
            neighbour,
            read_since: None,
            has_begun: false,
        });
        Some((SlotState::Unproved, change))
    }

    /// Handles an unproved connection that proved nothing: it waits as a client, or closes.
    fn give_up(&mut self, id: u32) -> Change {
        self.unproved.retain(|it| it.id != id);
        if let Some(to) = self.queue(id, SlotState::Waiting) {
            return Change { id, to };
        }
        self.leaving += 1;
        Change { id, to: SlotState::Leaving }
    }

    /// Makes a connection wait for a `-c` slot, if the queue has room.
    fn queue(&mut self, id: u32, slot_state: SlotState) -> Option<SlotState> {
        let has_room = self.queued.len() < self.max_queued;
        has_room.then(|| {
            self.queued.push_back(id);
            slot_state
        })
    }

    /// Starts the time limit of a connection: its worker has read it, or found nothing to read.
    pub(super) fn start_timeout(&mut self, id: u32, now: Instant) {
        if let Some(it) = self.unproved.iter_mut().find(|it| it.id == id) {
            it.read_since.get_or_insert(now);
        }
    }

    /// Records that a connection has sent the request with which a node begins a proof.
    pub(super) fn begin_proof(&mut self, id: u32, now: Instant) {
        if let Some(it) = self.unproved.iter_mut().find(|it| it.id == id) {
            it.read_since.get_or_insert(now);
            it.has_begun = true;
        }
    }

    /// Ends the time limit of connections that have had [`TIMEOUT`].
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Change> {
        let late = self.unproved.iter().filter(|it| it.has_had(TIMEOUT, now));
        let late: Vec<u32> = late.map(|it| it.id).collect();
        late.into_iter().map(|id| self.give_up(id)).collect()
    }

    /// Treats a connection without a slot as a client's. Returns its new slot state, which is the
    /// old one if there is no slot for it.
    pub(super) fn claim(&mut self, id: u32, slot_state: SlotState) -> SlotState {
        match slot_state {
            SlotState::Unproved => {}
            SlotState::Waiting => return SlotState::Queued,
            SlotState::Client | SlotState::Leaving | SlotState::Queued | SlotState::Peer => {
                return slot_state;
            }
        }
        let claimed = if self.has_room() {
            self.clients += 1;
            SlotState::Client
        } else if let Some(queued) = self.queue(id, SlotState::Queued) {
            queued
        } else {
            return slot_state;
        };
        self.unproved.retain(|it| it.id != id);
        claimed
    }

    /// Records that a connection proved to be a node's. If nodes have no slot left, it keeps the
    /// `-c` slot that it may hold. `at_most` is the number of slots of its address, and `idle`
    /// the time for which a connection has sent nothing. Do not call this for a connection that
    /// already holds a slot of the nodes.
    pub(super) fn prove(
        &mut self,
        id: u32,
        slot_state: SlotState,
        from: IpAddr,
        at_most: usize,
        idle: impl Fn(u32) -> Seconds,
    ) -> (Proof, Vec<Change>) {
        let own_full = self.peers.get(&from).map_or(0, Vec::len) >= at_most;
        let full = own_full || self.peer_count >= self.shares.total;
        let mut proof = Proof::Placed;
        if full {
            let ghost = (slot_state != SlotState::Client)
                .then(|| self.ghost(own_full.then_some(from), idle))
                .flatten();
            let Some(ghost) = ghost else { return (Proof::Full, Vec::new()) };
            self.remove_peer(ghost);
            proof = Proof::Replaced(ghost);
        }
        let changes = self.leave(id, slot_state);
        self.peers.entry(from).or_default().push(id);
        self.peer_count += 1;
        (proof, changes)
    }

    /// The connection of a node, or of the node at an address, that has been silent longest.
    fn ghost(&self, of: Option<IpAddr>, idle: impl Fn(u32) -> Seconds) -> Option<u32> {
        let all = self.peers.iter().filter(|(from, _)| of.is_none_or(|of| of == **from));
        let longest = all.flat_map(|(_, ids)| ids).max_by_key(|id| idle(**id));
        longest.copied().filter(|id| idle(*id) >= GHOST)
    }

    fn remove_peer(&mut self, id: u32) {
        let before: usize = self.peers.values().map(Vec::len).sum();
        self.peers.retain(|_, ids| {
            ids.retain(|it| *it != id);
            !ids.is_empty()
        });
        let after: usize = self.peers.values().map(Vec::len).sum();
        self.peer_count -= before - after;
    }

    /// Releases the slot of a connection. Waiting clients may get it.
    pub(super) fn leave(&mut self, id: u32, slot_state: SlotState) -> Vec<Change> {
        match slot_state {
            SlotState::Client => {
                self.clients -= 1;
                return self.promote();
            }
            SlotState::Unproved => self.unproved.retain(|it| it.id != id),
            SlotState::Leaving => self.leaving -= 1,
            SlotState::Queued | SlotState::Waiting => self.queued.retain(|it| *it != id),
            // It is not there if it made room for another connection.
            SlotState::Peer => self.remove_peer(id),
        }
        Vec::new()
    }

    fn promote(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.clients < self.max_clients
            && let Some(id) = self.queued.pop_front()
        {
            self.clients += 1;
            changes.push(Change { id, to: SlotState::Client });
        }
        changes
    }
}

/// The unproved connection, of at most `limit`, that makes room for a new one; `None` if all of
/// them stay.
fn to_displace<'a>(
    all: impl Iterator<Item = &'a Unproved> + Clone,
    limit: usize,
    now: Instant,
) -> Option<u32> {
    let are_spared = all.clone().filter(|it| it.has_begun).count() <= limit / 2;
    all.filter(|it| it.has_had(GRACE, now) && !(it.has_begun && are_spared))
        .min_by_key(|it| (it.has_begun, it.read_since))
        .map(|it| it.id)
}

#[cfg(test)]
mod tests;
