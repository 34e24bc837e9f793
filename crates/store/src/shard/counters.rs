//! The counters of a shard: its items, and the events that statistics report.

use crate::{Counters, Meta, Miss, Seconds};

/// The counters of a shard. Changed under the shard's lock, so plain numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShardCounters {
    pub(crate) items: u64,
    /// Charges of all items.
    pub(crate) bytes: u64,
    total_items: u64,
    evictions: u64,
    evicted_unfetched: u64,
    evicted_nonzero: u64,
    evicted_time: u64,
    evicted_at: Seconds,
    reclaimed: u64,
    expired_unfetched: u64,
    met_expired: u64,
    met_flushed: u64,
    sweep_reclaimed: u64,
    sweep_checked: u64,
    out_of_memory: u64,
}

impl ShardCounters {
    #[inline]
    pub(crate) fn add(&mut self, charge: u64) {
        self.items += 1;
        self.bytes += charge;
    }

    #[inline]
    pub(crate) fn remove(&mut self, charge: u64) {
        self.items -= 1;
        self.bytes -= charge;
    }

    #[inline]
    pub(crate) fn count_store(&mut self) {
        self.total_items += 1;
    }

    pub(crate) fn count_eviction(&mut self, meta: &Meta, now: Seconds) {
        self.evictions += 1;
        self.evicted_unfetched += u64::from(!meta.fetched);
        self.evicted_nonzero += u64::from(meta.expiry.unix().is_some());
        self.evicted_time = u64::from(now.saturating_sub(meta.last_access));
        self.evicted_at = now;
    }

    /// Counts a removed item that was already dead.
    pub(crate) fn count_reclaim(&mut self, expired_unfetched: bool) {
        self.reclaimed += 1;
        self.expired_unfetched += u64::from(expired_unfetched);
    }

    /// Counts an item that an operation on its key found dead.
    pub(crate) fn count_met(&mut self, miss: Miss) {
        match miss {
            Miss::Absent => {}
            Miss::Expired => self.met_expired += 1,
            Miss::Flushed => self.met_flushed += 1,
        }
    }

    pub(crate) fn count_sweep(&mut self, checked: u64, reclaimed: u64) {
        self.sweep_checked += checked;
        self.sweep_reclaimed += reclaimed;
    }

    pub(crate) fn count_out_of_memory(&mut self) {
        self.out_of_memory += 1;
    }

    /// Resets the counters of events, but not those of state, to zero.
    pub(crate) fn reset_events(&mut self) {
        let ShardCounters { items, bytes, total_items, .. } = *self;
        *self = ShardCounters { items, bytes, total_items, ..ShardCounters::default() };
    }

    /// The sum of the counters of all shards.
    pub(crate) fn sum(counters: impl Iterator<Item = ShardCounters>, max_bytes: u64) -> Counters {
        let mut sum = Counters { max_bytes, ..Counters::default() };
        let mut latest = 0;
        for counters in counters {
            sum.items += counters.items;
            sum.bytes += counters.bytes;
            sum.total_items += counters.total_items;
            sum.evictions += counters.evictions;
            sum.evicted_unfetched += counters.evicted_unfetched;
            sum.evicted_nonzero += counters.evicted_nonzero;
            sum.reclaimed += counters.reclaimed;
            sum.expired_unfetched += counters.expired_unfetched;
            sum.met_expired += counters.met_expired;
            sum.met_flushed += counters.met_flushed;
            sum.sweep_reclaimed += counters.sweep_reclaimed;
            sum.sweep_checked += counters.sweep_checked;
            sum.out_of_memory += counters.out_of_memory;
            if counters.evicted_at >= latest {
                latest = counters.evicted_at;
                sum.evicted_time = sum.evicted_time.max(counters.evicted_time);
            }
        }
        sum
    }
}
