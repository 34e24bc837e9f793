//! The task that keeps the ring. It learns of new rings, sends them to the peers, waits for the
//! peers, and gives the workers their view. [`super::membership`] takes the decisions.
//!
//! A ring becomes the current one in an order on which everything else relies. First every worker
//! gets the new view. Then the store drops the keys that the ring gives to others. Only then do
//! handshakes say that this node holds the ring.
//!
//! | file | purpose |
//! |---|---|
//! | `source` | news of the ring file or etcd |
//! | `peers` | handshakes with the peers, and their answers or silence |
//! | `probe` | when a peer is greeted next |
//! | `own` | which process answers at this node's own address |
//! | `drift` | whether the source holds the current ring |
//! | `copy` | the copy of the ring in the file of `--ring-cache` |

mod copy;
pub(super) mod drift;
mod own;
mod peers;
pub(crate) mod probe;
mod source;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::{Instance, PeerLine, Standing};
use ringbinder_ring::source::Source;
use ringbinder_ring::{Ring, point};
use ringbinder_store::{KeyPredicate, Store};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::{info, warn};

use self::copy::Copies;
use self::drift::Drift;
use self::own::OwnAddress;
use self::peers::Contact;
use self::probe::CALM;
use super::membership::Membership;
use super::pause::{BEAT, Moment};
use super::peer::{Address, Peer};
use super::start::{Started, name, own_address};
use super::view::View;
use super::{ForeignKeys, RingNode};
use crate::ring::peer::client::PeerError;
use crate::ring::peer::handshake::HandshakeResult;
use crate::worker::Workers;
use crate::worker::shared::Shared;

/// The shortest timeout of a handshake. Requests have a timeout of their own.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// The number of CAS uniques that a process skips when it starts
/// (docs/decisions/0016-cas-uniques.md).
const STARTED_CAS: u64 = 1 << 22;

/// An observation of a worker.
#[derive(Debug)]
pub(crate) enum Hint {
    /// A peer did not answer.
    Away { peer: Arc<Peer>, timed_out: bool },
    /// A node of this name greeted, and its handshake may call for a check.
    Greeted {
        name: String,
        /// It is another process than the one accepted under the name.
        unknown: bool,
        /// It accepts another process than this one under this node's name.
        doubts: bool,
    },
    /// Another process greeted under this node's name.
    Rivalled { instance: Instance },
    /// A peer does not serve a key that was sent to it.
    Moved { peer: Arc<Peer> },
    /// A ring with a valid proof by the peer secret.
    Offered { text: String },
}

/// The result of a talk with a peer.
#[derive(Debug)]
enum News {
    Greeted(Address, Box<HandshakeResult>),
    /// The process that a connection to this node's own address in the ring reached.
    Own(Address, Result<PeerLine, PeerError>),
    Rings(Address, Vec<Result<String, PeerError>>, Pulled),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulled {
    Newer,
    Past,
}

/// The task's state.
pub(crate) struct RingManager {
    shared: Arc<Shared>,
    node: Arc<RingNode>,
    workers: Arc<Workers>,
    membership: Membership,
    /// The membership revision that the workers have, and from which the fields below are derived.
    published: Option<u64>,
    /// Every peer to greet.
    peers: Vec<Address>,
    /// The peers that this node waits for.
    awaited: Vec<Address>,
    /// All of `peers`, and others while a talk with them is under way.
    contacts: HashMap<Address, Contact>,
    own: OwnAddress,
    /// The standing that was logged last, and its reason.
    logged: Option<(Standing, String)>,
    /// The addresses of the nodes when slots for their connections were last reserved.
    addresses: Arc<HashSet<IpAddr>>,
    /// New CAS uniques are above those of the previous process.
    counts: bool,
    news: mpsc::UnboundedSender<News>,
    /// The difference between the source and the current ring.
    drift: Drift,
    copies: Copies,
    /// This node restored items from before it was away, and not all its peers have yet reported
    /// that there was no other ring meanwhile.
    came_back: bool,
}

impl RingManager {
    /// Keeps the ring until the node stops. `reload` reads the source at once.
    pub(crate) async fn run(
        shared: Arc<Shared>,
        workers: Arc<Workers>,
        started: Started,
        reload: Arc<Notify>,
    ) {
        let Started { node, source, membership, mut hints, drift } = started;
        let (mut manager, mut heard) = RingManager::new(&shared, workers, node, membership);
        manager.drift = drift;
        manager.copies = Copies::start(source.cache(), &manager.node);
        let (updates, mut updated) = mpsc::channel(4);
        let watching = tokio::spawn(Source::watch(source, updates, reload, shared.stop.token()));
        let looking_up = tokio::spawn(Arc::clone(manager.node.names()).run(shared.stop.token()));
        loop {
            manager.wake().await;
            manager.stand().await;
            manager.turn();
            let wake = manager.next_due().unwrap_or_else(|| Instant::now() + CALM);
            tokio::select! {
                Some(update) = updated.recv() => manager.updated(update).await,
                Some(hint) = hints.recv() => manager.hinted(hint).await,
                Some(news) = heard.recv() => manager.heard(news).await,
                () = tokio::time::sleep_until(wake.min(Instant::now() + BEAT)) => {}
                () = shared.stop.cancelled() => break,
            }
        }
        watching.abort();
        looking_up.abort();
        manager.copies.finish().await;
    }

