//! The ring manager's handling of its peers: handshakes, and the reaction to answers and silence.

use std::sync::Arc;

use ringbinder_protocol::{PeerLine, PeerProcess};
use ringbinder_ring::{Format, Ring, RingId};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::probe::ProbeSchedule;
use super::{HANDSHAKE_TIMEOUT, Hint, News, Pulled, RingManager};
use crate::ring::membership::accepted::{Accepted, Change};
use crate::ring::membership::{Wanted, ring_id, stamp};
use crate::ring::peer::client::{self, PeerClient, PeerError};
use crate::ring::peer::dial::AttemptError as _;
use crate::ring::peer::handshake::{self, Handshake, HandshakeResult};
use crate::ring::peer::{Address, Peer, Processes};
use crate::ring::start::name;

/// The highest CAS unique that a node accepts from a peer: the largest number that every client
/// holds exactly.
const MAX_CAS: u64 = 1 << 53;

/// The number of CAS uniques that a node may have handed out since it was last heard from: more
/// than the fastest node does between two handshakes and until it is declared failed.
const UNHEARD_CAS: u64 = 1 << 25;

/// The ring manager's state of a peer.
#[derive(Debug)]
pub(super) struct Contact {
    /// The schedule of handshakes.
    pub(super) probe: ProbeSchedule,
    /// The processes at the address.
    accepted: Accepted,
    /// The connection for handshakes, while no handshake is under way.
    control: Option<PeerClient>,
    /// The next handshake makes a new connection as well.
    afresh: bool,
    /// The highest CAS unique that it reported.
    cas: u64,
}

impl Contact {
    /// A peer that has never been greeted.
    pub(super) fn new(now: Instant) -> Contact {
        Contact {
            probe: ProbeSchedule::new(now),
            accepted: Accepted::default(),
            control: None,
            afresh: false,
            cas: 0,
        }
    }
}

impl RingManager {
    /// The handshake that this node sends.
    pub(super) fn handshake(&self) -> Handshake {
        Handshake {
            name: name(&self.node.settings, &self.membership),
            instance: self.membership.claim().instance(),
            seen: None,
            ring: Arc::clone(self.membership.ring()),
            secret: self.node.secret.clone(),
            timeout: self.node.settings.peer_timeout.max(HANDSHAKE_TIMEOUT),
        }
    }

    pub(super) fn greet(&mut self, address: Address) {
        let peer = self.node.peers.at(&address);
        let mut handshake = self.handshake();
        let Some(contact) = self.contacts.get_mut(&address) else { return };
        if let Some(peer) = &peer {
            // From here on its answers to requests count as heartbeats.
            peer.was_heard();
        }
        handshake.seen = contact.accepted.process();
        let control = contact.control.take();
        // A peer that requests cannot reach is not healthy just because an old connection still
        // works.
        let is_away = peer.is_some_and(|peer| peer.is_unreachable());
        let afresh = std::mem::take(&mut contact.afresh)
            || contact.accepted.rival().is_some()
            || contact.accepted.is_silent()
            || is_away;
        let (news, node) = (self.news.clone(), Arc::clone(&self.node));
        tokio::spawn(async move {
            let greeted =
                handshake::greet(&node.dialer, &address, control, afresh, &handshake).await;
            // The ring manager is gone only when the node stops.
            let _ = news.send(News::Greeted(address, Box::new(greeted)));
        });
    }

