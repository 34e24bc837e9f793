//! From the front of a read buffer to one request.

use crate::admin::{self, Admin};
use crate::classic::{self, Arithmetic, Delete, Get, GetAndTouch, Store, Touch, Verb};
use crate::meta::{self, Meta, MetaKey, MetaStore};
use crate::{Refusal, Tokens};

/// Longest request line in bytes, line end excluded, of every command but the multi-gets.
pub const MAX_LINE: usize = 2048;

/// Longest line of `get`, `gets`, `gat` and `gats`, which carry as many keys as the client likes.
pub const MAX_GET_LINE: usize = 1 << 20;

/// Spaces that may stand before a command.
const MAX_LEADING_SPACES: usize = 100;

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
    /// A line that is not carried out. The connection goes on behind it.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The client asked for no answer, so it gets none.
        quiet: bool,
        /// Bytes of its line, line end included.
        consumed: usize,
        /// Bytes that follow the line and belong to it: to be read and dropped.
        swallow: usize,
    },
    /// Nothing behind this can be made sense of: say so, where there is something to say, and
    /// close.
    Foreign(Foreign),
}

/// Input after which the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// An HTTP request. Nothing is answered: what asks may be a browser sent here by a stranger.
    Http,
    /// A client of the binary protocol.
    Binary,
    /// A TLS client.
    Tls,
    /// A line longer than any request.
    EndlessLine,
}

impl Foreign {
    /// What to say before closing.
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Foreign::Http => None,
            Foreign::Binary => Some(Refusal::BinaryProtocol),
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
    /// Everything that is not about one key.
    Admin(Admin<'a>),
}

/// A line that is not carried out, before anybody counted its bytes.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) quiet: bool,
    pub(crate) swallow: usize,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused { refusal, quiet: false, swallow: 0 }
    }
}

impl Refused {
    pub(crate) fn quiet_if(self, quiet: bool) -> Self {
        Refused { quiet, ..self }
    }

    /// Swallows a value of `len` bytes and its line end as well.
    pub(crate) fn swallowing(self, len: usize) -> Self {
        Refused { swallow: len + 2, ..self }
    }
}

/// Looks at the front of `buffer` for one request.
///
/// The answer does not depend on how the bytes were cut up on their way: for every buffer it is
/// [`Parsed::Incomplete`] until the line is whole, or already too long to ever be one.
#[inline]
pub fn parse(buffer: &[u8]) -> Parsed<'_> {
    let Some(newline) = memchr::memchr(b'\n', buffer) else {
        return unterminated(buffer);
    };
    let line = match &buffer[..newline] {
        [line @ .., b'\r'] => line,
        line => line,
    };
    if line.len() > MAX_LINE && (line.len() > MAX_GET_LINE || !starts_like_get(line)) {
        return Parsed::Foreign(Foreign::EndlessLine);
    }
    let consumed = newline + 1;
    match request(line) {
        Ok(request) => Parsed::Request { request, consumed },
        Err(Refused { refusal: Refusal::Unknown, .. }) if foreign(line).is_some() => {
            Parsed::Foreign(foreign(line).unwrap_or(Foreign::Http))
        }
        Err(Refused { refusal, quiet, swallow }) => {
            Parsed::Refused { refusal, quiet, consumed, swallow }
        }
    }
}

#[inline]
fn request(line: &[u8]) -> Result<Request<'_>, Refused> {
    let mut words = Tokens::new(line);
    let command = words.next().ok_or(Refusal::Unknown)?;
    match command {
        b"get" => classic::get(words, false),
        b"set" => classic::store(words, Verb::Set),
        b"mg" => meta::get(words),
        b"ms" => meta::store(words),
        b"gets" => classic::get(words, true),
        b"gat" => classic::get_and_touch(words, false),
        b"gats" => classic::get_and_touch(words, true),
        b"add" => classic::store(words, Verb::Add),
        b"replace" => classic::store(words, Verb::Replace),
        b"append" => classic::store(words, Verb::Append),
        b"prepend" => classic::store(words, Verb::Prepend),
        b"cas" => classic::store(words, Verb::Cas),
        b"delete" => classic::delete(words),
        b"incr" => classic::arithmetic(words, true),
        b"decr" => classic::arithmetic(words, false),
        b"touch" => classic::touch(words),
        b"md" => meta::delete(words),
        b"ma" => meta::arithmetic(words),
        b"mn" => Ok(Request::MetaNoop),
        b"me" => meta::debug(words),
        _ => admin::parse(command, words).map(Request::Admin),
    }
}

/// A buffer without a line end: wait for one, unless none can come.
fn unterminated(buffer: &[u8]) -> Parsed<'_> {
    if let Some(foreign @ (Foreign::Binary | Foreign::Tls)) = foreign(buffer) {
        return Parsed::Foreign(foreign);
    }
    // One more byte than the line: a carriage return may be the last of it.
    let limit = if starts_like_get(buffer) { MAX_GET_LINE } else { MAX_LINE };
    if buffer.len() > limit + 1 {
        return Parsed::Foreign(Foreign::EndlessLine);
    }
    Parsed::Incomplete
}

fn starts_like_get(line: &[u8]) -> bool {
    let spaces = line.iter().take(MAX_LEADING_SPACES).take_while(|&&byte| byte == b' ').count();
    let line = &line[spaces..];
    [&b"get "[..], b"gets ", b"gat ", b"gats "].iter().any(|command| line.starts_with(command))
}

/// Recognises what is certainly no memcached client.
fn foreign(line: &[u8]) -> Option<Foreign> {
    match line {
        [0x80, ..] => Some(Foreign::Binary),
        [0x16, 0x03, ..] => Some(Foreign::Tls),
        _ => {
            let words = Tokens::new(line);
            let http = words.last_word().is_some_and(|word| word.starts_with(b"HTTP/"));
            (http && words.count() > 1).then_some(Foreign::Http)
        }
    }
}
