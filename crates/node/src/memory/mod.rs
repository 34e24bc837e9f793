//! The memory of connections: its accounting, its bound, and the order of waiting when it is short.
//!
//! Every byte that a connection keeps while it waits is counted here: unfinished lines, values that
//! are arriving, requests that were read but not carried out, answers that were not sent, and
//! pieces of values that the store has dropped but a socket still sends. Memory that a worker uses
//! between two waits belongs to the worker, not to a connection.
//!
//! Four steps keep the bound, in this order:
//!
//! 1. Arriving data gets up to half of the memory. Beyond that, values and long lines wait for each
//!    other in the order in which they began ([`mod@line`]). One at a time may exceed the bound, so
//!    that there is always one that finishes.
//! 2. From three quarters on, connections read and write in small parts.
//! 3. Connections that neither read nor send while others wait for their memory are closed,
//!    starting with the one that has been stuck longest ([`crate::server::relief`]).
//! 4. If no memory is left, requests wait. They are not refused.

mod line;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use ringbinder_store::Account;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::line::{Line, Want};
use crate::process::resident;

/// The smallest default bound for all connections together, in bytes.
const LEAST: u64 = 32 << 20;

/// Bytes that one worker may add between two checks of the account.
const TURN: u64 = 512 << 10;

/// A connection with more bytes of waiting answers than this writes them before it carries out more
/// requests.
pub(crate) const HIGH_WATER: usize = 56 * 1024;

/// The same when memory is short.
const LOW_WATER: usize = 4 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ConnectionMemory {
    account: Arc<Account>,
    limit: u64,
    /// From this many bytes on, no new request is begun.
    full: u64,
    /// Bytes of values that are allowed to exceed the bound.
    beyond: AtomicU64,
    /// Bytes of a peer's value that is allowed to exceed the bound, or 0.
    peer_beyond: AtomicU64,
    line: Mutex<Line>,
    /// The number of waiters in `line`.
    waiting: AtomicUsize,
    /// Notified when a connection begins to wait.
    pub(crate) pressed: Notify,
    /// Numbers arriving data in the order in which it began.
    begun: AtomicU64,
    waits: AtomicU64,
    closed: AtomicU64,
}

/// All memory of the process, by the part that accounts for it, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounts {
    /// Items and all their bookkeeping: `-m` bounds it.
    pub(crate) items: u64,
    /// The memory of connections: `--connection-memory` bounds it.
    pub(crate) connections: u64,
    /// All other resident memory: the program, its threads, and memory that the allocator keeps.
    pub(crate) fixed: u64,
}

impl Accounts {
    /// The present values, if the store holds `items` bytes.
    pub(crate) fn of(items: u64, memory: &ConnectionMemory) -> Accounts {
        let connections = memory.held();
        let resident = resident::bytes().unwrap_or(0);
        Accounts { items, connections, fixed: resident.saturating_sub(items + connections) }
    }
}

/// Memory that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) bytes: u64,
    /// No new request can be begun.
    pub(crate) is_urgent: bool,
}

/// The default bound for all connections together, for a given item memory.
pub(crate) fn default_limit(items: u64) -> u64 {
    (items / 8).max(LEAST)
}

impl ConnectionMemory {
    /// An account of at most `limit` bytes, for `workers` that serve connections at the same time.
    pub(crate) fn new(limit: u64, workers: usize) -> ConnectionMemory {
        let headroom = (TURN * workers as u64).min(limit / 4);
        ConnectionMemory {
            account: Arc::default(),
            limit,
            full: limit - headroom,
            beyond: AtomicU64::new(0),
            peer_beyond: AtomicU64::new(0),
            line: Mutex::default(),
            waiting: AtomicUsize::new(0),
            pressed: Notify::new(),
            begun: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        }
    }

