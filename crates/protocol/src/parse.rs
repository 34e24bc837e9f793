//! Parses one request from the front of a read buffer.

use crate::classic::{self, Verb};
use crate::refusal::Refused;
use crate::{
    BinaryRequest, Follows, Foreign, Get, Keyed, Parsed, Refusal, Request, RingRequest, Storage,
    Tokens, admin, meta, number, ring,
};

/// Longest request line in bytes, without line end, of every command except the multi-gets: the
/// size of memcached's read buffer.
pub const MAX_LINE: usize = 16 << 10;

/// Longest line in bytes of `get`, `gets`, `gat` and `gats`, which may have any number of keys.
pub const MAX_GET_LINE: usize = 64 << 20;

/// Most spaces before a command.
const MAX_LEADING_SPACES: usize = 100;

/// Bytes of a header of the binary protocol.
const BINARY_HEADER: usize = 24;

/// Bytes of the shortest line, including line end, that memcached treats as a command.
const MIN_COMMAND: usize = 4;

/// Parses one request at the front of `buffer`.
///
/// The result does not depend on how the bytes were divided on their way: for every buffer it is
/// [`Parsed::Incomplete`] until the line is complete, or longer than any valid line.
#[inline]
pub fn parse(buffer: &[u8]) -> Parsed<'_> {
    if let [BINARY_MAGIC, ..] = buffer {
        return binary(buffer).map_or(Parsed::Incomplete, Parsed::Foreign);
    }
    let Some(newline) = memchr::memchr(b'\n', buffer) else {
        return unterminated(buffer);
    };
    let line = match &buffer[..newline] {
        [line @ .., b'\r'] => line,
        line => line,
    };
    if line.len() > MAX_LINE && (line.len() > MAX_GET_LINE || !starts_like_get(line)) {
        return Parsed::Foreign(if is_tls(line) { Foreign::Tls } else { Foreign::EndlessLine });
    }
    let consumed = newline + 1;
    match request(line) {
        Ok(request) => Parsed::Request { request, consumed },
        Err(Refused { refusal: Refusal::Unknown, .. }) if is_tls(line) => {
            Parsed::Foreign(Foreign::Tls)
        }
        Err(Refused { refusal: Refusal::Unknown, .. }) if is_http(line) => {
            Parsed::Foreign(Foreign::Http)
        }
        Err(Refused { refusal: Refusal::Unknown, .. }) if consumed < MIN_COMMAND => {
            let (refusal, follows) = (Refusal::BadFormat, Follows::Request);
            Parsed::Refused { refusal, quiet: false, consumed, follows }
        }
        Err(Refused { refusal, quiet, follows }) => {
            Parsed::Refused { refusal, quiet, consumed, follows }
        }
    }
}

#[inline]
fn request(line: &[u8]) -> Result<Request<'_>, Refused> {
    let mut words = Tokens::new(line);
    let command = words.next().ok_or(Refusal::Unknown)?;
    let get = |get| Ok(Request::Get(get));
    let keyed = |keyed| Ok(Request::Keyed(keyed));
    let classic = |store| Ok(Request::Storage(Storage::Classic(store)));
    match command {
        b"get" => get(classic::get(words, false)?),
        b"set" => classic(classic::store(words, Verb::Set)?),
        b"mg" => keyed(Keyed::MetaGet(meta::plain(words)?)),
        b"ms" => Ok(Request::Storage(Storage::Meta(meta::store(words)?))),
        b"gets" => get(classic::get(words, true)?),
        b"gat" => get(classic::get_and_touch(words, false)?),
        b"gats" => get(classic::get_and_touch(words, true)?),
        b"add" => classic(classic::store(words, Verb::Add)?),
        b"replace" => classic(classic::store(words, Verb::Replace)?),
        b"append" => classic(classic::store(words, Verb::Append)?),
        b"prepend" => classic(classic::store(words, Verb::Prepend)?),
        b"cas" => classic(classic::store(words, Verb::Cas)?),
        b"delete" => keyed(Keyed::Delete(classic::delete(words)?)),
        b"incr" => keyed(Keyed::Arithmetic(classic::arithmetic(words, true)?)),
        b"decr" => keyed(Keyed::Arithmetic(classic::arithmetic(words, false)?)),
        b"touch" => keyed(Keyed::Touch(classic::touch(words)?)),
        b"md" => keyed(Keyed::MetaDelete(meta::plain(words)?)),
        b"ma" => keyed(Keyed::MetaArithmetic(meta::arithmetic(words)?)),
        b"me" => keyed(Keyed::MetaDebug(meta::debug(words)?)),
        b"ring" => Ok(Request::Ring(ring::parse(words)?)),
        b"config" => match words.exactly() {
            Some([b"get", b"cluster"]) => Ok(Request::Ring(RingRequest::Cluster)),
            _ => Err(Refusal::Unknown.into()),
        },
        _ => admin::parse(command, words).map(Request::Admin),
    }
}

/// Parses a line of `get`, `gets`, `gat` or `gats`, including line end, that [`parse`] has accepted
/// before, without checking the keys again. `None` for every other line.
pub fn multi_get(line: &[u8]) -> Option<Get<'_>> {
    let line = line.strip_suffix(b"\n")?;
    let mut words = Tokens::new(line.strip_suffix(b"\r").unwrap_or(line));
    let command = words.next()?;
    let exptime = match command {
        b"get" | b"gets" => None,
        b"gat" | b"gats" => Some(number::signed(words.next()?)?),
        _ => return None,
    };
    Some(Get { keys: words, exptime, with_cas: command.ends_with(b"s") })
}

/// Handles a buffer without a line end: waits for one, unless the line is too long already.
fn unterminated(buffer: &[u8]) -> Parsed<'_> {
    if is_tls(buffer) {
        return Parsed::Foreign(Foreign::Tls);
    }
    // One byte more than the line, since the last byte may be a carriage return.
    if buffer.len() > longest_line(buffer) + 1 {
        return Parsed::Foreign(Foreign::EndlessLine);
    }
    Parsed::Incomplete
}

/// Most bytes, without line end, of the line at the front of `buffer`, which depends on how it
/// begins.
pub fn longest_line(buffer: &[u8]) -> usize {
    if starts_like_get(buffer) { MAX_GET_LINE } else { MAX_LINE }
}

fn starts_like_get(line: &[u8]) -> bool {
    let spaces = line.iter().take(MAX_LEADING_SPACES).take_while(|&&byte| byte == b' ').count();
    let line = &line[spaces..];
    [&b"get "[..], b"gets ", b"gat ", b"gats "].iter().any(|command| line.starts_with(command))
}

/// The first byte of every binary-protocol request.
pub(crate) const BINARY_MAGIC: u8 = 0x80;

/// The binary-protocol request whose header is at the front; `None` while the header is incomplete.
pub(crate) fn binary(buffer: &[u8]) -> Option<Foreign> {
    match buffer.get(..BINARY_HEADER)? {
        [_, opcode, _, _, _, _, _, _, _, _, _, _, a, b, c, d, ..] => {
            Some(Foreign::Binary(BinaryRequest { opcode: *opcode, opaque: [*a, *b, *c, *d] }))
        }
        _ => None,
    }
}

/// Whether a line begins like a TLS handshake.
pub(crate) fn is_tls(line: &[u8]) -> bool {
    line.starts_with(&[0x16, 0x03])
}

/// Whether a line is the first line of an HTTP request.
pub(crate) fn is_http(line: &[u8]) -> bool {
    let words = Tokens::new(line);
    let http = words.last_word().is_some_and(|word| word.starts_with(b"HTTP/"));
    http && words.count() > 1
}