    fn new(
        shared: &Arc<Shared>,
        workers: Arc<Workers>,
        node: Arc<RingNode>,
        membership: Membership,
    ) -> (RingManager, mpsc::UnboundedReceiver<News>) {
        // The channel holds at most one message for each peer, because one task at a time talks to
        // it.
        let (news, heard) = mpsc::unbounded_channel();
        let manager = RingManager {
            came_back: shared.snapshots.progress.came_back(),
            shared: Arc::clone(shared),
            node,
            workers,
            membership,
            published: None,
            peers: Vec::new(),
            awaited: Vec::new(),
            contacts: HashMap::new(),
            own: OwnAddress::new(Instant::now()),
            logged: None,
            addresses: Arc::default(),
            counts: false,
            news,
            drift: Drift::default(),
            copies: Copies::default(),
        };
        (manager, heard)
    }

    /// Emits a heartbeat. If this node was paused since the last one, no worker serves older items
    /// until the peers have reported what the node missed.
    async fn wake(&mut self) {
        let now = Moment::now();
        if let Some(since) = self.node.pause_detector.paused_for(now) {
            warn!("this node was paused for {since:?}; rejoining its peers");
            self.membership.rejoin();
            for contact in self.contacts.values_mut() {
                contact.probe.start_over(Instant::now());
            }
            self.own.doubted(Instant::now());
            let view = self.post();
            self.workers.hold_all(&view).await;
        }
        self.node.pause_detector.beat(now);
    }

    /// Does the work that is due by the clock.
    fn turn(&mut self) {
        let now = Instant::now();
        self.came_back &= !self.membership.has_met_all();
        if !self.counts && self.membership.joined() {
            // Stays above any unique that the previous process may have handed out since a peer
            // last heard of it.
            self.counts = true;
            self.shared.store.raise_cas(self.shared.store.last_cas() + STARTED_CAS);
        }
        self.publish();
        if !Arc::ptr_eq(&self.node.names().addresses(), &self.addresses) {
            self.make_room();
        }
        if self.contacts.len() > self.peers.len() {
            self.part();
        }
        let due = self
            .contacts
            .iter_mut()
            .filter_map(|(address, contact)| contact.probe.begin(now).then(|| Arc::clone(address)));
        for address in due.collect::<Vec<_>>() {
            self.greet(address);
        }
        self.look_at_itself(now);
        self.give_up(now);
        self.publish();
        self.watch_drift(now);
    }

    /// The next time at which work is due by the clock.
    fn next_due(&self) -> Option<Instant> {
        let probes = self.contacts.values().filter_map(|contact| contact.probe.due());
        probes.chain(self.own.due()).min()
    }

    /// Drops contacts that are not peers any more, except while a talk with them is under way.
    fn part(&mut self) {
        let peers: HashSet<&Address> = self.peers.iter().collect();
        self.contacts.retain(|address, contact| contact.probe.is_busy() || peers.contains(address));
    }

    /// Greets all peers at once, because there is something to send or to learn.
    fn hasten_all(&mut self) {
        for contact in self.contacts.values_mut() {
            contact.probe.hasten(Instant::now());
        }
    }

    /// Makes the workers act by this process's standing if it has changed. A replaced process
    /// reports its standing only after all workers have stopped serving and its items are dropped:
    /// from then on peers accept the other process.
    async fn stand(&mut self) {
        let standing = self.membership.standing();
        if standing == self.membership.acted() {
            return;
        }
        if standing == Standing::Replaced {
            let view = self.post();
            self.workers.hold_all(&view).await;
            self.forget_all();
        }
        self.membership.stand();
        self.log_standing();
        // This process may have to join its peers, and they must learn its standing.
        self.hasten_all();
        self.publish();
    }

    async fn adopt_from_peer(&mut self, ring: Ring, from: String) {
        let ours = self.membership.id();
        if ring.id().version == ours.version && ring.id() != ours {
            warn!(
                "two different rings have version {}: the one from {from} wins if its digest is \
                 higher; raise the version of the intended ring",
                ours.version
            );
        }
        self.adopt(ring, from).await;
    }

