//! Values kept in this process for a while, so that reading them again asks nobody.
//!
//! What another client writes is not seen here before the time to live is over: that is the bound of
//! its staleness, and the reason why it is off unless asked for. This client's own writes are seen at
//! once. A read that is under way while this client writes the same key must not bring the old value
//! back: every write raises an epoch before and after it, and a value that was read under another
//! epoch than the present one is not kept.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;

use crate::item::Item;

/// Epochs are shared by keys: more of them mean fewer values that are not kept without need.
const EPOCHS: usize = 1024;

/// What an entry costs beyond its key and value, as moka's bookkeeping was measured
/// (docs/decisions/0005-resident-memory.md).
const OVERHEAD: usize = 256;

/// Settings of a near cache.
#[derive(Clone, Copy, Debug)]
pub struct NearCache {
    /// Bytes for keys, values and bookkeeping.
    pub bytes: u64,
    /// How long a value is kept, and so how stale it may be.
    pub ttl: Duration,
}

#[derive(Debug)]
pub(crate) struct Near {
    cache: Cache<Bytes, Item, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    epochs: Box<[AtomicU64]>,
}

impl Near {
    pub(crate) fn new(settings: NearCache) -> Near {
        let hasher = foldhash::fast::RandomState::default();
        let cache = Cache::builder()
            .max_capacity(settings.bytes)
            .weigher(|key: &Bytes, item: &Item| {
                u32::try_from(key.len() + item.value.len() + OVERHEAD).unwrap_or(u32::MAX)
            })
            .time_to_live(settings.ttl)
            .build_with_hasher(hasher.clone());
        let epochs = (0..EPOCHS).map(|_| AtomicU64::new(0)).collect();
        Near { cache, hasher, epochs }
    }

    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Item> {
        self.cache.get(key)
    }

    /// To be called before a value is asked for that is to be kept.
    pub(crate) fn reading(&self, key: &[u8]) -> Reading {
        Reading { epoch: self.epoch(key).load(Ordering::SeqCst) }
    }

    /// Keeps a value, unless this client has written the key since `reading`.
    pub(crate) fn keep(&self, key: &[u8], item: &Item, reading: Reading) {
        let unchanged = || self.epoch(key).load(Ordering::SeqCst) == reading.epoch;
        if !unchanged() {
            return;
        }
        self.cache.insert(Bytes::copy_from_slice(key), item.clone());
        // A write that came in between dropped what was there before this.
        if !unchanged() {
            self.cache.invalidate(key);
        }
    }

    /// To be held while a key is written.
    pub(crate) fn writing<'n>(&'n self, key: &'n [u8]) -> Writing<'n> {
        self.drop_key(key);
        Writing { near: self, key }
    }

    pub(crate) fn clear(&self) {
        for epoch in &self.epochs {
            epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.cache.invalidate_all();
    }

    fn drop_key(&self, key: &[u8]) {
        self.epoch(key).fetch_add(1, Ordering::SeqCst);
        self.cache.invalidate(key);
    }

    fn epoch(&self, key: &[u8]) -> &AtomicU64 {
        let hash = self.hasher.hash_one(key) % EPOCHS as u64;
        &self.epochs[usize::try_from(hash).unwrap_or_default()]
    }
}

/// A value is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    epoch: u64,
}

/// A key is being written, until this is dropped; whether the write succeeded does not matter.
#[derive(Debug)]
pub(crate) struct Writing<'n> {
    near: &'n Near,
    key: &'n [u8],
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.near.drop_key(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near() -> Near {
        Near::new(NearCache { bytes: 1 << 20, ttl: Duration::from_secs(3600) })
    }

    fn item(value: &'static str) -> Item {
        Item { value: Bytes::from_static(value.as_bytes()), flags: 0, cas: None }
    }

    #[test]
    fn what_was_read_is_kept_until_it_is_written() {
        let near = near();
        near.keep(b"k", &item("old"), near.reading(b"k"));
        assert_eq!(near.get(b"k"), Some(item("old")));
        let writing = near.writing(b"k");
        assert_eq!(near.get(b"k"), None);
        drop(writing);
        near.keep(b"k", &item("new"), near.reading(b"k"));
        assert_eq!(near.get(b"k"), Some(item("new")));
        near.clear();
        assert_eq!(near.get(b"k"), None);
    }

    #[test]
    fn a_read_that_a_write_overtakes_is_not_kept() {
        let near = near();
        let before = near.reading(b"k");
        let writing = near.writing(b"k");
        let during = near.reading(b"k");
        near.keep(b"k", &item("old"), before);
        assert_eq!(near.get(b"k"), None);
        drop(writing);
        near.keep(b"k", &item("old or new"), during);
        assert_eq!(near.get(b"k"), None);
    }
}