    /// The underlying account, which the pieces of values refer to.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> u64 {
        self.account.held()
    }

    /// The bound in bytes. A value that may exceed it is not included.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The number of times that a connection had to wait for memory.
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Relaxed)
    }

    /// The number of connections that were closed because others needed their memory.
    pub(crate) fn closed(&self) -> u64 {
        self.closed.load(Relaxed)
    }

    /// Counts a connection that was closed because others needed its memory.
    pub(crate) fn has_closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// Bytes held that count towards the bound.
    fn counted(&self) -> u64 {
        let beyond = self.beyond.load(Relaxed) + self.peer_beyond.load(Relaxed);
        self.held().saturating_sub(beyond)
    }

    /// Whether no new request may be begun.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        // The memory that may exceed the bound matters only if the first test is true.
        self.account.held() >= self.full && self.counted() >= self.full
    }

    /// Bytes of answers that a connection collects before it writes them.
    #[inline]
    pub(crate) fn high_water(&self) -> usize {
        if self.is_tight() { LOW_WATER } else { HIGH_WATER }
    }

    /// Bytes that a connection reads at once.
    #[inline]
    pub(crate) fn read_at_once(&self) -> usize {
        if self.is_tight() { LOW_WATER } else { usize::MAX }
    }

    /// Whether three quarters of the memory are held.
    #[inline]
    pub(crate) fn is_tight(&self) -> bool {
        self.account.held() >= self.tight() && self.counted() >= self.tight()
    }

    fn tight(&self) -> u64 {
        self.limit / 4 * 3
    }

    /// Bytes that arriving data may still take.
    fn arriving_room(&self) -> u64 {
        (self.limit / 2).saturating_sub(self.counted())
    }

    /// Waits until a new request may be begun. The connection of this `id` waits once at a time.
    #[cold]
    pub(crate) fn poll_turn(&self, id: u32, context: &Context<'_>) -> Poll<()> {
        if !self.is_full() {
            return Poll::Ready(());
        }
        self.wait(Want::Turn { connection: id }, context.waker());
        Poll::Pending
    }

    /// Removes the connection of this `id` from the waiters.
    pub(crate) fn leave(&self, id: u32) {
        if self.waiting.load(Relaxed) > 0 {
            self.change(|line| line.remove(Want::Turn { connection: id }));
        }
    }

    fn wait(&self, want: Want, waker: &Waker) {
        if self.change(|line| line.wait(want, waker)) {
            self.waits.fetch_add(1, Relaxed);
        }
        self.pressed.notify_one();
    }

    fn change<R>(&self, f: impl FnOnce(&mut Line) -> R) -> R {
        let mut line = self.line.lock();
        let result = f(&mut line);
        self.waiting.store(line.len(), Relaxed);
        result
    }

    /// Takes memory for a value that a peer sends; `None` if there is none. The caller cannot wait
    /// for it, because other answers follow on the same connection. One at a time may exceed the
    /// bound.
    pub(crate) fn take_for_peer(self: &Arc<Self>, bytes: u64) -> Option<PeerCharge> {
        let fits = self.counted() + bytes <= self.limit;
        let is_beyond =
            !fits && self.peer_beyond.compare_exchange(0, bytes.max(1), Relaxed, Relaxed).is_ok();
        (fits || is_beyond).then(|| {
            let mut charge = Charge::new(self);
            charge.set(bytes);
            PeerCharge { charge, is_beyond }
        })
    }

    /// Wakes the waiters for which there is room, and returns the shortage of the others.
    pub(crate) fn look(&self, now: Instant) -> Option<Shortage> {
        let (is_full, room) = (self.is_full(), self.arriving_room());
        let (needs_turn, first) = self.change(|line| {
            if !is_full {
                line.wake_turns();
            }
            let some_wait = line.wake_arriving(room);
            if some_wait {
                // The memory of one that has stalled counts again once another exceeds the bound.
                let counted = self.counted() + self.beyond.load(Relaxed);
                if line.let_beyond(counted < self.tight(), now) {
                    self.beyond.store(0, Relaxed);
                }
            }
            (line.has_turns(), line.first().filter(|_| some_wait))
        });
        if needs_turn {
            // Frees part of the memory at once, because one check for each connection would be too
            // many.
            let bytes = self.counted().saturating_sub(self.full) + self.limit / 16;
            return Some(Shortage { bytes, is_urgent: true });
        }
        let bytes = first?.saturating_sub(room);
        Some(Shortage { bytes, is_urgent: false })
    }

    /// Whether any connection waits.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }
}

