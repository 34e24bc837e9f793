//! The memory of connections: what they hold, its bound, and who waits when it is tight.
//!
//! Every byte that a connection keeps while it waits is counted here: unfinished lines, values that are
//! arriving, requests that were read and not carried out, answers that were not sent, and pieces of
//! values that the store has dropped and a socket still sends. What a worker uses between two waits
//! belongs to the worker and not to a connection.
//!
//! The bound is kept in four steps, each of which comes before the next:
//!
//! 1. Up to half of the memory goes to what is arriving. Beyond that, values and long lines wait for
//!    each other in the order in which they began ([`line`]); one at a time may go beyond the bound, so
//!    that there is always one that finishes.
//! 2. From three quarters on, connections read and write in small parts.
//! 3. Connections that neither read nor send, and for which others wait, are closed, those that have
//!    been stuck for longest first ([`relief`]).
//! 4. Where nothing is left, requests wait until something is. They are not refused.

mod line;
pub(crate) mod relief;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use ringbinder_store::Account;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::line::{Line, Want};
use crate::process::resident;

/// The least that connections may hold together by default, in bytes.
const LEAST: u64 = 32 << 20;

/// What one worker may add between a look at the account and its next one.
const TURN: u64 = 512 << 10;

/// Answers waiting above this many bytes are written before more requests are carried out.
pub(crate) const HIGH_WATER: usize = 56 * 1024;

/// The same where memory is tight.
const LOW_WATER: usize = 4 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ConnectionMemory {
    account: Arc<Account>,
    limit: u64,
    /// Nothing new is begun from so many bytes on.
    full: u64,
    /// Bytes of values that may go beyond the bound.
    beyond: AtomicU64,
    /// Bytes of a value of a peer that may, 0 where there is none.
    peer_beyond: AtomicU64,
    line: Mutex<Line>,
    /// How many wait in `line`.
    waiting: AtomicUsize,
    /// Somebody waits.
    pressed: Notify,
    /// Numbers what arrives in the order in which it began.
    begun: AtomicU64,
    waits: AtomicU64,
    closed: AtomicU64,
}

/// All memory of the process, by who answers for it, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounts {
    /// Items and all their bookkeeping: `-m` bounds it.
    pub(crate) items: u64,
    /// What connections hold: `--connection-memory` bounds it.
    pub(crate) connections: u64,
    /// Everything else that is resident: the program, its threads, and what the allocator keeps.
    pub(crate) fixed: u64,
}

impl Accounts {
    /// As they stand, with `items` held by the store.
    pub(crate) fn of(items: u64, memory: &ConnectionMemory) -> Accounts {
        let connections = memory.held();
        let resident = resident::bytes().unwrap_or(0);
        Accounts { items, connections, fixed: resident.saturating_sub(items + connections) }
    }
}

/// What connections may hold together by default, for so much memory of items.
pub(crate) fn default_limit(items: u64) -> u64 {
    (items / 8).max(LEAST)
}

impl ConnectionMemory {
    /// At most `limit` bytes, for `workers` that serve connections at the same time.
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

    /// The account behind it, which the pieces of values know.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> u64 {
        self.account.held()
    }

    /// Bytes that may be held, but for a value that may go beyond.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Times that a connection had to wait for memory.
    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Relaxed)
    }

    /// Connections that were closed because others needed what they held.
    pub(crate) fn closed(&self) -> u64 {
        self.closed.load(Relaxed)
    }

    /// A connection was closed because others needed what it held.
    pub(crate) fn has_closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// Bytes held that count towards the bound.
    fn counted(&self) -> u64 {
        let beyond = self.beyond.load(Relaxed) + self.peer_beyond.load(Relaxed);
        self.held().saturating_sub(beyond)
    }

    /// Whether nothing new is to be begun.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        // What may go beyond the bound is looked at only where it matters.
        self.account.held() >= self.full && self.counted() >= self.full
    }

    /// How many bytes of answers a connection collects before it writes them.
    #[inline]
    pub(crate) fn high_water(&self) -> usize {
        if self.is_tight() { LOW_WATER } else { HIGH_WATER }
    }

    /// How many bytes a connection reads at once.
    #[inline]
    pub(crate) fn read_at_once(&self) -> usize {
        if self.is_tight() { LOW_WATER } else { usize::MAX }
    }

    /// Whether three quarters are held.
    #[inline]
    pub(crate) fn is_tight(&self) -> bool {
        self.account.held() >= self.tight() && self.counted() >= self.tight()
    }

    fn tight(&self) -> u64 {
        self.limit / 4 * 3
    }

    /// Bytes that what is arriving may still take.
    fn arriving_room(&self) -> u64 {
        (self.limit / 2).saturating_sub(self.counted())
    }

    /// Waits until something new may be begun. The connection of this `id` waits once at a time.
    #[cold]
    pub(crate) fn poll_turn(&self, id: u32, context: &Context<'_>) -> Poll<()> {
        if !self.is_full() {
            return Poll::Ready(());
        }
        self.wait(Want::Turn { connection: id }, context.waker());
        Poll::Pending
    }

    /// The connection of this `id` waits for its turn no more.
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

    /// Takes memory for a value that a peer sends, `None` where there is none: nobody can wait for it,
    /// since other answers come behind. One at a time may go beyond the bound.
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
}

/// Memory that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: Arc<ConnectionMemory>,
    bytes: u64,
}

impl Charge {
    /// Nothing yet.
    pub(crate) fn new(memory: &Arc<ConnectionMemory>) -> Charge {
        Charge { memory: Arc::clone(memory), bytes: 0 }
    }

    /// So many bytes.
    pub(crate) fn of(bytes: usize, memory: &Arc<ConnectionMemory>) -> Charge {
        let mut charge = Charge::new(memory);
        charge.set(bytes as u64);
        charge
    }

    /// Counts so many bytes in place of those before.
    pub(crate) fn set(&mut self, bytes: u64) {
        let account = &self.memory.account;
        if bytes > self.bytes {
            account.take(bytes - self.bytes);
        } else if bytes < self.bytes {
            account.give(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// Bytes counted.
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

/// A value or a long line on its way in, from its first byte to its last.
#[derive(Debug)]
pub(crate) struct Arrival {
    memory: Arc<ConnectionMemory>,
    /// When it began, among all that arrive.
    number: u64,
    /// Whether it had to wait.
    waited: bool,
}

impl Arrival {
    /// One that begins. It holds nothing yet.
    pub(crate) fn begin(memory: &Arc<ConnectionMemory>) -> Arrival {
        let number = memory.begun.fetch_add(1, Relaxed);
        Arrival { memory: Arc::clone(memory), number, waited: false }
    }

    /// Waits until `bytes` more may be taken, by what holds `held` bytes already. Its caller takes them
    /// itself.
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
