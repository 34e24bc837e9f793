//! Decides, from its address, whether a connection may be another node's. The addresses are those
//! of the nodes of every kept ring, and those to which their host names resolve.
//!
//! The ring manager updates this state; the code that accepts connections reads it. An address
//! alone proves nothing, because a client may run on a node's machine. The address only decides
//! which connections may ask for one of the nodes' slots, and how many of these slots they may
//! have.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::RwLock;
use ringbinder_ring::{Ring, RingId};

use super::{Address, address_of};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Neighbours(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The rings from which the other fields were derived.
    rings: Vec<RingId>,
    /// The number of nodes in the newest ring.
    nodes: usize,
    /// The number of nodes that are, or were, at an address.
    at: HashMap<IpAddr, usize>,
    /// The hosts that the rings give to a name.
    hosts: HashMap<String, HashSet<String>>,
}

impl Neighbours {
    /// Sets the kept rings, oldest first. `addresses_of` resolves a host name; `anew` says that its
    /// results may have changed. Returns true if anything may have changed.
    pub(crate) fn settle(
        &self,
        rings: &[Arc<Ring>],
        addresses_of: impl Fn(&str) -> Vec<IpAddr>,
        anew: bool,
    ) -> bool {
        let ids: Vec<RingId> = rings.iter().map(|ring| ring.id()).collect();
        if !anew && self.0.read().rings == ids {
            return false;
        }
        let nodes = rings.last().map_or(0, |ring| ring.nodes().len());
        let mut known = Known { rings: ids, nodes, ..Known::default() };
        let mut counted: HashSet<Address> = HashSet::new();
        for node in rings.iter().flat_map(|ring| ring.nodes()) {
            let host = node.host.trim_matches(['[', ']']);
            known.hosts.entry(node.name.clone()).or_default().insert(host.to_owned());
            if !counted.insert(address_of(node)) {
                continue;
            }
            let addresses = match host.parse() {
                Ok(literal) => vec![literal],
                Err(_) => addresses_of(host),
            };
            for address in addresses {
                *known.at.entry(address.to_canonical()).or_default() += 1;
            }
        }
        *self.0.write() = known;
        true
    }

    /// The number of nodes at an address by any kept ring.
    pub(crate) fn at(&self, address: IpAddr) -> usize {
        self.0.read().at.get(&address.to_canonical()).copied().unwrap_or(0)
    }

    /// Whether a kept ring lists this node.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.0.read().hosts.contains_key(name)
    }

    /// The hosts that the rings give to a name.
    pub(crate) fn hosts_of(&self, name: &str) -> Vec<String> {
        self.0.read().hosts.get(name).into_iter().flatten().cloned().collect()
    }

    /// The number of nodes in the newest ring.
    pub(crate) fn nodes(&self) -> usize {
        self.0.read().nodes
    }
}

#[cfg(test)]
mod tests {
    use ringbinder_ring::Format;

    use super::*;

    fn ring(version: u64, nodes: &[(&str, &str)]) -> Arc<Ring> {
        let mut text = format!("version = {version}\n");
        for (name, address) in nodes {
            text.push_str(&format!("[[node]]\nname = \"{name}\"\naddress = \"{address}\"\n"));
        }
        Arc::new(Ring::parse(&text, Format::Toml, "test").unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn nodes_are_known_by_what_their_hosts_stand_for() {
        let first = ring(1, &[("a", "10.0.0.1:1"), ("b", "10.0.0.1:2"), ("c", "host-c:1")]);
        let second = ring(2, &[("a", "10.0.0.1:1"), ("c", "[fd00::3]:1")]);
        let neighbours = Neighbours::default();
        let lookup = |host: &str| match host {
            "host-c" => vec![ip("10.0.0.3"), ip("fd00::3")],
            _ => panic!("{host} is no host name"),
        };
        assert!(neighbours.settle(&[Arc::clone(&first)], |_| Vec::new(), false));
        assert_eq!(neighbours.at(ip("10.0.0.3")), 0, "not resolved yet");
        assert!(!neighbours.settle(&[Arc::clone(&first)], lookup, false));
        assert!(neighbours.settle(&[Arc::clone(&first)], lookup, true));
        assert_eq!(neighbours.at(ip("10.0.0.1")), 2);
        assert_eq!(neighbours.at(ip("::ffff:10.0.0.3")), 1);
        assert_eq!(neighbours.nodes(), 3);
        assert!(neighbours.settle(&[first, second], lookup, false));
        assert_eq!(neighbours.at(ip("fd00::3")), 2, "as a name and as an address");
        assert!(neighbours.names("b") && !neighbours.names("d"), "of an older ring too");
        assert_eq!(neighbours.nodes(), 2);
        let mut hosts = neighbours.hosts_of("c");
        hosts.sort();
        assert_eq!(hosts, ["fd00::3", "host-c"]);
    }
}
