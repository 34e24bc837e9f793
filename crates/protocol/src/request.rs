//! What a read buffer can hold: one request, or the reason why it holds none.

use crate::Refusal;
use crate::admin::Admin;
use crate::classic::{Arithmetic, Delete, Get, Store, Touch, Verb};
use crate::meta::{Meta, MetaArithmetic, MetaKey, MetaStore};
use crate::ring::RingRequest;

/// What the front of a read buffer holds.
#[derive(Clone, Debug)]
pub enum Parsed<'a> {
    /// Not a whole line yet: read more and ask again with all of it.
    Incomplete,
    /// A request in the first `consumed` bytes. The value of a storage request follows them.
    Request {
        /// The request, borrowed from the buffer.
        request: Request<'a>,
        /// Bytes of its line, line end included.
        consumed: usize,
    },
    /// A line that is not carried out.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The client asked for no answer, so it gets none.
        quiet: bool,
        /// Bytes of its line, line end included.
        consumed: usize,
        /// What is to become of the bytes behind it.
        follows: Follows,
    },
    /// Nothing behind this can be made sense of: say so, where there is something to say, and
    /// close.
    Foreign(Foreign),
}

/// What follows a line that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// The next request.
    Request,
    /// The value that belongs to the line: so many bytes, its line end included, are to be read and
    /// dropped.
    Value(usize),
    /// A value whose end cannot be told. The connection must close, or bytes of the value would be taken
    /// for requests.
    Unknown,
}

impl Follows {
    /// A value of `len` bytes and its line end.
    pub(crate) fn value(len: usize) -> Self {
        Follows::Value(len + 2)
    }
}

/// The header of a request of the binary protocol, as far as an answer needs it (memcached's
/// `doc/protocol-binary.txt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryRequest {
    /// What the client wants.
    pub opcode: u8,
    /// What the client knows its answer by.
    pub opaque: [u8; 4],
}

/// Input after which the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// An HTTP request. Nothing is answered: what asks may be a browser sent here by a stranger.
    Http,
    /// A client of the binary protocol.
    Binary(BinaryRequest),
    /// A TLS client.
    Tls,
    /// A line longer than any request.
    EndlessLine,
}

impl Foreign {
    /// What to say before closing. To a client of the binary protocol it is said in its own way
    /// ([`crate::answer::binary_error`]).
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Foreign::Http => None,
            Foreign::Binary(_) => Some(Refusal::BinaryProtocol),
            Foreign::Tls => Some(Refusal::Tls),
            Foreign::EndlessLine => Some(Refusal::LineTooLong),
        }
    }
}

/// One request, its words borrowed from the read buffer.
///
/// The kind of a request says which keys it names, and so which node carries it out. Each command
/// belongs to one kind. A match over a kind names every command of it, so the compiler finds the places
/// that have to know a new one.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// Names any number of keys. The owner of each key answers for it.
    Get(Get<'a>),
    /// Names one key. The key's owner carries it out.
    Keyed(Keyed<'a>),
    /// Names one key and announces a value, which follows. The key's owner carries it out.
    Storage(Storage<'a>),
    /// Names no key. The node that it reaches carries it out.
    Admin(Admin<'a>),
    /// About the ring, or from one node to another. The node that it reaches answers it.
    Ring(RingRequest<'a>),
}

/// A request that names one key and brings no value.
#[derive(Clone, Copy, Debug)]
pub enum Keyed<'a> {
    /// `delete`
    Delete(Delete<'a>),
    /// `incr`, `decr`
    Arithmetic(Arithmetic<'a>),
    /// `touch`
    Touch(Touch<'a>),
    /// `mg`
    MetaGet(Meta<'a>),
    /// `md`
    MetaDelete(Meta<'a>),
    /// `ma`
    MetaArithmetic(MetaArithmetic<'a>),
    /// `me`
    MetaDebug(MetaKey<'a>),
}

impl<'a> Keyed<'a> {
    /// The key that it names.
    #[inline]
    pub fn key(&self) -> MetaKey<'a> {
        match self {
            Keyed::Delete(delete) => MetaKey::plain(delete.key),
            Keyed::Arithmetic(arithmetic) => MetaKey::plain(arithmetic.key),
            Keyed::Touch(touch) => MetaKey::plain(touch.key),
            Keyed::MetaGet(meta) | Keyed::MetaDelete(meta) => meta.key,
            Keyed::MetaArithmetic(line) => line.meta.key,
            Keyed::MetaDebug(key) => *key,
        }
    }

    /// Whether it only looks for an item and creates none: a node that holds the item need not look at
    /// the ring first.
    #[inline]
    pub fn is_lookup(&self) -> bool {
        match self {
            Keyed::MetaGet(meta) => meta.vivify.is_none(),
            // `me` would be one, but nobody debugs so often that the shorter way counts.
            Keyed::Delete(_)
            | Keyed::Arithmetic(_)
            | Keyed::Touch(_)
            | Keyed::MetaDelete(_)
            | Keyed::MetaArithmetic(_)
            | Keyed::MetaDebug(_) => false,
        }
    }
}

/// A request that names one key and announces a value.
#[derive(Clone, Copy, Debug)]
pub enum Storage<'a> {
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`
    Classic(Store<'a>),
    /// `ms`
    Meta(MetaStore<'a>),
}

impl<'a> Storage<'a> {
    /// The key that it names.
    #[inline]
    pub fn key(&self) -> MetaKey<'a> {
        match self {
            Storage::Classic(store) => MetaKey::plain(store.key),
            Storage::Meta(store) => store.meta.key,
        }
    }

    /// How it stores the value.
    #[inline]
    pub fn verb(&self) -> Verb {
        match self {
            Storage::Classic(store) => store.verb,
            Storage::Meta(store) => store.verb,
        }
    }

    /// Bytes of the value, without its line end; at most [`crate::MAX_VALUE_LEN`].
    #[inline]
    pub fn value_len(&self) -> usize {
        match self {
            Storage::Classic(store) => store.len,
            Storage::Meta(store) => store.len,
        }
    }

    /// Whether the client wants no answer, not even a refusal: flag `q` of `ms` does not go that far.
    #[inline]
    pub fn noreply(&self) -> bool {
        match self {
            Storage::Classic(store) => store.noreply,
            Storage::Meta(_) => false,
        }
    }
}
