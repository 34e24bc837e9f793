//! Encodes requests.

use std::io::Write as _;

use super::decode::{Decoder, Expected, key_mark};

/// One request. Keys have been checked, and lines are single lines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    Get {
        key: &'a [u8],
        with_cas: bool,
    },
    GetAndTouch {
        key: &'a [u8],
        exptime: i64,
        with_cas: bool,
    },
    GetMany {
        keys: &'a [&'a [u8]],
        with_cas: bool,
    },
    Store {
        verb: &'static str,
        key: &'a [u8],
        flags: u32,
        exptime: i64,
        value: &'a [u8],
    },
    Cas {
        key: &'a [u8],
        flags: u32,
        exptime: i64,
        value: &'a [u8],
        cas: u64,
    },
    Arithmetic {
        verb: &'static str,
        key: &'a [u8],
        delta: u64,
    },
    Delete {
        key: &'a [u8],
    },
    Touch {
        key: &'a [u8],
        exptime: i64,
    },
    Meta {
        verb: &'static str,
        key: &'a [u8],
        value: Option<&'a [u8]>,
        flags: &'a str,
    },
    /// A request with an answer of one line.
    Line {
        line: &'a str,
    },
    /// A request with an answer of `STAT` lines.
    Stats {
        argument: &'a str,
    },
    /// A request whose answer is a line that ends in a length, the bytes of that length, and `END`.
    Block {
        line: &'a str,
    },
}

impl Request<'_> {
    /// Appends the request to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Request::Get { key, with_cas } => words(out, &[get(with_cas), key]),
            Request::GetAndTouch { key, exptime, with_cas } => {
                words(out, &[gat(with_cas), number(exptime).as_bytes(), key]);
            }
            Request::GetMany { keys, with_cas } => {
                out.extend_from_slice(get(with_cas));
                for key in keys {
                    out.push(b' ');
                    out.extend_from_slice(key);
                }
            }
            Request::Store { verb, key, flags, exptime, value } => {
                header(out, verb, key, flags, exptime, value);
                data(out, value);
            }
            Request::Cas { key, flags, exptime, value, cas } => {
                header(out, "cas", key, flags, exptime, value);
                out.push(b' ');
                out.extend_from_slice(number(cas).as_bytes());
                data(out, value);
            }
            Request::Arithmetic { verb, key, delta } => {
                words(out, &[verb.as_bytes(), key, number(delta).as_bytes()]);
            }
            Request::Delete { key } => words(out, &[b"delete", key]),
            Request::Touch { key, exptime } => {
                words(out, &[b"touch", key, number(exptime).as_bytes()]);
            }
            Request::Meta { verb, key, value, flags } => {
                words(out, &[verb.as_bytes(), key]);
                if let Some(value) = value {
                    out.push(b' ');
                    out.extend_from_slice(number(value.len()).as_bytes());
                }
                if !flags.is_empty() {
                    out.push(b' ');
                    out.extend_from_slice(flags.as_bytes());
                }
                if let Some(value) = value {
                    data(out, value);
                }
            }
            Request::Line { line } | Request::Block { line } => {
                out.extend_from_slice(line.as_bytes());
            }
            Request::Stats { argument: "" } => out.extend_from_slice(b"stats"),
            Request::Stats { argument } => words(out, &[b"stats", argument.as_bytes()]),
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The decoder for the answer.
    pub(crate) fn decoder(&self) -> Decoder {
        match self {
            Request::Get { key, .. } | Request::GetAndTouch { key, .. } => {
                Decoder::one(key_mark(key))
            }
            Request::GetMany { keys, .. } => {
                Decoder::many(keys.iter().map(|key| key_mark(key)).collect())
            }
            Request::Meta { .. } => Decoder::meta(),
            Request::Stats { .. } => Decoder::stats(),
            Request::Block { .. } => Decoder::block(),
            Request::Store { .. } | Request::Cas { .. } => Decoder::line(Expected::Storage),
            Request::Delete { .. } => Decoder::line(Expected::Deletion),
            Request::Touch { .. } => Decoder::line(Expected::Touch),
            Request::Arithmetic { .. } => Decoder::line(Expected::Number),
            Request::Line { .. } => Decoder::line(Expected::Any),
        }
    }

    /// Whether the request may safely be sent twice. A write that was carried out and is sent again
    /// might undo a later write of another client.
    pub(crate) fn is_read(&self) -> bool {
        match self {
            Request::Get { .. }
            | Request::GetMany { .. }
            | Request::Stats { .. }
            | Request::Block { .. } => true,
            Request::GetAndTouch { .. }
            | Request::Store { .. }
            | Request::Cas { .. }
            | Request::Arithmetic { .. }
            | Request::Delete { .. }
            | Request::Touch { .. }
            | Request::Meta { .. }
            | Request::Line { .. } => false,
        }
    }
}

fn get(with_cas: bool) -> &'static [u8] {
    if with_cas { b"gets" } else { b"get" }
}

fn gat(with_cas: bool) -> &'static [u8] {
    if with_cas { b"gats" } else { b"gat" }
}

fn number(number: impl itoa::Integer) -> Digits {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    let mut digits = Digits { bytes: [0; 20], len: text.len() };
    digits.bytes[..text.len()].copy_from_slice(text.as_bytes());
    digits
}

/// A number as text: no 64-bit number has more than 20 characters.
struct Digits {
    bytes: [u8; 20],
    len: usize,
}

impl Digits {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn words(out: &mut Vec<u8>, words: &[&[u8]]) {
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

fn header(out: &mut Vec<u8>, verb: &str, key: &[u8], flags: u32, exptime: i64, value: &[u8]) {
    out.reserve(verb.len() + key.len() + value.len() + 64);
    out.extend_from_slice(verb.as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    // Writing to a vector cannot fail.
    let _ = write!(out, " {flags} {exptime} {}", value.len());
}

fn data(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(request: Request<'_>) -> String {
        let mut out = Vec::new();
        request.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_form_is_written_as_the_protocol_has_it() {
        let key = &b"k"[..];
        let value = &b"ab"[..];
        for (request, line) in [
            (Request::Get { key, with_cas: false }, "get k\r\n"),
            (Request::GetMany { keys: &[b"a", b"b"], with_cas: true }, "gets a b\r\n"),
            (Request::GetAndTouch { key, exptime: -1, with_cas: false }, "gat -1 k\r\n"),
            (
                Request::Store { verb: "set", key, flags: 7, exptime: 60, value },
                "set k 7 60 2\r\nab\r\n",
            ),
            (
                Request::Cas { key, flags: 0, exptime: 0, value, cas: u64::MAX },
                "cas k 0 0 2 18446744073709551615\r\nab\r\n",
            ),
            (Request::Arithmetic { verb: "incr", key, delta: 5 }, "incr k 5\r\n"),
            (Request::Delete { key }, "delete k\r\n"),
            (Request::Touch { key, exptime: 0 }, "touch k 0\r\n"),
            (Request::Meta { verb: "mg", key, value: None, flags: "v t" }, "mg k v t\r\n"),
            (Request::Meta { verb: "mg", key, value: None, flags: "" }, "mg k\r\n"),
            (
                Request::Meta { verb: "ms", key, value: Some(value), flags: "T30" },
                "ms k 2 T30\r\nab\r\n",
            ),
            (Request::Stats { argument: "" }, "stats\r\n"),
            (Request::Stats { argument: "ring" }, "stats ring\r\n"),
            (Request::Line { line: "version" }, "version\r\n"),
        ] {
            assert_eq!(written(request), line);
        }
    }
}
