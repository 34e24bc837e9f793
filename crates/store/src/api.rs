//! The interface between the server and an engine: the operations of a store and their results.
//!
//! Every operation is one atomic step for its key: no other operation on that key sees or makes a
//! state in between. Keys and values go in as bytes. A callback borrows the result; it runs
//! while the engine still holds the item. So an engine may keep values in any kind of memory, and a
//! hit needs no second copy. A callback must be short and must not call the store.
//!
//! This module does not depend on the wire protocol, sockets or a clock.

use std::sync::Arc;

use crate::{Expiry, LargeValue, Piece, Seconds};

/// Longest key in bytes (memcached's `KEY_MAX_LENGTH`).
pub const MAX_KEY_LEN: usize = 250;

/// A CAS unique: differs between any two states of any key for the life of the store, unless a
/// client chose one itself. The store never assigns 0, which means "no CAS to compare with".
pub type Cas = u64;

/// An item's metadata: everything except its key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The client's own 32 bits.
    pub flags: u32,
    /// Identifies this state of the item.
    pub cas: Cas,
    /// The item's time of expiry.
    pub expiry: Expiry,
    /// Time of the last counted access, or of the store if there was none.
    pub last_access: Seconds,
    /// Whether it has been read since it was stored.
    pub fetched: bool,
    /// Marked stale by a meta delete with `I`: still served, and due for a refill.
    pub stale: bool,
    /// A client already holds the right to recache the item.
    pub win_sent: bool,
    /// The key came base64-encoded and goes out that way in meta answers.
    pub binary_key: bool,
}

/// A value borrowed by a callback: counted pieces, if the value is so large that copying costs more
/// than counting, followed by the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct ValueRef<'a> {
    pieces: &'a [Piece],
    rest: &'a [u8],
    len: usize,
}

impl<'a> ValueRef<'a> {
    /// A value in one piece without a reference count.
    #[inline]
    pub fn whole(value: &'a [u8]) -> ValueRef<'a> {
        ValueRef { pieces: &[], rest: value, len: value.len() }
    }

    /// A value that begins with `pieces`, of `len` bytes in total, and ends with `rest`.
    pub(crate) fn pieced(pieces: &'a [Piece], len: usize, rest: &'a [u8]) -> ValueRef<'a> {
        ValueRef { pieces, rest, len: len + rest.len() }
    }

    /// Bytes of the whole value.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value's counted pieces, to write them without a copy; empty if the value is cheaper to
    /// copy.
    #[inline]
    pub fn pieces(&self) -> &'a [Piece] {
        self.pieces
    }

    /// The bytes after the pieces.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Appends a copy of the value to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.len);
        for piece in self.pieces {
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(self.rest);
    }

    /// A copy of the value.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = Vec::new();
        self.copy_to(&mut copy);
        copy
    }
}

/// An item borrowed by a callback.
pub trait ItemRef {
    /// The key as stored.
    fn key(&self) -> &[u8];
    /// The value as stored.
    fn value(&self) -> ValueRef<'_>;
    /// The item's metadata.
    fn meta(&self) -> Meta;
}

/// An item borrowed for changes in place; its key stays locked meanwhile.
pub trait ItemMut: ItemRef {
    /// Sets another time of expiry.
    fn set_expiry(&mut self, expiry: Expiry);
    /// Records that one client now holds the right to recache it.
    fn set_win_sent(&mut self);
}

/// The reason why there was no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The key is absent, or a [`Store::forget`] covers it.
    Absent,
    /// The item was there, but past its expiry.
    Expired,
    /// The item was there, but stored before a flush.
    Flushed,
}

/// The condition of a write, and its treatment of the present value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Store unconditionally.
    Set,
    /// Store if the key is absent; if it is present, refresh its recency.
    Add,
    /// Store if the key is present.
    Replace,
    /// Append to the present value, which keeps its flags and expiry.
    Append,
    /// Prepend to the present value, which keeps its flags and expiry.
    Prepend,
    /// Store if the key is present with exactly the CAS given in [`Write::compare`].
    Cas,
}

