//! A ring together with the connections to its nodes.

use std::collections::HashMap;
use std::sync::Arc;

use ringbinder_ring::{NodeIndex, Ring};

use crate::link::Link;
use crate::settings::LinkSettings;

/// A ring, with a link for each of its nodes.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) ring: Arc<Ring>,
    pub(crate) links: Vec<Arc<Link>>,
}

impl View {
    /// Makes a view. Nodes that are at the same address in `before` keep their links.
    pub(crate) fn new(ring: Ring, settings: &LinkSettings, before: Option<&View>) -> View {
        let mut known: HashMap<_, _> = before
            .map_or(&[][..], |before| &before.links)
            .iter()
            .map(|link| ((link.node.host.as_str(), link.node.port), link))
            .collect();
        let links = ring
            .nodes()
            .iter()
            .map(|node| match known.remove(&(node.host.as_str(), node.port)) {
                Some(link) if link.node.name == node.name => Arc::clone(link),
                _ => Arc::new(Link::new(node.clone(), settings)),
            })
            .collect();
        View { ring: Arc::new(ring), links }
    }

    /// Index of the owner of a key.
    #[inline]
    pub(crate) fn owner(&self, key: &[u8]) -> NodeIndex {
        if self.links.len() == 1 { 0 } else { self.ring.owner(key) }
    }

    /// The owner of a key.
    #[inline]
    pub(crate) fn link(&self, key: &[u8]) -> &Link {
        &self.links[self.owner(key) as usize]
    }
}
