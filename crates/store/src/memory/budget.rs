//! The budget: one number of bytes that segments, large values and the index share.
//!
//! A thread that needs memory takes bytes from the budget first, and allocates afterwards. So
//! memory that one kind of item frees is available to any other, and the sum never depends on past
//! traffic. Bytes are taken for a segment or a large value at a time, not for each item, so threads
//! seldom contend here.
//!
//! Two threads that move items to make room may exceed the limit by a segment each
//! ([`Budget::take`]): the limit is that much below the budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::memory::reserved::{Ledger, Reserved};

/// Most buffers kept for the next segments instead of being freed.
const SPARES: usize = 16;

/// The budget of bytes. See the module's documentation.
pub(crate) struct Budget {
    ledger: Arc<Ledger>,
    limit: AtomicU64,
    spares: Mutex<Vec<Vec<u8>>>,
    /// Bytes of the buffer of a new segment.
    buffer_len: AtomicUsize,
}

/// Bytes taken from the budget but not used yet; unused bytes go back when the grant is dropped.
pub(crate) struct Grant<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(limit: u64, segment: usize) -> Budget {
        Budget {
            ledger: Arc::default(),
            limit: AtomicU64::new(limit),
            spares: Mutex::new(Vec::new()),
            buffer_len: AtomicUsize::new(segment),
        }
    }

    /// Bytes taken, including spare buffers.
    pub(crate) fn used(&self) -> u64 {
        self.ledger.used.load(Relaxed)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    pub(crate) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
        if self.is_over() {
            self.drop_spares();
        }
    }

    /// Bytes of the buffer of a new segment.
    pub(crate) fn buffer_len(&self) -> usize {
        self.buffer_len.load(Relaxed)
    }

    /// Sets the bytes of new buffers.
    pub(crate) fn set_buffer_len(&self, bytes: usize) {
        if self.buffer_len.swap(bytes, Relaxed) != bytes {
            self.drop_spares();
        }
    }

    /// Whether more bytes are taken than the limit allows.
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.limit()
    }

    fn try_take(&self, bytes: u64) -> bool {
        let limit = self.limit();
        let take = |used: u64| used.checked_add(bytes).filter(|&used| used <= limit);
        self.ledger.used.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    /// Takes `bytes`, even past the limit.
    pub(crate) fn take(&self, bytes: u64) {
        self.ledger.used.fetch_add(bytes, Relaxed);
    }

    /// Gives bytes back.
    pub(crate) fn give(&self, bytes: u64) {
        self.ledger.used.fetch_sub(bytes, Relaxed);
    }

    /// Takes `bytes` if they are available, and frees spare buffers for them if necessary.
    pub(crate) fn grant(&self, bytes: u64) -> Option<Grant<'_>> {
        if self.try_take(bytes) {
            return Some(Grant { budget: self, bytes });
        }
        self.drop_spares();
        self.try_take(bytes).then(|| Grant { budget: self, bytes })
    }

    /// Takes `bytes`, even past the limit.
    pub(crate) fn overdraft(&self, bytes: u64) -> Grant<'_> {
        self.take(bytes);
        Grant { budget: self, bytes }
    }

    /// Takes as many bytes as are available, up to `most`, and frees spare buffers for them if
    /// necessary.
    pub(crate) fn grant_some(&self, most: u64) -> Grant<'_> {
        if self.used().saturating_add(most) > self.limit() {
            self.drop_spares();
        }
        let bytes = self.limit().saturating_sub(self.used()).min(most);
        // If two threads do this at the same time, one gets nothing and asks again.
        self.grant(bytes).unwrap_or_else(|| self.nothing())
    }

    /// Promises `bytes` in all to a value that has none of them yet. `None` while the promises to
    /// others leave too little.
    pub(crate) fn promise(&self, bytes: u64) -> Option<Reserved> {
        // The index cannot be evicted.
        Reserved::new(&self.ledger, bytes, self.limit() / 16 * 15)
    }

    /// Keeps granted bytes for a value that is to be written.
    pub(crate) fn keep(&self, mut grant: Grant<'_>, reserved: &mut Reserved) {
        reserved.keep(std::mem::take(&mut grant.bytes));
    }

    /// Turns the bytes kept for a value into a grant. Those of another store go back there.
    pub(crate) fn claim(&self, reserved: Reserved) -> Grant<'_> {
        Grant { budget: self, bytes: reserved.claim(&self.ledger) }
    }

    /// Bytes kept for values that are to be written.
    pub(crate) fn reserved(&self) -> u64 {
        self.ledger.reserved()
    }

    /// An empty grant.
    pub(crate) fn nothing(&self) -> Grant<'_> {
        Grant { budget: self, bytes: 0 }
    }

    /// A segment's buffer, if there are bytes for it.
    pub(crate) fn buffer(&self, grant: &mut Grant<'_>) -> Option<Vec<u8>> {
        if let Some(spare) = self.spares.lock().pop() {
            return Some(spare);
        }
        let len = self.buffer_len();
        grant.spend(len as u64).then(|| Vec::with_capacity(len))
    }

    /// Takes a segment's buffer back, to keep or free it.
    pub(crate) fn give_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == self.buffer_len() && !self.is_over() {
            let mut spares = self.spares.lock();
            if spares.len() < SPARES {
                buffer.clear();
                spares.push(buffer);
                return;
            }
        }
        self.give(buffer.capacity() as u64);
    }

    /// Frees the spare buffers. Returns whether there were any.
    pub(crate) fn drop_spares(&self) -> bool {
        let spares = std::mem::take(&mut *self.spares.lock());
        self.give(spares.iter().map(|spare| spare.capacity() as u64).sum());
        !spares.is_empty()
    }

    /// Bytes of the spare buffers.
    pub(crate) fn spare_bytes(&self) -> u64 {
        self.spares.lock().iter().map(|spare| spare.capacity() as u64).sum()
    }
}

