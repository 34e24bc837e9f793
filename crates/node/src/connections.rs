//! Every open connection of the process: how many, who, since when idle; and the means to end one
//! from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use ringbinder_store::Seconds;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::warn;

/// The other side of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// A TCP client and the address it reached us at.
    Tcp {
        /// Its address.
        from: SocketAddr,
        /// Ours.
        to: SocketAddr,
    },
    /// A client on the Unix socket.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp { from: from @ SocketAddr::V4(_), .. } => write!(f, "tcp:{from}"),
            Peer::Tcp { from: from @ SocketAddr::V6(_), .. } => write!(f, "tcp6:{from}"),
            Peer::Unix => f.write_str("unix:"),
        }
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// It failed, or sent what cannot be understood.
    Error,
    /// The client ended it.
    Normal,
    /// It idled longer than `-o idle_timeout`.
    IdleTimeout,
    /// The node stops.
    Shutdown,
}

impl CloseReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CloseReason::Error => "error",
            CloseReason::Normal => "normal",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

/// What a connection is doing, in the words of `stats conns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Waiting for a request.
    Read,
    /// Waiting for the rest of a value.
    ReadValue,
    /// Dropping a value that was refused.
    Swallow,
    /// Waiting for the client to read its answers.
    Write,
    /// Receiving log lines or a dump.
    Watch,
}

impl State {
    fn from_bits(bits: u8) -> State {
        match bits {
            0 => State::Read,
            1 => State::ReadValue,
            2 => State::Swallow,
            3 => State::Write,
            _ => State::Watch,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            State::Read => "conn_read",
            State::ReadValue => "conn_nread",
            State::Swallow => "conn_swallow",
            State::Write => "conn_mwrite",
            State::Watch => "conn_watch",
        }
    }
}

const NO_KICK: u8 = 0;
const KICK_IDLE: u8 = 1;
const KICK_SHUTDOWN: u8 = 2;
const KICK_CUT: u8 = 3;

/// One open connection, as others see it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Unique among those open; small, as a file descriptor is.
    pub(crate) id: u32,
    pub(crate) peer: Peer,
    last_command: AtomicU32,
    state: AtomicU8,
    kick: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Entry {
    /// Records when it last sent a command.
    #[inline]
    pub(crate) fn commanded(&self, now: Seconds) {
        self.last_command.store(now, Relaxed);
    }

    pub(crate) fn last_command(&self) -> Seconds {
        self.last_command.load(Relaxed)
    }

    #[inline]
    pub(crate) fn enter(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    pub(crate) fn state(&self) -> State {
        State::from_bits(self.state.load(Relaxed))
    }

    /// Whether somebody wants it ended; called while waiting, so that the wish wakes the task.
    #[inline]
    pub(crate) fn poll_kick(&self, context: &Context<'_>) -> Option<CloseReason> {
        let kicked = || match self.kick.load(Relaxed) {
            NO_KICK => None,
            KICK_IDLE => Some(CloseReason::IdleTimeout),
            KICK_SHUTDOWN => Some(CloseReason::Shutdown),
            _ => Some(CloseReason::Error),
        };
        let mut waker = self.waker.lock();
        match &*waker {
            Some(known) if known.will_wake(context.waker()) => {}
            _ => *waker = Some(context.waker().clone()),
        }
        kicked()
    }

    /// Whether it is to end once what was read of it is answered.
    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.kick.load(Relaxed) >= KICK_SHUTDOWN
    }

    fn kick(&self, why: u8) {
        let waker = self.waker.lock();
        self.kick.fetch_max(why, Relaxed);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    entries: BTreeMap<u32, Arc<Entry>>,
    /// Ids given back, to be used again before new ones.
    free: Vec<u32>,
    stopping: bool,
}

/// The open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Mutex<Open>,
    limit: usize,
    total: AtomicU64,
    rejected: AtomicU64,
    closed: Notify,
}

impl Connections {
    /// At most `limit` at a time.
    pub(crate) fn new(limit: usize) -> Self {
        Connections {
            open: Mutex::default(),
            limit,
            total: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            closed: Notify::new(),
        }
    }

