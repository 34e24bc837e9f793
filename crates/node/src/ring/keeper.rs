//! The task that keeps the ring: it hears of new rings, tells them to the peers, waits for them,
//! and hands the workers what follows from it. The decisions are [`super::membership`]'s.
//!
//! Putting a ring in force has an order that everything else relies on: every worker has the new
//! view; then what the ring gives to others is forgotten; only then do greetings say that this node
//! holds it.

use std::collections::HashMap;
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

use super::discovery::{self, MAX_SAFE_PAYLOAD};
use super::greeting::{self, Offer, TalkError};
use super::membership::{Membership, Wanted, ring_id, stamp};
use super::peer::{Address, Peer};
use super::start::{Started, name};
use super::view::View;
use super::{ForeignKeys, RingNode};
use crate::shared::Shared;
use crate::worker::Workers;

/// Between greetings of a peer that is in order.
const CALM: Duration = Duration::from_secs(5);

/// Between probes of a peer that does not answer requests.
const PROBE: Duration = Duration::from_secs(1);

/// Between probes of an address where nothing listens, which is told at once.
const REFUSED: Duration = Duration::from_millis(200);

/// Between greetings of a peer that is waited for: from, doubling, up to.
const SOON: Duration = Duration::from_millis(5);
const SOON_LATEST: Duration = Duration::from_millis(500);

/// Shortest time between two greetings that others ask for: strangers may hint as often as they like.
const HINTED: Duration = Duration::from_millis(20);

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

/// What the keeper remembers of a peer.
#[derive(Debug)]
struct Acquaintance {
    next: Instant,
    greeted: Option<Instant>,
    busy: bool,
    /// Greet once more when the present talk is over.
    again: bool,
    pause: Duration,
    away_since: Option<Instant>,
    /// No probe is to clear the peer before.
    shunned_until: Option<Instant>,
}

impl Acquaintance {
    fn new(now: Instant) -> Acquaintance {
        Acquaintance {
            next: now,
            greeted: None,
            busy: false,
            again: false,
            pause: SOON,
            away_since: None,
            shunned_until: None,
        }
    }
}