/// A value to store.
#[derive(Clone, Debug)]
pub enum NewValue<'a> {
    /// Borrowed from the read buffer: the engine copies it.
    Slice(&'a [u8]),
    /// Large, and already in pieces: the engine takes over the pieces and the memory reserved for
    /// them.
    Large(LargeValue),
}

impl NewValue<'_> {
    /// Bytes of the value.
    pub fn len(&self) -> usize {
        match self {
            NewValue::Slice(slice) => slice.len(),
            NewValue::Large(value) => value.len(),
        }
    }

    /// Whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a copy of the value to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        match self {
            NewValue::Slice(slice) => out.extend_from_slice(slice),
            NewValue::Large(value) => value.copy_to(out),
        }
    }

    /// A copy of the value.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = Vec::new();
        self.copy_to(&mut copy);
        copy
    }
}

/// One storage request.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// 1 to [`MAX_KEY_LEN`] bytes.
    pub key: &'a [u8],
    /// The value; for append and prepend, the part to add.
    pub value: NewValue<'a>,
    /// The client's flags for a new item.
    pub flags: u32,
    /// Expiry for a new item.
    pub expiry: Expiry,
    /// The mode of storing.
    pub mode: Mode,
    /// CAS to compare with, 0 for none. Set, add and replace ignore it; append and prepend answer
    /// [`WriteResult::Exists`] if it differs.
    pub compare: Cas,
    /// CAS of the new state, instead of one from the store's counter (meta `E`).
    pub new_cas: Option<Cas>,
    /// Meta `I` with [`Mode::Cas`]: a compare value *lower* than the item's CAS stores as well. The
    /// item then keeps its expiry and its win state, and is marked stale.
    pub accept_stale: bool,
    /// Append or prepend to an absent key stores the part alone, with this expiry (meta `N`).
    pub vivify: Option<Expiry>,
    /// See [`Meta::binary_key`].
    pub binary_key: bool,
}

impl<'a> Write<'a> {
    /// A plain request: no flags, no expiry, nothing to compare with.
    #[inline]
    pub fn plain(mode: Mode, key: &'a [u8], value: NewValue<'a>) -> Write<'a> {
        Write {
            key,
            value,
            flags: 0,
            expiry: Expiry::NEVER,
            mode,
            compare: 0,
            new_cas: None,
            accept_stale: false,
            vivify: None,
            binary_key: false,
        }
    }
}

/// The result of a [`Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// The value is stored.
    Stored {
        /// CAS of the new state.
        cas: Cas,
        /// Bytes of the whole value, after any append or prepend.
        len: usize,
    },
    /// The condition of add, replace, append or prepend does not hold.
    NotStored,
    /// The CAS differs.
    Exists,
    /// The write compares a CAS, and the key is absent.
    NotFound,
    /// The item is larger than the store allows. For [`Mode::Set`] the store drops the old item, so
    /// that no client reads a value that its owner believes replaced.
    TooLarge,
    /// Evictions are off and the budget is spent. As with `TooLarge`, a set drops the old item.
    NoMemory,
}

/// One increment or decrement.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    /// Add if true (wraps at 2^64), else subtract (stops at 0).
    pub increment: bool,
    /// The amount to add or subtract.
    pub delta: u64,
    /// CAS to compare with, 0 for none.
    pub compare: Cas,
    /// CAS of the new state, instead of one from the store's counter.
    pub new_cas: Option<Cas>,
    /// If the key is absent, store this number (no flags; never expires unless the callback sets an
    /// expiry).
    pub vivify: Option<u64>,
}

/// The result of an [`Arithmetic`]; `R` is what the callback returned for the new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticResult<R> {
    /// The item holds the new number, which the callback received.
    Done(R),
    /// The key was absent and holds the initial number.
    Created(R),
    /// The key is absent.
    NotFound,
    /// The value is not a decimal number that fits 64 bits.
    NonNumeric,
    /// The CAS differs.
    Exists,
    /// See [`WriteResult::NoMemory`].
    NoMemory,
}

