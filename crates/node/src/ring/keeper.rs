//! The task that keeps the ring: it hears of new rings, tells them to the peers, waits for them,
//! and hands the workers what follows from it. The decisions are [`super::membership`]'s.
//!
//! Putting a ring in force has an order that everything else relies on: every worker has the new
//! view; then what the ring gives to others is forgotten; only then do greetings say that this node
//! holds it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::PeerLine;
use ringbinder_ring::source::{Source, SourceError, Update, write_cache};
use ringbinder_ring::{Format, Ring, RingId, point};
use ringbinder_store::{KeyPredicate, Store};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::acquaintance::{Acquaintance, CALM, PROBE};
use super::discovery::{self, MAX_SAFE_PAYLOAD};
use super::greeting::{self, TalkError};
use super::membership::{Membership, Wanted, ring_id, stamp};
use super::peer::{Address, Peer};
use super::start::{Started, name, own_address};
use super::view::View;
use super::{ForeignKeys, RingNode};
use crate::shared::Shared;
use crate::worker::Workers;

/// Shortest time a greeting is waited for. It says nothing about requests, which have their own.
const GREETING_PATIENCE: Duration = Duration::from_secs(1);

/// How long resolving the host names of a ring may take.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(3);

/// Something that a worker noticed.
#[derive(Debug)]
pub(crate) enum Hint {
    /// A peer did not answer.
    Away { peer: Arc<Peer>, timed_out: bool },
    /// A node of this name greeted: with a newer ring, or it was thought to be away.
    Greeted { name: String },
    /// A peer does not serve a key that was sent to it.
    Moved { peer: Arc<Peer> },
    /// A ring that was proved by the peer secret.
    Offered { text: String },
}

/// What came of talking to a peer.
#[derive(Debug)]
enum News {
    Answer(Address, Result<PeerLine, TalkError>),
    Rings(Address, Vec<Result<String, TalkError>>, Pulled),
    Resolved(RingId, HashMap<String, IpAddr>),
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
    instance: u64,
    /// The revision of the membership that the workers were told of, and that what follows here
    /// is of.
    told: Option<u64>,
    /// Every peer to be greeted.
    peers: Vec<Address>,
    /// Those of them that are waited for.
    awaited: Vec<Address>,
    /// All of `peers`, and others while a talk with them is under way.
    acquaintances: HashMap<Address, Acquaintance>,
    news: mpsc::UnboundedSender<News>,
    resolved: HashMap<String, IpAddr>,
    /// The payload for auto-discovery clients.
    cluster: Arc<str>,
    last_turn: Instant,
}

impl Keeper {
    /// Keeps the ring until the node stops. `reload` reads the source at once.
    pub(crate) async fn run(
        shared: Arc<Shared>,
        workers: Arc<Workers>,
        started: Started,
        reload: Arc<Notify>,
    ) {
        let Started { node, source, membership, mut hints, instance } = started;
        let (mut keeper, mut heard) = Keeper::new(&shared, workers, (node, membership, instance));
        let (updates, mut updated) = mpsc::channel(4);
        let watching = tokio::spawn(Source::watch(source, updates, reload, shared.stop.clone()));
        keeper.resolve();
        loop {
            keeper.turn();
            let next = keeper.acquaintances.values().filter_map(Acquaintance::due).min();
            let wake = next.unwrap_or_else(|| Instant::now() + CALM);
            tokio::select! {
                Some(update) = updated.recv() => keeper.updated(update).await,
                Some(hint) = hints.recv() => keeper.hinted(hint).await,
                Some(news) = heard.recv() => keeper.heard(news).await,
                () = tokio::time::sleep_until(wake.min(Instant::now() + PROBE)) => {}
                () = shared.stop.cancelled() => break,
            }
        }
        watching.abort();
    }

