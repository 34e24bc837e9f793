//! This process's claim to be the node that the ring means: to the name and the address that the
//! ring gives it.
//!
//! A name alone proves nothing. Two processes may be started under one name. A ring may give the
//! name to another address. DNS may lead a host name to another machine. A machine may be cloned
//! with its configuration. So a process serves its keys only while its claim is
//! [`Standing::Confirmed`]:
//!
//! - The claim is *proved* once this process listens on the very IP address and port in the ring,
//!   or a connection to the address reached this process, or a peer reports that it accepts this
//!   process there. A proof holds until the ring gives this node another address. Silence never
//!   revokes it, so a network or DNS outage does not stop a node.
//! - The claim is *lost* if a connection to the address reached another process of the same name. A
//!   process that has served also loses it if at least one peer accepts another process there and
//!   none accepts this one. A process that has not served yet just waits: the peers may still
//!   accept its predecessor, which has ended.
//!
//! At most one of two claimants serves. A new process joins only once no peer accepts another
//! process under its name ([`super`]). A peer accepts another process only after the
//! old one has closed its connection, has reported that it stood down, or was declared failed
//! ([`super::accepted`]). So the process that serves keeps its place until it finds out itself that
//! the address leads elsewhere, or until it is gone.
//!
//! This module does no I/O and reads no clock.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ringbinder_protocol::{Instance, Standing};
use ringbinder_ring::{Node, NodeIndex, Ring};

use crate::ring::peer::Address;

/// The process found at this node's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This process.
    This,
    /// Another process.
    Other(Instance),
}

/// The means by which a node finds itself in a ring.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The name given at the start. A node without a name finds itself by its addresses.
    pub(crate) name: Option<String>,
    /// The addresses that the node listens on.
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

    /// The node of a ring that this process must be, judged only by the addresses it listens on and
    /// not by its name.
    pub(crate) fn place_by_address(&self, ring: &Ring) -> Option<usize> {
        ring.nodes().iter().position(|node| self.listens_on(node))
    }

    /// Whether a node's address is an IP address and port that this process listens on.
    pub(crate) fn listens_on(&self, node: &Node) -> bool {
        let host: Option<IpAddr> = node.host.trim_matches(['[', ']']).parse().ok();
        host.is_some_and(|host| self.addresses.contains(&SocketAddr::new(host, node.port)))
    }
}

/// This process's claim to its place in the ring.
#[derive(Debug)]
pub(crate) struct IdentityClaim {
    instance: Instance,
    /// The address that the current ring gives this node; `None` if the ring does not list it.
    address: Option<Address>,
    proved: bool,
    /// All peers have consented: from then on the process may serve.
    established: bool,
    /// The process that the last connection to the address found.
    dialled: Option<Found>,
    /// The process that each peer accepts at the address, if the peer knows one.
    reported: HashMap<Address, Found>,
}

impl IdentityClaim {
    /// The claim of a process that no ring lists yet.
    pub(crate) fn new(instance: Instance) -> IdentityClaim {
        IdentityClaim {
            instance,
            address: None,
            proved: false,
            established: false,
            dialled: None,
            reported: HashMap::new(),
        }
    }

    pub(crate) fn instance(&self) -> Instance {
        self.instance
    }

    pub(crate) fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Sets the address that the current ring gives this node. `listens` says that it is an IP
    /// address and port on which this process listens. Returns true if the claim starts again
    /// without a proof: the address is new, and it is not yet proved that it leads here.
    pub(crate) fn move_to(&mut self, address: Option<Address>, listens: bool) -> bool {
        if self.address == address {
            return false;
        }
        self.address = address;
        self.proved = listens;
        self.established = false;
        self.dialled = None;
        self.reported.clear();
        self.address.is_some() && !listens
    }

    /// This process's standing towards its place in the ring.
    pub(crate) fn standing(&self) -> Standing {
        if self.address.is_none() {
            Standing::Absent
        } else if self.successor().is_some() {
            Standing::Replaced
        } else if self.proved {
            Standing::Confirmed
        } else {
            Standing::Unconfirmed
        }
    }

    /// The process that has this node's place in the ring, if it is another one.
    pub(crate) fn successor(&self) -> Option<Instance> {
        if let Some(Found::Other(other)) = self.dialled {
            return Some(other);
        }
        if !self.established || self.reported.values().any(|found| *found == Found::This) {
            return None;
        }
        self.rival()
    }

