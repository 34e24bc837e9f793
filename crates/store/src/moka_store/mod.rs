//! The engine on top of moka: its concurrent index and its eviction decide, our cells hold.
//!
//! moka maps a key to a cell (see [`cell`]) and is told of a write only when an item comes, goes
//! or changes its charge; every other write happens inside the cell. Three things it does not do
//! are done here:
//!
//! - One step per key: whatever changes an item holds its key's stripe ([`stripes`]). Reads take
//!   none.
//! - A budget that holds at every moment: moka evicts in batches, when it finds the time. Here
//!   every charge is on a ledger ([`ledger`]) that follows the memory itself, and a writer that
//!   finds the ledger past its limit makes moka evict before it goes on ([`MokaStore::relieve`]).
//!   What even the ledger cannot know, the [`ballast`] makes up for.
//! - Expiry, CAS, and the epochs that flushes and forgets begin ([`epochs`]): they live in the
//!   cells. moka's own expiry is not used, because it wants a clock.
//!
//! Locks are taken in this order: stripe, moka's own, cell. A cell's lock is never held while moka
//! is called.

mod ballast;
mod cell;
mod charge;
mod epochs;
mod house;
mod key;
mod ledger;
mod number;
mod read;
mod store;
mod stripes;
mod value;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

pub use self::ballast::ResidentProbe;

use self::ballast::Ballast;
use self::cell::{CellRef, Lease};
use self::epochs::Epochs;
use self::ledger::Ledger;
use self::stripes::Stripes;
use crate::{Cas, EvictionObserver, Limits};

type Index = Cache<CellRef, Lease, RandomState>;

/// What decides which item leaves when room is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The item not used for the longest time. What was just stored stays.
    #[default]
    Lru,
    /// The item used least often, new ones included: what was just stored may be refused at once.
    TinyLfu,
}

/// A [`Store`](crate::Store) on moka.
pub struct MokaStore {
    index: ArcSwap<Index>,
    hasher: RandomState,
    policy: Policy,
    stripes: Stripes<RandomState>,
    ledger: Arc<Ledger>,
    epochs: Epochs,
    ballast: Ballast,
    /// Counts sixteenths of the budget that have come in; 0 to 255 and round again.
    tick: AtomicU32,
    last_cas: AtomicU64,
    max_item: u64,
    evict: bool,
    budget: AtomicU64,
    /// Held while making room, so that writers queue for one round of it and not each for theirs.
    relief: Mutex<()>,
    /// Whether, since the last sweep began, an item with an expiry may have come or another index
    /// have taken this one's place.
    expiring: AtomicBool,
}

/// Smallest budget that leaves room for items besides the index's own tables.
const MIN_BUDGET: u64 = 1 << 20;

impl MokaStore {
    /// An empty store.
    ///
    /// `observer` is called for every eviction, once the item's memory is free.
    pub fn new(limits: Limits, policy: Policy, observer: Option<EvictionObserver>) -> MokaStore {
        let hasher = RandomState::default();
        let capacity = limits.evict.then(|| capacity(limits.max_bytes));
        MokaStore {
            index: ArcSwap::from_pointee(new_index(capacity, policy, hasher.clone())),
            hasher: hasher.clone(),
            policy,
            stripes: Stripes::new(hasher),
            ledger: Arc::new(Ledger::new(observer)),
            epochs: Epochs::new(),
            ballast: Ballast::new(None),
            tick: AtomicU32::new(0),
            last_cas: AtomicU64::new(0),
            max_item: limits.max_item,
            evict: limits.evict,
            budget: AtomicU64::new(limits.max_bytes),
            relief: Mutex::new(()),
            expiring: AtomicBool::new(false),
        }
    }

    /// The same store, whose CAS uniques begin after `cas`: so that several stores which may each
    /// hold a key in turn do not count through the same numbers.
    #[must_use]
    pub fn with_cas_after(self, cas: Cas) -> MokaStore {
        self.last_cas.store(cas, Relaxed);
        self
    }

    fn next_cas(&self) -> Cas {
        self.last_cas.fetch_add(1, Relaxed) + 1
    }

    /// What may be charged altogether.
    fn capacity(&self) -> u64 {
        capacity(self.budget.load(Relaxed))
    }

    /// Whether an item may be charged `charge` in place of `old`.
    fn has_room(&self, charge: u32, old: u32) -> bool {
        let charge = u64::from(charge);
        if self.evict {
            charge <= self.capacity()
        } else {
            let others = self.ledger.bytes().saturating_sub(u64::from(old));
            others + charge <= self.budget.load(Relaxed)
        }
    }

    /// Makes moka evict until the ledger is within its limit again. Called after every write, with
    /// no lock held.
    ///
    /// The limit leaves moka some slack to work in batches. Memory may be held up by a reader that
    /// was interrupted in the middle: it gets the processor, a bounded number of times, and the next
    /// writer goes on from there.
    fn relieve(&self) {
        const ROUNDS: usize = 64;
        const PATIENCE: usize = 8;
        self.advance_tick();
        if !self.evict || (self.ledger.bytes() <= self.limit() && !self.is_look_due()) {
            return;
        }
        let _relief = self.relief.lock();
        if self.is_look_due() {
            self.balance();
        }
        for round in 0..ROUNDS {
            if self.ledger.bytes() <= self.limit() {
                break;
            }
            self.index.load().run_pending_tasks();
            if round >= PATIENCE {
                std::thread::yield_now();
            }
        }
    }

    fn advance_tick(&self) {
        let ticks = self.ledger.inflow() / (self.capacity() / 16).max(1);
        let tick = u32::try_from(ticks % 256).unwrap_or(0);
        if self.tick.load(Relaxed) != tick {
            self.tick.store(tick, Relaxed);
        }
    }

    fn limit(&self) -> u64 {
        let capacity = self.capacity();
        (capacity + slack(capacity)).saturating_sub(self.ballast.weight())
    }
}

impl Drop for MokaStore {
    fn drop(&mut self) {
        self.ledger.close();
    }
}

/// The part of a budget that may be charged. The rest is for what no item is charged for: moka's
/// tables while they grow, its queues, and what the allocator cannot reuse at once.
fn capacity(budget: u64) -> u64 {
    budget - budget / 64
}

/// How far the ledger may run past the capacity before a writer has to make room.
fn slack(capacity: u64) -> u64 {
    (capacity / 256).clamp(64 << 10, 1 << 20)
}

fn new_index(capacity: Option<u64>, policy: Policy, hasher: RandomState) -> Index {
    let policy = match policy {
        Policy::Lru => EvictionPolicy::lru(),
        Policy::TinyLfu => EvictionPolicy::tiny_lfu(),
    };
    let builder =
        Cache::builder().eviction_policy(policy).weigher(|_: &CellRef, cell: &Lease| cell.charge());
    match capacity {
        Some(capacity) => builder.max_capacity(capacity),
        None => builder,
    }
    .build_with_hasher(hasher)
}
