//! The state that all shards share: the budget, the epochs, and the counters.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

use crate::epochs::Epochs;
use crate::log::location::Layout;
use crate::log::segment::Queue;
use crate::memory::budget::Budget;
use crate::policy::{self, Situation};
use crate::value::Cutting;
use crate::{Account, Cas, EvictionObserver};

/// A key's hash: gives its shard, and its tag there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hash(pub(crate) u64);

impl Hash {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    pub(crate) fn tag(self) -> u32 {
        self.0 as u32
    }
}

/// The state that all shards share.
pub(crate) struct Common {
    pub(crate) layout: Layout,
    pub(crate) budget: Budget,
    pub(crate) epochs: Epochs,
    pub(crate) hasher: SeedableRandomState,
    pub(crate) observer: Option<EvictionObserver>,
    pub(crate) evict: bool,
    /// Counts pieces of values that are not items: on their way in, or still being sent.
    pub(crate) outside: Arc<Account>,
    shards: u64,
    /// Probation's share of the memory, see [`policy`].
    share: AtomicU32,
    last_cas: AtomicU64,
    serials: AtomicU64,
    /// Bytes of all segments of each queue, including large values.
    queue_bytes: [AtomicU64; 2],
    /// Charges of all items. Only counted if evictions are off.
    charged: AtomicU64,
    /// The same at the moment when there was no room for more items. Only counted if evictions are
    /// off.
    charged_full: AtomicU64,
}

impl Common {
    pub(crate) fn new(
        layout: Layout,
        shards: usize,
        limit: u64,
        evict: bool,
        observer: Option<EvictionObserver>,
    ) -> Common {
        Common {
            layout,
            shards: shards as u64,
            budget: Budget::new(limit, layout.segment),
            epochs: Epochs::new(),
            hasher: SeedableRandomState::random(),
            observer,
            evict,
            outside: Arc::default(),
            share: AtomicU32::new(policy::FIRST_SHARE),
            last_cas: AtomicU64::new(0),
            serials: AtomicU64::new(0),
            queue_bytes: [AtomicU64::new(0), AtomicU64::new(0)],
            charged: AtomicU64::new(0),
            charged_full: AtomicU64::new(0),
        }
    }

    /// Sets the seed of the hashes; only for an empty store.
    pub(crate) fn seed_hashes(&mut self, seed: u64) {
        self.hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> Hash {
        Hash(self.hasher.hash_one(key))
    }

    /// The last CAS unique assigned.
    #[inline]
    pub(crate) fn cas(&self) -> Cas {
        self.last_cas.load(Relaxed)
    }

    #[inline]
    pub(crate) fn next_cas(&self) -> Cas {
        self.last_cas.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn set_cas(&self, cas: Cas) {
        self.last_cas.store(cas, Relaxed);
    }

    /// Raises the counter to at least `cas`.
    pub(crate) fn raise_cas(&self, cas: Cas) {
        self.last_cas.fetch_max(cas, Relaxed);
    }

    pub(crate) fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Relaxed)
    }

    /// Changes the weight of a queue.
    pub(crate) fn count_queue_bytes(&self, queue: Queue, more: u64, less: u64) {
        let change = more.wrapping_sub(less);
        if change != 0 {
            self.queue_bytes[queue as usize].fetch_add(change, Relaxed);
        }
    }

    pub(crate) fn queue_bytes(&self, queue: Queue) -> u64 {
        self.queue_bytes[queue as usize].load(Relaxed)
    }

    /// Probation's share of the memory.
    pub(crate) fn share(&self) -> u32 {
        self.share.load(Relaxed)
    }

    /// Records that a queue evicted an item just a little too early. `items` are those of one
    /// shard.
    pub(crate) fn count_early_eviction(&self, queue: Queue, items: u64) {
        let share = policy::share_after(self.share(), queue, items * self.shards);
        // If two threads do this at the same time, one change is lost, which does no harm.
        self.share.store(share, Relaxed);
    }

    /// How this store cuts values into pieces.
    #[inline]
    pub(crate) fn cutting(&self) -> Cutting<'_> {
        Cutting { inline: self.layout.inline, outside: &self.outside }
    }

    /// A shard's part of the memory.
    #[inline]
    pub(crate) fn capacity(&self) -> u64 {
        self.budget.limit() / self.shards
    }

    /// The state of the memory, as the policy needs it.
    pub(crate) fn situation(&self, pressure: u8) -> Situation {
        let main_fill =
            policy::main_fill(self.queue_bytes(Queue::Main), self.budget.limit(), self.share());
        Situation { capacity: self.capacity(), main_fill, pressure }
    }

    /// Records a change in the charge of all items, if evictions are off.
    #[inline]
    pub(crate) fn charge(&self, more: u64, less: u64) {
        if !self.evict {
            self.charged.fetch_add(more.wrapping_sub(less), Relaxed);
        }
    }

    /// The most bytes that may be held when a new item is stored while evictions are off.
    ///
    /// A twelfth of the memory is left for changes of present items: compaction makes up for them
    /// only once a sixteenth is dead.
    pub(crate) fn max_held(&self) -> u64 {
        let limit = self.budget.limit();
        limit - limit / 12
    }

    /// Whether, with evictions off, the store holds so much that memory must be freed before an
    /// item that is charged `more` replaces one that is charged `less`.
    ///
    /// An item that grows a little may use some of the memory left for changes. So may an item that
    /// replaces others that have gone since there was no room for more.
    #[cold]
    pub(crate) fn is_crowded(&self, more: u64, less: u64) -> bool {
        let most = match less {
            0 => self.max_held(),
            _ => self
                .max_held()
                .max(self.budget.limit().saturating_sub(64 * more.saturating_sub(less))),
        };
        self.budget.used() > most && self.charged_with(more, less) > self.charged_full.load(Relaxed)
    }

    /// Records that there is no room for more items than the present ones.
    pub(crate) fn note_full(&self) {
        self.charged_full.store(self.charged.load(Relaxed), Relaxed);
    }

    fn charged_with(&self, more: u64, less: u64) -> u64 {
        (self.charged.load(Relaxed) + more).saturating_sub(less)
    }

    /// Whether an item that is charged `more` may replace one that is charged `less`.
    ///
    /// With evictions off, an eighth of the memory is left for dead records that are not compacted
    /// yet, so there is always something to compact, or room.
    pub(crate) fn admits(&self, more: u64, less: u64) -> bool {
        let limit = self.budget.limit() / 8 * 7;
        self.evict || more <= less || self.charged_with(more, less) <= limit
    }
}
