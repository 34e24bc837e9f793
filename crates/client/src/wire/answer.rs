//! Decoded answers.

use bytes::Bytes;
use ringbinder_ring::printable::printable;

use crate::item::Item;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One line.
    Line(Line),
    /// The item of a get of one key.
    One(Option<Item>),
    /// The items of a get of several keys, one for each, in their order.
    Many(Vec<Option<Item>>),
    /// The answer to a meta command: its line, and the value after a `VA`.
    Meta(Bytes, Option<Bytes>),
    /// `STAT` lines.
    Stats(Vec<(String, String)>),
    /// A line that announces a length, and that many bytes.
    Block(Bytes, Bytes),
}

/// An answer of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Stored,
    NotStored,
    Exists,
    NotFound,
    Deleted,
    Touched,
    Ok,
    Number(u64),
    /// `ERROR` or `CLIENT_ERROR`, as a whole line.
    ClientError(String),
    /// `SERVER_ERROR`, as a whole line.
    ServerError(String),
    Other(String),
}

impl Line {
    pub(crate) fn of(line: &[u8]) -> Line {
        match line {
            b"STORED" => Line::Stored,
            b"NOT_STORED" => Line::NotStored,
            b"EXISTS" => Line::Exists,
            b"NOT_FOUND" => Line::NotFound,
            b"DELETED" => Line::Deleted,
            b"TOUCHED" => Line::Touched,
            b"OK" | b"RESET" => Line::Ok,
            _ => Line::wordy(line),
        }
    }

    fn wordy(line: &[u8]) -> Line {
        let text = String::from_utf8_lossy(line);
        if line.starts_with(b"SERVER_ERROR") {
            return Line::ServerError(shown(&text));
        }
        if line.starts_with(b"ERROR") || line.starts_with(b"CLIENT_ERROR") {
            return Line::ClientError(shown(&text));
        }
        // Servers that keep a counter's width pad it with spaces.
        match text.trim_end().parse() {
            Ok(number) => Line::Number(number),
            Err(_) => Line::Other(text.into_owned()),
        }
    }
}

/// A server's text, safe for logs and terminals: escapes the characters that could control them.
pub(crate) fn shown(text: &str) -> String {
    printable(text).into_owned()
}