    fn new(
        shared: &Arc<Shared>,
        workers: Arc<Workers>,
        (node, membership, instance): (Arc<RingNode>, Membership, u64),
    ) -> (Keeper, mpsc::UnboundedReceiver<News>) {
        // As many messages as there are peers, since each is talked to by one task at a time.
        let (news, heard) = mpsc::unbounded_channel();
        let keeper = Keeper {
            shared: Arc::clone(shared),
            cluster: node.cluster(),
            node,
            workers,
            membership,
            instance,
            told: None,
            peers: Vec::new(),
            awaited: Vec::new(),
            acquaintances: HashMap::new(),
            news,
            resolved: HashMap::new(),
            last_turn: Instant::now(),
        };
        (keeper, heard)
    }

    /// What is due by the clock.
    fn turn(&mut self) {
        let now = Instant::now();
        let patience = self.node.settings.peer_give_up;
        if now - self.last_turn > patience + PROBE {
            warn!("this node stood still for {:?} and joins its peers again", now - self.last_turn);
            self.membership.rejoin();
            for acquaintance in self.acquaintances.values_mut() {
                acquaintance.start_over(now);
            }
        }
        self.last_turn = now;
        self.publish();
        if self.acquaintances.len() > self.peers.len() {
            self.part();
        }
        let due = self.acquaintances.iter_mut().filter_map(|(address, it)| {
            let begun = it.begin(now);
            begun.then(|| Arc::clone(address))
        });
        for address in due.collect::<Vec<_>>() {
            self.greet(address);
        }
        self.give_up(now, patience);
        self.publish();
    }

    /// Forgets whoever is no peer any more, except while a talk is under way.
    fn part(&mut self) {
        let peers: HashSet<&Address> = self.peers.iter().collect();
        self.acquaintances.retain(|address, it| it.is_busy() || peers.contains(address));
    }

    fn give_up(&mut self, now: Instant, patience: Duration) {
        let silent = |address: &&Address| {
            self.acquaintances.get(*address).is_some_and(|it| it.is_silent(now, patience))
        };
        let silent: Vec<Address> = self.awaited.iter().filter(silent).cloned().collect();
        for address in silent {
            if self.membership.give_up(&address) {
                warn!(
                    "the node at {address} is out of reach and no longer waited for: its keys are \
                     served by the ring {} without its word",
                    self.membership.id().version
                );
                self.node.posted.write().status.given_up += 1;
            }
        }
    }

    fn greet(&self, address: Address) {
        let ring = Arc::clone(self.membership.ring());
        let secret = self.node.secret.clone();
        let name = name(&self.node.settings, &self.membership);
        let patience = self.node.settings.peer_timeout.max(GREETING_PATIENCE);
        let (news, node) = (self.news.clone(), Arc::clone(&self.node));
        tokio::spawn(async move {
            let dialer = &node.dialer;
            let answer = greeting::greet(dialer, &address, &name, ring, secret, patience).await;
            // The keeper is gone only when the node stops.
            let _ = news.send(News::Answer(address, answer));
        });
    }

    fn pull(&self, address: Address, ids: Vec<RingId>, what: Pulled) {
        let (news, node) = (self.news.clone(), Arc::clone(&self.node));
        tokio::spawn(async move {
            let mut texts = Vec::new();
            for id in ids {
                texts.push(greeting::pull(&node.dialer, &address, stamp(id)).await);
            }
            let _ = news.send(News::Rings(address, texts, what));
        });
    }

    async fn updated(&mut self, update: Result<Update, SourceError>) {
        match update {
            Ok(Update::Unchanged) => {
                info!("the ring file is unchanged: ring {}", self.membership.id().version);
                self.complain(String::new());
            }
            Ok(Update::Ring(ring)) => {
                let (ours, theirs) = (self.membership.id(), ring.id());
                if theirs == ours {
                    self.complain(String::new());
                } else if theirs.version == ours.version {
                    self.complain(format!(
                        "it differs from the ring in force but has its version, {}: raise the version",
                        ours.version
                    ));
                } else if theirs < ours {
                    self.complain(format!(
                        "its version, {}, is lower than {}, the one in force: raise it above that",
                        theirs.version, ours.version
                    ));
                } else {
                    self.complain(String::new());
                    let from = self.node.posted.read().status.source.clone();
                    self.adopt(ring, from).await;
                }
            }
            Err(error) => self.complain(error.to_string()),
        }
    }

