//! What a read buffer can hold: one request, or the reason why it holds none.

use crate::Refusal;
use crate::admin::Admin;
use crate::classic::{Arithmetic, Delete, Get, GetAndTouch, Store, Touch};
use crate::meta::{Meta, MetaKey, MetaStore};
use crate::ring::{RingCommand, RingOffer};

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
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// `get`, `gets`.
    Get(Get<'a>),
    /// `gat`, `gats`.
    GetAndTouch(GetAndTouch<'a>),
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`; the value follows.
    Store(Store<'a>),
    /// `delete`.
    Delete(Delete<'a>),
    /// `incr`, `decr`.
    Arithmetic(Arithmetic<'a>),
    /// `touch`.
    Touch(Touch<'a>),
    /// `mg`.
    MetaGet(Meta<'a>),
    /// `ms`; the value follows.
    MetaStore(MetaStore<'a>),
    /// `md`.
    MetaDelete(Meta<'a>),
    /// `ma`.
    MetaArithmetic(Meta<'a>),
    /// `mn`.
    MetaNoop,
    /// `me`.
    MetaDebug(MetaKey<'a>),
    /// `ring`: about the ring, and between nodes.
    Ring(RingCommand<'a>),
    /// `ring offer`; the ring follows.
    RingOffer(RingOffer),
    /// `config get cluster`: the ring as auto-discovery clients read it.
    ConfigGetCluster,
    /// Everything that is not about one key.
    Admin(Admin<'a>),
}