/// Memory that is counted until this value is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: Arc<ConnectionMemory>,
    bytes: u64,
}

impl Charge {
    /// A charge of 0 bytes.
    pub(crate) fn new(memory: &Arc<ConnectionMemory>) -> Charge {
        Charge { memory: Arc::clone(memory), bytes: 0 }
    }

    /// A charge of the given bytes.
    pub(crate) fn of(bytes: usize, memory: &Arc<ConnectionMemory>) -> Charge {
        let mut charge = Charge::new(memory);
        charge.set(bytes as u64);
        charge
    }

    /// Replaces the counted bytes.
    pub(crate) fn set(&mut self, bytes: u64) {
        let account = &self.memory.account;
        if bytes > self.bytes {
            account.take(bytes - self.bytes);
        } else if bytes < self.bytes {
            account.give(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// The bytes counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Memory of a value that a peer sends.
#[derive(Debug)]
pub(crate) struct PeerCharge {
    charge: Charge,
    is_beyond: bool,
}

impl Drop for PeerCharge {
    fn drop(&mut self) {
        let memory = Arc::clone(&self.charge.memory);
        self.charge.set(0);
        if self.is_beyond {
            memory.peer_beyond.store(0, Relaxed);
        }
    }
}

/// A value or a long line that is arriving, from its first byte to its last.
#[derive(Debug)]
pub(crate) struct Arrival {
    memory: Arc<ConnectionMemory>,
    /// Its number in the order of beginning, among all arriving data.
    number: u64,
    /// Whether it had to wait.
    waited: bool,
}

impl Arrival {
    /// An arrival that begins and holds no memory yet.
    pub(crate) fn begin(memory: &Arc<ConnectionMemory>) -> Arrival {
        let number = memory.begun.fetch_add(1, Relaxed);
        Arrival { memory: Arc::clone(memory), number, waited: false }
    }

    /// Waits until `bytes` more may be taken, if the arrival already holds `held` bytes. The caller
    /// takes them itself.
    pub(crate) fn poll_grow(
        &mut self,
        held: u64,
        bytes: u64,
        now: Instant,
        context: &Context<'_>,
    ) -> Poll<()> {
        let memory = &*self.memory;
        if memory.waiting.load(Relaxed) == 0 && !self.waited && bytes <= memory.arriving_room() {
            return Poll::Ready(());
        }
        self.poll_in_line(held, bytes, now, context)
    }

    #[cold]
    fn poll_in_line(
        &mut self,
        held: u64,
        bytes: u64,
        now: Instant,
        context: &Context<'_>,
    ) -> Poll<()> {
        let memory = &*self.memory;
        let number = self.number;
        let (may_grow, goes_beyond) = memory.change(|line| {
            let goes_beyond = line.is_beyond(number, now);
            let is_next = line.is_next(number) && bytes <= memory.arriving_room();
            if goes_beyond || is_next {
                line.remove(Want::Bytes { number, bytes });
            }
            (goes_beyond || is_next, goes_beyond)
        });
        if goes_beyond {
            memory.beyond.store(held + bytes, Relaxed);
        }
        if may_grow {
            return Poll::Ready(());
        }
        self.waited = true;
        memory.wait(Want::Bytes { number, bytes }, context.waker());
        Poll::Pending
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.waited && self.memory.change(|line| line.end(self.number)) {
            self.memory.beyond.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
