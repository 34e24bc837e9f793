//! Helpers for the examples: a store, a set, and the process's resident memory.

#![allow(dead_code, reason = "no example uses all of it")]

use ringbinder_store::{Limits, Mode, NewValue, Seconds, SegmentStore, Store, Write, WriteResult};

pub(crate) const MIB: u64 = 1 << 20;

/// A constant time, since no example depends on it.
pub(crate) const NOW: Seconds = 1_700_000_000;

pub(crate) fn store(max_bytes: u64) -> SegmentStore {
    SegmentStore::new(Limits { max_bytes, max_item: 64 * MIB, evict: true }, None)
}

pub(crate) fn set(store: &SegmentStore, key: &[u8], value: NewValue<'_>) -> bool {
    let write = Write::plain(Mode::Set, key, value);
    matches!(store.write(write, NOW), WriteResult::Stored { .. })
}

/// Resident bytes of this process.
pub(crate) fn resident() -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux's /proc");
    let pages: u64 =
        statm.split(' ').nth(1).and_then(|field| field.parse().ok()).expect("a number");
    pages * PAGE
}

/// A small generator of random numbers (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Nanoseconds of processor time of this thread; 0 if the system does not report it.
pub(crate) fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}
