//! One key's place in the cache, and what is in it.
//!
//! A [`Cell`] is made when a key comes and lives until the key goes: overwriting, incrementing or
//! touching changes its [`State`] under its own lock and leaves the cache's index alone. That makes
//! an overwrite as cheap as a read, and frees the old value at once instead of leaving it to the
//! index's deferred reclamation.
//!
//! moka holds a cell twice: as the key of an entry, which stays behind in its table as a tombstone
//! for some time after the entry went, and as the value, in a [`Lease`]. The last lease to go ends
//! the item: that is how an eviction is seen, and the moment at which its value is freed.
//!
//! Invariants: `charge` is what the ledger counts for this cell, 0 once it was removed; only who
//! holds the key's stripe may change the value, the CAS or the charge, or remove the cell; the
//! state's lock is the last lock taken, and nothing is called under it except the caller's
//! callback.

use std::hash::{Hash, Hasher};
use std::mem;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use triomphe::Arc;

use super::epochs::Epoch;
use super::key::Key;
use super::ledger::Ledger;
use super::value::Value;
use crate::{Cas, Evicted, Expiry, ItemMut, ItemRef, Meta, Seconds};

/// A counted reference to a cell. Hashes and compares as its key does. Does not keep the item.
#[derive(Clone)]
pub(super) struct CellRef(Arc<Cell>);

pub(super) struct Cell {
    ledger: StdArc<Ledger>,
    state: Mutex<State>,
    charge: AtomicU32,
    /// How many leases there are, and above [`LEASES`] the tick of its last use.
    leases: AtomicU32,
    key: Key,
}

/// The bits of [`Cell::leases`] that count. The rest, one byte, is the tick.
const LEASES: u32 = 0x00ff_ffff;
const TICK_SHIFT: u32 = LEASES.count_ones();

/// What changes about an item.
pub(super) struct State {
    pub(super) value: Value,
    pub(super) cas: Cas,
    pub(super) flags: u32,
    pub(super) expiry: Expiry,
    pub(super) last_access: Seconds,
    /// The epoch it was stored in, or later found alive in, and its [`Mark`]s: one word because 16
    /// bytes more in a cell are 16 bytes more for every item.
    stamp: u32,
}

/// A yes-or-no kept in a [`State`].
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Fetched = 1,
    Stale = 2,
    WinSent = 4,
    BinaryKey = 8,
    /// It was put into the index again after its charge changed, which costs it a second key
    /// reference there.
    Reindexed = 16,
}

const MARK_BITS: u32 = u32::BITS - Epoch::BITS;

impl State {
    /// A state without a CAS and of no particular epoch, which it gets when it is put in place.
    pub(super) fn new(value: Value, now: Seconds) -> State {
        State { value, cas: 0, flags: 0, expiry: Expiry::NEVER, last_access: now, stamp: 0 }
    }

    pub(super) fn is(&self, mark: Mark) -> bool {
        self.stamp & mark as u32 != 0
    }

    pub(super) fn mark(&mut self, mark: Mark, on: bool) {
        if on {
            self.stamp |= mark as u32;
        } else {
            self.stamp &= !(mark as u32);
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch::from_bits(self.stamp >> MARK_BITS)
    }

    /// Makes it one of `epoch`: because it is new, or because it was judged in `epoch`, its lock held
    /// since, and is alive.
    pub(super) fn set_epoch(&mut self, epoch: Epoch) {
        let marks = self.stamp & !(u32::MAX << MARK_BITS);
        self.stamp = epoch.bits() << MARK_BITS | marks;
    }

    /// Counts an access.
    pub(super) fn bump(&mut self, now: Seconds) {
        self.mark(Mark::Fetched, true);
        self.last_access = now;
    }

    pub(super) fn meta(&self) -> Meta {
        Meta {
            flags: self.flags,
            cas: self.cas,
            expiry: self.expiry,
            last_access: self.last_access,
            fetched: self.is(Mark::Fetched),
            stale: self.is(Mark::Stale),
            win_sent: self.is(Mark::WinSent),
            binary_key: self.is(Mark::BinaryKey),
        }
    }
}

impl CellRef {
    /// A cell that the ledger counts from now on.
    pub(super) fn new(ledger: &StdArc<Ledger>, key: &[u8], state: State, charge: u32) -> CellRef {
        ledger.add_item(charge);
        CellRef(Arc::new(Cell {
            ledger: StdArc::clone(ledger),
            state: Mutex::new(state),
            charge: AtomicU32::new(charge),
            leases: AtomicU32::new(0),
            key: Key::new(key),
        }))
    }