    /// Records why the newest text of the source is not in force.
    fn complain(&self, reason: String) {
        let mut posted = self.node.posted.write();
        let status = &mut posted.status;
        if !reason.is_empty() {
            error!(
                "{} is not taken: {reason}; ring {} stays in force",
                status.source,
                self.membership.id().version
            );
        }
        status.last_error = reason;
    }

    async fn hinted(&mut self, hint: Hint) {
        match hint {
            Hint::Away { peer, timed_out } => {
                if let Some(it) = self.acquaintances.get_mut(&peer.address) {
                    it.failed(Instant::now(), timed_out);
                }
            }
            Hint::Greeted { name } => {
                let address = self.node.posted.read().address_named(&name);
                if let Some(address) = address {
                    self.soon(&address);
                }
            }
            Hint::Moved { peer } => self.soon(&peer.address),
            Hint::Offered { text } => {
                if let Some(ring) = built(text).await {
                    self.adopt_from_peer(ring, "a peer that knows the secret".to_owned()).await;
                }
            }
        }
    }

    /// Greets a peer at once, or once more if that is under way.
    fn soon(&mut self, address: &Address) {
        if let Some(it) = self.acquaintances.get_mut(address) {
            it.hinted(Instant::now());
        }
    }

    async fn heard(&mut self, news: News) {
        match news {
            News::Answer(address, Ok(line)) => self.answered(address, &line),
            News::Answer(address, Err(error)) => self.unanswered(address, &error),
            News::Rings(address, texts, what) => self.pulled(address, texts, what).await,
            News::Resolved(id, addresses) => {
                if id == self.membership.id() {
                    self.resolved = addresses;
                    self.list();
                    self.node.posted.write().cluster = Arc::clone(&self.cluster);
                }
            }
        }
    }

    fn answered(&mut self, address: Address, line: &PeerLine) {
        let now = Instant::now();
        let held = ring_id(line.held);
        if self.membership.said(&address) != Some(held) {
            self.node.posted.write().status.has_said(&address, held);
        }
        let wanted = self.membership.heard(&address, line);
        let waiting = self.membership.awaits(&address) || held < self.membership.id();
        let peer = self.node.peers.at(&address);
        let Some(it) = self.acquaintances.get_mut(&address) else {
            return;
        };
        if !it.answered(now) {
            return;
        }
        if let Some(peer) = peer {
            peer.fits();
            if peer.set_away(false) {
                info!("the node {peer} answers again");
            }
        }
        match wanted {
            Wanted::Newer(id) => {
                info!("the node at {address} holds ring {}, which is newer", id.version);
                self.pull(address, vec![id], Pulled::Newer);
            }
            Wanted::Past(ids) => self.pull(address, ids, Pulled::Past),
            Wanted::Nothing => it.rest(now, waiting),
        }
    }

    fn unanswered(&mut self, address: Address, error: &TalkError) {
        debug!("greeting {address}: {error}");
        if let TalkError::Misfit(reason) = error
            && let Some(peer) = self.node.peers.at(&address)
        {
            peer.set_away(true);
            if peer.misfits(reason) {
                warn!("the node {peer} is away: {reason}; its keys miss until it answers");
            }
        }
        let refused = matches!(error, TalkError::Refused);
        if let Some(it) = self.acquaintances.get_mut(&address) {
            it.unanswered(Instant::now(), refused, self.node.settings.peer_give_up);
        }
        if refused {
            // The process is gone, and what it served with it.
            if self.membership.give_up(&address) {
                info!("nothing listens at {address}: it is not waited for");
            }
            if let Some(peer) = self.node.peers.at(&address)
                && peer.set_away(true)
            {
                warn!(
                    "the node {peer} is away: nothing listens there; its keys miss until it answers"
                );
            }
        }
    }