    /// Takes a place for a new connection; `None` where there is none left.
    pub(crate) fn open(self: &Arc<Self>, peer: Peer, now: Seconds) -> Option<Ticket> {
        let mut open = self.open.lock();
        if open.stopping || open.entries.len() >= self.limit {
            self.rejected.fetch_add(1, Relaxed);
            return None;
        }
        let fresh = u32::try_from(open.entries.len()).unwrap_or(u32::MAX);
        let id = open.free.pop().unwrap_or(fresh);
        let entry = Arc::new(Entry {
            id,
            peer,
            last_command: AtomicU32::new(now),
            state: AtomicU8::new(State::Read as u8),
            kick: AtomicU8::new(NO_KICK),
            waker: Mutex::new(None),
        });
        open.entries.insert(id, Arc::clone(&entry));
        self.total.fetch_add(1, Relaxed);
        Some(Ticket { entry, connections: Arc::clone(self) })
    }

    /// Waits until there is a free place.
    pub(crate) async fn wait_for_place(&self) {
        loop {
            let closed = self.closed.notified();
            if self.current() < self.limit {
                return;
            }
            closed.await;
        }
    }

    /// Waits until none is open.
    pub(crate) async fn wait_for_none(&self) {
        loop {
            let closed = self.closed.notified();
            if self.current() == 0 {
                return;
            }
            closed.await;
        }
    }

    pub(crate) fn current(&self) -> usize {
        self.open.lock().entries.len()
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Opened since start.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Turned away since start.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Relaxed)
    }

    /// A copy of the list, by id.
    pub(crate) fn list(&self) -> Vec<Arc<Entry>> {
        self.open.lock().entries.values().cloned().collect()
    }

    /// Ends those that sent no command for `timeout` seconds, but for watchers, who never do.
    pub(crate) fn kick_idle(&self, timeout: u32, now: Seconds) {
        for entry in self.list() {
            let idle = now.saturating_sub(entry.last_command());
            if idle > timeout && entry.state() != State::Watch {
                entry.kick(KICK_IDLE);
            }
        }
    }

    /// Ends all, and says whether that succeeded: each once its answers are out, and those that take
    /// longer than `grace` to read them, at once.
    pub(crate) async fn end_all(&self, grace: Duration) -> bool {
        self.stop();
        if timeout(grace, self.wait_for_none()).await.is_ok() {
            return true;
        }
        warn!("{} connections did not read their answers in time and are cut", self.current());
        for entry in self.list() {
            entry.kick(KICK_CUT);
        }
        timeout(grace, self.wait_for_none()).await.is_ok()
    }

    /// Lets new ones in again.
    pub(crate) fn reopen(&self) {
        self.open.lock().stopping = false;
    }

    /// Ends all, each once its answers are out, and lets no new one in.
    pub(crate) fn stop(&self) {
        self.open.lock().stopping = true;
        for entry in self.list() {
            entry.kick(KICK_SHUTDOWN);
        }
    }
}

/// A place among the open connections, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    entry: Arc<Entry>,
    connections: Arc<Connections>,
}

impl std::ops::Deref for Ticket {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.entries.remove(&self.entry.id);
        open.free.push(self.entry.id);
        drop(open);
        self.connections.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let connections = Arc::new(Connections::new(2));
        let first = connections.open(Peer::Unix, 1).unwrap();
        let second = connections.open(Peer::Unix, 1).unwrap();
        assert_ne!(first.id, second.id);
        assert!(connections.open(Peer::Unix, 1).is_none());
        assert_eq!((connections.current(), connections.total(), connections.rejected()), (2, 2, 1));
        let id = first.id;
        drop(first);
        assert_eq!(connections.open(Peer::Unix, 1).unwrap().id, id, "ids are used again");
    }

    #[test]
    fn idle_ones_are_kicked_and_watchers_are_not() {
        let connections = Arc::new(Connections::new(3));
        let idle = connections.open(Peer::Unix, 10).unwrap();
        let busy = connections.open(Peer::Unix, 10).unwrap();
        let watcher = connections.open(Peer::Unix, 10).unwrap();
        busy.commanded(20);
        watcher.enter(State::Watch);
        connections.kick_idle(5, 20);
        let context = Context::from_waker(Waker::noop());
        assert_eq!(idle.poll_kick(&context), Some(CloseReason::IdleTimeout));
        assert_eq!(busy.poll_kick(&context), None);
        assert_eq!(watcher.poll_kick(&context), None);
        connections.stop();
        assert_eq!(busy.poll_kick(&context), Some(CloseReason::Shutdown));
        assert!(connections.open(Peer::Unix, 30).is_none());
    }
}
