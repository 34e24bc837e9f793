//! Every open connection of the process: its peer, its idle time, its slot, and the means to end
//! it from outside.
//!
//! [`slots`] decides which connection holds which slot. This module applies its decisions.
//!
//! | file | purpose |
//! |---|---|
//! | `entry` | one open connection, as others see it |
//! | `slots` | the state machine that gives connections their slots |

mod entry;
mod slots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use ringbinder_store::Seconds;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tracing::warn;

use self::entry::Kick;
pub(crate) use self::entry::{Activity, CloseReason, OpenConnection, Remote};
use self::slots::{Change, Proof, Slots};
pub(crate) use self::slots::{MAX_PEERS, MAX_UNPROVED, Origin, Shares, SlotState};

#[derive(Debug, Default)]
struct Open {
    /// The addresses where connections are accepted. Listeners have the first ids, as they have the
    /// first file descriptors in memcached.
    listeners: Vec<String>,
    entries: BTreeMap<u32, Arc<OpenConnection>>,
    slots: Slots,
    /// Released ids, to be reused before new ones.
    free: Vec<u32>,
    stopping: bool,
}

/// The open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Mutex<Open>,
    limit: usize,
    /// As of the last tick.
    now: AtomicU32,
    total: AtomicU64,
    rejected: AtomicU64,
    suspended: AtomicU64,
    closed: Notify,
}

impl Connections {
    /// Allows at most `limit` clients at a time, and up to `queue` clients that wait for a slot.
    /// Nodes have no slots until [`Connections::share`] gives them some.
    pub(crate) fn new(limit: usize, queue: usize) -> Self {
        let slots = Slots::new(limit, queue);
        Connections {
            open: Mutex::new(Open { slots, ..Open::default() }),
            limit,
            now: AtomicU32::new(0),
            total: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            suspended: AtomicU64::new(0),
            closed: Notify::new(),
        }
    }

    /// Records the addresses where connections are accepted. Must be called before the first one is
    /// accepted.
    pub(crate) fn listen(&self, slots: Vec<String>) {
        self.open.lock().listeners = slots;
    }

    /// The addresses where connections are accepted, in the order of their ids, which begin at 0.
    pub(crate) fn listeners(&self) -> Vec<String> {
        self.open.lock().listeners.clone()
    }

    /// Sets the number of slots of the nodes of the ring.
    pub(crate) fn share(&self, shares: Shares) {
        self.open.lock().slots.share(shares);
    }

    /// Admits a new connection; `None` if there is no slot for it. `origin` says how it may prove
    /// to be a node's, if that is needed.
    pub(crate) fn open(
        self: &Arc<Self>,
        peer: Remote,
        now: Seconds,
        origin: impl FnOnce() -> Origin,
    ) -> Option<Ticket> {
        let mut guard = self.open.lock();
        let open = &mut *guard;
        let taken = open.listeners.len() + open.entries.len();
        let fresh = u32::try_from(taken).unwrap_or(u32::MAX);
        let id = open.free.last().copied().unwrap_or(fresh);
        let place = if open.stopping { None } else { open.slots.open(id, origin, Instant::now()) };
        let Some((slot_state, displaced)) = place else {
            self.rejected.fetch_add(1, Relaxed);
            return None;
        };
        open.free.pop();
        let entry = Arc::new(OpenConnection::new(id, peer, slot_state, now));
        open.entries.insert(id, Arc::clone(&entry));
        self.placed(slot_state);
        self.apply(open, displaced);
        Some(Ticket { entry, connections: Arc::clone(self) })
    }

    /// Records the time, and ends expired time limits for proofs.
    pub(crate) fn tick(&self, now: Seconds) {
        self.now.store(now, Relaxed);
        self.expire(Instant::now());
    }

    /// Ends time limits for proofs that expire by `at`.
    pub(crate) fn expire(&self, at: Instant) {
        let mut open = self.open.lock();
        let changes = open.slots.expire(at);
        self.apply(&open, changes);
    }

    /// Counts a connection that has just got this slot state.
    fn placed(&self, slot_state: SlotState) {
        match slot_state {
            SlotState::Client | SlotState::Peer => self.total.fetch_add(1, Relaxed),
            SlotState::Queued | SlotState::Waiting => self.suspended.fetch_add(1, Relaxed),
            SlotState::Unproved | SlotState::Leaving => return,
        };
    }

    /// Gives connections their new slot state.
    fn apply(&self, open: &Open, changes: impl IntoIterator<Item = Change>) {
        for Change { id, to } in changes {
            let Some(entry) = open.entries.get(&id) else { continue };
            entry.set_slot_state(to);
            self.placed(to);
            if to == SlotState::Client {
                // It was not expected to send anything before.
                entry.commanded(self.now.load(Relaxed));
            }
            entry.kick(if to == SlotState::Leaving { Kick::Full } else { Kick::No });
        }
    }

    /// Waits until there is a free slot for a client.
    pub(crate) async fn wait_for_slot(&self) {
        loop {
            let closed = self.closed.notified();
            if self.clients() < self.limit {
                return;
            }
            closed.await;
        }
    }

