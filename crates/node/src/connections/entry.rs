//! One open connection, as others see it: who, what it does, what it holds while it waits, and the means to
//! end it from outside.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use ringbinder_store::Seconds;

use super::places::Standing;
use crate::sampling::Nanos;

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

impl Peer {
    /// The address of the other side, without its port.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp { from, .. } => Some(from.ip().to_canonical()),
            Peer::Unix => None,
        }
    }
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
    /// It idled longer than `-o idle_timeout`, or a newer connection of a node needed its place.
    IdleTimeout,
    /// It came beyond `-c`, and did not prove in time that it is another node.
    Full,
    /// Connections hold all the memory that they may, and this one had been stuck for longest.
    Memory,
    /// The node stops.
    Shutdown,
}

impl CloseReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CloseReason::Error | CloseReason::Full => "error",
            CloseReason::Normal => "normal",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::Memory => "memory",
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

/// Why a connection is to end; the later ones overrule the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kick {
    /// It is not to.
    No,
    Idle,
    Full,
    Memory,
    /// Once what was read of it is answered.
    Shutdown,
    /// At once.
    Cut,
}

/// One open connection, as others see it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Unique among those open; small, as a file descriptor is.
    pub(crate) id: u32,
    pub(crate) peer: Peer,
    last_command: AtomicU32,
    state: AtomicU8,
    kick: AtomicU8,
    /// Changes only while [`Connections::open`] is locked.
    standing: AtomicU8,
    /// What it holds while it waits for its client, in KiB, and since when it has been stuck, in
    /// milliseconds of the clock.
    holds: AtomicU32,
    stuck_since: AtomicU32,
    waker: Mutex<Option<Waker>>,
}

impl Entry {
    /// One that was opened at `now`.
    pub(super) fn new(id: u32, peer: Peer, standing: Standing, now: Seconds) -> Entry {
        Entry {
            id,
            peer,
            last_command: AtomicU32::new(now),
            state: AtomicU8::new(State::Read as u8),
            kick: AtomicU8::new(Kick::No as u8),
            standing: AtomicU8::new(standing as u8),
            holds: AtomicU32::new(0),
            stuck_since: AtomicU32::new(0),
            waker: Mutex::new(None),
        }
    }

    /// Gives it another place.
    pub(super) fn stand(&self, standing: Standing) {
        self.standing.store(standing as u8, Relaxed);
    }

    /// Records when it last sent a command, or bytes of one, or read some of its answers.
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

    /// What place it holds.
    #[inline]
    pub(crate) fn standing(&self) -> Standing {
        Standing::from_bits(self.standing.load(Relaxed))
    }

    /// Whether somebody wants it ended; called while waiting, so that the wish wakes the task.
    #[inline]
    pub(crate) fn poll_kick(&self, context: &Context<'_>) -> Option<CloseReason> {
        let kicked = || match self.kick.load(Relaxed) {
            bits if bits == Kick::No as u8 => None,
            bits if bits == Kick::Idle as u8 => Some(CloseReason::IdleTimeout),
            bits if bits == Kick::Full as u8 => Some(CloseReason::Full),
            bits if bits == Kick::Memory as u8 => Some(CloseReason::Memory),
            bits if bits == Kick::Shutdown as u8 => Some(CloseReason::Shutdown),
            _ => Some(CloseReason::Error),
        };
        let mut waker = self.waker.lock();
        match &*waker {
            Some(known) if known.will_wake(context.waker()) => {}
            _ => *waker = Some(context.waker().clone()),
        }
        kicked()
    }

    /// Records that it waits for its client to read or to send, and holds so many bytes meanwhile. It
    /// has been stuck since `now`, if it `moved` since it was asked last or did not wait before.
    pub(crate) fn hold(&self, bytes: u64, moved: bool, now: Nanos) {
        let held = self.holds.swap(kib(bytes), Relaxed);
        if moved || held == 0 {
            self.stuck_since.store(millis(now), Relaxed);
            self.stay();
        }
    }

    /// Records that it does not wait for its client.
    #[inline]
    pub(crate) fn hold_nothing(&self) {
        self.holds.store(0, Relaxed);
        self.stay();
    }

    /// It is not stuck after all: it was to be closed for that while its worker was busy with others.
    #[inline]
    fn stay(&self) {
        if self.kick.load(Relaxed) == Kick::Memory as u8 {
            let _ =
                self.kick.compare_exchange(Kick::Memory as u8, Kick::No as u8, Relaxed, Relaxed);
        }
    }

    /// It has a place after all: it proved that it is a node's while it was to be closed.
    pub(super) fn cancel_full(&self) {
        let _ = self.kick.compare_exchange(Kick::Full as u8, Kick::No as u8, Relaxed, Relaxed);
    }

    /// Bytes that it holds while it waits for its client.
    pub(crate) fn holds(&self) -> u64 {
        u64::from(self.holds.load(Relaxed)) << 10
    }

    /// For how long it has been waiting for its client while it holds memory; `None` if it does not.
    pub(crate) fn stuck_for(&self, now: Nanos) -> Option<Duration> {
        let stuck = millis(now).wrapping_sub(self.stuck_since.load(Relaxed));
        let is_ending = self.kick.load(Relaxed) != Kick::No as u8;
        (self.holds() > 0 && !is_ending).then(|| Duration::from_millis(stuck.into()))
    }

    /// Ends it, because others need the memory that it holds.
    pub(crate) fn close_for_memory(&self) {
        self.kick(Kick::Memory);
    }

    /// Whether it is to end once what was read of it is answered.
    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.kick.load(Relaxed) >= Kick::Shutdown as u8
    }

    pub(super) fn kick(&self, why: Kick) {
        let waker = self.waker.lock();
        // Without a reason to end it, it is only woken.
        self.kick.fetch_max(why as u8, Relaxed);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }
}

/// Bytes in KiB, rounded up: what holds anything holds one at least.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

/// A time in milliseconds, of which the lowest bits: nobody is stuck for weeks.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is wanted")]
fn millis(at: Nanos) -> u32 {
    (at / 1_000_000) as u32
}