    async fn pulled(
        &mut self,
        address: Address,
        texts: Vec<Result<String, TalkError>>,
        what: Pulled,
    ) {
        if let Some(it) = self.acquaintances.get_mut(&address) {
            it.pulled(Instant::now(), true);
        }
        for text in texts {
            let text = match text {
                Ok(text) => text,
                Err(error) => {
                    warn!("cannot read the ring of the node at {address}: {error}");
                    if let Some(it) = self.acquaintances.get_mut(&address) {
                        it.pulled(Instant::now(), false);
                    }
                    return;
                }
            };
            let Some(ring) = built(text).await else {
                return;
            };
            match what {
                Pulled::Newer => self.adopt_from_peer(ring, format!("the node at {address}")).await,
                Pulled::Past => {
                    let ring = Arc::new(ring);
                    if self.membership.learn(Arc::clone(&ring)) {
                        self.forget_foreign(&ring);
                    }
                }
            }
        }
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
        let id = ring.id();
        self.adopt(ring, from).await;
        if let Some(path) = &self.node.settings.ring_cache
            && id == self.membership.id()
            && let Err(error) = write_cache(path, self.membership.ring())
        {
            warn!("cannot keep a copy of the ring in {}: {error}", path.display());
        }
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
        self.list();
        let view = self.post();
        self.workers.hold_all(&view).await;
        match self.node.settings.foreign_keys {
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
        for it in self.acquaintances.values_mut() {
            it.hasten(Instant::now());
        }
        self.resolve();
        self.publish();
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
        self.peers = self.membership.peers();
        self.awaited = self.membership.awaited();
        let now = Instant::now();
        for address in &self.peers {
            if !self.acquaintances.contains_key(address) {
                self.acquaintances.insert(Arc::clone(address), Acquaintance::new(now));
            }
        }
        self.part();
        let kept: HashSet<&Address> = self.peers.iter().collect();
        self.node.peers.keep(|address| kept.contains(address));
        let name = name(&self.node.settings, &self.membership);
        let mut posted = self.node.posted.write();
        posted.view = Arc::clone(&view);
        posted.line = self.membership.peer_line(&name, self.instance);
        posted.rings = self.membership.rings().to_vec();
        posted.cluster = Arc::clone(&self.cluster);
        posted.status.awaited = self.awaited.clone();
        let said = |address: &Address| (address.clone(), self.membership.said(address));
        posted.status.said = self.peers.iter().map(said).collect();
        drop(posted);
        view
    }

    /// Writes the list for auto-discovery anew.
    fn list(&mut self) {
        self.cluster = discovery::payload(self.membership.ring(), &self.resolved).into();
    }

    /// Finds the addresses of the ring's host names, for auto-discovery.
    fn resolve(&self) {
        let ring = self.membership.ring();
        let payload = self.cluster.len();
        if payload > MAX_SAFE_PAYLOAD {
            warn!(
                "the list of nodes that auto-discovery clients read has {payload} bytes; above \
                 {MAX_SAFE_PAYLOAD} some of them lose nodes: use shorter host names"
            );
        }
        let names = discovery::host_names(ring);
        if names.is_empty() {
            return;
        }
        let (id, news) = (ring.id(), self.news.clone());
        tokio::spawn(async move {
            let mut addresses = HashMap::new();
            for name in names {
                let lookup = tokio::net::lookup_host((name.as_str(), 0));
                let found: Vec<IpAddr> = match tokio::time::timeout(RESOLVE_PATIENCE, lookup).await
                {
                    Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
                    _ => continue,
                };
                let first = found.iter().find(|ip| ip.is_ipv4()).or(found.first());
                addresses.extend(first.map(|ip| (name, *ip)));
            }
            let _ = news.send(News::Resolved(id, addresses));
        });
    }
}

/// A ring that came from a peer, built on a thread that may take its time.
async fn built(text: String) -> Option<Ring> {
    let parse = move || Ring::parse(&text, Format::Toml, "the ring of a peer");
    match tokio::task::spawn_blocking(parse).await {
        Ok(Ok(ring)) => Some(ring),
        Ok(Err(error)) => {
            warn!("a peer gave a ring that is none: {error}");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
