//! The decoder of answers, for the fuzz target `answers`. Not a part of the API.

use bytes::BytesMut;

use crate::wire::{Answer, Decoder, Request};

/// The request, which determines the valid answers.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// `get` of one key.
    Get(&'a [u8]),
    /// `get` of several keys.
    GetMany(&'a [&'a [u8]]),
    /// `set`.
    Set(&'a [u8]),
    /// `incr`.
    Incr(&'a [u8]),
    /// `delete`.
    Delete(&'a [u8]),
    /// `touch`.
    Touch(&'a [u8]),
    /// `mg`.
    Meta(&'a [u8]),
    /// `stats`.
    Stats,
    /// `ring get`.
    Ring,
    /// `version`.
    Line,
}

/// Decodes one answer.
#[derive(Debug)]
pub struct Reader {
    decoder: Decoder,
    input: BytesMut,
    max_value: usize,
}

impl Reader {
    /// A reader of the answer to `asked`, with values of at most `max_value` bytes.
    pub fn new(asked: Asked<'_>, max_value: usize) -> Reader {
        let request = match asked {
            Asked::Get(key) => Request::Get { key, with_cas: false },
            Asked::GetMany(keys) => Request::GetMany { keys, with_cas: false },
            Asked::Set(key) => {
                Request::Store { verb: "set", key, flags: 0, exptime: 0, value: b"" }
            }
            Asked::Incr(key) => Request::Arithmetic { verb: "incr", key, delta: 1 },
            Asked::Delete(key) => Request::Delete { key },
            Asked::Touch(key) => Request::Touch { key, exptime: 0 },
            Asked::Meta(key) => Request::Meta { verb: "mg", key, value: None, flags: "v" },
            Asked::Stats => Request::Stats { argument: "" },
            Asked::Ring => Request::Block { line: "ring get" },
            Asked::Line => Request::Line { line: "version" },
        };
        Reader { decoder: request.decoder(), input: BytesMut::new(), max_value }
    }

    /// Takes more input. Returns the answer as text once it is complete, and the bytes of its
    /// values.
    ///
    /// # Errors
    /// If the answer is malformed.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<(String, usize)>, String> {
        self.input.extend_from_slice(bytes);
        let answer = self.decoder.read(&mut self.input, self.max_value);
        answer.map(|answer| answer.map(described)).map_err(|nonsense| nonsense.0)
    }

    /// The input that is not consumed yet.
    pub fn left(&self) -> &[u8] {
        &self.input
    }
}

fn described(answer: Answer) -> (String, usize) {
    let bytes = match &answer {
        Answer::One(item) => item.iter().map(|item| item.value.len()).sum(),
        Answer::Many(items) => items.iter().flatten().map(|item| item.value.len()).sum(),
        Answer::Meta(_, value) => value.iter().map(|value| value.len()).sum(),
        Answer::Block(_, bytes) => bytes.len(),
        Answer::Line(_) | Answer::Stats(_) => 0,
    };
    (format!("{answer:?}"), bytes)
}
