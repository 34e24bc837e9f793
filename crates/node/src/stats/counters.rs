//! Event counters: one set for each worker, written by that worker alone and summed on request.
//!
//! Counting is a plain load and store of a word that no other thread writes, so there is no
//! contention. `stats reset` cannot write other workers' words without a race. Instead it remembers
//! the sums at that moment, and reports count from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident)*) => {
        /// One worker's counters.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// Sums over all workers.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Sums {
            $($(#[$doc])* pub(crate) $name: u64,)*
        }

        impl Summed<Counters> for Sums {
            fn add(&mut self, counters: &Counters) {
                $(self.$name = self.$name.wrapping_add(counters.$name.get());)*
            }

            fn since(self, base: &Sums) -> Sums {
                Sums { $($name: self.$name.wrapping_sub(base.$name),)* }
            }
        }
    };
}

/// A word with one writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn increment(&self) {
        self.add(1);
    }
}

counters! {
    /// Reads.
    cmd_get
    get_hits
    get_misses
    cmd_set
    cmd_flush
    cmd_touch
    touch_hits
    touch_misses
    /// `me` requests.
    cmd_meta
    delete_hits
    delete_misses
    incr_hits
    incr_misses
    decr_hits
    decr_misses
    cas_hits
    cas_misses
    cas_badval
    /// Number of login attempts.
    auth_cmds
    /// Number of login attempts with a wrong password.
    auth_errors
    /// Number of logins that were delayed because of wrong passwords from the same address.
    auth_slowed
    store_too_large
    store_no_memory
    /// Keys of retrievals that were forwarded to other nodes.
    foreign_gets
    /// Other requests that were forwarded to other nodes.
    foreign_requests
    /// Requests refused because another node owns their key.
    foreign_refused
    /// Requests of peers that this node did not serve.
    foreign_moved
    /// Requests that peers forwarded here.
    foreign_received
    /// Keys of `get`, `gets` and `mg` that were forwarded and that no node answered: the client
    /// reads a miss.
    foreign_get_failed
    /// Other forwarded requests without an answer: `gat` and `gats` miss, the rest are errors.
    foreign_request_failed
    bytes_read
    bytes_written
    /// Number of times that a connection let others have their turn after `-R` requests, or after a
    /// piece of a long one.
    conn_yields
    /// Connections closed for being idle.
    idle_kicks
    /// Lines written for watchers.
    log_worker_written
}

impl Sums {
    /// Every foreign request that no node answered. Each counts once, at the node that sent it.
    pub(crate) fn foreign_failed(&self) -> u64 {
        self.foreign_get_failed.wrapping_add(self.foreign_request_failed)
    }
}

/// The sums of what several workers count.
pub(crate) trait Summed<W>: Default {
    /// Adds the counters of one worker.
    fn add(&mut self, worker: &W);

    /// The difference from the sums of an earlier moment.
    fn since(self, base: &Self) -> Self;
}

/// The counters of all workers, and their sums at the last reset.
#[derive(Debug)]
pub(crate) struct PerWorker<W, S> {
    workers: Vec<Arc<W>>,
    base: Mutex<S>,
}

/// All workers' counters.
pub(crate) type AllCounters = PerWorker<Counters, Sums>;

impl<W: Default, S: Summed<W>> PerWorker<W, S> {
    pub(crate) fn new(workers: usize) -> Self {
        let workers = (0..workers).map(|_| Arc::default()).collect();
        PerWorker { workers, base: Mutex::default() }
    }

    pub(crate) fn of_worker(&self, index: usize) -> Arc<W> {
        Arc::clone(&self.workers[index])
    }

    fn total(&self) -> S {
        let mut sums = S::default();
        for counters in &self.workers {
            sums.add(counters);
        }
        sums
    }

    /// Sums since start or the last reset.
    pub(crate) fn sums(&self) -> S {
        let base = self.base.lock();
        self.total().since(&base)
    }

    pub(crate) fn reset(&self) {
        let mut base = self.base.lock();
        *base = self.total();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_over_workers_and_since_the_reset() {
        let all = AllCounters::new(2);
        all.of_worker(0).cmd_get.add(3);
        all.of_worker(1).cmd_get.increment();
        assert_eq!(all.sums().cmd_get, 4);
        all.reset();
        assert_eq!(all.sums().cmd_get, 0);
        all.of_worker(1).cmd_get.increment();
        assert_eq!(all.sums().cmd_get, 1);
    }
}
