//! The counters of a shard: its items, and the events that statistics report.

use crate::{Counters, Meta, Miss, Seconds};

/// The counters of a shard. Changed under the shard's lock, so plain numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
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

impl Tally {
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
        let Tally { items, bytes, total_items, .. } = *self;
        *self = Tally { items, bytes, total_items, ..Tally::default() };
    }

    /// The sum of the counters of all shards.
    pub(crate) fn sum(tallies: impl Iterator<Item = Tally>, max_bytes: u64) -> Counters {
        let mut sum = Counters { max_bytes, ..Counters::default() };
        let mut latest = 0;
        for tally in tallies {
            sum.items += tally.items;
            sum.bytes += tally.bytes;
            sum.total_items += tally.total_items;
            sum.evictions += tally.evictions;
            sum.evicted_unfetched += tally.evicted_unfetched;
            sum.evicted_nonzero += tally.evicted_nonzero;
            sum.reclaimed += tally.reclaimed;
            sum.expired_unfetched += tally.expired_unfetched;
            sum.met_expired += tally.met_expired;
            sum.met_flushed += tally.met_flushed;
            sum.sweep_reclaimed += tally.sweep_reclaimed;
            sum.sweep_checked += tally.sweep_checked;
            sum.out_of_memory += tally.out_of_memory;
            if tally.evicted_at >= latest {
                latest = tally.evicted_at;
                sum.evicted_time = sum.evicted_time.max(tally.evicted_time);
            }
        }
        sum
    }
}
