//! Which places connections hold: the `-c` places of clients, and the places beside them that other
//! nodes of the ring have.
//!
//! A state machine without sockets; the time is a parameter. A connection enters as a client. If all
//! `-c` places are taken, it enters as [`Standing::Unproved`], if it may be another node, and has
//! [`PATIENCE`] to prove that. A connection that proves to be a node's holds one of the nodes' places and
//! leaves the `-c` place that it may have held. A client that finds no place is refused or, with
//! `no_maxconns_fast`, waits for one ([`Standing::Queued`]); so does a connection that may be a node's
//! and has not proved it in time ([`Standing::Waiting`]).
//!
//! The time of a connection begins when its worker first reads it ([`Places::start_patience`]), so a worker that is
//! busy costs no node its connection. A proof that arrives late still counts, while the connection waits
//! to be closed or for a `-c` place.
//!
//! Bounds, whatever strangers do:
//!
//! - clients: `-c`;
//! - nodes: the total of [`Shares`]; one address that proves no more than its address: its own share;
//! - unproved: [`NEIGHBOURS`] from addresses of the ring and [`STRANGERS`] from elsewhere, of which one
//!   address has [`NEIGHBOURS_EACH`] and [`STRANGERS_EACH`]. Beyond that a new connection displaces one
//!   that has had [`GRACE`], first those that have begun no proof. One that has begun is spared, unless
//!   more than half of these places hold such ones: a stranger can begin a proof too, and must not hold
//!   more than half of the places until [`PATIENCE`] is over. If none can be displaced, the new one is
//!   refused. As many again may be about to close;
//! - queued: as many as the queue has room for, in the order in which they came.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ringbinder_store::Seconds;
use tokio::time::Instant;

/// How long a connection beyond `-c` may take to prove that it is another node, once its worker reads it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How long an unproved connection stays once its worker reads it, however many come after it.
const GRACE: Duration = Duration::from_millis(50);

/// Unproved connections from addresses of the ring, in all and from one address.
const NEIGHBOURS: usize = 128;
const NEIGHBOURS_EACH: usize = 32;

/// Unproved connections from other addresses, in all and from one address.
const STRANGERS: usize = 256;
const STRANGERS_EACH: usize = 8;

/// Unproved connections at most, those on their way out included.
pub(crate) const MAX_UNPROVED: usize = 2 * (NEIGHBOURS + STRANGERS);

/// Most places of nodes, however large the ring: 256 nodes of 4 threads.
pub(crate) const MAX_PEERS: usize = 4096;

/// Seconds without a request after which a node's connection makes room for a new one, if all places
/// are taken: its other end may be gone, as after a power cut, without a word of it having come.
const GHOST: Seconds = 30;

/// What a connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    /// A `-c` place.
    Client,
    /// None yet: it is to prove that it is a node.
    Unproved,
    /// None: it did not prove anything in time. It is closed, unless a proof has arrived by then.
    Leaving,
    /// None yet: it is a client's, waits for a `-c` place and is not read from.
    Queued,
    /// None yet: it waits for a `-c` place, and may still prove that it is a node.
    Waiting,
    /// A place of the nodes.
    Peer,
}

impl Standing {
    /// Whether its requests are carried out.
    #[inline]
    pub(crate) fn has_place(self) -> bool {
        matches!(self, Standing::Client | Standing::Peer)
    }

    pub(super) fn from_bits(bits: u8) -> Standing {
        match bits {
            0 => Standing::Client,
            1 => Standing::Unproved,
            2 => Standing::Leaving,
            3 => Standing::Queued,
            4 => Standing::Waiting,
            _ => Standing::Peer,
        }
    }
}

/// Where a connection comes from, by what it may prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An address of a node of the ring.
    Neighbour(IpAddr),
    /// Another address, whose connection can prove itself by the peer secret or a certificate.
    Stranger(IpAddr),
    /// It cannot prove anything.
    Client,
}

