//! The counters of a shard: its items, and the events that statistics report.

use crate::{Counters, Meta, Miss, Seconds};

/// The counters of a shard. Changed under the shard's lock, so plain numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShardCounters {
    /// `held` and `max_bytes` belong to the whole store and stay 0.
    counts: Counters,
    /// Second of the last eviction.
    evicted_at: Seconds,
}

impl ShardCounters {
    /// Number of items.
    #[inline]
    pub(crate) fn items(&self) -> u64 {
        self.counts.items
    }

    /// Charges of all items.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.bytes
    }

    #[inline]
    pub(crate) fn add(&mut self, charge: u64) {
        self.counts.items += 1;
        self.counts.bytes += charge;
    }

    #[inline]
    pub(crate) fn remove(&mut self, charge: u64) {
        self.counts.items -= 1;
        self.counts.bytes -= charge;
    }

    #[inline]
    pub(crate) fn count_store(&mut self) {
        self.counts.total_items += 1;
    }

    pub(crate) fn count_eviction(&mut self, meta: &Meta, now: Seconds) {
        self.counts.evictions += 1;
        self.counts.evicted_unfetched += u64::from(!meta.fetched);
        self.counts.evicted_nonzero += u64::from(meta.expiry.unix().is_some());
        self.counts.evicted_time = u64::from(now.saturating_sub(meta.last_access));
        self.evicted_at = now;
    }

    /// Counts a removed item that was already dead.
    pub(crate) fn count_reclaim(&mut self, expired_unfetched: bool) {
        self.counts.reclaimed += 1;
        self.counts.expired_unfetched += u64::from(expired_unfetched);
    }

    /// Counts an item that an operation on its key found dead.
    pub(crate) fn count_met(&mut self, miss: Miss) {
        match miss {
            Miss::Absent => {}
            Miss::Expired => self.counts.met_expired += 1,
            Miss::Flushed => self.counts.met_flushed += 1,
        }
    }

    pub(crate) fn count_sweep(&mut self, checked: u64, reclaimed: u64) {
        self.counts.sweep_checked += checked;
        self.counts.sweep_reclaimed += reclaimed;
    }

    pub(crate) fn count_out_of_memory(&mut self) {
        self.counts.out_of_memory += 1;
    }

    /// Resets the counters of events, but not those of state, to zero.
    pub(crate) fn reset_events(&mut self) {
        let Counters { items, bytes, total_items, .. } = self.counts;
        let counts = Counters { items, bytes, total_items, ..Counters::default() };
        *self = ShardCounters { counts, evicted_at: 0 };
    }

    /// The sum of the counters of all shards, in a store of `max_bytes` that holds `held`.
    pub(crate) fn sum(
        shards: impl Iterator<Item = ShardCounters>,
        held: u64,
        max_bytes: u64,
    ) -> Counters {
        let mut sum = Counters { held, max_bytes, ..Counters::default() };
        let mut latest = 0;
        for ShardCounters { counts, evicted_at } in shards {
            // All fields by name, so that the compiler asks for a new one.
            let Counters {
                items,
                total_items,
                bytes,
                held: _,
                max_bytes: _,
                evictions,
                evicted_unfetched,
                evicted_nonzero,
                evicted_time,
                reclaimed,
                expired_unfetched,
                met_expired,
                met_flushed,
                sweep_reclaimed,
                sweep_checked,
                out_of_memory,
            } = counts;
            sum.items += items;
            sum.total_items += total_items;
            sum.bytes += bytes;
            sum.evictions += evictions;
            sum.evicted_unfetched += evicted_unfetched;
            sum.evicted_nonzero += evicted_nonzero;
            sum.reclaimed += reclaimed;
            sum.expired_unfetched += expired_unfetched;
            sum.met_expired += met_expired;
            sum.met_flushed += met_flushed;
            sum.sweep_reclaimed += sweep_reclaimed;
            sum.sweep_checked += sweep_checked;
            sum.out_of_memory += out_of_memory;
            if evicted_at >= latest {
                latest = evicted_at;
                sum.evicted_time = sum.evicted_time.max(evicted_time);
            }
        }
        sum
    }
}