    pub(super) fn key(&self) -> &[u8] {
        self.0.key.as_slice()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    pub(super) fn charge(&self) -> u32 {
        self.0.charge.load(Ordering::Relaxed)
    }

    /// When its use was last told to moka, as a tick of the store.
    pub(super) fn tick(&self) -> u32 {
        self.0.leases.load(Ordering::Relaxed) >> TICK_SHIFT
    }

    /// Sets [`CellRef::tick`]. Two at once may leave another tick, which costs a use that is not
    /// told, or told twice.
    pub(super) fn set_tick(&self, tick: u32) {
        let step = tick.wrapping_sub(self.tick()) << TICK_SHIFT;
        self.0.leases.fetch_add(step, Ordering::Relaxed);
    }

    /// Charges something else from now on. The caller holds the key's stripe.
    pub(super) fn recharge(&self, charge: u32) {
        let old = self.0.charge.swap(charge, Ordering::Relaxed);
        self.0.ledger.recharge(old, charge);
    }

    /// Takes the cell off the books and its value out of memory. The caller holds the key's stripe
    /// and takes the cell out of the index as well; readers that found it before look at
    /// [`CellRef::is_retired`].
    pub(super) fn retire(&self, state: &mut State) {
        let charge = self.0.charge.swap(0, Ordering::Relaxed);
        if charge != 0 {
            self.0.ledger.remove_item(charge);
        }
        state.value = Value::empty();
    }

    /// Whether the item was removed or evicted.
    pub(super) fn is_retired(&self) -> bool {
        self.charge() == 0
    }
}

/// A reference that keeps the item in its cell: the index has one, and so has who is using it.
pub(super) struct Lease(CellRef);

impl Lease {
    pub(super) fn new(cell: &CellRef) -> Lease {
        cell.0.leases.fetch_add(1, Ordering::Relaxed);
        Lease(cell.clone())
    }
}

impl Clone for Lease {
    fn clone(&self) -> Lease {
        Lease::new(&self.0)
    }
}

impl std::ops::Deref for Lease {
    type Target = CellRef;

    fn deref(&self) -> &CellRef {
        &self.0
    }
}

impl Drop for Lease {
    /// An item whose last lease goes without its having been removed was evicted.
    fn drop(&mut self) {
        let cell = &self.0.0;
        if cell.leases.fetch_sub(1, Ordering::AcqRel) & LEASES > 1 {
            return;
        }
        let mut state = cell.state.lock();
        if cell.leases.load(Ordering::Acquire) & LEASES != 0 {
            // A writer found the cell in between; its lease is the last one now.
            return;
        }
        let charge = cell.charge.swap(0, Ordering::Relaxed);
        if charge == 0 {
            return;
        }
        let value = mem::replace(&mut state.value, Value::empty());
        let meta = state.meta();
        drop(state);
        let evicted = Evicted { key: self.0.key(), len: value.len(), meta };
        cell.ledger.evict_item(charge, evicted);
    }
}

impl PartialEq for CellRef {
    fn eq(&self, other: &CellRef) -> bool {
        self.key() == other.key()
    }
}

impl Eq for CellRef {}

impl Hash for CellRef {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key().hash(hasher);
    }
}

impl std::borrow::Borrow<[u8]> for CellRef {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

/// An item as a callback sees it. `S` is `&State` or `&mut State`.
pub(super) struct Lent<'a, S> {
    pub(super) key: &'a [u8],
    pub(super) state: S,
}

impl<S: std::ops::Deref<Target = State>> ItemRef for Lent<'_, S> {
    fn key(&self) -> &[u8] {
        self.key
    }

    fn value(&self) -> &[u8] {
        self.state.value.as_slice()
    }

    fn shared_value(&self) -> Option<Bytes> {
        self.state.value.shared()
    }

    fn meta(&self) -> Meta {
        self.state.meta()
    }
}

impl ItemMut for Lent<'_, &mut State> {
    fn set_expiry(&mut self, expiry: Expiry) {
        self.state.expiry = expiry;
    }

    fn set_win_sent(&mut self) {
        self.state.mark(Mark::WinSent, true);
    }
}
