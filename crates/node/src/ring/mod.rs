//! The ring in a node: which keys are its own, which nodes answer for the others, and how nodes
//! change from one ring to the next without two of them serving one key.
//!
//! | file | what it is |
//! |---|---|
//! | `membership/` | the state machine: which rings there are, which nodes it waits for, what is served |
//! | `view` | a worker's immutable picture of it, which answers "who serves this key" |
//! | `manager/` | the task that drives the state machines: source, handshakes, workers, store |
//! | `pause` | whether this node was paused, and may have missed a ring |
//! | `peer/` | the other nodes: whether they answer, dialling them, handshakes with them |
//! | `names/` | the addresses of host names: for dialling, and for auto-discovery |
//! | `discovery` | the ring as auto-discovery clients read it |
//! | `start`, `report`, `status` | reading the ring at the start; `stats ring` |
//! | `simulation/` | random schedules that test `membership/` |

mod discovery;
pub(crate) mod manager;
pub(crate) mod membership;
mod names;
mod pause;
pub(crate) mod peer;
mod report;
#[cfg(test)]
mod simulation;
mod start;
mod status;
pub(crate) mod view;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::RwLock;
use ringbinder_protocol::{Greeter, PeerLine, PeerProcess, Stamp, Standing};
use ringbinder_ring::{Ring, RingId};
use ringbinder_store::Seconds;
use tokio::sync::mpsc;
use tracing::{info, warn};

pub(crate) use discovery::is_legacy_key;
pub(crate) use manager::{Hint, RingManager};
pub(crate) use peer::Peer;
pub(crate) use peer::client::{PeerClient, PeerError};
pub(crate) use peer::dial::Dialer;
pub(crate) use report::report;
pub(crate) use start::{StartError, Started, check, start};
pub(crate) use view::View;

use crate::observe::log_limit::LogLimit;
pub(crate) use crate::settings::{ForeignKeys, RingSettings};

use self::membership::Identity;
use self::names::Names;
use self::pause::PauseDetector;
use self::peer::Peers;
use self::status::Status;
use crate::ring::peer::neighbours::Neighbours;
use crate::ring::peer::secret::Secret;

/// The number of hints that may wait for the ring manager. Further hints are dropped: they add no
/// information.
const MAX_HINTS: usize = 1024;

/// Seconds between two log lines about clients that ask the wrong node.
const MISROUTED_EVERY: Seconds = 60;

/// The state of the ring that the whole process may read.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) view: Arc<View>,
    /// The answer to a handshake.
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
    unproved: LogLimit,
    pub(crate) dialer: Dialer,
    peers: Peers,
    posted: RwLock<Posted>,
    hints: mpsc::Sender<Hint>,
    pub(crate) pause_detector: PauseDetector,
    /// The second in which a misrouted key was last logged.
    misrouted_logged: AtomicU32,
    /// The log rate limit for failed requests.
    pub(crate) log_limit: LogLimit,
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

    /// A connection to the peer at an address, made as the ring manager makes its own.
    pub(crate) async fn talk(&self, address: &str) -> Result<PeerClient, PeerError> {
        let mut talk = PeerClient::begin(&self.dialer, address).await?;
        let stamp = membership::stamp(self.view().id());
        talk.introduce(&self.name(), stamp).await?;
        Ok(talk)
    }

    /// Records a handshake from a sender that has proved to be a node: the accepted process of that
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

    /// The kept ring of this version.
    pub(crate) fn kept_ring(&self, id: RingId) -> Option<Arc<Ring>> {
        self.posted.read().rings.iter().find(|ring| ring.id() == id).map(Arc::clone)
    }

    /// The answer to a handshake from a node of this name. Sends the ring manager a hint if the
    /// handshake calls for a check. A handshake from an untrusted client leads to questions at
    /// addresses of the ring, and to nothing else.
    pub(crate) fn greeted(
        &self,
        name: &str,
        theirs: Stamp,
        greeter: Option<Greeter>,
        last_cas: u64,
    ) -> PeerLine {
        let posted = self.posted.read();
        let own = posted.line.instance;
        let peer = posted.address_named(name).and_then(|address| self.peers.at(&address));
        let accepted = peer.as_ref().and_then(|peer| peer.processes().accepted);
        let is_own_name = name == posted.line.name && posted.view.me.is_some();
        let mut line = posted.line.clone();
        line.process = match (greeter, line.process) {
            (Some(_), Some(process)) => {
                let seen = if is_own_name { Some(own) } else { accepted };
                let list = self.names().epoch();
                Some(PeerProcess { seen, cas: last_cas, list, ..process })
            }
            _ => None,
        };
        let newer = membership::ring_id(theirs) > posted.view.id();
        drop(posted);
        let came_back = peer.as_ref().is_some_and(|peer| peer.is_unreachable());
        let mut unknown = false;
        let mut doubts = false;
        if let Some(greeter) = greeter {
            if is_own_name && greeter.instance != own {
                self.hint(Hint::Rivalled { instance: greeter.instance });
                return line;
            }
            unknown = accepted != Some(greeter.instance);
            doubts = greeter.seen.is_some_and(|seen| seen != own);
        }
        if came_back || newer || unknown || doubts {
            self.hint(Hint::Greeted { name: name.to_owned(), unknown, doubts });
        }
        line
    }

    /// The peer secret, if this node has one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// Whether other nodes can authenticate by the peer secret.
    pub(crate) fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// Logs that a node sent a proof by another peer secret.
    pub(crate) fn unproved(&self, node: &crate::net::connections::Remote, now: Seconds) {
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
        let peers = status.reported.iter().filter_map(|(address, _)| self.peers.at(address));
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

    /// Sends a hint to the ring manager. The hint is lost if too many wait: hints only speed up
    /// what the manager would find out by itself.
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