/// How many places nodes have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    /// All of them.
    pub(crate) total: usize,
    /// Each node.
    pub(crate) each: usize,
}

impl Shares {
    /// For a ring of so many nodes whose processes have so many worker threads as this one: a link a
    /// worker and a control connection, twice over while one process replaces another, and a few for
    /// talks. `limit` is what open files leave room for.
    pub(crate) fn of(nodes: usize, threads: u16, limit: usize) -> Shares {
        let each = 2 * usize::from(threads) + 8;
        let total = nodes.saturating_mul(each).min(MAX_PEERS).min(limit.max(each));
        Shares { total, each }
    }
}

/// A connection that has another standing from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) id: u32,
    pub(super) to: Standing,
}

/// What came of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The connection holds a place of the nodes.
    Placed,
    /// The same; this other one was idle for so long that it made room.
    Replaced(u32),
    /// Nodes have no place left.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Unproved {
    id: u32,
    from: IpAddr,
    neighbour: bool,
    /// When its worker first read it; `None` until then.
    read_since: Option<Instant>,
    /// It has sent what a node sends first to prove itself.
    has_begun: bool,
}

impl Unproved {
    /// Whether its worker has been reading it for so long.
    fn has_had(&self, time: Duration, now: Instant) -> bool {
        self.read_since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }
}

/// The places, by the numbers of the connections.
#[derive(Debug, Default)]
pub(super) struct Places {
    max_clients: usize,
    /// Clients that may wait for a place.
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

impl Places {
    pub(super) fn new(max_clients: usize, max_queued: usize) -> Places {
        Places { max_clients, max_queued, ..Places::default() }
    }

    /// Clients that hold a `-c` place.
    pub(super) fn clients(&self) -> usize {
        self.clients
    }

    /// Connections that hold a place of the nodes.
    pub(super) fn peers(&self) -> usize {
        self.peer_count
    }

    pub(super) fn shares(&self) -> Shares {
        self.shares
    }

    /// Gives the nodes so many places. Those that hold one keep it.
    pub(super) fn share(&mut self, shares: Shares) {
        self.shares = shares;
    }

    fn has_room(&self) -> bool {
        self.clients < self.max_clients && self.queued.is_empty()
    }

    /// Lets a connection in; `None` if there is no place of any kind for it. Another one may have to
    /// go, or to wait, instead.
    pub(super) fn open(
        &mut self,
        id: u32,
        origin: impl FnOnce() -> Origin,
        now: Instant,
    ) -> Option<(Standing, Option<Change>)> {
        if self.has_room() {
            self.clients += 1;
            return Some((Standing::Client, None));
        }
        let (from, neighbour) = match origin() {
            Origin::Neighbour(from) => (from, true),
            Origin::Stranger(from) => (from, false),
            Origin::Client => return Some((self.queue(id, Standing::Queued)?, None)),
        };
        // Strangers on their way out are in no neighbour's way either.
        let most = if neighbour { MAX_UNPROVED } else { 2 * STRANGERS };
        if self.unproved.len() + self.leaving >= most {
            return Some((self.queue(id, Standing::Waiting)?, None));
        }
        let (total, each) =
            if neighbour { (NEIGHBOURS, NEIGHBOURS_EACH) } else { (STRANGERS, STRANGERS_EACH) };
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
            return Some((self.queue(id, Standing::Waiting)?, None));
        }
        let change = displaced.map(|id| self.give_up(id));
        self.unproved.push_back(Unproved {
            id,
            from,
            neighbour,
            read_since: None,
            has_begun: false,
        });
        Some((Standing::Unproved, change))
    }

    /// An unproved connection proved nothing: it waits as a client, or goes.
    fn give_up(&mut self, id: u32) -> Change {
        self.unproved.retain(|it| it.id != id);
        if let Some(to) = self.queue(id, Standing::Waiting) {
            return Change { id, to };
        }
        self.leaving += 1;
        Change { id, to: Standing::Leaving }
    }

