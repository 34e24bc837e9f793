//! Which places connections hold: the `-c` places of clients, and the places beside them that other
//! nodes of the ring have.
//!
//! A state machine without sockets; the time is a parameter. A connection enters as a client. If all
//! `-c` places are taken, it enters as [`Standing::Unproved`], if it may be another node, and has
//! [`PATIENCE`] to prove that. Whoever proves to be a node holds one of the nodes' places and leaves
//! the `-c` place that it may have held. A client that finds no place is refused or, with
//! `no_maxconns_fast`, waits for one ([`Standing::Queued`]).
//!
//! Bounds, whatever strangers do:
//!
//! - clients: `-c`;
//! - nodes: the total of [`Shares`]; one address that proves no more than its address: its own share;
//! - unproved: [`NEIGHBOURS`] from addresses of the ring and [`STRANGERS`] from elsewhere, of which one
//!   address has [`NEIGHBOURS_EACH`] and [`STRANGERS_EACH`]. Beyond that the newest displaces the
//!   oldest, once that has had [`GRACE`]: a node proves itself within two round trips, so that whoever
//!   only fills places is the one that goes. As many again may be on their way out;
//! - queued: as many as the queue has room for, in the order in which they came.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ringbinder_store::Seconds;
use tokio::time::Instant;