/// The task's state.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    node: Arc<RingNode>,
    workers: Arc<Workers>,
    membership: Membership,
    instance: u64,
    acquaintances: HashMap<Address, Acquaintance>,
    news: mpsc::UnboundedSender<News>,
    resolved: HashMap<String, IpAddr>,
    /// A view was made since the workers were told.
    stale: bool,
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
        let (updates, mut updated) = mpsc::channel(4);
        let watching = tokio::spawn(Source::watch(source, updates, reload, shared.stop.clone()));
        // As many messages as there are peers, since each is talked to by one task at a time.
        let (news, mut heard) = mpsc::unbounded_channel();
        let now = Instant::now();
        let mut keeper = Keeper {
            shared: Arc::clone(&shared),
            node,
            workers,
            membership,
            instance,
            acquaintances: HashMap::new(),
            news,
            resolved: HashMap::new(),
            stale: false,
            last_turn: now,
        };
        keeper.resolve();
        loop {
            keeper.turn();
            let next = keeper.acquaintances.values().filter(|it| !it.busy).map(|it| it.next).min();
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

    /// What is due by the clock.
    fn turn(&mut self) {
        let now = Instant::now();
        let patience = self.node.settings.peer_give_up;
        if now - self.last_turn > patience + PROBE {
            warn!("this node stood still for {:?} and joins its peers again", now - self.last_turn);
            self.membership.rejoin();
            self.stale = true;
            for acquaintance in self.acquaintances.values_mut() {
                acquaintance.away_since = None;
                acquaintance.next = now;
            }
        }
        self.last_turn = now;
        let peers = self.membership.peers();
        self.acquaintances.retain(|address, it| it.busy || peers.contains(address));
        for address in peers {
            let it =
                self.acquaintances.entry(address.clone()).or_insert_with(|| Acquaintance::new(now));
            if !it.busy && it.next <= now {
                it.busy = true;
                it.again = false;
                it.greeted = Some(now);
                self.greet(address);
            }
        }
        self.give_up(now, patience);
        self.publish();
    }

    fn give_up(&mut self, now: Instant, patience: Duration) {
        for address in self.membership.awaited() {
            let away = self.acquaintances.get(&address).and_then(|it| it.away_since);
            if away.is_some_and(|since| now >= since + patience)
                && self.membership.give_up(&address)
            {
                warn!(
                    "the node at {address} is out of reach and no longer waited for: its keys are \
                     served by the ring {} without its word",
                    self.membership.id().version
                );
                self.node.posted.write().status.given_up += 1;
                self.stale = true;
            }
        }
    }

    fn greet(&self, address: Address) {
        let ring = self.membership.ring();
        let stamp = stamp(ring.id());
        let offer =
            self.node.secret.clone().map(|secret| Offer { secret, stamp, text: ring.to_toml() });
        let name = name(&self.node.settings, &self.membership);
        let patience = self.node.settings.peer_timeout.max(GREETING_PATIENCE);
        let news = self.news.clone();
        tokio::spawn(async move {
            let answer = greeting::greet(&address, &name, stamp, offer, patience).await;
            // The keeper is gone only when the node stops.
            let _ = news.send(News::Answer(address, answer));
        });
    }

    fn pull(&self, address: Address, ids: Vec<RingId>, what: Pulled) {
        let news = self.news.clone();
        tokio::spawn(async move {
            let mut texts = Vec::new();
            for id in ids {
                texts.push(greeting::pull(&address, stamp(id)).await);
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
        let now = Instant::now();
        match hint {
            Hint::Away { peer, timed_out } => {
                if let Some(it) = self.acquaintances.get_mut(&peer.address) {
                    if timed_out {
                        it.shunned_until = Some(now + PROBE);
                    }
                    it.next = it.next.min(now + if timed_out { PROBE } else { SOON });
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
            let now = Instant::now();
            it.next = it.greeted.map_or(now, |greeted| now.max(greeted + HINTED));
            it.again = it.busy;
            it.pause = SOON;
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
                    self.node.posted.write().cluster = self.payload();
                }
            }
        }
    }

    fn answered(&mut self, address: Address, line: &PeerLine) {
        let now = Instant::now();
        let before = (self.membership.awaited().len(), self.membership.is_settled());
        let wanted = self.membership.heard(&address, line);
        let after = (self.membership.awaited().len(), self.membership.is_settled());
        self.stale |= before != after || wanted == Wanted::Nothing;
        let awaited = self.membership.awaited().contains(&address);
        let behind = ring_id(line.held) < self.membership.id();
        let peer = self.node.peers.at(&address);
        let Some(it) = self.acquaintances.get_mut(&address) else {
            return;
        };
        it.away_since = None;
        let shunned = it.shunned_until.is_some_and(|until| now < until);
        if let Some(peer) = peer
            && !shunned
        {
            it.shunned_until = None;
            if peer.set_away(false) {
                info!("the node {peer} answers again");
            }
        }
        if shunned {
            it.next = it.shunned_until.unwrap_or(now);
            it.busy = false;
            return;
        }
        match wanted {
            Wanted::Newer(id) => {
                info!("the node at {address} holds ring {}, which is newer", id.version);
                self.pull(address, vec![id], Pulled::Newer);
            }
            Wanted::Past(ids) => self.pull(address, ids, Pulled::Past),
            Wanted::Nothing => {
                it.busy = false;
                if it.again {
                    it.again = false;
                    it.next = it.greeted.map_or(now, |greeted| now.max(greeted + HINTED));
                } else if awaited || behind {
                    it.next = now + it.pause;
                    it.pause = (it.pause * 2).min(SOON_LATEST);
                } else {
                    it.pause = SOON;
                    it.next = now + CALM;
                }
            }
        }
    }

    fn unanswered(&mut self, address: Address, error: &TalkError) {
        debug!("greeting {address}: {error}");
        let now = Instant::now();
        if let Some(it) = self.acquaintances.get_mut(&address) {
            it.busy = false;
            it.again = false;
            it.away_since.get_or_insert(now);
            let refused = matches!(error, TalkError::Refused);
            it.next = now
                + if refused { REFUSED } else { PROBE.min(self.node.settings.peer_give_up / 2) };
        }
        if matches!(error, TalkError::Refused) {
            // The process is gone, and what it served with it.
            if self.membership.give_up(&address) {
                info!("nothing listens at {address}: it is not waited for");
                self.stale = true;
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
            it.busy = false;
            it.next = Instant::now();
        }
        for text in texts {
            let text = match text {
                Ok(text) => text,
                Err(error) => {
                    warn!("cannot read the ring of the node at {address}: {error}");
                    if let Some(it) = self.acquaintances.get_mut(&address) {
                        it.next = Instant::now() + PROBE;
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
                    self.stale = true;
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
        let view = Arc::new(self.membership.view(&self.node.peers));
        self.post(&view);
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
        self.stale = true;
        for it in self.acquaintances.values_mut() {
            it.next = Instant::now();
            it.again = it.busy;
            it.pause = SOON;
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

    /// Tells the workers, and whoever asks, what is new.
    fn publish(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let view = Arc::new(self.membership.view(&self.node.peers));
        self.post(&view);
        self.workers.tell(&view);
    }

    fn post(&self, view: &Arc<View>) {
        let peers = self.membership.peers();
        let kept = |address: &Address| peers.contains(address);
        self.node.peers.keep(kept);
        let name = name(&self.node.settings, &self.membership);
        let cluster = self.payload();
        let mut posted = self.node.posted.write();
        posted.view = Arc::clone(view);
        posted.line = self.membership.peer_line(&name, self.instance);
        posted.rings = self.membership.rings().to_vec();
        posted.cluster = cluster;
        posted.status.awaited = self.membership.awaited();
        let said = |address: &Address| (address.clone(), self.membership.said(address));
        posted.status.said = peers.iter().map(said).collect();
    }

    fn payload(&self) -> Arc<str> {
        let payload = discovery::payload(self.membership.ring(), &self.resolved);
        if payload.len() > MAX_SAFE_PAYLOAD {
            debug!("the list for auto-discovery has {} bytes", payload.len());
        }
        payload.into()
    }

    /// Finds the addresses of the ring's host names, for auto-discovery.
    fn resolve(&self) {
        let ring = self.membership.ring();
        let payload = discovery::payload(ring, &self.resolved).len();
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
