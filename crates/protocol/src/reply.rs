//! Replies, parsed by the requesting side: from the front of a read buffer to one line, or to the
//! header of a value.
//!
//! As with requests, an incomplete reply is not an error. No input from a server makes the parser
//! panic, or wait for more than [`MAX_REPLY_LINE`] bytes of one line. The caller takes the data
//! after a header, so that a large value does not pass through a parser's buffer.

use crate::{Tokens, number};

/// Longest line of a reply in bytes, including line end: many times the length of a key with its
/// flags.
pub const MAX_REPLY_LINE: usize = 4096;

/// The front of a read buffer, as parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The line is incomplete.
    Incomplete,
    /// `VALUE key flags len [cas]` or `VA len flags*`. `len` bytes and a line end follow.
    Value {
        /// The line without its line end.
        line: &'a [u8],
        /// The key of a `VALUE`; `None` for a `VA`.
        key: Option<&'a [u8]>,
        /// The client flags of a `VALUE`; 0 for a `VA`, whose flags are words of its line.
        flags: u32,
        /// The CAS unique of a `VALUE` that has one.
        cas: Option<u64>,
        /// Bytes of the value, at most [`MAX_VALUE_LEN`](crate::MAX_VALUE_LEN).
        len: usize,
        /// Bytes of the line, line end included.
        consumed: usize,
    },
    /// Any other line.
    Line {
        /// The line without its line end.
        line: &'a [u8],
        /// Bytes of it, line end included.
        consumed: usize,
    },
    /// Not a line of this protocol.
    Malformed,
}

/// Parses the reply at the front of `buffer`.
#[inline]
pub fn reply(buffer: &[u8]) -> Reply<'_> {
    let Some(newline) = memchr::memchr(b'\n', buffer) else {
        let endless = buffer.len() >= MAX_REPLY_LINE;
        return if endless { Reply::Malformed } else { Reply::Incomplete };
    };
    let consumed = newline + 1;
    let Some(line) = buffer[..newline].strip_suffix(b"\r") else {
        return Reply::Malformed;
    };
    if consumed > MAX_REPLY_LINE {
        return Reply::Malformed;
    }
    if line.starts_with(b"VALUE ") {
        value(line, consumed).unwrap_or(Reply::Malformed)
    } else if line.starts_with(b"VA ") {
        meta_value(line, consumed).unwrap_or(Reply::Malformed)
    } else {
        Reply::Line { line, consumed }
    }
}

fn value(line: &[u8], consumed: usize) -> Option<Reply<'_>> {
    let mut words = Tokens::new(line);
    let (_, key, flags, len) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let (flags, len) = (number::unsigned32(flags)?, number::value_len(len)?);
    let cas = match words.next() {
        Some(cas) => Some(number::unsigned(cas)?),
        None => None,
    };
    Some(Reply::Value { line, key: Some(key), flags, cas, len, consumed })
}

fn meta_value(line: &[u8], consumed: usize) -> Option<Reply<'_>> {
    let len = Tokens::new(line).nth(1).and_then(number::value_len)?;
    Some(Reply::Value { line, key: None, flags: 0, cas: None, len, consumed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_headers() {
        assert_eq!(
            reply(b"VALUE abc 5 3 99\r\nxyz\r\nEND\r\n"),
            Reply::Value {
                line: b"VALUE abc 5 3 99",
                key: Some(b"abc"),
                flags: 5,
                cas: Some(99),
                len: 3,
                consumed: 18
            }
        );
        assert_eq!(
            reply(b"VA 2 s2 t-1\r\nab\r\n"),
            Reply::Value {
                line: b"VA 2 s2 t-1",
                key: None,
                flags: 0,
                cas: None,
                len: 2,
                consumed: 13
            }
        );
        assert_eq!(reply(b"STORED\r\nEND\r\n"), Reply::Line { line: b"STORED", consumed: 8 });
    }

    #[test]
    fn every_cut_is_incomplete() {
        let whole = b"VALUE abc 5 3\r\n";
        for cut in 0..whole.len() {
            assert_eq!(reply(&whole[..cut]), Reply::Incomplete, "cut at {cut}");
        }
    }

    #[test]
    fn what_no_server_says_is_malformed() {
        for bad in [
            &b"STORED\n"[..],
            b"VALUE a 0\r\n",
            b"VALUE a 0 x\r\n",
            b"VALUE a x 0\r\n",
            b"VALUE a 4294967296 0\r\n",
            b"VALUE a 0 0 x\r\n",
            b"VALUE a 0 99999999999\r\n",
            b"VA x\r\n",
        ] {
            assert_eq!(reply(bad), Reply::Malformed, "{bad:?}");
        }
        assert_eq!(reply(&vec![b'x'; MAX_REPLY_LINE]), Reply::Malformed);
        assert_eq!(reply(&vec![b'x'; MAX_REPLY_LINE - 1]), Reply::Incomplete);
    }
}
