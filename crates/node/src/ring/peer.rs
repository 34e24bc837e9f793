//! The other nodes, as this process knows them: where they are, and whether they answer.
//!
//! A peer is the process behind an address. A ring that gives a name another address names another
//! peer; one that keeps the address keeps the peer, and what is known of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use ringbinder_protocol::Instance;
use ringbinder_ring::Node;

/// What a node calls itself that no ring names and that was started without a name.
pub(crate) const NAMELESS: &str = "-";

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
    /// Why it is away; empty if it is not.
    reason: Mutex<String>,
    processes: Mutex<Processes>,
    /// It has answered something since the keeper last looked.
    alive: AtomicBool,
    /// Requests that were sent to it.
    pub(crate) forwarded: AtomicU64,
    /// Requests that it did not answer.
    pub(crate) failed: AtomicU64,
    /// Requests that it answered later than they were waited for.
    pub(crate) slow: AtomicU64,
}

/// The processes that claim to be a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processes {
    /// The one that this node accepts; `None` if it knows none that runs.
    pub(crate) accepted: Option<Instance>,
    /// Another one that answers at the address.
    pub(crate) rival: Option<Instance>,
}

impl Peer {
    fn new(name: &str, address: &Address) -> Peer {
        Peer {
            name: name.to_owned(),
            address: Arc::clone(address),
            away: AtomicBool::new(false),
            reason: Mutex::default(),
            processes: Mutex::default(),
            alive: AtomicBool::new(false),
            forwarded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        }
    }

    /// The same address with nothing known of the process there. The counters go on.
    fn again(&self, name: &str) -> Peer {
        let count = |counter: &AtomicU64| AtomicU64::new(counter.load(Relaxed));
        Peer {
            forwarded: count(&self.forwarded),
            failed: count(&self.failed),
            slow: count(&self.slow),
            ..Peer::new(name, &self.address)
        }
    }

    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Relaxed)
    }

    /// Records whether it answers; true where that is news.
    pub(crate) fn set_away(&self, away: bool) -> bool {
        self.away.swap(away, Relaxed) != away
    }

    /// Records why it is away; true if that is news.
    pub(crate) fn set_reason(&self, reason: &str) -> bool {
        let mut known = self.reason.lock();
        let news = *known != reason;
        if news {
            reason.clone_into(&mut known);
        }
        news
    }

    /// Why it is away; empty if it is not.
    pub(crate) fn reason(&self) -> String {
        self.reason.lock().clone()
    }

    /// Records that it answered something.
    #[inline]
    pub(crate) fn is_heard(&self) {
        // Links read often, and a store that changes nothing is to cost no cache line.
        if !self.alive.load(Relaxed) {
            self.alive.store(true, Relaxed);
        }
    }

    /// Whether it has answered anything since this was last asked.
    pub(super) fn was_heard(&self) -> bool {
        self.alive.swap(false, Relaxed)
    }

    pub(crate) fn processes(&self) -> Processes {
        *self.processes.lock()
    }

    /// Whether another process answers at its address, or claims its name.
    pub(crate) fn has_rival(&self) -> bool {
        self.processes().rival.is_some()
    }

    pub(super) fn set_processes(&self, processes: Processes) {
        *self.processes.lock() = processes;
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
    /// The peer behind the address of a node of the ring in force. If the ring calls it otherwise than
    /// the one before did, it is another peer: connections are checked against the name.
    pub(crate) fn of(&self, node: &Node) -> Arc<Peer> {
        let mut known = self.known.lock();
        let address = address_of(node);
        if let Some(peer) = known.get_mut(&address) {
            if peer.name != node.name {
                *peer = Arc::new(peer.again(&node.name));
            }
            return Arc::clone(peer);
        }
        let peer = Arc::new(Peer::new(&node.name, &address));
        known.insert(address, Arc::clone(&peer));
        peer
    }

    /// The peer behind the address of a node of an older ring.
    pub(crate) fn of_past(&self, node: &Node) -> Arc<Peer> {
        let mut known = self.known.lock();
        let address = address_of(node);
        let new = || Arc::new(Peer::new(&node.name, &address));
        Arc::clone(known.entry(Arc::clone(&address)).or_insert_with(new))
    }

    /// Puts another process in the place of the peer at an address: connections to the one before
    /// are of no use. The views that name the old one are to be replaced.
    pub(super) fn replace(&self, address: &str) {
        if let Some(peer) = self.known.lock().get_mut(address) {
            *peer = Arc::new(peer.again(&peer.name));
        }
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