    /// Waits until no connection is open.
    pub(crate) async fn wait_for_none(&self) {
        loop {
            let closed = self.closed.notified();
            if self.all() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// The number of open connections.
    pub(crate) fn all(&self) -> usize {
        self.open.lock().entries.len()
    }

    /// The number of connections with a `-c` slot.
    pub(crate) fn clients(&self) -> usize {
        self.open.lock().slots.clients()
    }

    /// The number of connections with a slot of the nodes, and the number of such slots.
    pub(crate) fn peers(&self) -> (usize, usize) {
        let open = self.open.lock();
        (open.slots.peers(), open.slots.shares().total)
    }

    /// The number of `-c` slots.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Connections that found a slot since the start.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Connections rejected since the start.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    /// The number of times since the start that a client had to wait for a slot.
    pub(crate) fn suspended(&self) -> u64 {
        self.suspended.load(Relaxed)
    }

    /// Counts a pause of accepting until there is a slot.
    pub(crate) fn suspend(&self) {
        self.suspended.fetch_add(1, Relaxed);
    }

    /// A copy of the list, by id.
    pub(crate) fn list(&self) -> Vec<Arc<OpenConnection>> {
        self.open.lock().entries.values().cloned().collect()
    }

    /// A copy of a part of the list: at most `count` connections, from an id on.
    pub(crate) fn some(&self, from: u32, count: usize) -> Vec<Arc<OpenConnection>> {
        self.open.lock().entries.range(from..).take(count).map(|(_, it)| Arc::clone(it)).collect()
    }

    /// Ends clients that sent nothing and read nothing for `timeout` seconds. Watchers are exempt,
    /// because they never send. The connections of nodes stay: they are quiet while there is
    /// nothing to send.
    pub(crate) fn kick_idle(&self, timeout: u32, now: Seconds) {
        for entry in self.list() {
            let idle = now.saturating_sub(entry.last_command());
            let client = entry.slot_state() == SlotState::Client;
            if idle > timeout && client && entry.state() != Activity::Watch {
                entry.kick(Kick::Idle);
            }
        }
    }

    /// Ends all connections: each once its answers are out, and after `grace` at once. Returns
    /// whether all ended.
    pub(crate) async fn end_all(&self, grace: Duration) -> bool {
        self.stop();
        if timeout(grace, self.wait_for_none()).await.is_ok() {
            return true;
        }
        warn!("closed {} connections that did not read their answers in time", self.all());
        for entry in self.list() {
            entry.kick(Kick::Cut);
        }
        timeout(grace, self.wait_for_none()).await.is_ok()
    }

    /// Admits new connections again.
    pub(crate) fn reopen(&self) {
        self.open.lock().stopping = false;
    }

    /// Ends all connections, each once its answers are out, and admits no new one.
    pub(crate) fn stop(&self) {
        self.open.lock().stopping = true;
        for entry in self.list() {
            entry.kick(Kick::Shutdown);
        }
    }
}

/// A slot among the open connections. Dropping it releases the slot.
#[derive(Debug)]
pub(crate) struct Ticket {
    entry: Arc<OpenConnection>,
    connections: Arc<Connections>,
}

impl std::ops::Deref for Ticket {
    type Target = OpenConnection;

    fn deref(&self) -> &OpenConnection {
        &self.entry
    }
}

impl Ticket {
    /// Records that its other side proved to be a node. It then holds a slot of the nodes, and is
    /// closed neither for being idle nor for a late proof. Returns false if there is no such slot.
    /// Its address may have the slots of this many nodes.
    pub(crate) fn prove(&self, nodes: usize) -> bool {
        let connections = &self.connections;
        let mut guard = connections.open.lock();
        let open = &mut *guard;
        let Some(from) = self.entry.remote.ip() else { return false };
        let slot_state = self.entry.slot_state();
        if slot_state == SlotState::Peer {
            return true;
        }
        let (entries, now) = (&open.entries, connections.now.load(Relaxed));
        let idle =
            |id: u32| entries.get(&id).map_or(0, |entry| now.saturating_sub(entry.last_command()));
        let at_most = open.slots.shares().each.saturating_mul(nodes);
        let (proof, changes) = open.slots.prove(self.entry.id, slot_state, from, at_most, idle);
        if let Proof::Replaced(ghost) = proof
            && let Some(ghost) = open.entries.get(&ghost)
        {
            ghost.kick(Kick::Idle);
        }
        if proof != Proof::Full {
            self.entry.set_slot_state(SlotState::Peer);
            self.entry.cancel_full();
            if slot_state != SlotState::Client {
                connections.placed(SlotState::Peer);
            }
        }
        connections.apply(open, changes);
        drop(guard);
        connections.closed.notify_waiters();
        proof != Proof::Full
    }

    /// Starts the time limit for its proof, unless it has started before: its worker has read it,
    /// or found nothing to read.
    pub(crate) fn start_timeout(&self) {
        if self.entry.slot_state() == SlotState::Unproved {
            self.connections.open.lock().slots.start_timeout(self.entry.id, Instant::now());
        }
    }

    /// Records that it has sent the request with which a node begins a proof.
    pub(crate) fn begin_proof(&self) {
        if self.entry.slot_state() == SlotState::Unproved {
            self.connections.open.lock().slots.begin_proof(self.entry.id, Instant::now());
        }
    }

    /// Treats it as a client's. Returns its new slot state, which is the old one if there is no
    /// slot for it.
    pub(crate) fn claim(&self) -> SlotState {
        let mut open = self.connections.open.lock();
        let slot_state = self.entry.slot_state();
        let claimed = open.slots.claim(self.entry.id, slot_state);
        if claimed != slot_state {
            self.entry.set_slot_state(claimed);
        }
        if slot_state == SlotState::Unproved && claimed != slot_state {
            self.connections.placed(claimed);
        }
        claimed
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let connections = &self.connections;
        let mut guard = connections.open.lock();
        let open = &mut *guard;
        open.entries.remove(&self.entry.id);
        let slot_state = self.entry.slot_state();
        let changes = open.slots.leave(self.entry.id, slot_state);
        open.free.push(self.entry.id);
        connections.apply(open, changes);
        drop(guard);
        if !matches!(slot_state, SlotState::Client | SlotState::Peer) {
            connections.rejected.fetch_add(1, Relaxed);
        }
        connections.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let connections = Arc::new(Connections::new(2, 0));
        let first = connections.open(Remote::Unix, 1, || Origin::Client).unwrap();
        let second = connections.open(Remote::Unix, 1, || Origin::Client).unwrap();
        assert_ne!(first.id, second.id);
        assert!(connections.open(Remote::Unix, 1, || Origin::Client).is_none());
        assert_eq!((connections.all(), connections.total(), connections.rejected()), (2, 2, 1));
        let id = first.id;
        drop(first);
        assert_eq!(
            connections.open(Remote::Unix, 1, || Origin::Client).unwrap().id,
            id,
            "ids are used again"
        );
    }

    #[test]
    fn idle_ones_are_kicked_and_watchers_are_not() {
        let connections = Arc::new(Connections::new(3, 0));
        let idle = connections.open(Remote::Unix, 10, || Origin::Client).unwrap();
        let busy = connections.open(Remote::Unix, 10, || Origin::Client).unwrap();
        let watcher = connections.open(Remote::Unix, 10, || Origin::Client).unwrap();
        busy.commanded(20);
        watcher.enter(Activity::Watch);
        connections.kick_idle(5, 20);
        let context = Context::from_waker(Waker::noop());
        assert_eq!(idle.poll_kick(&context), Some(CloseReason::IdleTimeout));
        assert_eq!(busy.poll_kick(&context), None);
        assert_eq!(watcher.poll_kick(&context), None);
        connections.stop();
        assert_eq!(busy.poll_kick(&context), Some(CloseReason::Shutdown));
        assert!(connections.open(Remote::Unix, 30, || Origin::Client).is_none());
    }

    fn from(last: u8) -> Remote {
        let to = "10.0.0.1:11211".parse().unwrap();
        Remote::Tcp { from: ([10, 0, 0, last], 40_000).into(), to }
    }

    #[test]
    fn a_node_gets_in_beside_the_clients_and_lies_idle_as_it_likes() {
        let connections = Arc::new(Connections::new(1, 0));
        connections.share(Shares { total: 8, each: 4 });
        let client = connections.open(from(9), 10, || panic!("there is room")).unwrap();
        assert!(connections.open(from(9), 10, || Origin::Client).is_none());
        let neighbour = || Origin::Neighbour([10, 0, 0, 2].into());
        let node = connections.open(from(2), 10, neighbour).unwrap();
        assert_eq!(node.slot_state(), SlotState::Unproved);
        assert_eq!((connections.clients(), connections.total()), (1, 1));
        assert!(node.prove(1));
        assert_eq!((connections.clients(), connections.peers(), connections.all()), (1, (1, 8), 2));
        connections.kick_idle(1, 20);
        let context = Context::from_waker(Waker::noop());
        assert_eq!(node.poll_kick(&context), None);
        assert_eq!(client.poll_kick(&context), Some(CloseReason::IdleTimeout));
        let stranger = connections.open(from(2), 10, neighbour).unwrap();
        assert_eq!(stranger.claim(), SlotState::Unproved, "there is nothing for it");
        drop(stranger);
        assert_eq!((connections.total(), connections.rejected()), (2, 2));
    }

    #[test]
    fn who_waits_for_a_place_is_woken_when_it_is_there() {
        let connections = Arc::new(Connections::new(1, 1));
        let first = connections.open(Remote::Unix, 1, || Origin::Client).unwrap();
        let second = connections.open(Remote::Unix, 1, || Origin::Client).unwrap();
        assert_eq!((second.slot_state(), connections.suspended()), (SlotState::Queued, 1));
        connections.tick(50);
        drop(first);
        assert_eq!(second.slot_state(), SlotState::Client);
        connections.kick_idle(5, 51);
        let context = Context::from_waker(Waker::noop());
        assert_eq!(second.poll_kick(&context), None, "its time begins with its place");
    }
}
