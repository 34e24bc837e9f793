//! What all shards share: the budget, the epochs, the numbers that are counted through, and how
//! places are written.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

use super::epochs::Epochs;
use super::policy::{self, Situation};
use super::pool::Pool;
use super::record::MAX_INLINE;
use super::segment::Queue;
use super::shard::Hash;
use super::sizing::Sizing;
use crate::{Cas, EvictionObserver};

/// How large a segment is, and how a place is told in 32 bits: the number of the segment and where
/// in it the record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of a segment, a power of two.
    pub(super) segment: usize,
    /// Longest value that goes into a segment.
    pub(super) inline: usize,
    /// Bytes of values apart after which a segment is closed: what is given up at once.
    pub(super) apart: u64,
}

impl Layout {
    /// Bytes that the places of one shard can tell apart.
    pub(super) const REACH: u64 = 1 << 32;

    pub(super) fn new(segment: usize, budget: u64) -> Layout {
        let inline = MAX_INLINE.min(segment / 16);
        Layout { segment, inline, apart: (budget / 256).max(segment as u64) }
    }

    #[inline]
    pub(super) fn split(self, place: u32) -> (usize, usize) {
        let place = place as usize;
        (place >> self.segment.trailing_zeros(), place & (self.segment - 1))
    }

    #[inline]
    pub(super) fn place(self, number: u32, at: usize) -> u32 {
        number << self.segment.trailing_zeros() | u32::try_from(at).unwrap_or(0)
    }

    /// Most segments of one shard that are opened: a few more are written while some are compacted, and
    /// the last place of all stands for none.
    pub(super) fn most_segments(self) -> usize {
        usize::try_from(Self::REACH / self.segment as u64 - 64).unwrap_or(usize::MAX)
    }
}

/// See the module's documentation.
pub(super) struct Common {
    pub(super) layout: Layout,
    pub(super) pool: Pool,
    pub(super) epochs: Epochs,
    pub(super) hasher: SeedableRandomState,
    pub(super) observer: Option<EvictionObserver>,
    pub(super) evict: bool,
    shards: u64,
    /// Probation's share of the memory, see [`policy`].
    share: AtomicU32,
    last_cas: AtomicU64,
    serials: AtomicU64,
    /// Bytes of all segments of each queue, values apart included.
    weights: [AtomicU64; 2],
    /// Charges of all items. Only counted where nothing is evicted.
    charged: AtomicU64,
}

impl Common {
    pub(super) fn new(
        sizing: Sizing,
        limit: u64,
        evict: bool,
        observer: Option<EvictionObserver>,
    ) -> Common {
        Common {
            layout: sizing.layout,
            shards: sizing.shards as u64,
            pool: Pool::new(limit, sizing.layout.segment),
            epochs: Epochs::new(),
            hasher: SeedableRandomState::random(),
            observer,
            evict,
            share: AtomicU32::new(policy::FIRST_SHARE),
            last_cas: AtomicU64::new(0),
            serials: AtomicU64::new(0),
            weights: [AtomicU64::new(0), AtomicU64::new(0)],
            charged: AtomicU64::new(0),
        }
    }

    /// Hashes keys by a seed from here on: for a store in which there is nothing yet.
    pub(super) fn seed_hashes(&mut self, seed: u64) {
        self.hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
    }

    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        Hash(self.hasher.hash_one(key))
    }

    /// The CAS unique given out last.
    #[inline]
    pub(super) fn cas(&self) -> Cas {
        self.last_cas.load(Relaxed)
    }

    #[inline]
    pub(super) fn next_cas(&self) -> Cas {
        self.last_cas.fetch_add(1, Relaxed) + 1
    }

    pub(super) fn set_cas(&self, cas: Cas) {
        self.last_cas.store(cas, Relaxed);
    }

    pub(super) fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Relaxed)
    }

    /// Changes the weight of a queue.
    pub(super) fn weigh(&self, queue: Queue, more: u64, less: u64) {
        let change = more.wrapping_sub(less);
        if change != 0 {
            self.weights[queue as usize].fetch_add(change, Relaxed);
        }
    }

    pub(super) fn weight(&self, queue: Queue) -> u64 {
        self.weights[queue as usize].load(Relaxed)
    }

    /// Probation's share of the memory.
    pub(super) fn share(&self) -> u32 {
        self.share.load(Relaxed)
    }

    /// Takes note that a queue gave up an item just a little too early. `items` are those of one shard.
    pub(super) fn regret(&self, queue: Queue, items: u64) {
        let share = policy::share_after(self.share(), queue, items * self.shards);
        // Of two at the same time one is lost, which does no harm.
        self.share.store(share, Relaxed);
    }

    /// A shard's part of the memory.
    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        self.pool.limit() / self.shards
    }

    /// What the policy has to know of the memory.
    pub(super) fn situation(&self, pressure: u8) -> Situation {
        let main_fill =
            policy::main_fill(self.weight(Queue::Main), self.pool.limit(), self.share());
        Situation { capacity: self.capacity(), main_fill, pressure }
    }

    /// Takes note that items are charged more or less by now, where that matters.
    #[inline]
    pub(super) fn charge(&self, more: u64, less: u64) {
        if !self.evict {
            self.charged.fetch_add(more.wrapping_sub(less), Relaxed);
        }
    }

    /// Whether an item that is charged `more` may take the place of one that is charged `less`.
    ///
    /// Where nothing is evicted, an eighth of the memory is left to what is dead and not compacted
    /// yet: so there is always something to compact, or room.
    pub(super) fn admits(&self, more: u64, less: u64) -> bool {
        let limit = self.pool.limit() / 8 * 7;
        self.evict
            || more <= less
            || (self.charged.load(Relaxed) + more).saturating_sub(less) <= limit
    }
}
