//! The owners of the load's keys.

use std::net::SocketAddr;

use ringbinder_ring::{Format, Ring};

use crate::load::{Keys, Numbers, Target};
use crate::servers::{NODES, ring_file};

/// The keys of the load by owner.
#[derive(Debug)]
pub(super) struct Owners {
    nodes: [SocketAddr; NODES],
    keys: u64,
    /// The numbers of each node's keys, ascending.
    owned: [Vec<u64>; NODES],
}

impl Owners {
    /// Computes the owner of every key in the ring of these nodes.
    pub(super) fn of(nodes: [SocketAddr; NODES], names: Keys, keys: u64) -> anyhow::Result<Self> {
        let ring = Ring::parse(&ring_file(&nodes), Format::Toml, "the ring of this benchmark")?;
        let mut owned = [const { Vec::new() }; NODES];
        let mut key = Vec::new();
        for number in 1..=keys {
            key.clear();
            names.write(number, &mut key);
            owned[usize::try_from(ring.owner(&key))?].push(number);
        }
        Ok(Self { nodes, keys, owned })
    }

    /// Targets that request its own keys from each node.
    pub(super) fn own(&self) -> Vec<Target> {
        self.targets(|at| Numbers::Chosen(self.owned[at].as_slice().into()))
    }

    /// Targets that request the others' keys from each node.
    pub(super) fn foreign(&self) -> Vec<Target> {
        self.targets(|at| {
            let others = self.owned.iter().enumerate().filter(|&(other, _)| other != at);
            Numbers::Chosen(others.flat_map(|(_, numbers)| numbers).copied().collect())
        })
    }

    /// Targets that request all keys from each node.
    pub(super) fn any(&self) -> Vec<Target> {
        self.targets(|_| Numbers::UpTo(self.keys))
    }

    fn targets(&self, numbers: impl Fn(usize) -> Numbers) -> Vec<Target> {
        let nodes = self.nodes.iter().enumerate();
        nodes.map(|(at, &address)| Target { address, numbers: numbers(at) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_foreign_keys_are_all_keys() {
        let nodes = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let owners = Owners::of(nodes, Keys::Memtier, 300).unwrap();
        let ring = Ring::parse(&ring_file(&nodes), Format::Toml, "test").unwrap();
        let mut seen = 0;
        let both = owners.own().into_iter().zip(owners.foreign()).zip(owners.any());
        for (((own, foreign), any), node) in both.zip(ring.nodes()) {
            assert_eq!(own.address.to_string(), node.to_string());
            assert_eq!((own.address, own.address), (foreign.address, any.address));
            let (Numbers::Chosen(own), Numbers::Chosen(foreign)) = (own.numbers, foreign.numbers)
            else {
                panic!("not chosen")
            };
            assert_eq!(any.numbers, Numbers::UpTo(300));
            let owner = |number: &u64| {
                let owner = ring.owner(format!("memtier-{number}").as_bytes());
                &ring.nodes()[owner as usize]
            };
            assert!(!own.is_empty() && own.iter().all(|number| owner(number) == node));
            assert!(!foreign.is_empty() && foreign.iter().all(|number| owner(number) != node));
            let mut all = [own.to_vec(), foreign.to_vec()].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(1..=300));
            seen += own.len();
        }
        assert_eq!(seen, 300);
    }
}