    /// Lets a connection wait for a `-c` place, if there is room for it.
    fn queue(&mut self, id: u32, standing: Standing) -> Option<Standing> {
        let has_room = self.queued.len() < self.max_queued;
        has_room.then(|| {
            self.queued.push_back(id);
            standing
        })
    }

    /// The worker of a connection has read what it sent, or found nothing. Starts its time.
    pub(super) fn start_patience(&mut self, id: u32, now: Instant) {
        if let Some(it) = self.unproved.iter_mut().find(|it| it.id == id) {
            it.read_since.get_or_insert(now);
        }
    }

    /// A connection has sent what a node sends first to prove itself.
    pub(super) fn begin_proof(&mut self, id: u32, now: Instant) {
        if let Some(it) = self.unproved.iter_mut().find(|it| it.id == id) {
            it.read_since.get_or_insert(now);
            it.has_begun = true;
        }
    }

    /// Ends the time of the connections that have had [`PATIENCE`].
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Change> {
        let late = self.unproved.iter().filter(|it| it.has_had(PATIENCE, now));
        let late: Vec<u32> = late.map(|it| it.id).collect();
        late.into_iter().map(|id| self.give_up(id)).collect()
    }

    /// A connection without a place turned out to be a client's: what it holds from now on. If that
    /// is what it held before, there is nothing for it.
    pub(super) fn claim(&mut self, id: u32, standing: Standing) -> Standing {
        match standing {
            Standing::Unproved => {}
            Standing::Waiting => return Standing::Queued,
            Standing::Client | Standing::Leaving | Standing::Queued | Standing::Peer => {
                return standing;
            }
        }
        let claimed = if self.has_room() {
            self.clients += 1;
            Standing::Client
        } else if let Some(queued) = self.queue(id, Standing::Queued) {
            queued
        } else {
            return standing;
        };
        self.unproved.retain(|it| it.id != id);
        claimed
    }

    /// A connection proved that it is a node's. One that holds a `-c` place keeps that if nodes have
    /// none left. `at_most` is how many its address may have, `idle` how long a connection sent
    /// nothing. Not to be called for a connection that holds a place of the nodes.
    pub(super) fn prove(
        &mut self,
        (id, standing, from): (u32, Standing, IpAddr),
        at_most: usize,
        idle: impl Fn(u32) -> Seconds,
    ) -> (Proof, Vec<Change>) {
        let own_full = self.peers.get(&from).map_or(0, Vec::len) >= at_most;
        let full = own_full || self.peer_count >= self.shares.total;
        let mut proof = Proof::Placed;
        if full {
            let ghost = (standing != Standing::Client)
                .then(|| self.ghost(own_full.then_some(from), idle))
                .flatten();
            let Some(ghost) = ghost else {
                return (Proof::Full, Vec::new());
            };
            self.remove_peer(ghost);
            proof = Proof::Replaced(ghost);
        }
        let changes = self.leave(id, standing);
        self.peers.entry(from).or_default().push(id);
        self.peer_count += 1;
        (proof, changes)
    }

    /// The connection of a node, or of the node at an address, that sent nothing for longest.
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

    /// A connection gives up what it holds. Clients that waited may have its place.
    pub(super) fn leave(&mut self, id: u32, standing: Standing) -> Vec<Change> {
        match standing {
            Standing::Client => {
                self.clients -= 1;
                return self.promote();
            }
            Standing::Unproved => self.unproved.retain(|it| it.id != id),
            Standing::Leaving => self.leaving -= 1,
            Standing::Queued | Standing::Waiting => self.queued.retain(|it| *it != id),
            // Not there if it made room for another.
            Standing::Peer => self.remove_peer(id),
        }
        Vec::new()
    }

    fn promote(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.clients < self.max_clients
            && let Some(id) = self.queued.pop_front()
        {
            self.clients += 1;
            changes.push(Change { id, to: Standing::Client });
        }
        changes
    }
}

/// The one of these unproved connections that makes room for a new one; `None` if all of them stay. They
/// are `limit` at most.
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