    /// Processes the result of a handshake.
    pub(super) fn greeted(&mut self, address: Address, greeted: HandshakeResult) {
        let now = Instant::now();
        let HandshakeResult { control, kept, closed, dialled, error } = greeted;
        let peer = self.node.peers.at(&address);
        let heard = peer.as_ref().is_some_and(|peer| peer.was_heard());
        let (kept, error) = match kept.map(|line| self.recognized(&address, line)).transpose() {
            Ok(kept) => (kept, error),
            Err(stranger) => (None, Some(stranger)),
        };
        let dialled = dialled.map(|answer| answer.and_then(|line| self.recognized(&address, line)));
        let Some(contact) = self.contacts.get_mut(&address) else { return };
        let accepted = &mut contact.accepted;
        contact.control = control;
        if closed {
            accepted.closed();
        }
        if let Some(line) = &kept {
            accepted.answered(line.process.map(|process| process.standing));
        } else if heard {
            accepted.is_alive();
        } else if !closed {
            accepted.unanswered(now);
        }
        let mut answer = kept;
        let mut failure = error;
        let mut is_reached = false;
        match dialled {
            Some(Ok(line)) => {
                is_reached = true;
                failure = None;
                if self.membership.claim().address() == Some(&address) {
                    self.membership.dialled_itself(line.instance);
                }
                match accepted.reached(line.instance) {
                    Change::Replaced => self.replaced(&address, &line),
                    Change::Rivalled => self.rivalled(&address, &line),
                    Change::Accepted | Change::Nothing => {}
                }
                let Some(contact) = self.contacts.get_mut(&address) else { return };
                if contact.accepted.process() == Some(line.instance) {
                    answer = Some(line);
                }
            }
            Some(Err(error)) => failure = Some(error),
            None => {}
        }
        self.show(&address);
        let Some(contact) = self.contacts.get_mut(&address) else { return };
        if contact.accepted.is_gone() {
            // Its place is free: the next handshake finds out which process is there.
            contact.control = None;
            contact.probe.hasten(now);
        }
        if let Some(error) = &failure {
            debug!("handshake with {address} failed: {error}");
        }
        match answer {
            Some(line) => self.answered(&address, &line, failure.as_ref()),
            // A rival's answer does not count as the peer's.
            None if is_reached => self.unanswered(&address, &rivalry(), heard),
            None => {
                let error = failure.unwrap_or(PeerError::Closed);
                self.unanswered(&address, &error, heard);
            }
        }
    }

    /// The answer, if it is the peer's. Another node may answer if the address leads to the wrong
    /// place, or if a ring has renamed the node. Such a node may still bring a newer ring by which
    /// it is the peer.
    pub(super) fn recognized(
        &self,
        address: &Address,
        line: PeerLine,
    ) -> Result<PeerLine, PeerError> {
        if self.membership.is_called(address, &line.name) {
            return Ok(line);
        }
        if let Some(id) = self.membership.newer_of(address, &line) {
            self.pull(Arc::clone(address), vec![id], Pulled::Newer);
        }
        let reason = format!("it has the name {}", line.name);
        Err(PeerError::Misfit { reason, alive: false })
    }

    /// Handles another process in the place of a peer. Connections to the old process are of no
    /// use, even if it still runs: it answers that it serves no key.
    fn replaced(&mut self, address: &Address, line: &PeerLine) {
        if let Some(peer) = self.node.peers.at(address) {
            info!("another process answers as {peer}: {}", line.instance);
        }
        self.node.peers.replace(address);
        self.published = None;
    }

    fn rivalled(&self, address: &Address, line: &PeerLine) {
        let Some(peer) = self.node.peers.at(address) else { return };
        warn!(
            "two processes claim to be the node {peer}: {} serves, and {} answers at the address \
             now; requests fail until one of them stops",
            peer.processes().accepted.map_or_else(|| "-".to_owned(), |it| it.to_string()),
            line.instance
        );
    }

    /// Publishes the process that this node accepts at an address, for handshakes and statistics.
    fn show(&self, address: &Address) {
        if let (Some(peer), Some(contact)) =
            (self.node.peers.at(address), self.contacts.get(address))
        {
            let (accepted, rival) = (contact.accepted.process(), contact.accepted.rival());
            peer.set_processes(Processes { accepted, rival });
        }
    }

