//! The near cache: values kept in this process for a while, so that reading them again needs no
//! request.
//!
//! The client does not see other clients' writes before the time to live is over. That is the bound
//! of staleness, and the reason why the cache is off by default. The time counts from before the
//! request, since the value may have been overwritten while its answer was on the way.
//!
//! This client sees its own writes at once, and never an older value afterwards. While a key is
//! written, no value is kept for it, since concurrent reads may return the old value as well as the
//! new one, in any order. Every write raises an epoch, and a value that was requested in another
//! epoch is not kept either. The check and the insertion happen under one lock.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::item::Item;

/// Groups of keys that share the record of their writes. The more groups, the fewer values are
/// needlessly not kept.
const GROUPS: usize = 1024;

/// Bytes of memory of an entry beyond its key and value: moka's bookkeeping, the allocations and
/// their slack. 500 to 550 from a thousand entries on, as measured by `tests/near_memory.rs`.
const OVERHEAD: usize = 640;

/// The cache is trimmed to its bound each time this share of the bound was inserted.
const SHARE: u64 = 16;

/// Longest time to live: moka refuses much longer ones.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Settings of a near cache.
///
/// ```
/// use std::time::Duration;
/// use ringbinder_client::{Client, NearCache};
///
/// let near = NearCache { bytes: 64 << 20, ttl: Duration::from_secs(2) };
/// let builder = Client::with_servers(["127.0.0.1:11211"]).near_cache(near);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NearCache {
    /// Bytes for keys, values and bookkeeping. A larger value is not kept. New entries may exceed
    /// the limit for a moment, by about a sixteenth or by one value.
    pub bytes: u64,
    /// Longest staleness of a value: after another client's write the old value may be read here
    /// for less than this. A value that expires at its node may be read for as long afterwards.
    pub ttl: Duration,
}

#[derive(Debug)]
pub(crate) struct Near {
    cache: Cache<Bytes, Kept, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    groups: Box<[Mutex<Group>]>,
    settings: NearCache,
    /// Bytes inserted since the cache was last trimmed to its bound.
    unsettled: AtomicU64,
}

/// A group of keys, with the record of its writes.
#[derive(Debug, Default)]
struct Group {
    /// Number of writes begun plus number of writes ended.
    epoch: u64,
    /// Number of writes in progress.
    writers: usize,
}

#[derive(Clone, Debug)]
struct Kept {
    item: Item,
    until: Instant,
}

impl Near {
    pub(crate) fn new(settings: NearCache) -> Near {
        let settings = NearCache { ttl: settings.ttl.min(LONGEST), ..settings };
        let hasher = foldhash::fast::RandomState::default();
        let cache = Cache::builder()
            .max_capacity(settings.bytes)
            .weigher(|key: &Bytes, kept: &Kept| {
                u32::try_from(weight(key, &kept.item)).unwrap_or(u32::MAX)
            })
            .time_to_live(settings.ttl)
            .build_with_hasher(hasher.clone());
        let groups = (0..GROUPS).map(|_| Mutex::default()).collect();
        Near { cache, hasher, groups, settings, unsettled: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Item> {
        let kept = self.cache.get(key)?;
        (Instant::now() < kept.until).then_some(kept.item)
    }

    /// Begins a read. Call this before requesting a value that is to be kept.
    pub(crate) fn reading(&self, key: &[u8]) -> Reading {
        Reading { epoch: self.group(key).lock().epoch, until: Instant::now() + self.settings.ttl }
    }

    /// Keeps a value, unless this client is writing the key or has written it since `reading`.
    pub(crate) fn keep(&self, key: &[u8], item: &Item, reading: Reading) {
        let weight = weight(key, item);
        if weight > self.settings.bytes {
            return;
        }
        // Copied, since a large value's memory may be a part of a larger buffer.
        let item = Item { value: Bytes::copy_from_slice(&item.value), ..*item };
        let kept = Kept { item, until: reading.until };
        {
            let group = self.group(key).lock();
            if group.epoch != reading.epoch || group.writers > 0 {
                return;
            }
            self.cache.insert(Bytes::copy_from_slice(key), kept);
        }
        // moka evicts some time after an insertion, and by itself counts entries, not bytes.
        let unsettled = self.unsettled.fetch_add(weight, Ordering::Relaxed) + weight;
        if unsettled > self.settings.bytes / SHARE {
            self.unsettled.store(0, Ordering::Relaxed);
            self.cache.run_pending_tasks();
        }
    }

    /// A guard to hold while a key is written.
    pub(crate) fn writing(&self, key: &[u8]) -> Writing<'_> {
        let groups = std::slice::from_ref(self.group(key));
        let mut group = groups[0].lock();
        group.epoch += 1;
        group.writers += 1;
        self.cache.invalidate(key);
        drop(group);
        Writing { groups }
    }

    /// A guard to hold while the nodes are flushed.
    pub(crate) fn clearing(&self) -> Writing<'_> {
        for group in &self.groups {
            let mut group = group.lock();
            group.epoch += 1;
            group.writers += 1;
        }
        self.cache.invalidate_all();
        Writing { groups: &self.groups }
    }