    /// Another process that claims this node's place, as reported by a peer.
    pub(crate) fn rival(&self) -> Option<Instance> {
        let other = |found: &Found| match found {
            Found::Other(other) => Some(*other),
            Found::This => None,
        };
        // The lowest, so that the answer does not depend on the order in a map.
        self.reported.values().filter_map(other).min_by_key(|instance| instance.0)
    }

    /// Records the process that a connection to the own address reached.
    pub(crate) fn dialled(&mut self, found: Instance) {
        let found = self.found(found);
        self.proved |= found == Found::This;
        self.dialled = Some(found);
    }

    /// Records the process that a peer accepts at the own address; `None` if it knows none.
    pub(crate) fn reported(&mut self, peer: &Address, seen: Option<Instance>) {
        match seen.map(|seen| self.found(seen)) {
            None => {
                self.reported.remove(peer);
            }
            Some(found) => {
                self.proved |= found == Found::This;
                self.reported.insert(Address::clone(peer), found);
            }
        }
    }

    /// Whether a peer accepts another process at the own address.
    pub(crate) fn is_contested_by(&self, peer: &Address) -> bool {
        matches!(self.reported.get(peer), Some(Found::Other(_)))
    }

    /// Drops the report of a peer that does not answer any more.
    pub(crate) fn lost(&mut self, peer: &Address) {
        self.reported.remove(peer);
    }

    /// Drops every report except those of these peers.
    pub(crate) fn keep(&mut self, peers: &[Address]) {
        self.reported.retain(|peer, _| peers.contains(peer));
    }

    /// Records that all peers have consented.
    pub(crate) fn establish(&mut self) {
        self.established = true;
    }

    /// Takes the place without a proof, because no peer answered within the time that peers are
    /// waited for, and no process answered at the address.
    pub(crate) fn presume(&mut self) {
        self.proved = true;
    }

    fn found(&self, instance: Instance) -> Found {
        if instance == self.instance { Found::This } else { Found::Other(instance) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Instance = Instance(1);
    const OTHER: Instance = Instance(2);

    fn address(text: &str) -> Address {
        text.into()
    }

    fn claim(listens: bool) -> IdentityClaim {
        let mut claim = IdentityClaim::new(ME);
        assert_eq!(claim.standing(), Standing::Absent);
        assert_eq!(claim.move_to(Some(address("b:1")), listens), !listens);
        claim
    }

    #[test]
    fn each_proof_confirms_and_silence_revokes_none() {
        assert_eq!(claim(true).standing(), Standing::Confirmed);
        let mut dialled = claim(false);
        assert_eq!(dialled.standing(), Standing::Unconfirmed);
        dialled.dialled(ME);
        assert_eq!(dialled.standing(), Standing::Confirmed);
        let mut reported = claim(false);
        reported.reported(&address("a:1"), None);
        assert_eq!(reported.standing(), Standing::Unconfirmed);
        reported.reported(&address("a:1"), Some(ME));
        assert_eq!(reported.standing(), Standing::Confirmed);
        reported.lost(&address("a:1"));
        assert_eq!(reported.standing(), Standing::Confirmed);
    }

    #[test]
    fn another_process_at_the_address_takes_the_place_until_it_is_gone() {
        let mut claim = claim(false);
        claim.reported(&address("a:1"), Some(ME));
        claim.dialled(OTHER);
        assert_eq!(claim.standing(), Standing::Replaced, "the address counts, not the peer");
        assert_eq!(claim.successor(), Some(OTHER));
        claim.dialled(ME);
        assert_eq!(claim.standing(), Standing::Confirmed);
    }

    #[test]
    fn one_peer_that_accepts_this_process_keeps_it_in_its_place() {
        let mut claim = claim(true);
        claim.reported(&address("a:1"), Some(OTHER));
        assert_eq!(claim.standing(), Standing::Confirmed, "the process before it, which has ended");
        claim.establish();
        assert_eq!(claim.standing(), Standing::Replaced);
        claim.reported(&address("c:1"), Some(ME));
        assert_eq!(claim.standing(), Standing::Confirmed);
        assert_eq!(claim.rival(), Some(OTHER));
        assert!(claim.is_contested_by(&address("a:1")) && !claim.is_contested_by(&address("c:1")));
        claim.lost(&address("c:1"));
        assert_eq!(claim.standing(), Standing::Replaced);
    }

    #[test]
    fn another_address_needs_another_proof() {
        let mut claim = claim(true);
        assert!(!claim.move_to(Some(address("b:1")), true), "the same address");
        assert!(claim.move_to(Some(address("b:2")), false));
        assert_eq!(claim.standing(), Standing::Unconfirmed);
        assert!(!claim.move_to(None, false));
        assert_eq!(claim.standing(), Standing::Absent);
    }
}