    /// Handles an answer of the accepted process.
    pub(super) fn answered(
        &mut self,
        address: &Address,
        line: &PeerLine,
        failure: Option<&PeerError>,
    ) {
        let now = Instant::now();
        let held = ring_id(line.held);
        if self.membership.reported(address) != Some(held) {
            self.node.posted.write().status.has_said(address, held);
        }
        if let Some(PeerProcess { cas, list, .. }) = line.process {
            self.heard_cas(address, cas);
            self.node.names().heard(list);
        }
        let wanted = self.membership.heard(address, line);
        let waiting = self.membership.awaits(address) || held < self.membership.id();
        let peer = self.node.peers.at(address);
        let Some(contact) = self.contacts.get_mut(address) else { return };
        if !contact.probe.answered(now) {
            return;
        }
        let disputed = contact.accepted.rival().is_some();
        if let Some(peer) = peer {
            match failure {
                // The peer can be heard but not reached: new connections fail.
                Some(error) => set_unreachable(&peer, &error.to_string()),
                None if disputed => set_unreachable(&peer, &rivalry().to_string()),
                None => {
                    if peer.set_unreachable(false) {
                        info!("the node {peer} answers again");
                    }
                    peer.set_reason("");
                }
            }
        }
        match wanted {
            Wanted::Newer(id) => {
                info!("the node at {address} has the newer ring {}", id.version);
                self.pull(Arc::clone(address), vec![id], Pulled::Newer);
            }
            Wanted::Past(ids) => self.pull(Arc::clone(address), ids, Pulled::Past),
            Wanted::Nothing if failure.is_some() || disputed => {
                contact.probe.unreached(now, self.node.settings.peer_give_up);
            }
            Wanted::Nothing => contact.probe.rest(now, waiting),
        }
    }

    /// Counts CAS uniques above those of a peer, so that a key that moves never gets a unique with
    /// which it was read before.
    fn heard_cas(&mut self, address: &Address, cas: u64) {
        if cas > MAX_CAS {
            return;
        }
        if let Some(contact) = self.contacts.get_mut(address) {
            contact.cas = cas;
        }
        self.shared.store.raise_cas(cas);
    }

    fn unanswered(&mut self, address: &Address, error: &PeerError, heard: bool) {
        let now = Instant::now();
        let refused = matches!(error, PeerError::Refused);
        let is_alive = heard || error.is_sign_of_life();
        let give_up = self.node.settings.peer_give_up;
        let Some(contact) = self.contacts.get_mut(address) else { return };
        contact.probe.unanswered(now, refused, give_up);
        if is_alive {
            contact.probe.is_alive();
        }
        // The process that was there is known to be gone, or there was none. A host name may lead
        // to another machine than the one on which the process runs.
        let is_gone = contact.accepted.is_gone()
            || (contact.accepted.process().is_none() && is_literal(address));
        let Some(peer) = self.node.peers.at(address) else { return };
        if !heard {
            set_unreachable(&peer, &error.to_string());
            self.membership.lost(address);
        }
        if refused && is_gone && self.membership.give_up(address) {
            info!("no process listens at {address}: not waiting for it");
            self.count_above(address);
        }
    }

    /// Declares peers failed if they were silent for too long.
    pub(super) fn give_up(&mut self, now: Instant) {
        let timeout = self.node.settings.peer_give_up;
        for (address, contact) in &mut self.contacts {
            if contact.accepted.turn(now, timeout) {
                warn!(
                    "the previous process at {address} is silent: accepting another one in its \
                     place"
                );
                contact.control = None;
                contact.probe.hasten(now);
            }
        }
        let silent = |address: &&Address| {
            self.contacts.get(*address).is_some_and(|it| it.probe.is_silent(now, timeout))
        };
        let silent: Vec<Address> = self.awaited.iter().filter(silent).cloned().collect();
        for address in silent {
            if self.membership.give_up(&address) {
                warn!(
                    "the node at {address} is unreachable and declared failed: serving its keys \
                     under ring {} without its confirmation",
                    self.membership.id().version
                );
                self.node.posted.write().status.given_up += 1;
                self.count_above(&address);
            }
        }
    }

    /// Counts CAS uniques above those that a silent peer may have handed out.
    fn count_above(&self, address: &Address) {
        let known = self.contacts.get(address).map_or(0, |contact| contact.cas);
        if known > 0 {
            self.shared.store.raise_cas(known + UNHEARD_CAS);
        }
    }

