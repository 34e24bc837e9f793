//! The other nodes, as this process knows them: where they are, and whether they answer.
//!
//! A peer is the process behind an address. A ring that gives a name another address names another
//! peer; one that keeps the address keeps the peer, and what is known of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use ringbinder_ring::Node;

/// What clients and nodes dial, as the ring writes it: `host:port`.
pub(crate) type Address = Arc<str>;

/// The address of a node of a ring.
pub(crate) fn address_of(node: &Node) -> Address {
    node.to_string().into()
}

/// One other node.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The name that the newest ring gives it.
    pub(crate) name: String,
    pub(crate) address: Address,
    /// Requests for it fail at once until a probe has reached it.
    away: AtomicBool,
    /// Why it cannot be talked to until somebody changes something; empty where it can.
    misfit: Mutex<String>,
    /// Requests that were sent to it.
    pub(crate) forwarded: AtomicU64,
    /// Requests that it did not answer.
    pub(crate) failed: AtomicU64,
}

impl Peer {
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// Records whether it answers; true where that is news.
    pub(crate) fn set_away(&self, away: bool) -> bool {
        self.away.swap(away, Relaxed) != away
    }

    /// Records why it cannot be talked to until somebody changes something; true where that is news.
    pub(crate) fn misfits(&self, reason: &str) -> bool {
        let mut misfit = self.misfit.lock();
        let news = *misfit != reason;
        if news {
            reason.clone_into(&mut misfit);
        }
        news
    }

    /// Records that it can.
    pub(crate) fn fits(&self) {
        self.misfit.lock().clear();
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.address)
    }
}

/// Every peer that any ring in use names.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: Mutex<HashMap<Address, Arc<Peer>>>,
}

impl Peers {
    /// The peer behind a node's address.
    pub(crate) fn of(&self, node: &Node) -> Arc<Peer> {
        let address = address_of(node);
        let mut known = self.known.lock();
        if let Some(peer) = known.get(&address) {
            return Arc::clone(peer);
        }
        let peer = Arc::new(Peer {
            name: node.name.clone(),
            address: Arc::clone(&address),
            away: AtomicBool::new(false),
            misfit: Mutex::default(),
            forwarded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        known.insert(address, Arc::clone(&peer));
        peer
    }

    /// The peer at an address, if some ring names it.
    pub(crate) fn at(&self, address: &str) -> Option<Arc<Peer>> {
        self.known.lock().get(address).cloned()
    }

    /// Forgets all but these.
    pub(crate) fn keep(&self, keep: impl Fn(&Address) -> bool) {
        self.known.lock().retain(|address, _| keep(address));
    }
}
