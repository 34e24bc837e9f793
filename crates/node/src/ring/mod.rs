//! The ring in a node: which keys are its own, which nodes answer for the others, and how nodes
//! change from one ring to the next without two of them serving one key.
//!
//! | file | what it is |
//! |---|---|
//! | `membership` | the state machine: which rings there are, who is waited for, what is served |
//! | `standing` | whether this process is the node that the ring means |
//! | `accepted` | which process a node accepts at the address of a peer |
//! | `view` | the picture of it that each worker holds, and the question "who serves this key" |
//! | `keeper` | the task that drives the state machines: source, greetings, workers, store |
//! | `acquaintance` | when a peer is greeted next |
//! | `pulse` | whether this node has stood still, and may have missed a ring |
//! | `dial` | connecting to another node, with TLS and a password where nodes have them |
//! | `control` | greetings, over one connection to each peer that is kept |
//! | `neighbours` | whose connections may be another node's, by where they come from |
//! | `greeting` | what nodes say to each other about rings, from the dialling side |
//! | `answers` | the commands `ring` and `config get cluster` |
//! | `secret` | proving that an offered ring comes from a node of the fleet |
//! | `desk` | whether a request is carried out here or elsewhere |
//! | `exchange`, `gather` | the foreign requests of a connection, and waiting for their answers |
//! | `flush` | `flush_all` for every node |
//! | `line` | a request as its key's owner is asked |
//! | `open`, `link`, `waiting`, `large` | the way to their owners and back |
//! | `names` | the addresses of host names: for dialling, and for auto-discovery |
//! | `discovery` | the ring as auto-discovery clients read it |
//! | `start`, `report`, `status` | reading the ring at the start; `stats ring` |
//! | `peer` | the other nodes, and whether they answer |

mod accepted;
mod acquaintance;
mod answers;
mod control;
mod desk;
mod dial;
mod discovery;
mod exchange;
mod flush;
mod gather;
mod greeting;
mod keeper;
mod large;
mod line;
mod link;
mod membership;
mod names;
mod neighbours;
mod open;
mod peer;
mod pulse;
mod report;
mod secret;
#[cfg(test)]
mod simulation;
mod standing;
mod start;
mod status;
mod view;
mod waiting;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::RwLock;
use ringbinder_protocol::{Greeter, PeerLine, Standing};
use ringbinder_ring::Ring;
use ringbinder_store::Seconds;
use tokio::sync::mpsc;
use tracing::{info, warn};

pub(crate) use answers::{PeerSession, begin_text, cluster, command, offer};
pub(crate) use desk::Desk;
pub(crate) use dial::Dialer;
pub(crate) use discovery::is_legacy_key;
pub(crate) use exchange::{Answered, Destination, Foreign, Form, SharedExchange};
pub(crate) use flush::flush_all;
pub(crate) use gather::gather;
pub(crate) use greeting::{Talk, TalkError};
pub(crate) use keeper::{Hint, Keeper};
pub(crate) use link::Link;
pub(crate) use peer::Peer;
pub(crate) use report::report;
pub(crate) use start::{StartError, Started, check, start};
pub(crate) use view::View;

pub(crate) use crate::settings::{ForeignKeys, RingSettings};
use crate::sparing::Sparing;

use self::membership::Identity;
use self::names::Names;
use self::neighbours::Neighbours;
use self::peer::Peers;
use self::pulse::Pulse;
use self::secret::Secret;
use self::status::Status;

/// The number of hints that may wait for the keeper. Further hints are dropped: they add no
/// information.
const MAX_HINTS: usize = 1024;

/// Seconds between two log lines about clients that ask the wrong node.
const MISROUTED_EVERY: Seconds = 60;

/// The state of the ring that the whole process may read.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) view: Arc<View>,
    /// The answer to a greeting.
    pub(crate) line: PeerLine,
    /// Every kept ring, oldest first.
    pub(crate) rings: Vec<Arc<Ring>>,
    pub(crate) status: Status,
}

/// A snapshot of this node's relation to the ring.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    pub(crate) view: Arc<View>,
    /// This node's name; `-` if it has none.
    pub(crate) name: String,
    /// The ring does not list this node's name, and gives its address another name.
    pub(crate) is_renamed: bool,
    /// Every peer that this node greets.
    pub(crate) peers: Vec<Arc<Peer>>,
    pub(crate) status: Status,
}

/// The ring, as the workers share it.
#[derive(Debug)]
pub(crate) struct RingNode {
    pub(crate) settings: RingSettings,
    secret: Option<Secret>,
    neighbours: Neighbours,
    /// The log rate limit for proofs by another secret.
    unproved: Sparing,
    dialer: Dialer,
    peers: Peers,
    posted: RwLock<Posted>,
    hints: mpsc::Sender<Hint>,
    pub(crate) pulse: Pulse,
    /// The second in which a misrouted key was last logged.
    misrouted_logged: AtomicU32,
    /// The log rate limit for failed requests.
    pub(crate) sparing: Sparing,
}

