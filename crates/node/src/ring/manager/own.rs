//! The ring manager's checks of this node's own address: which process answers there.

use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::{Instance, PeerLine, Standing};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::probe::{CALM, HINTED};
use super::{HANDSHAKE_TIMEOUT, News, RingManager};
use crate::ring::peer::Address;
use crate::ring::peer::client::PeerError;
use crate::ring::peer::handshake;
use crate::ring::start::name;

/// The interval between connections to an address that is not known to lead here: the first, and
/// the bound up to which it doubles.
const SOON: Duration = Duration::from_millis(10);
const SOON_LATEST: Duration = Duration::from_millis(500);

/// The time for which a process that greeted under this node's name is remembered. It greets again
/// before that.
const RIVAL_REMEMBERED: Duration = Duration::from_secs(20);

/// The schedule and the results of connections to this node's own address.
#[derive(Debug)]
pub(super) struct OwnAddress {
    next: Instant,
    looked: Option<Instant>,
    busy: bool,
    pause: Duration,
    /// A peer accepts another process there. This process checks, even if it listens there itself.
    doubted: bool,
    /// The time since which no process has answered there.
    silent_since: Option<Instant>,
    /// The reason why the last connection reached no process; empty if it reached one.
    failure: String,
    /// A process that greeted under this node's name, and the time.
    rival: Option<(Instance, Instant)>,
}

impl OwnAddress {
    /// An address that has not been checked.
    pub(super) fn new(now: Instant) -> OwnAddress {
        OwnAddress {
            next: now,
            looked: None,
            busy: false,
            pause: SOON,
            doubted: false,
            silent_since: None,
            failure: String::new(),
            rival: None,
        }
    }

    /// The time of the next check; `None` while one is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.busy).then_some(self.next)
    }

    /// Schedules a check soon, because a peer accepts another process there. Untrusted clients may
    /// claim that as often as they like.
    pub(super) fn doubted(&mut self, now: Instant) {
        self.doubted = true;
        let soonest = self.looked.map_or(now, |looked| now.max(looked + HINTED));
        self.next = self.next.min(soonest);
    }

    /// Records that the ring may give this node another address.
    pub(super) fn moved(&mut self, now: Instant) {
        self.next = now;
        self.pause = SOON;
        self.silent_since = None;
        self.failure.clear();
    }
}

impl RingManager {
    /// Connects to this node's own address if that may give information.
    pub(super) fn look_at_itself(&mut self, now: Instant) {
        if self.own.busy || self.own.next > now {
            return;
        }
        self.own.next = now + CALM;
        let listens = {
            let ring = self.membership.ring();
            let node = self.membership.me().map(|me| &ring.nodes()[me as usize]);
            node.is_none_or(|node| self.membership.identity().listens_on(node))
        };
        let is_peer = self.membership.standing() == Standing::Replaced;
        let Some(address) = self.membership.claim().address().cloned() else { return };
        // A connection to an address on which this process listens reaches this process. If another
        // process has its place, that process is greeted like any peer.
        if is_peer || (listens && !std::mem::take(&mut self.own.doubted)) {
            return;
        }
        self.own.busy = true;
        self.own.looked = Some(now);
        let (news, node, handshake) = (self.news.clone(), Arc::clone(&self.node), self.handshake());
        tokio::spawn(async move {
            let found = handshake::find(&node.dialer, &address, &handshake).await;
            // The ring manager is gone only when the node stops.
            let _ = news.send(News::Own(address, found));
        });
    }

    /// Processes the result of a connection to the own address.
    pub(super) fn found_itself(&mut self, address: &Address, found: Result<PeerLine, PeerError>) {
        let now = Instant::now();
        self.own.busy = false;
        if self.membership.claim().address() != Some(address) {
            return;
        }
        let found = found.and_then(|line| self.recognized(address, line));
        match found {
            Ok(line) => {
                self.own.silent_since = None;
                self.own.failure.clear();
                self.membership.dialled_itself(line.instance);
            }
            Err(error) => {
                self.own.failure = error.to_string();
                let since = *self.own.silent_since.get_or_insert(now);
                if now >= since + HANDSHAKE_TIMEOUT {
                    self.log_standing();
                }
                let timeout = self.node.settings.peer_give_up;
                if error.is_silence() && now >= since + timeout && self.membership.presume() {
                    warn!(
                        "no process answers at {address}, this node's address in the ring, and no \
                         peer is reachable: this process serves the node's keys without \
                         confirmation"
                    );
                }
                self.published = None;
            }
        }
        self.own.next = match self.membership.standing() {
            Standing::Confirmed => now + CALM,
            _ => now + self.own.pause,
        };
        self.own.pause = (self.own.pause * 2).min(SOON_LATEST);
    }