    pub(super) fn pull(&self, address: Address, ids: Vec<RingId>, what: Pulled) {
        let (news, node) = (self.news.clone(), Arc::clone(&self.node));
        let name = name(&self.node.settings, &self.membership);
        let ours = stamp(self.membership.id());
        tokio::spawn(async move {
            let mut texts = Vec::new();
            for id in ids {
                texts.push(client::pull(&node.dialer, &address, &name, ours, stamp(id)).await);
            }
            let _ = news.send(News::Rings(address, texts, what));
        });
    }

    pub(super) async fn pulled(
        &mut self,
        address: Address,
        texts: Vec<Result<String, PeerError>>,
        what: Pulled,
    ) {
        if let Some(contact) = self.contacts.get_mut(&address) {
            contact.probe.pulled(Instant::now(), true);
        }
        for text in texts {
            let text = match text {
                Ok(text) => text,
                Err(error) => {
                    warn!("cannot read the ring of the node at {address}: {error}");
                    if let Some(contact) = self.contacts.get_mut(&address) {
                        contact.probe.pulled(Instant::now(), false);
                    }
                    return;
                }
            };
            let Some(ring) = built(text, &address).await else { return };
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

    pub(super) async fn hinted(&mut self, hint: Hint) {
        match hint {
            Hint::Away { peer, timed_out } => {
                if let Some(contact) = self.contacts.get_mut(&peer.address) {
                    contact.probe.failed(Instant::now(), timed_out);
                }
            }
            Hint::Greeted { name, unknown, doubts } => {
                let address = self.node.posted.read().address_named(&name);
                if let Some(address) = address {
                    if let Some(contact) = self.contacts.get_mut(&address) {
                        contact.afresh |= unknown;
                    }
                    self.soon(&address);
                }
                if doubts {
                    self.own.doubted(Instant::now());
                }
            }
            Hint::Rivalled { instance } => self.rivalled_itself(instance),
            Hint::Moved { peer } => self.soon(&peer.address),
            Hint::Offered { text } => {
                let from = "a peer that knows the secret";
                if let Some(ring) = built(text, from).await {
                    self.adopt_from_peer(ring, from.to_owned()).await;
                }
            }
        }
    }

    /// Greets a peer at once, or once more if a handshake is under way.
    fn soon(&mut self, address: &Address) {
        if let Some(contact) = self.contacts.get_mut(address) {
            contact.probe.hinted(Instant::now());
        }
    }

    pub(super) async fn heard(&mut self, news: News) {
        match news {
            News::Greeted(address, greeted) => self.greeted(address, *greeted),
            News::Own(address, found) => self.found_itself(&address, found),
            News::Rings(address, texts, what) => self.pulled(address, texts, what).await,
        }
    }
}

/// Whether an address is an IP address rather than a host name.
fn is_literal(address: &Address) -> bool {
    address.parse::<std::net::SocketAddr>().is_ok()
}

/// Records the reason why a peer is unreachable, and logs it if it is new.
fn set_unreachable(peer: &Peer, reason: &str) {
    let news = peer.set_unreachable(true);
    if peer.set_reason(reason) | news {
        warn!("the node {peer} is unreachable: {reason}; its keys miss until it answers");
    }
}

/// The error for a peer whose address leads to another process than the accepted one.
fn rivalry() -> PeerError {
    let reason = "another process than the serving one answers at its address".to_owned();
    PeerError::Misfit { reason, alive: true }
}

/// A ring that came from a peer, built on a thread for blocking work.
async fn built(text: String, from: &str) -> Option<Ring> {
    let parse = move || Ring::parse(&text, Format::Toml, "the ring of a peer");
    match tokio::task::spawn_blocking(parse).await {
        Ok(Ok(ring)) => Some(ring),
        Ok(Err(error)) => {
            warn!("invalid ring from {from}: {error}");
            None
        }
        Err(_) => None,
    }
}
