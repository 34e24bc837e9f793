//! A fast path for the most frequent requests: a `get` of one key and a `set`, in the form that
//! clients usually send.
//!
//! It gives the same result as [`crate::parse`] or none: all other requests, and all invalid ones,
//! are left to `parse`.

use crate::MAX_KEY_LEN;
use crate::classic::{Store, Verb};
use crate::scan::key_len;

/// A frequent request in its usual form.
#[derive(Clone, Debug)]
pub enum Quick<'a> {
    /// `get` with one key.
    Get {
        /// The key, checked.
        key: &'a [u8],
        /// Bytes of its line, line end included.
        consumed: usize,
    },
    /// `set` with an answer; the value follows.
    Set {
        /// The parsed line.
        store: Store<'a>,
        /// Bytes of its line, line end included.
        consumed: usize,
    },
}

/// Most digits read here: a longer number may not fit.
const MAX_DIGITS: usize = 9;

/// The request at the front of the buffer, if it is complete and of a kind in [`Quick`].
#[inline]
pub fn quick(buffer: &[u8]) -> Option<Quick<'_>> {
    let (command, rest) = buffer.split_first_chunk::<4>()?;
    match command {
        b"get " => {
            let (key, rest) = key(rest)?;
            let rest = rest.strip_prefix(b"\r\n")?;
            Some(Quick::Get { key, consumed: buffer.len() - rest.len() })
        }
        b"set " => {
            let (key, rest) = key(rest)?;
            let (flags, rest) = number(rest.strip_prefix(b" ")?)?;
            let (exptime, rest) = number(rest.strip_prefix(b" ")?)?;
            let (len, rest) = number(rest.strip_prefix(b" ")?)?;
            let rest = rest.strip_prefix(b"\r\n")?;
            let store = Store {
                verb: Verb::Set,
                key,
                flags,
                exptime: i64::from(exptime),
                len: usize::try_from(len).ok()?,
                cas: 0,
                noreply: false,
            };
            Some(Quick::Set { store, consumed: buffer.len() - rest.len() })
        }
        _ => None,
    }
}

/// A key at the front, and the bytes after it.
#[inline]
fn key(buffer: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, rest) = buffer.split_at(key_len(buffer.get(..MAX_KEY_LEN + 1).unwrap_or(buffer)));
    (1..=MAX_KEY_LEN).contains(&key.len()).then_some((key, rest))
}

/// A number of one to [`MAX_DIGITS`] digits at the front, and the bytes after it.
#[inline]
fn number(buffer: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0;
    let mut at = 0;
    while let Some(&byte) = buffer.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        if at == MAX_DIGITS {
            return None;
        }
        number = number * 10 + u32::from(digit);
        at += 1;
    }
    (at > 0).then(|| (number, &buffer[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parsed, Request, Storage, parse};

    /// Checks that the full parser agrees with a request recognised here.
    fn check(buffer: &[u8]) -> bool {
        let shown = buffer.escape_ascii();
        match (quick(buffer), parse(buffer)) {
            (None, _) => return false,
            (
                Some(Quick::Get { key, consumed }),
                Parsed::Request { request: Request::Get(get), consumed: whole },
            ) => {
                assert_eq!(get.keys.collect::<Vec<_>>(), [key], "{shown}");
                assert_eq!((consumed, get.exptime, get.with_cas), (whole, None, false), "{shown}");
            }
            (
                Some(Quick::Set { store, consumed }),
                Parsed::Request {
                    request: Request::Storage(Storage::Classic(all)),
                    consumed: whole,
                },
            ) => {
                assert_eq!(format!("{store:?}"), format!("{all:?}"), "{shown}");
                assert_eq!(consumed, whole, "{shown}");
            }
            (some, other) => panic!("{shown} is {some:?} and {other:?}"),
        }
        true
    }

    #[test]
    fn usual_requests_are_recognised_as_the_parser_reads_them() {
        let long = [b"get ", &[b'k'; MAX_KEY_LEN][..], b"\r\n"].concat();
        for usual in [
            &b"get a\r\n"[..],
            b"get memtier-123456\r\nget b\r\n",
            "get schlüssel\r\n".as_bytes(),
            b"set a 0 0 5\r\nhello\r\n",
            b"set some:longer:key 999999999 86400 0\r\n",
            b"set a 007 0 1048576\r\n",
            &long,
        ] {
            assert!(check(usual), "{}", usual.escape_ascii());
        }
    }

    #[test]
    fn whatever_is_unusual_or_unfinished_is_left_to_the_parser() {
        let long = [b"get ", &[b'k'; MAX_KEY_LEN + 1][..], b"\r\n"].concat();
        for other in [
            &b"get a b\r\n"[..],
            b"get a \r\n",
            b"get  a\r\n",
            b"get a\n",
            b"get a\r",
            b"get \r\n",
            b"get a\x7f\r\n",
            b"gets a\r\n",
            b"set a 0 0 5 noreply\r\n",
            b"set a 0 -1 5\r\n",
            b"set a +1 0 5\r\n",
            b"set a 4294967296 0 5\r\n",
            b"set a 0 0 2147483648\r\n",
            b"set a 0 0 \r\n",
            b"set a 0 0 5",
            b"set",
            b"",
            &long,
        ] {
            assert!(!check(other), "{}", other.escape_ascii());
        }
    }

    #[test]
    fn any_change_of_a_byte_leaves_both_in_agreement() {
        for line in [&b"get abcdefgh:1\r\nget x\r\n"[..], b"set abc 12 3456 7\r\n1234567\r\n"] {
            for at in 0..line.len() {
                check(&line[..at]);
                for byte in 0..=u8::MAX {
                    let mut changed = line.to_vec();
                    changed[at] = byte;
                    check(&changed);
                }
            }
        }
    }
}