    /// Activates a ring if it comes after the current one.
    async fn adopt(&mut self, ring: Ring, from: String) {
        let before = Arc::clone(self.membership.ring());
        let owned_before = self.membership.me();
        let ring = Arc::new(ring);
        if !self.membership.adopt(Arc::clone(&ring)) {
            return;
        }
        for warning in ring.warnings() {
            warn!("ring {}: {warning}", ring.id().version);
        }
        let view = self.post();
        self.workers.hold_all(&view).await;
        match self.node.settings.foreign_keys {
            // Another process may have served this node's keys, or may be serving them.
            _ if self.membership.standing() == Standing::Unconfirmed => self.forget_all(),
            ForeignKeys::Forward | ForeignKeys::Refuse => self.forget_foreign(&ring),
            // Clients that do not follow the ring keep using this node. Clients that do follow it
            // have moved on.
            ForeignKeys::Serve => {
                let (old, new, me) = (Arc::clone(&before), Arc::clone(&ring), self.membership.me());
                let lost = move |key: &[u8]| {
                    let point = point(key);
                    owned_before == Some(old.owner_at(point)) && me != Some(new.owner_at(point))
                };
                self.forget(Arc::new(lost));
            }
        }
        self.forget_absence();
        self.membership.hold(ring.id());
        let mut posted = self.node.posted.write();
        posted.status.changes += 1;
        posted.status.taken_from = from.clone();
        drop(posted);
        let (version, nodes) = (ring.id().version, ring.nodes().len());
        info!("current ring: version {version} with {nodes} nodes, from {from}");
        self.hasten_all();
        self.own.moved(Instant::now());
        self.membership.stand();
        self.log_standing();
        self.publish();
    }

    /// Drops all items restored from before this node was away, if another ring appears before all
    /// peers were met. By a ring that was current meanwhile, other nodes may have served any of
    /// these keys.
    fn forget_absence(&mut self) {
        if std::mem::take(&mut self.came_back) {
            warn!(
                "the ring changed while this node was down: dropping the restored items, because \
                 other nodes may have served their keys meanwhile"
            );
            self.shared.store.end_restore();
            self.forget(Arc::new(|_| true));
        }
    }

    /// Drops all items: another process serves this node's keys.
    fn forget_all(&mut self) {
        if self.node.settings.foreign_keys == ForeignKeys::Serve {
            // With this policy the node is a cache of its own, whatever the ring.
            return;
        }
        self.came_back = false;
        self.shared.store.end_restore();
        self.forget(Arc::new(|_| true));
    }

    /// Drops every key that a ring gives to another node.
    fn forget_foreign(&self, ring: &Arc<Ring>) {
        let me = self.membership.me_in(ring);
        let ring = Arc::clone(ring);
        self.forget(Arc::new(move |key: &[u8]| me != Some(ring.owner(key))));
    }

    /// Drops keys: every request stops seeing them at once, and a background task removes them from
    /// the store. Until it has finished, each older item costs a check of the ring.
    fn forget(&self, lost: KeyPredicate) {
        let (shared, now) = (Arc::clone(&self.shared), self.shared.clock.now());
        shared.store.forget(lost, now);
        tokio::task::spawn_blocking(move || shared.store.sweep(now));
    }

    /// Publishes changes to the workers and to reports. Does nothing if nothing changed, because a
    /// new view makes every worker check each of its links.
    fn publish(&mut self) {
        if self.published != Some(self.membership.revision()) {
            let view = self.post();
            self.workers.send_view(&view);
        }
    }

    /// Derives the posted state and the view from the membership. The caller gives the view to the
    /// workers.
    fn post(&mut self) -> Arc<View> {
        let view = Arc::new(self.membership.view(&self.node.peers));
        self.published = Some(self.membership.revision());
        self.node.dialer.settle(own_address(&self.membership).as_deref());
        self.node.names().follow(self.membership.ring(), self.membership.rings());
        self.peers = self.membership.peers();
        self.awaited = self.membership.awaited();
        let now = Instant::now();
        for address in &self.peers {
            let contact = self.contacts.entry(Arc::clone(address));
            let contact = contact.or_insert_with(|| Contact::new(now));
            contact.probe.awaited(now, self.awaited.contains(address));
        }
        self.part();
        self.make_room();
        let kept: HashSet<&Address> = self.peers.iter().collect();
        self.node.peers.keep(|address| kept.contains(address));
        let name = name(&self.node.settings, &self.membership);
        let mut posted = self.node.posted.write();
        posted.view = Arc::clone(&view);
        posted.line = self.membership.peer_line(&name);
        posted.rings = self.membership.rings().to_vec();
        posted.status.awaited = self.awaited.clone();
        let reported = |address: &Address| (address.clone(), self.membership.reported(address));
        posted.status.reported = self.peers.iter().map(reported).collect();
        posted.status.standing = self.membership.standing();
        posted.status.standing_reason = self.standing_reason();
        posted.status.address = self.membership.claim().address().cloned();
        posted.status.rival = self.rival(now);
        drop(posted);
        view
    }

    /// Reserves connection slots for the nodes of the kept rings.
    fn make_room(&mut self) {
        let names = self.node.names();
        let addresses = names.addresses();
        let resolved = !Arc::ptr_eq(&addresses, &self.addresses);
        let addresses_of = |host: &str| names.standing(host).0;
        if self.node.neighbours.settle(self.membership.rings(), addresses_of, resolved) {
            self.shared.make_room();
        }
        self.addresses = addresses;
    }
}

#[cfg(test)]
mod tests;
