//! The seam between the server and an engine: what a store can be asked, and what it answers.
//!
//! Every operation is one atomic step for its key: no other operation on that key sees or makes a
//! state in between. Keys and values go in as bytes; what comes out is lent to a callback that
//! runs while the engine still holds the item, so an engine may keep values in whatever memory it
//! likes and a hit need not be copied twice. A callback must be short and must not call the store.
//!
//! Nothing here knows a word of the wire protocol, a socket or a clock.

use std::sync::Arc;

use crate::{Expiry, LargeValue, Piece, Seconds};

/// Longest key in bytes (memcached's `KEY_MAX_LENGTH`).
pub const MAX_KEY_LEN: usize = 250;

/// A CAS unique: differs between any two states of any key for the life of the store, except where
/// a client chose one itself. 0 is never handed out and means "no CAS asked for".
pub type Cas = u64;

/// What is known of an item besides its key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The client's own 32 bits.
    pub flags: u32,
    /// Identifies this state of the item.
    pub cas: Cas,
    /// When it dies.
    pub expiry: Expiry,
    /// Last access that counted as one, or when it was stored.
    pub last_access: Seconds,
    /// Whether it has been read since it was stored.
    pub fetched: bool,
    /// Marked stale by a meta delete with `I`: still served, wants a refill.
    pub stale: bool,
    /// Somebody already holds the right to recache it.
    pub win_sent: bool,
    /// The key came base64-encoded and goes out that way in meta answers.
    pub binary_key: bool,
}

/// A value lent to a callback: counted pieces, if it is so large that copying costs more than
/// counting, and behind them the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct ValueRef<'a> {
    pieces: &'a [Piece],
    rest: &'a [u8],
    len: usize,
}

impl<'a> ValueRef<'a> {
    /// A value in one piece that is not counted.
    #[inline]
    pub fn whole(value: &'a [u8]) -> ValueRef<'a> {
        ValueRef { pieces: &[], rest: value, len: value.len() }
    }

    /// A value whose `pieces` come first, which have `len` bytes.
    pub(crate) fn pieced(pieces: &'a [Piece], len: usize, rest: &'a [u8]) -> ValueRef<'a> {
        ValueRef { pieces, rest, len: len + rest.len() }
    }

    /// Bytes of the whole value.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its counted pieces, for writing them without a copy; none for a value that is better copied.
    #[inline]
    pub fn pieces(&self) -> &'a [Piece] {
        self.pieces
    }

    /// What follows the pieces.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Appends a copy of it to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.len);
        for piece in self.pieces {
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(self.rest);
    }

    /// A copy of it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = Vec::new();
        self.copy_to(&mut copy);
        copy
    }
}

/// An item lent to a callback.
pub trait ItemRef {
    /// The key as stored.
    fn key(&self) -> &[u8];
    /// The value as stored.
    fn value(&self) -> ValueRef<'_>;
    /// Everything else.
    fn meta(&self) -> Meta;
}

/// An item lent for changing in place, its key locked meanwhile.
pub trait ItemMut: ItemRef {
    /// Gives it another time to die.
    fn set_expiry(&mut self, expiry: Expiry);
    /// Records that one client now holds the right to recache it.
    fn set_win_sent(&mut self);
}

/// Why there was nothing to lend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The key is not there, or was told to be forgotten.
    Absent,
    /// It was there, past its expiry.
    Expired,
    /// It was there, from before a flush.
    Flushed,
}

/// The way a value meets what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Store in any case.
    Set,
    /// Store if the key is absent; if present its recency is refreshed.
    Add,
    /// Store if the key is present.
    Replace,
    /// Put behind the value there; keeps its flags and expiry.
    Append,
    /// Put before the value there; keeps its flags and expiry.
    Prepend,
    /// Store if the key is present with exactly the CAS given in [`Write::compare`].
    Cas,
}

/// A value on its way in.
#[derive(Clone, Debug)]
pub enum NewValue<'a> {
    /// Borrowed from the read buffer: the engine copies it.
    Slice(&'a [u8]),
    /// Large, and cut up already: the engine takes its pieces over, and the room that was kept for it.
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

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a copy of it to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        match self {
            NewValue::Slice(slice) => out.extend_from_slice(slice),
            NewValue::Large(value) => value.copy_to(out),
        }
    }

    /// A copy of it.
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
    /// The value, or for append and prepend the part to add.
    pub value: NewValue<'a>,
    /// The client's flags for a new item.
    pub flags: u32,
    /// Expiry for a new item.
    pub expiry: Expiry,
    /// How to store it.
    pub mode: Mode,
    /// CAS to compare with, 0 for none. Set, add and replace ignore it; append and prepend answer
    /// [`WriteResult::Exists`] when it differs.
    pub compare: Cas,
    /// CAS the new state gets in place of one from the store's counter (meta `E`).
    pub new_cas: Option<Cas>,
    /// Meta `I` with [`Mode::Cas`]: a compare value *lower* than the item's CAS stores as well, and
    /// the item keeps its expiry, is marked stale and keeps its win state.
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