    fn group(&self, key: &[u8]) -> &Mutex<Group> {
        let index = self.hasher.hash_one(key) % GROUPS as u64;
        &self.groups[usize::try_from(index).unwrap_or_default()]
    }
}

fn weight(key: &[u8], item: &Item) -> u64 {
    (key.len() + item.value.len() + OVERHEAD) as u64
}

/// A read in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    epoch: u64,
    /// The time until which the value may be kept.
    until: Instant,
}

/// A write in progress, until this is dropped, whether it succeeded or not.
#[derive(Debug)]
#[must_use]
pub(crate) struct Writing<'n> {
    groups: &'n [Mutex<Group>],
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        for group in self.groups {
            let mut group = group.lock();
            group.epoch += 1;
            group.writers -= 1;
        }
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
        drop(near.clearing());
        assert_eq!(near.get(b"k"), None);
    }

    #[test]
    fn a_read_that_a_write_overtakes_is_not_kept() {
        let near = near();
        let before = near.reading(b"k");
        let first = near.writing(b"k");
        let second = near.writing(b"k");
        let during = near.reading(b"k");
        near.keep(b"k", &item("old"), before);
        near.keep(b"k", &item("old or new"), during);
        assert_eq!(near.get(b"k"), None);
        drop(first);
        near.keep(b"k", &item("old or new"), during);
        near.keep(b"k", &item("old or new"), near.reading(b"k"));
        assert_eq!(near.get(b"k"), None);
        drop(second);
        near.keep(b"k", &item("old"), before);
        assert_eq!(near.get(b"k"), None);
        near.keep(b"k", &item("new"), near.reading(b"k"));
        assert_eq!(near.get(b"k"), Some(item("new")));
    }

    #[test]
    fn a_read_begun_during_a_write_is_not_kept_after_it() {
        let near = near();
        let writing = near.writing(b"k");
        let during = near.reading(b"k");
        drop(writing);
        near.keep(b"k", &item("old or new"), during);
        assert_eq!(near.get(b"k"), None);
    }

    #[test]
    fn a_read_that_a_flush_overtakes_is_not_kept() {
        let near = near();
        let before = near.reading(b"k");
        let clearing = near.clearing();
        let during = near.reading(b"k");
        near.keep(b"k", &item("old"), before);
        assert_eq!(near.get(b"k"), None);
        near.keep(b"k", &item("old or new"), during);
        drop(clearing);
        assert_eq!(near.get(b"k"), None);
    }

    #[tokio::test]
    async fn the_time_to_live_begins_before_the_value_is_asked_for() {
        tokio::time::pause();
        let near = near();
        let reading = near.reading(b"k");
        tokio::time::advance(Duration::from_secs(3000)).await;
        near.keep(b"k", &item("slow"), reading);
        tokio::time::advance(Duration::from_secs(599)).await;
        assert_eq!(near.get(b"k"), Some(item("slow")));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(near.get(b"k"), None);
    }

    #[test]
    fn all_that_is_kept_stays_within_the_bound() {
        let near = near();
        let bound = near.settings.bytes;
        for (round, len) in [100, 100_000, 1000, 300_000].into_iter().enumerate() {
            let item = Item { value: vec![1; len].into(), flags: 0, cas: None };
            for number in 0..2000 {
                let key = format!("{round}-{number}");
                near.keep(key.as_bytes(), &item, near.reading(key.as_bytes()));
                if number % 7 != 0 {
                    continue;
                }
                let held: u64 = near.cache.iter().map(|(key, kept)| weight(&key, &kept.item)).sum();
                let newest = weight(key.as_bytes(), &item);
                assert!(held <= bound + bound / SHARE + newest, "{held} bytes after {key}");
            }
        }
        let too_large = Item { value: vec![1; 2 << 20].into(), flags: 0, cas: None };
        near.keep(b"large", &too_large, near.reading(b"large"));
        assert_eq!(near.get(b"large"), None);
    }

    #[test]
    fn endless_times_to_live_are_taken() {
        let near = Near::new(NearCache { bytes: 1 << 20, ttl: Duration::MAX });
        near.keep(b"k", &item("v"), near.reading(b"k"));
        assert_eq!(near.get(b"k"), Some(item("v")));
    }
}
