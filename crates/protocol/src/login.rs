//! The login to a server with `-Y`: a `set` of any key, whose value is a user, a space and a
//! password. Such a server accepts no other request before it.
//!
//! Other lines are refused one by one, as in memcached 1.6.18, and the connection stays open.
//! Version 1.6.45 closes it for lines of less than six bytes; a client that ends with `quit` does
//! not notice.

use crate::parse::{BINARY_MAGIC, binary, is_http, is_tls};
use crate::{Foreign, Refusal, Tokens};

/// Longest line, in bytes, from a client that has not authenticated.
const MAX_LINE: usize = 2048;

/// Longest value, in bytes, that a login may announce, as in memcached 1.6.45.
pub const MAX_LOGIN: usize = 16_384;

/// The front of a read buffer, as parsed for a client that has not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login<'a> {
    /// The login is incomplete: read more and parse again with all of it.
    Incomplete,
    /// Another protocol, or a line without an end.
    Foreign(Foreign),
    /// Not a login, or a malformed one.
    Refused {
        /// The reason.
        refusal: Refusal,
        /// Bytes of the refused input.
        consumed: usize,
    },
    /// A user and a password.
    Offered {
        /// The bytes before the first space; checked only to contain no space.
        user: &'a [u8],
        /// All bytes after that space.
        password: &'a [u8],
        /// Bytes of the request, including value and line ends.
        consumed: usize,
    },
}

/// Parses a login at the front of `buffer`. The caller holds at most [`MAX_LOGIN`] bytes and one
/// line for it: beyond that the result is never [`Login::Incomplete`].
pub fn login(buffer: &[u8]) -> Login<'_> {
    if let [BINARY_MAGIC, ..] = buffer {
        return binary(buffer).map_or(Login::Incomplete, Login::Foreign);
    }
    if is_tls(buffer) {
        return Login::Foreign(Foreign::Tls);
    }
    let newline = memchr::memchr(b'\n', buffer);
    if newline.unwrap_or(buffer.len()) > MAX_LINE {
        return Login::Foreign(Foreign::EndlessLine);
    }
    // The byte left over after a value that was announced one byte short is not a line of its own.
    let (Some(newline), true) = (newline, buffer.len() > 1) else {
        return Login::Incomplete;
    };
    let line = &buffer[..newline];
    if is_http(line) {
        return Login::Foreign(Foreign::Http);
    }
    let start = newline + 1;
    let Some(len) = announced(line) else {
        return Login::Refused { refusal: Refusal::Unauthenticated, consumed: start };
    };
    if len > MAX_LOGIN {
        return Login::Refused { refusal: Refusal::LoginTooLong, consumed: start };
    }
    let consumed = start + len + 2;
    let Some(value) = buffer.get(start..consumed) else {
        return Login::Incomplete;
    };
    let Some(value) = value.strip_suffix(b"\r\n") else {
        return Login::Refused { refusal: Refusal::LoginEnd, consumed };
    };
    match memchr::memchr(b' ', value) {
        Some(space) => {
            Login::Offered { user: &value[..space], password: &value[space + 1..], consumed }
        }
        None => Login::Refused { refusal: Refusal::LoginFormat, consumed },
    }
}

/// The length of the value, if the line is that of a login. Key, flags and exptime may be anything,
/// and more words may follow.
fn announced(line: &[u8]) -> Option<usize> {
    let mut words = Tokens::new(line.strip_suffix(b"\r").unwrap_or(line));
    if words.next()? != b"set" {
        return None;
    }
    let digits = words.nth(3)?;
    let text = std::str::from_utf8(digits).ok()?;
    let len: u32 = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??;
    usize::try_from(len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BinaryRequest;

    fn refused(refusal: Refusal, consumed: usize) -> Login<'static> {
        Login::Refused { refusal, consumed }
    }

    #[test]
    fn a_login_is_a_set_of_anything() {
        for line in [
            &b"set x 0 0 7\r\n"[..],
            b"set x 0 0 7 noreply\r\n",
            b" set x abc def 7\n",
            b"set \x01\x02 0 0 7 and more words\r\n",
        ] {
            let request = [line, b"foo bar\r\nget a\r\n"].concat();
            let consumed = line.len() + 9;
            assert_eq!(
                login(&request),
                Login::Offered { user: b"foo", password: b"bar", consumed }
            );
            for cut in 0..consumed {
                assert_eq!(login(&request[..cut]), Login::Incomplete, "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_password_is_all_behind_the_first_space() {
        let Login::Offered { user, password, .. } = login(b"set x 0 0 9\r\nu  p \r\n q\r\n") else {
            panic!("a login");
        };
        assert_eq!((user, password), (&b"u"[..], &b" p \r\n q"[..]));
        let Login::Offered { user, password, .. } = login(b"set x 0 0 1\r\n \r\n") else {
            panic!("a login");
        };
        assert_eq!((user, password), (&b""[..], &b""[..]));
    }

    #[test]
    fn everything_else_is_refused_line_by_line() {
        for line in [
            &b"\r\n"[..],
            b"mn\r\n",
            b"quit\r\n",
            b"version\r\n",
            b"get a\r\n",
            b"add x 0 0 7\r\n",
            b"settle x 0 0 7\r\n",
            b"set x 0 7\r\n",
            b"set x 0 0 -1\r\n",
            b"set x 0 0 +7\r\n",
            b"set x 0 0 99999999999\r\n",
        ] {
            assert_eq!(login(line), refused(Refusal::Unauthenticated, line.len()));
        }
        assert_eq!(login(b"set x 0 0 16385\r\nx"), refused(Refusal::LoginTooLong, 17));
        assert_eq!(login(b"set x 0 0 6\r\nfoo bar\r\n"), refused(Refusal::LoginEnd, 21));
        assert_eq!(login(b"set x 0 0 6\r\nfoobar\r\n"), refused(Refusal::LoginFormat, 21));
        assert_eq!(login(b"\n"), Login::Incomplete);
    }

    #[test]
    fn what_is_no_client_at_all_is_told_apart() {
        let long = vec![b'x'; MAX_LINE + 1];
        for (input, foreign) in [
            (&b"GET / HTTP/1.1\r\n"[..], Foreign::Http),
            (b"\x16\x03\x01", Foreign::Tls),
            (
                &[&b"\x80\x0a"[..], &[0; 10], b"abcd", &[0; 8]].concat(),
                Foreign::Binary(BinaryRequest { opcode: 0x0a, opaque: *b"abcd" }),
            ),
            (&long, Foreign::EndlessLine),
        ] {
            assert_eq!(login(input), Login::Foreign(foreign));
        }
        assert_eq!(login(&long[1..]), Login::Incomplete);
    }
}
