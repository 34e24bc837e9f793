//! The result of parsing: one request, or the reason why there is none.

use crate::Refusal;
use crate::admin::Admin;
use crate::classic::{Arithmetic, Delete, Get, Store, Touch, Verb};
use crate::meta::{Meta, MetaArithmetic, MetaKey, MetaStore};
use crate::ring::RingRequest;

/// The front of a read buffer, as parsed.
#[derive(Clone, Debug)]
pub enum Parsed<'a> {
    /// The line is incomplete: read more and parse again with all of it.
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
        /// The reason.
        refusal: Refusal,
        /// Whether the client asked for no answer, and so gets none.
        quiet: bool,
        /// Bytes of its line, line end included.
        consumed: usize,
        /// The treatment of the bytes after the line.
        follows: Follows,
    },
    /// Input that makes everything after it meaningless: send the refusal, if there is one, and
    /// close.
    Foreign(Foreign),
}

/// The bytes after a refused line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// The next request.
    Request,
    /// The value that belongs to the line. Read and drop this number of bytes, which includes its
    /// line end.
    Value(usize),
    /// A value whose end is unknown. The connection must close, or bytes of the value would be
    /// parsed as requests.
    Unknown,
}

impl Follows {
    /// A value of `len` bytes and its line end.
    pub(crate) fn value(len: usize) -> Self {
        Follows::Value(len + 2)
    }
}

/// The header of a binary-protocol request, as far as an answer needs it (memcached's
/// `doc/protocol-binary.txt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryRequest {
    /// The requested command.
    pub opcode: u8,
    /// The client's identifier for the answer.
    pub opaque: [u8; 4],
}

/// Input after which the connection must close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// An HTTP request. It gets no answer, since the sender may be a browser that a hostile page
    /// sent here.
    Http,
    /// A binary-protocol client.
    Binary(BinaryRequest),
    /// A TLS client.
    Tls,
    /// A line longer than any valid request.
    EndlessLine,
}

impl Foreign {
    /// The refusal to send before closing. A binary-protocol client gets it in that protocol
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
/// belongs to one kind. A match over a kind names every command of it, so the compiler finds all
/// places that must handle a new one.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// Names any number of keys. The owner of each key answers for it.
    Get(Get<'a>),
    /// Names one key. The key's owner carries it out.
    Keyed(Keyed<'a>),
    /// Names one key and announces a value, which follows. The key's owner carries it out.
    Storage(Storage<'a>),
    /// Names no key. The node that receives it carries it out.
    Admin(Admin<'a>),
    /// Concerns the ring, or is from one node to another. The node that receives it answers it.
    Ring(RingRequest<'a>),
}

/// A request that names one key and has no value.
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
    /// The key of the request.
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

    /// Whether the request only looks up an item and creates none: a node that holds the item need
    /// not check the ring first.
    #[inline]
    pub fn is_lookup(&self) -> bool {
        match self {
            Keyed::MetaGet(meta) => meta.vivify.is_none(),
            // `me` would qualify, but is too rare for the fast path to matter.
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
    /// The key of the request.
    #[inline]
    pub fn key(&self) -> MetaKey<'a> {
        match self {
            Storage::Classic(store) => MetaKey::plain(store.key),
            Storage::Meta(store) => store.meta.key,
        }
    }

    /// The storage command.
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

    /// Whether the client wants no answer, not even a refusal. Flag `q` of `ms` does not suppress
    /// refusals.
    #[inline]
    pub fn noreply(&self) -> bool {
        match self {
            Storage::Classic(store) => store.noreply,
            Storage::Meta(_) => false,
        }
    }
}