/// The options of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete {
    /// CAS to compare with; `None` for none. Unlike in other requests, 0 is compared as well.
    pub compare: Option<Cas>,
    /// Keep the item, mark it stale, give it a new CAS and clear its win state (meta `I`).
    pub mark_stale: bool,
    /// With `mark_stale`: the new expiry (meta `T`).
    pub expiry: Option<Expiry>,
    /// Keep the key with an empty value and these client flags, instead of removing it (meta `x`
    /// and `F`). The item expires at `expiry`, or never. Without `mark_stale` it keeps its CAS, or
    /// gets `new_cas`.
    pub drop_value: Option<u32>,
    /// CAS of the new state, if an item remains (meta `E`).
    pub new_cas: Option<Cas>,
}

impl Delete {
    /// Remove the key, whatever its state.
    pub const PLAIN: Delete =
        Delete { compare: None, mark_stale: false, expiry: None, drop_value: None, new_cas: None };
}

/// The result of a [`Delete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteResult {
    /// The item is removed or marked.
    Deleted {
        /// Bytes of the value before the delete.
        len: usize,
    },
    /// The key is absent.
    NotFound,
    /// The CAS differs.
    Exists,
}

/// The options of a meta get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaGet {
    /// Count the read as an access: recency, `last_access` and `fetched` change *after* the
    /// callback ran.
    pub bump: bool,
    /// On a miss, create an empty item (no flags; never expires unless the callback sets an expiry)
    /// and tell the callback that the item is new.
    pub vivify: bool,
    /// CAS of a created item, instead of one from the store's counter.
    pub new_cas: Option<Cas>,
}

/// An evicted item, as the observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct Evicted<'a> {
    /// The item's key.
    pub key: &'a [u8],
    /// Length of its value in bytes.
    pub len: usize,
    /// The item's metadata.
    pub meta: Meta,
}

/// Called for every eviction, on the thread that evicts. Must be cheap.
pub type EvictionObserver = Box<dyn Fn(Evicted<'_>) + Send + Sync>;

/// A predicate on keys. It may run while an engine holds locks, on any thread and many times for
/// one key. It must always give the same answer, take little time and not call the store.
pub type KeyPredicate = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The limits that an engine is built with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Budget in bytes: keys, values and all bookkeeping.
    pub max_bytes: u64,
    /// Largest item in bytes as memcached counts it: see [`memcached_item_size`].
    pub max_item: u64,
    /// Evict items to make room; if false, a full store answers [`WriteResult::NoMemory`].
    pub evict: bool,
}

/// Bytes that memcached 1.6 would need for such an item: its header, key, flags, value and two line
/// ends. `-I` limits this size, and `me` and metadump report it, so that limits and figures mean
/// the same as in memcached.
pub fn memcached_item_size(key_len: usize, flags: u32, value_len: usize) -> usize {
    const HEADER: usize = 48;
    const CAS: usize = 8;
    let flags = if flags == 0 { 0 } else { 4 };
    HEADER + CAS + key_len + 1 + flags + value_len + 2
}

/// Counts and sizes of a store at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Items held, including dead ones that no operation has met yet.
    pub items: u64,
    /// Items stored since start (not reset).
    pub total_items: u64,
    /// Bytes charged against the budget.
    pub bytes: u64,
    /// Bytes of the budget in use: charged bytes and the free parts of the memory that holds them.
    pub held: u64,
    /// The budget in bytes.
    pub max_bytes: u64,
    /// Evicted items.
    pub evictions: u64,
    /// Evicted items that were never read.
    pub evicted_unfetched: u64,
    /// Evicted items that had an expiry.
    pub evicted_nonzero: u64,
    /// Seconds since the last access of the last evicted item.
    pub evicted_time: u64,
    /// Dead items removed: met by an operation or found by a sweep.
    pub reclaimed: u64,
    /// Expired items removed that were never read.
    pub expired_unfetched: u64,
    /// Expired items that an operation on their key met.
    pub met_expired: u64,
    /// Items stored before a flush that an operation on their key met.
    pub met_flushed: u64,
    /// Dead items that a sweep removed.
    pub sweep_reclaimed: u64,
    /// Items that sweeps examined.
    pub sweep_checked: u64,
    /// Writes refused for lack of memory.
    pub out_of_memory: u64,
}