/// How long a connection beyond `-c` may take to prove that it is another node.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How long an unproved connection stays, however many come after it.
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
    /// None: it did not prove anything in time, and is being closed.
    Leaving,
    /// None yet: it waits for a `-c` place and is not read from.
    Queued,
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
    since: Instant,
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
            Origin::Client => return self.queue(id).then_some((Standing::Queued, None)),
        };
        if self.unproved.len() + self.leaving >= MAX_UNPROVED {
            return self.queue(id).then_some((Standing::Queued, None));
        }
        let (total, each) =
            if neighbour { (NEIGHBOURS, NEIGHBOURS_EACH) } else { (STRANGERS, STRANGERS_EACH) };
        let alike = |it: &&Unproved| it.neighbour == neighbour;
        let of_address = |it: &&Unproved| it.neighbour == neighbour && it.from == from;
        let all = self.unproved.iter();
        let oldest = if all.clone().filter(of_address).count() >= each {
            all.clone().find(of_address)
        } else if all.clone().filter(alike).count() >= total {
            all.clone().find(alike)
        } else {
            None
        };
        if oldest.is_some_and(|it| now.saturating_duration_since(it.since) < GRACE) {
            return self.queue(id).then_some((Standing::Queued, None));
        }
        let change = oldest.map(|it| it.id).map(|oldest| self.give_up(oldest));
        self.unproved.push_back(Unproved { id, from, neighbour, since: now });
        Some((Standing::Unproved, change))
    }

    /// An unproved connection proved nothing: it waits as a client, or goes.
    fn give_up(&mut self, id: u32) -> Change {
        self.unproved.retain(|it| it.id != id);
        if self.queue(id) {
            return Change { id, to: Standing::Queued };
        }
        self.leaving += 1;
        Change { id, to: Standing::Leaving }
    }

    fn queue(&mut self, id: u32) -> bool {
        let room = self.queued.len() < self.max_queued;
        if room {
            self.queued.push_back(id);
        }
        room
    }

    /// Whose time to prove something is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(oldest) = self.unproved.front()
            && now.saturating_duration_since(oldest.since) >= PATIENCE
        {
            let id = oldest.id;
            changes.push(self.give_up(id));
        }
        changes
    }

    /// A connection without a place turned out to be a client's: what it holds from now on. If that
    /// is what it held before, there is nothing for it.
    pub(super) fn claim(&mut self, id: u32, standing: Standing) -> Standing {
        if standing != Standing::Unproved {
            return standing;
        }
        let claimed = if self.has_room() {
            self.clients += 1;
            Standing::Client
        } else if self.queue(id) {
            Standing::Queued
        } else {
            return standing;
        };
        self.unproved.retain(|it| it.id != id);
        claimed
    }

    /// A connection proved that it is a node's. One that holds a `-c` place keeps that if nodes have
    /// none left. `at_most` is how many its address may have, `idle` how long a connection sent
    /// nothing.
    pub(super) fn prove(
        &mut self,
        (id, standing, from): (u32, Standing, IpAddr),
        at_most: usize,
        idle: impl Fn(u32) -> Seconds,
    ) -> (Proof, Vec<Change>) {
        if !matches!(standing, Standing::Client | Standing::Unproved) {
            return (Proof::Full, Vec::new());
        }
        let own_full = self.peers.get(&from).map_or(0, Vec::len) >= at_most;
        let full = own_full || self.peer_count >= self.shares.total;
        let mut proof = Proof::Placed;
        if full {
            let ghost = (standing == Standing::Unproved)
                .then(|| self.ghost(own_full.then_some(from), idle))
                .flatten();
            let Some(ghost) = ghost else {
                return (Proof::Full, Vec::new());
            };
            self.remove_peer(ghost);
            proof = Proof::Replaced(ghost);
        }
        self.peers.entry(from).or_default().push(id);
        self.peer_count += 1;
        let mut changes = Vec::new();
        if standing == Standing::Client {
            self.clients -= 1;
            changes = self.promote();
        } else {
            self.unproved.retain(|it| it.id != id);
        }
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

    /// A connection is closed. Clients that waited may have its place.
    pub(super) fn leave(&mut self, id: u32, standing: Standing) -> Vec<Change> {
        match standing {
            Standing::Client => {
                self.clients -= 1;
                return self.promote();
            }
            Standing::Unproved => self.unproved.retain(|it| it.id != id),
            Standing::Leaving => self.leaving -= 1,
            Standing::Queued => self.queued.retain(|it| *it != id),
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// Full of one client, number 0, with places for nodes.
    fn full(max_queued: usize) -> Places {
        let mut places = Places::new(1, max_queued);
        places.share(Shares { total: 3, each: 2 });
        let opened = places.open(0, || panic!("there is room"), Instant::now());
        assert_eq!(opened, Some((Standing::Client, None)));
        places
    }

    #[test]
    fn who_may_be_a_node_is_let_in_beyond_the_limit_and_for_a_second() {
        let mut places = full(0);
        let now = Instant::now();
        assert_eq!(places.open(1, || Origin::Client, now), None);
        let opened = places.open(1, || Origin::Neighbour(ip(1)), now);
        assert_eq!(opened, Some((Standing::Unproved, None)));
        assert_eq!(places.expire(now + PATIENCE / 2), []);
        let out = Change { id: 1, to: Standing::Leaving };
        assert_eq!(places.expire(now + PATIENCE), [out]);
        assert_eq!(places.claim(1, Standing::Leaving), Standing::Leaving);
        assert_eq!(places.leave(1, Standing::Leaving), []);
        assert_eq!((places.unproved.len(), places.leaving), (0, 0));
    }

    #[test]
    fn a_node_holds_a_place_of_the_nodes_wherever_it_came_in() {
        let mut places = full(1);
        let now = Instant::now();
        places.open(1, || Origin::Neighbour(ip(1)), now);
        let proved = places.prove((1, Standing::Unproved, ip(1)), 2, |_| 0);
        assert_eq!(proved, (Proof::Placed, vec![]));
        assert_eq!((places.clients(), places.peers()), (1, 1));
        assert_eq!(
            places.open(2, || Origin::Client, now),
            Some((Standing::Queued, None)),
            "a client waits"
        );
        let (proof, changes) = places.prove((0, Standing::Client, ip(1)), 2, |_| 0);
        assert_eq!(proof, Proof::Placed);
        assert_eq!(changes, [Change { id: 2, to: Standing::Client }], "and has the place now");
        assert_eq!((places.clients(), places.peers()), (1, 2));
        assert_eq!(places.leave(0, Standing::Peer), []);
        assert_eq!((places.clients(), places.peers()), (1, 1));
    }

    #[test]
    fn an_address_has_no_more_places_than_its_nodes() {
        let mut places = full(0);
        let now = Instant::now();
        for id in 1..=3 {
            places.open(id, || Origin::Neighbour(ip(1)), now);
        }
        let mut prove =
            |id, from, idle: Seconds| places.prove((id, Standing::Unproved, from), 2, |_| idle).0;
        assert_eq!(prove(1, ip(1), 0), Proof::Placed);
        assert_eq!(prove(2, ip(1), 0), Proof::Placed);
        assert_eq!(prove(3, ip(1), GHOST - 1), Proof::Full, "nor is one cut that is used");
        assert!(matches!(prove(3, ip(1), GHOST), Proof::Replaced(1 | 2)), "one is gone perhaps");
        assert_eq!(places.claim(0, Standing::Client), Standing::Client);
        let kept = places.prove((0, Standing::Client, ip(1)), 2, |_| GHOST).0;
        assert_eq!(kept, Proof::Full, "who has a place needs nobody else's");
        assert_eq!(places.peers(), 2);
    }

    #[test]
    fn the_nodes_have_no_more_places_than_there_are() {
        let mut places = full(0);
        for id in 1..=4 {
            let from = ip(u8::try_from(id).unwrap());
            places.open(id, || Origin::Stranger(from), Instant::now());
            let proof = places.prove((id, Standing::Unproved, from), usize::MAX, |_| 0).0;
            assert_eq!(proof == Proof::Placed, id <= 3, "{id}: {proof:?}");
        }
        assert_eq!(places.claim(4, Standing::Unproved), Standing::Unproved, "nor as a client");
        places.leave(0, Standing::Client);
        assert_eq!(places.claim(4, Standing::Unproved), Standing::Client);
    }

    #[test]
    fn the_newest_displaces_the_oldest_of_its_address_and_of_its_kind() {
        let mut places = full(0);
        let begin = Instant::now();
        let later = begin + GRACE;
        let mut id = 0;
        // The one that had to go, if any.
        let mut open = |places: &mut Places, origin: Origin, now: Instant| {
            id += 1;
            let (standing, change) = places.open(id, || origin, now)?;
            assert_eq!(standing, Standing::Unproved);
            Some(change.map(|change| change.id))
        };
        for _ in 0..STRANGERS_EACH {
            assert_eq!(open(&mut places, Origin::Stranger(ip(9)), begin), Some(None));
        }
        let again = open(&mut places, Origin::Stranger(ip(9)), later - Duration::from_millis(1));
        assert_eq!(again, None, "each has some time");
        let again = open(&mut places, Origin::Stranger(ip(9)), later);
        assert_eq!(again, Some(Some(1)), "its own oldest");
        for number in 0..STRANGERS - STRANGERS_EACH {
            let from = IpAddr::from([10, 1, 0, u8::try_from(number).unwrap()]);
            assert_eq!(open(&mut places, Origin::Stranger(from), later), Some(None));
        }
        let gone = open(&mut places, Origin::Stranger(ip(8)), later);
        assert_eq!(gone, Some(Some(2)), "the oldest stranger");
        let gone = open(&mut places, Origin::Neighbour(ip(1)), later);
        assert_eq!(gone, Some(None), "strangers are in no neighbour's way");
        let mut opened = 0;
        let later = later + GRACE;
        while open(&mut places, Origin::Stranger(ip(9)), later).is_some() {
            opened += 1;
            assert!(opened < 1000, "without end");
        }
        assert_eq!(opened, STRANGERS_EACH, "as many of them as had their time");
        let all = places.unproved.len() + places.leaving;
        assert!(all <= MAX_UNPROVED, "{all}");
    }

    #[test]
    fn clients_that_wait_get_places_in_their_order() {
        let mut places = full(3);
        let now = Instant::now();
        places.open(1, || Origin::Client, now);
        places.open(2, || Origin::Neighbour(ip(1)), now);
        assert_eq!(places.claim(2, Standing::Unproved), Standing::Queued);
        places.open(3, || Origin::Stranger(ip(2)), now);
        assert_eq!(places.expire(now + PATIENCE), [Change { id: 3, to: Standing::Queued }]);
        assert_eq!(places.open(4, || Origin::Client, now), None, "the queue has an end");
        places.leave(1, Standing::Queued);
        let next = |id| [Change { id, to: Standing::Client }];
        assert_eq!(places.leave(0, Standing::Client), next(2));
        places.open(5, || Origin::Client, now);
        assert_eq!(places.leave(2, Standing::Client), next(3));
        assert_eq!(places.leave(3, Standing::Client), next(5));
        assert_eq!(places.leave(5, Standing::Client), []);
        assert_eq!(places.clients(), 0);
    }

    #[test]
    fn shares_grow_with_the_ring_up_to_a_bound() {
        assert_eq!(Shares::of(3, 4, 10_000), Shares { total: 48, each: 16 });
        assert_eq!(Shares::of(3, 4, 20), Shares { total: 20, each: 16 });
        assert_eq!(Shares::of(3, 4, 0), Shares { total: 16, each: 16 }, "one node at least");
        assert_eq!(Shares::of(5000, 4, 10_000).total, MAX_PEERS);
    }
}
