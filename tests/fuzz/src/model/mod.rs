//! A cache as memcached's protocol describes it: a map from key to item, one request at a time, no
//! thought of speed, memory or sockets.
//!
//! Where the protocol leaves room, or memcached's own behaviour is an accident of its storage, this
//! is what counts:
//!
//! - An item is there up to the second before its exptime, and what was stored before a flush is
//!   gone from the flush's second on.
//! - Every read but those with `u` is an access: it sets `h` and restarts `l`, after the answer.
//! - An item stored under a base64 key stays one through appends and increments.
//! - Flags and times of an item survive an increment that makes its number longer.

mod classic;
mod item;
mod meta;

use std::collections::BTreeMap;

use crate::answer::{Answer, Cas, CasBook};
use crate::request::{MAX_KEY_LEN, MetaKey, Request};

pub use item::{Item, deadline};

/// What an item may measure, and how large one is for that purpose: as memcached counts.
pub fn item_size(key: &[u8], flags: u32, value_len: usize) -> usize {
    const HEADER_WITH_CAS: usize = 56;
    const LINE_END: usize = 2;
    let flags = if flags == 0 { 0 } else { 4 };
    HEADER_WITH_CAS + key.len() + 1 + flags + value_len + LINE_END
}

pub(crate) const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format";
pub(crate) const TOO_LARGE: &str = "SERVER_ERROR object too large for cache";
pub(crate) const BAD_CHUNK: &str = "CLIENT_ERROR bad data chunk";
pub(crate) const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value";

/// The cache.
#[derive(Debug)]
pub struct Model {
    now: u64,
    max_item: usize,
    items: BTreeMap<Vec<u8>, Item>,
    /// The second from which on all that is stored before it is gone.
    flush_at: Option<u64>,
    book: CasBook,
}

impl Model {
    /// An empty cache, at a Unix second, for items up to a size (see [`item_size`]).
    pub fn new(now: u64, max_item: usize) -> Model {
        Model { now, max_item, items: BTreeMap::new(), flush_at: None, book: CasBook::default() }
    }

    /// The time.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What is known of CAS uniques.
    pub fn book(&mut self) -> &mut CasBook {
        &mut self.book
    }

    /// The number of the CAS unique a key's item has now, where both are known.
    pub fn cas_of(&self, key: &[u8]) -> Option<u64> {
        self.book.number(self.items.get(key)?.cas)
    }

    /// The numbers of the CAS uniques that answers have shown.
    pub fn known_cas(&self) -> Vec<u64> {
        self.book.known().collect()
    }

    /// The seconds at which items die, in the order of their keys.
    pub fn deadlines(&self) -> impl Iterator<Item = u64> {
        self.items.values().map(|item| item.expiry).filter(|&expiry| expiry > self.now)
    }

    /// Lets time pass.
    pub fn advance(&mut self, seconds: u32) {
        self.now += u64::from(seconds);
        if self.flush_at.is_some_and(|at| at <= self.now) {
            self.flush_at = None;
            self.items.clear();
        }
        let now = self.now;
        self.items.retain(|_, item| !item.is_dead(now));
    }

    /// Whether there is an item under a key.
    pub fn holds(&self, key: &[u8]) -> bool {
        self.items.contains_key(key)
    }

    /// Takes an item out, as an eviction does.
    pub fn evict(&mut self, key: &[u8]) {
        self.items.remove(key);
    }

    /// Carries out a request and says what is answered.
    pub fn apply(&mut self, request: &Request) -> Answer {
        match request {
            Request::Store { noreply, .. }
            | Request::Delete { noreply, .. }
            | Request::Arithmetic { noreply, .. }
            | Request::Touch { noreply, .. }
            | Request::FlushAll { noreply, .. } => {
                let line = self.classic(request);
                if *noreply { Answer::default() } else { Answer::line(&line) }
            }
            Request::Get { exptime, with_cas, keys } => self.get(*exptime, *with_cas, keys),
            Request::MetaGet(meta) => self.meta_get(meta),
            Request::MetaStore(meta, block) => self.meta_store(meta, block),
            Request::MetaDelete(meta) => self.meta_delete(meta),
            Request::MetaArithmetic(meta) => self.meta_arithmetic(meta),
            Request::MetaNoop => Answer::line("MN"),
            Request::MetaDebug(key) => self.meta_debug(key),
            Request::Fixed { answer, .. } => {
                let mut fixed = Answer::default();
                fixed.push(answer);
                fixed
            }
        }
    }

    fn flush(&mut self, delay: i64) {
        match delay {
            ..=0 => self.flush_at = Some(self.now),
            _ => self.flush_at = Some(deadline(delay, self.now)),
        }
        self.advance(0);
    }

    /// Puts an item under a key; one whose exptime has passed is not to be seen again.
    fn put(&mut self, key: &[u8], item: Item) {
        self.items.insert(key.to_vec(), item);
        self.bury(key);
    }

    /// Removes the item under a key if it is dead.
    fn bury(&mut self, key: &[u8]) {
        if self.items.get(key).is_some_and(|item| item.is_dead(self.now)) {
            self.items.remove(key);
        }
    }

    fn is_too_large(&self, key: &[u8], flags: u32, len: usize) -> bool {
        item_size(key, flags, len) > self.max_item
    }

    fn new_cas(&mut self, chosen: Option<u64>) -> Cas {
        chosen.map_or_else(|| self.book.issue(), Cas::Chosen)
    }
}

/// Whether a key may stand on a classic line.
fn is_key(key: &[u8]) -> bool {
    key.len() <= MAX_KEY_LEN && key.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// Whether a key may stand on a meta line.
fn is_meta_key(key: &MetaKey) -> bool {
    key.word().len() <= MAX_KEY_LEN && (key.base64 || is_key(&key.bytes))
}
