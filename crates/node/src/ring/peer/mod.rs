//! The other nodes as this process knows them: their addresses, and whether they answer.
//!
//! A peer is the process behind an address. If a ring gives a name another address, it names
//! another peer. If the address stays the same, the peer and its state stay too.
//!
//! | file | purpose |
//! |---|---|
//! | `dial` | connecting to another node, with TLS and a password where nodes have them |
//! | `client` | the handshake about rings, from the dialling side |
//! | `handshake` | handshakes over one connection to each peer that is kept |
//! | `secret` | proving that an offered ring comes from a node of the fleet |
//! | `neighbours` | whose connections may be another node's, by their address |

pub(crate) mod client;
pub(crate) mod dial;
pub(crate) mod handshake;
pub(crate) mod neighbours;
pub(crate) mod secret;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use ringbinder_protocol::Instance;
use ringbinder_ring::Node;

/// The name that a node reports if no ring lists it and it was started without one.
pub(crate) const NAMELESS: &str = "-";

/// The address that clients and nodes dial, as the ring writes it: `host:port`.
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
    /// It is unreachable: requests for it fail at once until a probe succeeds.
    unreachable: AtomicBool,
    /// The reason why it is unreachable; empty if it is reachable.
    reason: Mutex<String>,
    processes: Mutex<Processes>,
    /// It has answered since the ring manager last checked.
    alive: AtomicBool,
    /// Requests that were sent to it.
    pub(crate) forwarded: AtomicU64,
    /// Requests that it did not answer.
    pub(crate) failed: AtomicU64,
    /// Requests that it answered after their timeout.
    pub(crate) slow: AtomicU64,
}

/// The processes that claim to be a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processes {
    /// The accepted process; `None` if this node knows of none that runs.
    pub(crate) accepted: Option<Instance>,
    /// Another process that answers at the address.
    pub(crate) rival: Option<Instance>,
}

impl Peer {
    fn new(name: &str, address: &Address) -> Peer {
        Peer {
            name: name.to_owned(),
            address: Arc::clone(address),
            unreachable: AtomicBool::new(false),
            reason: Mutex::default(),
            processes: Mutex::default(),
            alive: AtomicBool::new(false),
            forwarded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        }
    }

    /// A peer at the same address, with no state of the process there. The counters continue.
    fn again(&self, name: &str) -> Peer {
        let count = |counter: &AtomicU64| AtomicU64::new(counter.load(Relaxed));
        Peer {
            forwarded: count(&self.forwarded),
            failed: count(&self.failed),
            slow: count(&self.slow),
            ..Peer::new(name, &self.address)
        }
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        self.unreachable.load(Relaxed)
    }

    /// Records whether it is unreachable; returns true if that changed.
    pub(crate) fn set_unreachable(&self, unreachable: bool) -> bool {
        self.unreachable.swap(unreachable, Relaxed) != unreachable
    }

    /// Records the reason why it is unreachable; returns true if that changed.
    pub(crate) fn set_reason(&self, reason: &str) -> bool {
        let mut known = self.reason.lock();
        let news = *known != reason;
        if news {
            reason.clone_into(&mut known);
        }
        news
    }

    /// The reason why it is unreachable; empty if it is reachable.
    pub(crate) fn reason(&self) -> String {
        self.reason.lock().clone()
    }

    /// Records that it answered.
    #[inline]
    pub(crate) fn is_heard(&self) {
        // Links read often, and a store without a change would still cost a cache line.
        if !self.alive.load(Relaxed) {
            self.alive.store(true, Relaxed);
        }
    }

    /// Whether it has answered since the last call.
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
    /// The peer behind the address of a node of the current ring. If the ring gives it another name
    /// than before, it is another peer, because connections are checked against the name.
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

    /// Replaces the peer at an address by another process, because connections to the old process
    /// are of no use. The caller must replace the views that name the old peer.
    pub(super) fn replace(&self, address: &str) {
        if let Some(peer) = self.known.lock().get_mut(address) {
            *peer = Arc::new(peer.again(&peer.name));
        }
    }

    /// The peer at an address, if some ring lists it.
    pub(crate) fn at(&self, address: &str) -> Option<Arc<Peer>> {
        self.known.lock().get(address).cloned()
    }

    /// Drops all peers but these.
    pub(crate) fn keep(&self, keep: impl Fn(&Address) -> bool) {
        self.known.lock().retain(|address, _| keep(address));
    }
}