/// A position in a visit by steps. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The number of a shard.
    pub(crate) shard: usize,
    /// The first tag in that shard that is still to be visited.
    pub(crate) tag: u32,
}

/// The result of a new budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeResult {
    /// The new budget applies.
    Done,
    /// The engine cannot apply it.
    Refused,
}

/// A cache engine. The module's documentation states what holds for every operation.
pub trait Store: Send + Sync + 'static {
    /// Reads an item and counts the access.
    fn get<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss>;

    /// Reads an item without counting the access and without any effect on it.
    fn peek<R>(
        &self,
        key: &[u8],
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss>;

    /// Reads an item, counts the access and sets another expiry.
    fn get_and_touch<R>(
        &self,
        key: &[u8],
        expiry: Expiry,
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss>;

    /// Meta get: reads or creates an item and lends it for changes. The callback's second argument
    /// says whether this call created the item.
    fn meta_get<R>(
        &self,
        key: &[u8],
        how: MetaGet,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut dyn ItemMut, bool) -> R,
    ) -> Result<R, Miss>;

    /// Stores a value under the condition of [`Write::mode`].
    fn write(&self, write: Write<'_>, now: Seconds) -> WriteResult;

    /// Adds to or subtracts from a decimal number. The value keeps its length unless the result is
    /// longer: a shorter result is padded with trailing spaces. The callback gets the item in its
    /// new state, the number, and whether this call created the item.
    fn arithmetic<R>(
        &self,
        key: &[u8],
        how: Arithmetic,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut dyn ItemMut, u64, bool) -> R,
    ) -> ArithmeticResult<R>;

    /// Deletes an item, or marks it stale.
    fn delete(&self, key: &[u8], how: Delete, now: Seconds) -> DeleteResult;

    /// Sets another expiry and counts an access. Returns false on a miss.
    fn touch(&self, key: &[u8], expiry: Expiry, now: Seconds) -> bool;

    /// Removes, from the second `at` on, everything stored before `at`. If `at <= now` this acts at
    /// once and on exactly what is stored now. A later call replaces an earlier one that is still
    /// due.
    fn flush(&self, at: Seconds, now: Seconds);

    /// Forgets every item stored so far whose key matches `lost`, as if deleted: at once, for every
    /// operation, and without visiting the store. Items stored later are not affected, whatever
    /// their key. A store that runs during this call comes, as one step, before it or after it. So
    /// does an update derived from an older value, such as an append.
    ///
    /// A read of such an item is [`Miss::Absent`], unless a flush came since. A sweep removes the
    /// items that no operation meets. The store drops the predicate when a sweep that began after
    /// this call has covered everything; until then it applies the predicate to every older item
    /// that it meets.
    fn forget(&self, lost: KeyPredicate, now: Seconds);

    /// Visits items one by one without blocking other operations. The visit meets every living item
    /// exactly once; an item stored or removed meanwhile may or may not be met. The visitor returns
    /// whether to go on. It runs outside all locks and may take its time. No access is counted.
    fn for_each(&self, now: Seconds, visit: &mut dyn FnMut(&dyn ItemRef) -> bool);

    /// One step of such a visit: visits a few dozen items and returns the start of the next step,
    /// `None` after the last. The store holds nothing between steps, so a caller may pause as long
    /// as it likes.
    fn visit_some(
        &self,
        from: Cursor,
        now: Seconds,
        visit: &mut dyn FnMut(&dyn ItemRef),
    ) -> Option<Cursor>;

    /// Removes dead items, in steps short enough not to delay other operations; returns how many.
    fn sweep(&self, now: Seconds) -> u64;

    /// Sets another budget and evicts down to it if needed.
    fn resize(&self, max_bytes: u64) -> ResizeResult;

    /// The store's counters at this moment.
    fn counters(&self) -> Counters;

    /// Resets the counters of events, but not those of state, to zero.
    fn reset_counters(&self);

    /// Recounts all bookkeeping and panics with a message if it does not add up. For tests: it may
    /// be slow and expects no concurrent use.
    fn validate(&self, now: Seconds);
}
