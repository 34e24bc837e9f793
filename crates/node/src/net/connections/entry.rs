//! One open connection as seen from outside: its other side, its activity, the memory it holds
//! while it waits, and the means to end it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use ringbinder_store::Seconds;

use super::slots::SlotState;
use crate::process::clock::Nanos;

/// The other side of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Remote {
    /// A TCP client, and the local address that it connected to.
    Tcp {
        /// Its address.
        from: SocketAddr,
        /// The local address.
        to: SocketAddr,
    },
    /// A client on the Unix socket.
    Unix,
}

impl Remote {
    /// The address of the other side, without its port.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Remote::Tcp { from, .. } => Some(from.ip().to_canonical()),
            Remote::Unix => None,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Tcp { from: from @ SocketAddr::V4(_), .. } => write!(f, "tcp:{from}"),
            Remote::Tcp { from: from @ SocketAddr::V6(_), .. } => write!(f, "tcp6:{from}"),
            Remote::Unix => f.write_str("unix:"),
        }
    }
}

/// The reason why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// It failed, or sent invalid data.
    Error,
    /// The client ended it.
    Normal,
    /// It was idle for longer than `-o idle_timeout`, or a newer connection of a node needed its
    /// slot.
    IdleTimeout,
    /// It came beyond `-c`, and did not prove in time that it is another node's.
    Full,
    /// Connections hold all the memory that they may, and this one had been stuck longest.
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

/// The activity of a connection, in the words of `stats conns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Activity {
    /// Waiting for a request.
    Read,
    /// Waiting for the rest of a value.
    ReadValue,
    /// Dropping a refused value.
    Swallow,
    /// Waiting for the client to read its answers.
    Write,
    /// Receiving log lines or a dump.
    Watch,
}

impl Activity {
    fn from_bits(bits: u8) -> Activity {
        match bits {
            0 => Activity::Read,
            1 => Activity::ReadValue,
            2 => Activity::Swallow,
            3 => Activity::Write,
            _ => Activity::Watch,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Activity::Read => "conn_read",
            Activity::ReadValue => "conn_nread",
            Activity::Swallow => "conn_swallow",
            Activity::Write => "conn_mwrite",
            Activity::Watch => "conn_watch",
        }
    }
}

/// The reason to end a connection. A later reason overrides an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kick {
    /// It must not end.
    No,
    Idle,
    Full,
    Memory,
    /// It ends once the requests that were read are answered.
    Shutdown,
    /// At once.
    Cut,
}

/// One open connection as seen from outside.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    /// Unique among open connections, and small, like a file descriptor.
    pub(crate) id: u32,
    pub(crate) remote: Remote,
    last_command: AtomicU32,
    state: AtomicU8,
    kick: AtomicU8,
    /// Changes only while `Connections::open` is locked.
    slot_state: AtomicU8,
    /// The memory that it holds while it waits for its client, in KiB, and the time since which it
    /// has been stuck, in milliseconds of the clock.
    holds: AtomicU32,
    stuck_since: AtomicU32,
    waker: Mutex<Option<Waker>>,
}

impl OpenConnection {
    /// A connection opened at `now`.
    pub(super) fn new(
        id: u32,
        remote: Remote,
        slot_state: SlotState,
        now: Seconds,
    ) -> OpenConnection {
        OpenConnection {
            id,
            remote,
            last_command: AtomicU32::new(now),
            state: AtomicU8::new(Activity::Read as u8),
            kick: AtomicU8::new(Kick::No as u8),
            slot_state: AtomicU8::new(slot_state as u8),
            holds: AtomicU32::new(0),
            stuck_since: AtomicU32::new(0),
            waker: Mutex::new(None),
        }
    }

    /// Gives it another slot state.
    pub(super) fn set_slot_state(&self, slot_state: SlotState) {
        self.slot_state.store(slot_state as u8, Relaxed);
    }

    /// Records the time at which it last sent a command or a part of one, or read some of its
    /// answers.
    #[inline]
    pub(crate) fn commanded(&self, now: Seconds) {
        self.last_command.store(now, Relaxed);
    }

    pub(crate) fn last_command(&self) -> Seconds {
        self.last_command.load(Relaxed)
    }

    #[inline]
    pub(crate) fn enter(&self, state: Activity) {
        self.state.store(state as u8, Relaxed);
    }

    pub(crate) fn state(&self) -> Activity {
        Activity::from_bits(self.state.load(Relaxed))
    }

    /// Its slot state.
    #[inline]
    pub(crate) fn slot_state(&self) -> SlotState {
        SlotState::from_bits(self.slot_state.load(Relaxed))
    }

    /// Checks whether it must end. Called while waiting, so that a request to end it wakes the
    /// task.
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

    /// Records that it waits for its client to read or to send, and holds this many bytes
    /// meanwhile. It counts as stuck since `now` if it `moved` since the last call or did not wait
    /// before.
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

    /// Withdraws a request to end it for being stuck: the client moved while the worker was busy
    /// with others.
    #[inline]
    fn stay(&self) {
        if self.kick.load(Relaxed) == Kick::Memory as u8 {
            let _ =
                self.kick.compare_exchange(Kick::Memory as u8, Kick::No as u8, Relaxed, Relaxed);
        }
    }

    /// Withdraws a request to end it for lack of a slot: it proved meanwhile that it is a node's.
    pub(super) fn cancel_full(&self) {
        let _ = self.kick.compare_exchange(Kick::Full as u8, Kick::No as u8, Relaxed, Relaxed);
    }

    /// Bytes that it holds while it waits for its client.
    pub(crate) fn holds(&self) -> u64 {
        u64::from(self.holds.load(Relaxed)) << 10
    }

    /// The time for which it has waited for its client while it holds memory; `None` if it does
    /// not.
    pub(crate) fn stuck_for(&self, now: Nanos) -> Option<Duration> {
        let stuck = millis(now).wrapping_sub(self.stuck_since.load(Relaxed));
        let is_ending = self.kick.load(Relaxed) != Kick::No as u8;
        (self.holds() > 0 && !is_ending).then(|| Duration::from_millis(stuck.into()))
    }

    /// Ends it, because others need its memory.
    pub(crate) fn close_for_memory(&self) {
        self.kick(Kick::Memory);
    }

    /// Whether it ends once the requests that were read are answered.
    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.kick.load(Relaxed) >= Kick::Shutdown as u8
    }

    pub(super) fn kick(&self, why: Kick) {
        let waker = self.waker.lock();
        // Without a reason to end it, this only wakes it.
        self.kick.fetch_max(why as u8, Relaxed);
        if let Some(waker) = &*waker {
            waker.wake_by_ref();
        }
    }
}

/// Bytes in KiB, rounded up, so that any memory counts as at least one.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

/// The lowest bits of a time in milliseconds: no connection is stuck for weeks.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is wanted")]
fn millis(at: Nanos) -> u32 {
    (at / 1_000_000) as u32
}