/// What became of a [`Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// Stored; the CAS of the new state and the length of its value in bytes.
    Stored {
        /// CAS of the new state.
        cas: Cas,
        /// Bytes of the whole value, after appending where that was asked for.
        len: usize,
    },
    /// The condition of add, replace, append or prepend was not met.
    NotStored,
    /// The compare CAS differed.
    Exists,
    /// A compare was asked for and the key is absent.
    NotFound,
    /// Larger than the store takes. For [`Mode::Set`] the old item, if any, is gone, so that nobody
    /// reads a value that its owner believes replaced.
    TooLarge,
    /// Evictions are off and the budget is spent. As with `TooLarge`, a set drops the old item.
    NoMemory,
}

/// One increment or decrement.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    /// Add if true (wraps at 2^64), else subtract (stops at 0).
    pub increment: bool,
    /// By how much.
    pub delta: u64,
    /// CAS to compare with, 0 for none.
    pub compare: Cas,
    /// CAS for the new state in place of the store's own.
    pub new_cas: Option<Cas>,
    /// On an absent key store this number instead (no flags; expiry never until the callback sets
    /// another).
    pub vivify: Option<u64>,
}

/// What became of an [`Arithmetic`]; `R` is what the callback made of the new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticResult<R> {
    /// The number is now that which the callback was given.
    Done(R),
    /// The key was absent and now holds the initial number.
    Created(R),
    /// The key is absent.
    NotFound,
    /// The value is not a decimal number that fits 64 bits.
    NonNumeric,
    /// The compare CAS differed.
    Exists,
    /// See [`WriteResult::NoMemory`].
    NoMemory,
}

/// How a delete deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete {
    /// CAS to compare with; `None` for none. Unlike elsewhere 0 is compared as well.
    pub compare: Option<Cas>,
    /// Keep the item, marked stale with a new CAS and its win state cleared (meta `I`).
    pub mark_stale: bool,
    /// With `mark_stale`: another expiry (meta `T`).
    pub expiry: Option<Expiry>,
    /// Keep the key with an empty value and these client flags in place of removing it (meta `x`
    /// and `F`). Its expiry is `expiry` or never. Without `mark_stale` its CAS is that of the item
    /// before, or `new_cas`.
    pub drop_value: Option<u32>,
    /// CAS for the new state where one remains (meta `E`).
    pub new_cas: Option<Cas>,
}

impl Delete {
    /// Remove the key, whatever its state.
    pub const PLAIN: Delete =
        Delete { compare: None, mark_stale: false, expiry: None, drop_value: None, new_cas: None };
}

/// What became of a [`Delete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteResult {
    /// Removed, or marked; length in bytes of the value that was there.
    Deleted {
        /// Bytes of the value before.
        len: usize,
    },
    /// The key is absent.
    NotFound,
    /// The compare CAS differed.
    Exists,
}

/// How a meta get reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaGet {
    /// Count it as an access: recency, `last_access` and `fetched` change *after* the callback ran.
    pub bump: bool,
    /// On a miss create an empty item, no flags, expiry never until the callback sets another; the
    /// callback is told that it is new.
    pub vivify: bool,
    /// CAS for a created item in place of the store's own.
    pub new_cas: Option<Cas>,
}

/// An item that left because room was needed, as the observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct Evicted<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Length of its value in bytes.
    pub len: usize,
    /// What was known of it.
    pub meta: Meta,
}

/// Called for every eviction, on whichever thread evicts. Must be cheap.
pub type EvictionObserver = Box<dyn Fn(Evicted<'_>) + Send + Sync>;

/// Says yes or no to a key. It may run while an engine holds locks, on any thread and many times for
/// one key: it must always give the same answer, take little time and not call the store.
pub type KeyPredicate = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What an engine is built from.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Budget in bytes: keys, values and all bookkeeping.
    pub max_bytes: u64,
    /// Largest item in bytes as memcached counts it: see [`memcached_item_size`].
    pub max_item: u64,
    /// Evict to make room; if false a full store answers [`WriteResult::NoMemory`].
    pub evict: bool,
}

/// Bytes memcached 1.6 would need for such an item: its header, key, flags, value and two line
/// ends. `-I` is compared with this, and `me` and metadump report it, so that limits and figures
/// mean what they mean there.
pub fn memcached_item_size(key_len: usize, flags: u32, value_len: usize) -> usize {
    const HEADER: usize = 48;
    const CAS: usize = 8;
    let flags = if flags == 0 { 0 } else { 4 };
    HEADER + CAS + key_len + 1 + flags + value_len + 2
}