impl RingNode {
    /// This node's name: by the current ring, or as given at the start.
    pub(crate) fn name(&self) -> String {
        self.posted.read().line.name.clone()
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.posted.read().view)
    }

    /// The payload for auto-discovery clients.
    pub(crate) fn cluster(&self) -> Arc<str> {
        self.names().payload()
    }

    /// The addresses of the ring's host names.
    pub(crate) fn names(&self) -> &Arc<Names> {
        self.dialer.names()
    }

    /// A connection to the peer at an address, made as the keeper makes its own.
    pub(crate) async fn talk(&self, address: &str) -> Result<Talk, TalkError> {
        let mut talk = Talk::begin(&self.dialer, address).await?;
        let stamp = membership::stamp(self.view().id());
        talk.introduce(&self.name(), stamp).await?;
        Ok(talk)
    }

    /// Records a greeting from a sender that has proved to be a node: the accepted process of that
    /// name is alive.
    pub(crate) fn is_heard(&self, name: &str, greeter: Option<Greeter>) {
        let peer = self.posted.read().address_named(name).and_then(|it| self.peers.at(&it));
        if let (Some(peer), Some(greeter)) = (peer, greeter)
            && peer.processes().accepted == Some(greeter.instance)
        {
            peer.is_heard();
        }
    }

    /// Whether a kept ring has a node at this address, so that a connection from it may be that
    /// node's. Host names count once they are resolved.
    pub(crate) fn is_peer_address(&self, address: IpAddr) -> bool {
        self.neighbours.at(address) > 0 || self.names().knows(address)
    }

    /// The number of nodes that the kept rings have at an address.
    pub(crate) fn nodes_at(&self, address: IpAddr) -> usize {
        self.neighbours.at(address)
    }

    /// Whether a kept ring has a node of this name.
    pub(crate) fn names_node(&self, name: &str) -> bool {
        self.neighbours.names(name)
    }

    /// The hosts at which the kept rings have the node of this name.
    pub(crate) fn hosts_of(&self, name: &str) -> Vec<String> {
        self.neighbours.hosts_of(name)
    }

    /// The number of nodes in the current ring.
    pub(crate) fn node_count(&self) -> usize {
        self.neighbours.nodes()
    }

    /// Whether other nodes can authenticate by the peer secret.
    pub(crate) fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// Logs that a node sent a proof by another peer secret.
    pub(crate) fn unproved(&self, node: &crate::connections::Peer, now: Seconds) {
        if self.unproved.allows(node, "", now) {
            warn!(
                "{node} sent a proof made with another peer secret: give all nodes the same \
                 --peer-secret-file (logged once a minute)"
            );
        }
    }

    /// A copy of the posted state, for reports.
    pub(crate) fn situation(&self) -> Situation {
        let posted = self.posted.read();
        let status = posted.status.clone();
        let peers = status.said.iter().filter_map(|(address, _)| self.peers.at(address));
        Situation {
            view: Arc::clone(&posted.view),
            name: posted.line.name.clone(),
            is_renamed: self.is_renamed(&posted),
            peers: peers.collect(),
            status,
        }
    }

    fn is_renamed(&self, posted: &Posted) -> bool {
        if self.settings.node.is_none() || posted.status.standing != Standing::Absent {
            return false;
        }
        let addresses = start::own_addresses(self.dialer.listening());
        Identity { name: None, addresses }.place_by_address(&posted.view.ring).is_some()
    }

    /// Sends a hint to the keeper. The hint is lost if too many wait: hints only speed up what the
    /// keeper would find out by itself.
    pub(crate) fn hint(&self, hint: Hint) {
        let _ = self.hints.try_send(hint);
    }

    /// Logs, at a limited rate, that a client asks this node for the keys of other nodes.
    pub(crate) fn misrouted(&self, client: &dyn std::fmt::Display, now: Seconds) {
        let last = self.misrouted_logged.load(Relaxed);
        if now.saturating_sub(last) >= MISROUTED_EVERY
            && self.misrouted_logged.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
        {
            info!(
                "{client} requests keys that other nodes own: its list of nodes or its hashing \
                 differs from the ring (see foreign_* in stats; logged once a minute)"
            );
        }
    }
}

impl Posted {
    /// The address that the current ring gives a node name.
    fn address_named(&self, name: &str) -> Option<peer::Address> {
        let nodes = self.view.ring.nodes();
        nodes.iter().find(|node| node.name == name).map(peer::address_of)
    }
}