    /// Records that another process greeted under this node's name.
    pub(super) fn rivalled_itself(&mut self, instance: Instance) {
        let now = Instant::now();
        let known = self.own.rival.is_some_and(|(_, at)| now < at + RIVAL_REMEMBERED);
        self.own.rival = Some((instance, now));
        if !known {
            warn!(
                "another process, {instance}, claims to be {}: it serves nothing while this \
                 process is that node; stop it, or give it its own name in the ring",
                name(&self.node.settings, &self.membership)
            );
            self.own.doubted(now);
            self.published = None;
        }
    }

    /// Another process that claims this node's place.
    pub(super) fn rival(&self, now: Instant) -> Option<Instance> {
        let claim = self.membership.claim();
        let greeted = self.own.rival.filter(|(_, at)| now < *at + RIVAL_REMEMBERED);
        claim.successor().or(claim.rival()).or(greeted.map(|(instance, _)| instance))
    }

    /// The problem with this process's place in the ring; empty if there is none.
    pub(super) fn standing_reason(&self) -> String {
        let membership = &self.membership;
        let version = membership.id().version;
        let called = name(&self.node.settings, membership);
        let address = membership.claim().address().cloned().unwrap_or_else(|| "-".into());
        let rival = self.rival(Instant::now());
        let other = rival.map(|rival| format!(" ({rival})")).unwrap_or_default();
        let other = format!("another process{other}");
        match membership.standing() {
            Standing::Confirmed if rival.is_some() => {
                format!("{other} claims to be {called} too; it serves nothing while this one does")
            }
            Standing::Confirmed => String::new(),
            Standing::Unconfirmed => {
                let why = match self.own.failure.as_str() {
                    "" => String::new(),
                    failure => format!(" ({failure})"),
                };
                format!(
                    "no proof yet that {address}, the address of {called} in ring {version}, leads \
                     to this process{why}: it does not serve its keys"
                )
            }
            Standing::Replaced => format!(
                "{other} is {called} at {address} in ring {version}: this process serves nothing; \
                 stop it, or correct the ring or its name"
            ),
            Standing::Absent => {
                let ring = membership.ring();
                let nodes = ring.nodes();
                let renamed = membership.identity().place_by_address(ring).map(|at| &nodes[at]);
                match (&self.node.settings.node, renamed) {
                    (Some(name), Some(node)) => format!(
                        "ring {version} has no node {name}: its node {0} has the address on which \
                         this process listens; restart this process with --node {0}, or restore \
                         the name in the ring",
                        node.name
                    ),
                    (Some(name), None) => format!("ring {version} has no node {name}"),
                    (None, _) => format!(
                        "ring {version} has no address on which this process listens (see --node)"
                    ),
                }
            }
        }
    }

    /// Logs this process's standing towards its place.
    pub(super) fn log_standing(&mut self) {
        let (standing, reason) = (self.membership.standing(), self.standing_reason());
        if self.logged.as_ref() == Some(&(standing, reason.clone())) {
            return;
        }
        match standing {
            Standing::Confirmed if reason.is_empty() => {
                if self.logged.as_ref().is_some_and(|(it, _)| *it != standing) {
                    let called = name(&self.node.settings, &self.membership);
                    info!("this process is {called} and serves its keys");
                }
            }
            Standing::Confirmed | Standing::Unconfirmed | Standing::Absent => warn!("{reason}"),
            Standing::Replaced => error!("{reason}"),
        }
        self.logged = Some((standing, reason));
    }
}
