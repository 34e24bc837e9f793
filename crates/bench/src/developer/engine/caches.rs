//! Adapters for the store and two similar libraries.
//!
//! A get copies the value into a buffer, like a server that sends it. quick_cache and moka return
//! reference-counted values (`triomphe::Arc`), so that a value outlives its eviction while it is read; our
//! store lends the value until it is copied. All three hash with foldhash, weigh an item by at least the
//! bytes of its key and value, and have the same budget.

use foldhash::fast::RandomState;
use ringbinder_store::{Limits, Mode, NewValue, SegmentStore, Store, Write, WriteResult};
use serde::Serialize;
use triomphe::Arc;

/// The store's time, which does not advance.
const NOW: ringbinder_store::Seconds = 1_700_000_000;

/// Largest item of the store.
const MAX_ITEM: u64 = 1 << 20;

/// The caches that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Contestant {
    Ringbinder,
    QuickCache,
    Moka,
}

impl Contestant {
    pub(super) const ALL: [Contestant; 3] =
        [Contestant::Ringbinder, Contestant::QuickCache, Contestant::Moka];

    pub(super) fn name(self) -> &'static str {
        match self {
            Contestant::Ringbinder => "ringbinder",
            Contestant::QuickCache => "quick_cache",
            Contestant::Moka => "moka",
        }
    }
}

/// A cache in this process.
pub(super) trait Cache: Sync {
    /// Replaces the content of `out` with a copy of the value under `key`. Returns whether there is one.
    fn get(&self, key: &[u8], out: &mut Vec<u8>) -> bool;

    /// Stores a copy of `value`.
    fn set(&self, key: &[u8], value: &[u8]);
}

/// Our store.
pub(super) struct Ours(pub(super) SegmentStore);

impl Ours {
    /// An empty store with a budget of this many bytes.
    pub(super) fn new(budget: u64) -> Ours {
        let limits = Limits { max_bytes: budget, max_item: MAX_ITEM, evict: true };
        Ours(SegmentStore::new(limits, None))
    }
}

impl Cache for Ours {
    #[inline]
    fn get(&self, key: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        self.0.get(key, NOW, |item| item.value().copy_to(out)).is_ok()
    }

    #[inline]
    fn set(&self, key: &[u8], value: &[u8]) {
        let write = Write::plain(Mode::Set, key, NewValue::Slice(value));
        let result = self.0.write(write, NOW);
        debug_assert!(matches!(result, WriteResult::Stored { .. }));
    }
}

type Value = Arc<[u8]>;

#[derive(Clone)]
pub(super) struct Bytes;

impl quick_cache::Weighter<Box<[u8]>, Value> for Bytes {
    fn weight(&self, key: &Box<[u8]>, value: &Value) -> u64 {
        (key.len() + value.len()) as u64
    }
}

/// Makes `out` a copy of the value, if one was found. Returns whether it was.
#[inline]
fn copy_found(found: Option<Value>, out: &mut Vec<u8>) -> bool {
    out.clear();
    found.is_some_and(|value| {
        out.extend_from_slice(&value);
        true
    })
}

/// The crate quick_cache.
pub(super) type QuickCache = quick_cache::sync::Cache<Box<[u8]>, Value, Bytes, RandomState>;

/// quick_cache with this budget in bytes, sized for this number of items.
pub(super) fn quick_cache(budget: u64, items: u64) -> QuickCache {
    let items = usize::try_from(items).unwrap_or(usize::MAX);
    let lifecycle = quick_cache::sync::DefaultLifecycle::default();
    QuickCache::with(items, budget, Bytes, RandomState::default(), lifecycle)
}

impl Cache for QuickCache {
    #[inline]
    fn get(&self, key: &[u8], out: &mut Vec<u8>) -> bool {
        copy_found(QuickCache::get(self, key), out)
    }

    #[inline]
    fn set(&self, key: &[u8], value: &[u8]) {
        self.insert(key.into(), value.into());
    }
}

/// The crate moka.
pub(super) type Moka = moka::sync::Cache<Box<[u8]>, Value, RandomState>;

/// moka with this budget in bytes, sized for this number of items.
pub(super) fn moka(budget: u64, items: u64) -> Moka {
    #[expect(clippy::borrowed_box, reason = "moka says what the closure gets")]
    let weigh =
        |key: &Box<[u8]>, value: &Value| u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX);
    moka::sync::Cache::builder()
        .max_capacity(budget)
        .initial_capacity(usize::try_from(items).unwrap_or(0))
        .weigher(weigh)
        .build_with_hasher(RandomState::default())
}

impl Cache for Moka {
    #[inline]
    fn get(&self, key: &[u8], out: &mut Vec<u8>) -> bool {
        copy_found(Moka::get(self, key), out)
    }

    #[inline]
    fn set(&self, key: &[u8], value: &[u8]) {
        self.insert(key.into(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_give_back_a_copy_of_what_was_stored_last() {
        fn check(name: &str, cache: &impl Cache) {
            let mut out = b"what was there".to_vec();
            assert!(!cache.get(b"key", &mut out), "{name}");
            cache.set(b"key", b"one");
            cache.set(b"key", b"three");
            assert!(cache.get(b"key", &mut out), "{name}");
            assert_eq!(out, b"three", "{name}");
        }
        check("ringbinder", &Ours::new(1 << 24));
        check("quick_cache", &quick_cache(1 << 24, 100));
        check("moka", &moka(1 << 24, 100));
    }
}
