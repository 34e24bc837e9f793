//! From the front of a read buffer to one request.

use crate::classic::{self, Verb};
use crate::refusal::Refused;
use crate::{Foreign, Parsed, Refusal, Request, Tokens, admin, meta, ring};

/// Longest request line in bytes, line end excluded, of every command but the multi-gets.
pub const MAX_LINE: usize = 2048;

/// Longest line of `get`, `gets`, `gat` and `gats`, which carry as many keys as the client likes.
pub const MAX_GET_LINE: usize = 1 << 20;

/// Spaces that may stand before a command.
const MAX_LEADING_SPACES: usize = 100;

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
        return Parsed::Foreign(match recognise(line) {
            Some(foreign @ (Foreign::Binary | Foreign::Tls)) => foreign,
            _ => Foreign::EndlessLine,
        });
    }
    let consumed = newline + 1;
    match request(line) {
        Ok(request) => Parsed::Request { request, consumed },
        Err(Refused { refusal: Refusal::Unknown, .. }) if recognise(line).is_some() => {
            Parsed::Foreign(recognise(line).unwrap_or(Foreign::Http))
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
        b"get" => classic::get(words, false).map(Request::Get),
        b"set" => classic::store(words, Verb::Set).map(Request::Store),
        b"mg" => meta::get(words).map(Request::MetaGet),
        b"ms" => meta::store(words).map(Request::MetaStore),
        b"gets" => classic::get(words, true).map(Request::Get),
        b"gat" => classic::get_and_touch(words, false).map(Request::GetAndTouch),
        b"gats" => classic::get_and_touch(words, true).map(Request::GetAndTouch),
        b"add" => classic::store(words, Verb::Add).map(Request::Store),
        b"replace" => classic::store(words, Verb::Replace).map(Request::Store),
        b"append" => classic::store(words, Verb::Append).map(Request::Store),
        b"prepend" => classic::store(words, Verb::Prepend).map(Request::Store),
        b"cas" => classic::store(words, Verb::Cas).map(Request::Store),
        b"delete" => classic::delete(words).map(Request::Delete),
        b"incr" => classic::arithmetic(words, true).map(Request::Arithmetic),
        b"decr" => classic::arithmetic(words, false).map(Request::Arithmetic),
        b"touch" => classic::touch(words).map(Request::Touch),
        b"md" => meta::delete(words).map(Request::MetaDelete),
        b"ma" => meta::arithmetic(words).map(Request::MetaArithmetic),
        b"mn" => Ok(Request::MetaNoop),
        b"me" => meta::debug(words).map(Request::MetaDebug),
        b"ring" => ring::parse(words).map(|line| match line {
            ring::Line::Command(command) => Request::Ring(command),
            ring::Line::Offer(offer) => Request::RingOffer(offer),
        }),
        b"config" => match words.exactly() {
            Some([b"get", b"cluster"]) => Ok(Request::ConfigGetCluster),
            _ => Err(Refusal::Unknown.into()),
        },
        _ => admin::parse(command, words).map(Request::Admin),
    }
}

/// A buffer without a line end: wait for one, unless none can come.
fn unterminated(buffer: &[u8]) -> Parsed<'_> {
    if let Some(foreign @ (Foreign::Binary | Foreign::Tls)) = recognise(buffer) {
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
pub(crate) fn recognise(line: &[u8]) -> Option<Foreign> {
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
