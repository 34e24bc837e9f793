//! The task that keeps the ring: it hears of new rings, tells them to the peers, waits for them,
//! and hands the workers what follows from it. The decisions are [`super::membership`]'s.
//!
//! Putting a ring in force has an order that everything else relies on: every worker has the new
//! view; then what the ring gives to others is forgotten; only then do greetings say that this node
//! holds it.
//!
//! | file | purpose |
//! |---|---|
//! | `source` | news of the ring file or etcd |
//! | `peers` | greeting the peers, and their answers or silence |
//! | `own` | which process answers at this node's own address |
//! | `drift` | whether the source holds the current ring |
//! | `copy` | the copy of the ring in the file of `--ring-cache` |

mod copy;
pub(super) mod drift;
mod own;
mod peers;
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
use super::acquaintance::CALM;
use super::control::Greeted;
use super::greeting::TalkError;
use super::membership::Membership;
use super::peer::{Address, Peer};
use super::pulse::{BEAT, Sign};
use super::start::{Started, name, own_address};
use super::view::View;
use super::{ForeignKeys, RingNode};
use crate::shared::Shared;
use crate::worker::Workers;

/// Shortest time a greeting is waited for. It says nothing about requests, which have their own.
const GREETING_PATIENCE: Duration = Duration::from_secs(1);

/// How many CAS uniques a process leaves out when it starts (docs/decisions/0016-cas-uniques.md).
const STARTED_CAS: u64 = 1 << 22;

/// Something that a worker noticed.
#[derive(Debug)]
pub(crate) enum Hint {
    /// A peer did not answer.
    Away { peer: Arc<Peer>, timed_out: bool },
    /// A node of this name greeted, and there may be something to find out.
    Greeted {
        name: String,
        /// It is another process than the one that is accepted under the name.
        unknown: bool,
        /// It accepts another process than this one under this node's name.
        doubts: bool,
    },
    /// Another process greeted under the name of this node.
    Rivalled { instance: Instance },
    /// A peer does not serve a key that was sent to it.
    Moved { peer: Arc<Peer> },
    /// A ring that was proved by the peer secret.
    Offered { text: String },
}

/// What came of talking to a peer.
#[derive(Debug)]
enum News {
    Greeted(Address, Box<Greeted>),
    /// What a connection to this node's own address in the ring reached.
    Own(Address, Result<PeerLine, TalkError>),
    Rings(Address, Vec<Result<String, TalkError>>, Pulled),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulled {
    Newer,
    Past,
}

/// The task's state.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    node: Arc<RingNode>,
    workers: Arc<Workers>,
    membership: Membership,
    /// The revision of the membership that the workers were told of, and that what follows here
    /// is of.
    told: Option<u64>,
    /// Every peer to be greeted.
    peers: Vec<Address>,
    /// Those of them that are waited for.
    awaited: Vec<Address>,
    /// All of `peers`, and others while a talk with them is under way.
    contacts: HashMap<Address, Contact>,
    own: OwnAddress,
    /// The standing that was logged last, and what was said of it.
    logged: Option<(Standing, String)>,
    /// The addresses of the nodes, as they were when places were made for them.
    addresses: Arc<HashSet<IpAddr>>,
    /// CAS uniques go on above those of the process before this one.
    counts: bool,
    news: mpsc::UnboundedSender<News>,
    /// How the source stands to the ring in force.
    drift: Drift,
    copies: Copies,
    /// This node took up items from before it was away, and has not heard yet from all its peers that
    /// no other ring was in force meanwhile.
    came_back: bool,
}

impl Keeper {
    /// Keeps the ring until the node stops. `reload` reads the source at once.
    pub(crate) async fn run(
        shared: Arc<Shared>,
        workers: Arc<Workers>,
        started: Started,
        reload: Arc<Notify>,
    ) {
        let Started { node, source, membership, mut hints, drift } = started;
        let (mut keeper, mut heard) = Keeper::new(&shared, workers, node, membership);
        keeper.drift = drift;
        keeper.copies = Copies::start(source.cache(), &keeper.node);
        let (updates, mut updated) = mpsc::channel(4);
        let watching = tokio::spawn(Source::watch(source, updates, reload, shared.stop.token()));
        let looking_up = tokio::spawn(Arc::clone(keeper.node.names()).run(shared.stop.token()));
        loop {
            keeper.wake().await;
            keeper.stand().await;
            keeper.turn();
            let wake = keeper.next_due().unwrap_or_else(|| Instant::now() + CALM);
            tokio::select! {
                Some(update) = updated.recv() => keeper.updated(update).await,
                Some(hint) = hints.recv() => keeper.hinted(hint).await,
                Some(news) = heard.recv() => keeper.heard(news).await,
                () = tokio::time::sleep_until(wake.min(Instant::now() + BEAT)) => {}
                () = shared.stop.cancelled() => break,
            }
        }
        watching.abort();
        looking_up.abort();
        keeper.copies.finish().await;
    }

