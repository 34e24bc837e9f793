//! What the store owes: bytes charged, items held, and the counters of events.
//!
//! Cells enter themselves here when they are made, recharged, removed or dropped, so the figures
//! follow the memory itself and not what the index believes: an evicted item counts until it is
//! really freed.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::{Counters, Evicted, EvictionObserver, Seconds};

#[derive(Default)]
pub(super) struct Ledger {
    bytes: AtomicU64,
    /// All that was ever charged: how much memory has changed hands.
    inflow: AtomicU64,
    items: AtomicU64,
    total_items: AtomicU64,
    evictions: AtomicU64,
    evicted_unfetched: AtomicU64,
    evicted_nonzero: AtomicU64,
    evicted_time: AtomicU64,
    reclaimed: AtomicU64,
    expired_unfetched: AtomicU64,
    sweep_reclaimed: AtomicU64,
    sweep_checked: AtomicU64,
    out_of_memory: AtomicU64,
    /// The time of the last write, for the age of what is evicted.
    now: AtomicU32,
    /// Set when the store goes: what is dropped from then on was not evicted.
    closed: AtomicBool,
    observer: Option<EvictionObserver>,
}

impl Ledger {
    pub(super) fn new(observer: Option<EvictionObserver>) -> Ledger {
        Ledger { observer, ..Ledger::default() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(super) fn items(&self) -> u64 {
        self.items.load(Relaxed)
    }

    pub(super) fn add_item(&self, charge: u32) {
        self.items.fetch_add(1, Relaxed);
        self.bytes.fetch_add(u64::from(charge), Relaxed);
        self.inflow.fetch_add(u64::from(charge), Relaxed);
    }

    pub(super) fn remove_item(&self, charge: u32) {
        self.items.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(u64::from(charge), Relaxed);
    }

    pub(super) fn inflow(&self) -> u64 {
        self.inflow.load(Relaxed)
    }

    pub(super) fn recharge(&self, old: u32, new: u32) {
        self.inflow.fetch_add(u64::from(new), Relaxed);
        if new > old {
            self.bytes.fetch_add(u64::from(new - old), Relaxed);
        } else {
            self.bytes.fetch_sub(u64::from(old - new), Relaxed);
        }
    }

    pub(super) fn evict_item(&self, charge: u32, evicted: Evicted<'_>) {
        self.remove_item(charge);
        if self.closed.load(Relaxed) {
            return;
        }
        let meta = evicted.meta;
        self.evictions.fetch_add(1, Relaxed);
        if !meta.fetched {
            self.evicted_unfetched.fetch_add(1, Relaxed);
        }
        if meta.expiry.unix().is_some() {
            self.evicted_nonzero.fetch_add(1, Relaxed);
        }
        let age = self.now.load(Relaxed).saturating_sub(meta.last_access);
        self.evicted_time.store(u64::from(age), Relaxed);
        if let Some(observer) = &self.observer {
            observer(evicted);
        }
    }

    /// Counts a store. The time is kept for [`Counters::evicted_time`].
    pub(super) fn count_store(&self, now: Seconds) {
        self.total_items.fetch_add(1, Relaxed);
        if self.now.load(Relaxed) != now {
            self.now.store(now, Relaxed);
        }
    }

    /// Counts an item that was dead already.
    pub(super) fn count_reclaim(&self, expired_unfetched: bool) {
        self.reclaimed.fetch_add(1, Relaxed);
        if expired_unfetched {
            self.expired_unfetched.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn count_sweep(&self, checked: u64, reclaimed: u64) {
        self.sweep_checked.fetch_add(checked, Relaxed);
        self.sweep_reclaimed.fetch_add(reclaimed, Relaxed);
    }

    pub(super) fn count_out_of_memory(&self) {
        self.out_of_memory.fetch_add(1, Relaxed);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub(super) fn counters(&self, max_bytes: u64) -> Counters {
        Counters {
            items: self.items(),
            total_items: self.total_items.load(Relaxed),
            bytes: self.bytes(),
            max_bytes,
            evictions: self.evictions.load(Relaxed),
            evicted_unfetched: self.evicted_unfetched.load(Relaxed),
            evicted_nonzero: self.evicted_nonzero.load(Relaxed),
            evicted_time: self.evicted_time.load(Relaxed),
            reclaimed: self.reclaimed.load(Relaxed),
            expired_unfetched: self.expired_unfetched.load(Relaxed),
            sweep_reclaimed: self.sweep_reclaimed.load(Relaxed),
            sweep_checked: self.sweep_checked.load(Relaxed),
            out_of_memory: self.out_of_memory.load(Relaxed),
        }
    }

    pub(super) fn reset_events(&self) {
        for counter in [
            &self.evictions,
            &self.evicted_unfetched,
            &self.evicted_nonzero,
            &self.evicted_time,
            &self.reclaimed,
            &self.expired_unfetched,
            &self.sweep_reclaimed,
            &self.sweep_checked,
            &self.out_of_memory,
        ] {
            counter.store(0, Relaxed);
        }
    }
}