/// Figures of a store at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Items held, dead ones that nobody has met yet included.
    pub items: u64,
    /// Items stored since start (not reset).
    pub total_items: u64,
    /// Bytes charged against the budget.
    pub bytes: u64,
    /// Bytes taken of the budget: what is charged, and what is free in the memory that holds it.
    pub held: u64,
    /// The budget.
    pub max_bytes: u64,
    /// Items that left to make room.
    pub evictions: u64,
    /// Of those, never read.
    pub evicted_unfetched: u64,
    /// Of those, with an expiry.
    pub evicted_nonzero: u64,
    /// Seconds since the last access of the item evicted last.
    pub evicted_time: u64,
    /// Items removed because they were dead: met by an operation or found by a sweep.
    pub reclaimed: u64,
    /// Of those found dead of age, never read.
    pub expired_unfetched: u64,
    /// Items that an operation on their key met past their expiry.
    pub met_expired: u64,
    /// Items that an operation on their key met from before a flush.
    pub met_flushed: u64,
    /// Of those, found by a sweep.
    pub sweep_reclaimed: u64,
    /// Items looked at by sweeps.
    pub sweep_checked: u64,
    /// Writes refused for want of memory.
    pub out_of_memory: u64,
}

/// How far a visit in steps has come. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The engine's own division of its keys.
    pub(crate) place: usize,
    /// Where in it.
    pub(crate) tag: u32,
}

/// What a new budget came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeResult {
    /// In force.
    Done,
    /// The engine cannot take it.
    Refused,
}

/// A cache engine. See the module's documentation for what holds for every operation.
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

    /// Reads an item, counts the access and gives it another expiry.
    fn get_and_touch<R>(
        &self,
        key: &[u8],
        expiry: Expiry,
        now: Seconds,
        f: impl FnOnce(&dyn ItemRef) -> R,
    ) -> Result<R, Miss>;

    /// Meta get: reads or creates an item and lends it for changing. The callback's second
    /// argument says whether the item was created just now.
    fn meta_get<R>(
        &self,
        key: &[u8],
        how: MetaGet,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut dyn ItemMut, bool) -> R,
    ) -> Result<R, Miss>;

    /// Stores, or does not, as [`Write::mode`] says.
    fn write(&self, write: Write<'_>, now: Seconds) -> WriteResult;

    /// Adds to or subtracts from a decimal number. The value keeps its length while the result is
    /// not longer (padded with spaces behind), and grows otherwise. The callback gets the item in
    /// its new state, the number, and whether the item was created just now.
    fn arithmetic<R>(
        &self,
        key: &[u8],
        how: Arithmetic,
        binary_key: bool,
        now: Seconds,
        f: impl FnOnce(&mut dyn ItemMut, u64, bool) -> R,
    ) -> ArithmeticResult<R>;

    /// Deletes, or marks stale.
    fn delete(&self, key: &[u8], how: Delete, now: Seconds) -> DeleteResult;

    /// Gives an item another expiry and counts an access. False on a miss.
    fn touch(&self, key: &[u8], expiry: Expiry, now: Seconds) -> bool;

    /// Everything stored before `at` is gone from `at` on. `at <= now` acts at once and on exactly
    /// what is stored now; a later call replaces an earlier one that is still due.
    fn flush(&self, at: Seconds, now: Seconds);

    /// Every item stored so far whose key `lost` says yes to is gone from now on, as if deleted, at
    /// once for every operation and without visiting the store. Items stored from now on are not
    /// touched, whatever their key. What is stored while this call runs is, as one step, before it
    /// or after it; so is what is made of an older value, such as by an append.
    ///
    /// A read of such an item is [`Miss::Absent`], unless a flush came since. What no operation
    /// meets is removed by a sweep. The predicate is dropped once a sweep that began after this call
    /// has gone over everything; until then it is asked for every item stored before that is met.
    fn forget(&self, lost: KeyPredicate, now: Seconds);

    /// Visits items one by one without stopping anybody: what is stored or removed meanwhile may or
    /// may not be met, everything else that is alive is met exactly once. The visitor says whether
    /// to go on; it runs outside of all locks and may take its time. No access is counted.
    fn for_each(&self, now: Seconds, visit: &mut dyn FnMut(&dyn ItemRef) -> bool);

    /// One step of such a visit: visits some dozens of items and says where the next step begins, `None`
    /// behind the last. Nothing is held between steps, so that whoever takes them may take as long as
    /// it likes.
    fn visit_some(
        &self,
        from: Cursor,
        now: Seconds,
        visit: &mut dyn FnMut(&dyn ItemRef),
    ) -> Option<Cursor>;

    /// Removes what is dead, in steps that hold nobody up; returns how many items went.
    fn sweep(&self, now: Seconds) -> u64;

    /// Sets another budget, evicting down to it where needed.
    fn resize(&self, max_bytes: u64) -> ResizeResult;

    /// Figures at this moment.
    fn counters(&self) -> Counters;

    /// Sets the counters of events, not those of state, back to zero.
    fn reset_counters(&self);

    /// Recounts all bookkeeping and panics with a sentence where it does not add up. For tests: it
    /// may be slow and expects no concurrent use.
    fn validate(&self, now: Seconds);
}