    fn new(
        shared: &Arc<Shared>,
        workers: Arc<Workers>,
        node: Arc<RingNode>,
        membership: Membership,
    ) -> (Keeper, mpsc::UnboundedReceiver<News>) {
        // As many messages as there are peers, since each is talked to by one task at a time.
        let (news, heard) = mpsc::unbounded_channel();
        let keeper = Keeper {
            came_back: shared.snapshots.progress.came_back(),
            shared: Arc::clone(shared),
            node,
            workers,
            membership,
            told: None,
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
        (keeper, heard)
    }

    /// Leaves a sign of life. Where this node stood still since the last one, no worker serves
    /// anything from before on, until the peers have told what it missed.
    async fn wake(&mut self) {
        let now = Sign::now();
        if let Some(since) = self.node.pulse.stood_still(now) {
            warn!("this node stood still for {since:?} and joins its peers again");
            self.membership.rejoin();
            for contact in self.contacts.values_mut() {
                contact.probe.start_over(Instant::now());
            }
            self.own.doubted(Instant::now());
            let view = self.post();
            self.workers.hold_all(&view).await;
        }
        self.node.pulse.beat(now);
    }

    /// What is due by the clock.
    fn turn(&mut self) {
        let now = Instant::now();
        self.came_back &= !self.membership.has_met_all();
        if !self.counts && self.membership.joined() {
            // Above what the process before this one may have handed out since a peer heard of it.
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

    /// When something is due again by the clock.
    fn next_due(&self) -> Option<Instant> {
        let probes = self.contacts.values().filter_map(|contact| contact.probe.due());
        probes.chain(self.own.due()).min()
    }

    /// Forgets whoever is no peer any more, except while a talk is under way.
    fn part(&mut self) {
        let peers: HashSet<&Address> = self.peers.iter().collect();
        self.contacts.retain(|address, contact| contact.probe.is_busy() || peers.contains(address));
    }

    /// Greets all peers at once: there is something to tell or to hear.
    fn hasten_all(&mut self) {
        for contact in self.contacts.values_mut() {
            contact.probe.hasten(Instant::now());
        }
    }

    /// Has the workers act by this process's standing, if that is another one than before. A process
    /// that has been replaced reports it only once no worker serves any more and its items are
    /// forgotten: from then on peers accept the other one.
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
        // It may have to join its peers, and they have something to hear.
        self.hasten_all();
        self.publish();
    }

    async fn adopt_from_peer(&mut self, ring: Ring, from: String) {
        let ours = self.membership.id();
        if ring.id().version == ours.version && ring.id() != ours {
            warn!(
                "two different rings have the version {}: that of {from} wins where its digest is \
                 higher; raise the version to say which is meant",
                ours.version
            );
        }
        self.adopt(ring, from).await;
    }

    /// Puts a ring in force, if it comes after the one that is.
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
            // Another process may have served its keys, and may do so now.
            _ if self.membership.standing() == Standing::Unconfirmed => self.forget_all(),
            ForeignKeys::Forward | ForeignKeys::Refuse => self.forget_foreign(&ring),
            // Clients that do not follow the ring keep theirs here; those that do have moved on.
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
        {
            let mut posted = self.node.posted.write();
            posted.status.changes += 1;
            posted.status.taken_from = from.clone();
        }
        info!(
            "ring {} with {} nodes is in force, from {from}",
            ring.id().version,
            ring.nodes().len()
        );
        self.hasten_all();
        self.own.moved(Instant::now());
        self.membership.stand();
        self.log_standing();
        self.publish();
    }

    /// Drops all that was taken up from before this node was away, where another ring comes to light
    /// before all peers were met: by one of those that were in force meanwhile, others may have served
    /// any of its keys.
    fn forget_absence(&mut self) {
        if std::mem::take(&mut self.came_back) {
            warn!(
                "the ring changed while this node was away: the items that it took up are dropped, \
                 since others may have served their keys meanwhile"
            );
            self.shared.store.end_restore();
            self.forget(Arc::new(|_| true));
        }
    }

    /// Drops everything: another process serves this node's keys.
    fn forget_all(&mut self) {
        if self.node.settings.foreign_keys == ForeignKeys::Serve {
            // It is a cache of its own, ring or no ring.
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

    /// Drops keys, at once for every request, and takes them out of the store before long: until
    /// that is done each item from before costs a look at the ring.
    fn forget(&self, lost: KeyPredicate) {
        let (shared, now) = (Arc::clone(&self.shared), self.shared.clock.now());
        shared.store.forget(lost, now);
        tokio::task::spawn_blocking(move || shared.store.sweep(now));
    }

    /// Tells the workers, and whoever asks, what is new, if anything is: a view that says the same
    /// as the one before would cost every worker a look at each of its links.
    fn publish(&mut self) {
        if self.told != Some(self.membership.revision()) {
            let view = self.post();
            self.workers.tell(&view);
        }
    }

    /// Takes in what follows from the membership, and shows it to whoever asks. The workers are to
    /// be given the view.
    fn post(&mut self) -> Arc<View> {
        let view = Arc::new(self.membership.view(&self.node.peers));
        self.told = Some(self.membership.revision());
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
        let said = |address: &Address| (address.clone(), self.membership.said(address));
        posted.status.said = self.peers.iter().map(said).collect();
        posted.status.standing = self.membership.standing();
        posted.status.standing_reason = self.standing_reason();
        posted.status.address = self.membership.claim().address().cloned();
        posted.status.rival = self.rival(now);
        drop(posted);
        view
    }

    /// Gives the nodes of the rings that are kept places for their connections.
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