impl Grant<'_> {
    /// Bytes left in the grant.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Uses `bytes` of the grant and, if it has too few, of the budget. Returns `false` if they are
    /// not available.
    pub(crate) fn spend(&mut self, bytes: u64) -> bool {
        let lacking = bytes.saturating_sub(self.bytes);
        if lacking > 0 && !self.budget.try_take(lacking) {
            return false;
        }
        self.bytes = self.bytes + lacking - bytes;
        true
    }

    /// Takes back bytes that were spent but not used.
    pub(crate) fn put_back(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Adds the bytes of another grant.
    pub(crate) fn add(&mut self, mut other: Grant<'_>) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_and_not_spent_goes_back() {
        let budget = Budget::new(1_000, 100);
        let mut grant = budget.grant(600).unwrap();
        assert!(budget.grant(401).is_none());
        assert!(grant.spend(500) && grant.spend(200), "the budget has what the grant lacks");
        assert!(!grant.spend(400));
        assert_eq!(budget.used(), 700);
        drop(grant);
        assert_eq!(budget.used(), 700);
        budget.give(700);
        drop(budget.grant(1_000).unwrap());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn buffers_are_kept_until_the_bytes_are_wanted() {
        let budget = Budget::new(350, 100);
        let mut grant = budget.nothing();
        let buffers: Vec<_> = (0..3).map(|_| budget.buffer(&mut grant).unwrap()).collect();
        assert!(budget.buffer(&mut grant).is_none());
        buffers.into_iter().for_each(|buffer| budget.give_buffer(buffer));
        assert_eq!((budget.used(), budget.spare_bytes()), (300, 300));
        let kept = budget.buffer(&mut grant).unwrap();
        assert_eq!(budget.used(), 300);
        drop(budget.grant(200).unwrap());
        assert_eq!((budget.used(), budget.spare_bytes()), (100, 0));
        budget.set_limit(50);
        budget.give_buffer(kept);
        assert_eq!((budget.used(), budget.spare_bytes()), (0, 0));
    }

    #[test]
    fn threads_never_take_more_than_there_is_and_everything_comes_back() {
        use std::sync::atomic::AtomicBool;
        use std::thread;
        let budget = Budget::new(2_000, 100);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let takers: Vec<_> = (0..4_u64)
                .map(|thread| {
                    let budget = &budget;
                    scope.spawn(move || {
                        let mut buffers = Vec::new();
                        for turn in 0..20_000_u64 {
                            let bytes = (turn * 7 + thread * 31) % 900;
                            let Some(mut grant) = budget.grant(bytes) else { continue };
                            if grant.spend(bytes / 2) {
                                budget.give(bytes / 2);
                            }
                            buffers.extend(budget.buffer(&mut grant));
                            if buffers.len() > 3 {
                                buffers.drain(..).for_each(|buffer| budget.give_buffer(buffer));
                            }
                            if let Some(more) = budget.grant(turn % 50) {
                                grant.add(more);
                            }
                        }
                        buffers.into_iter().for_each(|buffer| budget.give_buffer(buffer));
                    })
                })
                .collect();
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    assert!(budget.used() <= 2_000, "{} are taken of 2000", budget.used());
                    thread::yield_now();
                }
            });
            let joined: Vec<_> = takers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            done.store(true, Relaxed);
            assert!(joined.into_iter().all(|taker| taker.is_ok()));
        });
        assert_eq!(budget.used(), budget.spare_bytes());
        budget.set_limit(0);
        assert_eq!((budget.used(), budget.spare_bytes()), (0, 0));
    }
}
