//! Decodes answers from incoming bytes.
//!
//! A [`Decoder`] reads the answer to one request from the front of the connection's input, however
//! the bytes arrive. It takes only the bytes of its answer, trusts no length before the bytes are
//! there, and returns [`Nonsense`] for anything that a server of this protocol would not send. A
//! connection that is out of step must end, or one caller gets another's value.

use std::hash::BuildHasher as _;
use std::sync::OnceLock;

use bytes::{Buf as _, Bytes, BytesMut};
use ringbinder_protocol::{Reply, Tokens, reply};

use super::answer::{Answer, Line};
use crate::item::Item;
use crate::tls::is_alert;

/// Values of this length or more are returned in the memory they were received in. Smaller ones are
/// copied, so that a small value does not keep a large buffer alive.
const SHARED_FROM: usize = 32 << 10;

/// Most memory for the `STAT` lines of one answer, in bytes.
const MAX_STATS: usize = 16 << 20;

/// Approximate bytes of a `STAT` line beyond its text: two strings with their allocations.
const STAT_OVERHEAD: usize = 128;

/// A malformed answer: its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nonsense(pub(crate) String);

impl Nonsense {
    pub(crate) fn of(bytes: &[u8]) -> Nonsense {
        const SHOWN: usize = 60;
        Nonsense(String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned())
    }
}

/// A digest of a key, to check that a value belongs to a requested key.
pub(crate) fn key_mark(key: &[u8]) -> u64 {
    static STATE: OnceLock<foldhash::fast::RandomState> = OnceLock::new();
    STATE.get_or_init(foldhash::fast::RandomState::default).hash_one(key)
}

/// Reads the answer to one request.
#[derive(Debug)]
pub(crate) struct Decoder {
    kind: Kind,
    /// The header that was read, while its bytes arrive.
    header: Option<Header>,
}

/// The valid answers to a request with an answer of one line; an error is always valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The result of a storage command.
    Storage,
    /// Deleted, or not found.
    Deletion,
    /// Touched, or not found.
    Touch,
    /// A number, or not found.
    Number,
    /// Any line.
    Any,
}

impl Expected {
    fn includes(self, line: &Line) -> bool {
        match (self, line) {
            // A node with TLS reports that in an alert, which may happen to be a line.
            (Expected::Any, Line::Other(text)) => !is_alert(text.as_bytes()),
            (Expected::Any, _) | (_, Line::ClientError(_) | Line::ServerError(_)) => true,
            (Expected::Storage, line) => {
                matches!(line, Line::Stored | Line::NotStored | Line::Exists | Line::NotFound)
            }
            (Expected::Deletion, line) => matches!(line, Line::Deleted | Line::NotFound),
            (Expected::Touch, line) => matches!(line, Line::Touched | Line::NotFound),
            (Expected::Number, line) => matches!(line, Line::Number(_) | Line::NotFound),
        }
    }
}

#[derive(Debug)]
enum Kind {
    Line(Expected),
    One { mark: u64, item: Option<Item> },
    Many { marks: Vec<u64>, next: usize, items: Vec<Option<Item>> },
    Meta,
    Stats { lines: Vec<(String, String)>, bytes: usize },
    Block { block: Option<(Bytes, Bytes)> },
}

#[derive(Debug)]
struct Header {
    len: usize,
    flags: u32,
    cas: Option<u64>,
    /// Kept if the caller needs it, for meta answers and blocks.
    line: Bytes,
}

/// The effect of a line or a value on the answer.
enum Step {
    Done(Answer),
    More,
}

impl Decoder {
    pub(crate) fn line(expected: Expected) -> Decoder {
        Decoder::new(Kind::Line(expected))
    }

    pub(crate) fn one(mark: u64) -> Decoder {
        Decoder::new(Kind::One { mark, item: None })
    }

    pub(crate) fn many(marks: Vec<u64>) -> Decoder {
        let items = marks.iter().map(|_| None).collect();
        Decoder::new(Kind::Many { marks, next: 0, items })
    }

    pub(crate) fn meta() -> Decoder {
        Decoder::new(Kind::Meta)
    }

    pub(crate) fn stats() -> Decoder {
        Decoder::new(Kind::Stats { lines: Vec::new(), bytes: 0 })
    }

    pub(crate) fn block() -> Decoder {
        Decoder::new(Kind::Block { block: None })
    }

    fn new(kind: Kind) -> Decoder {
        Decoder { kind, header: None }
    }

    /// Takes the available part of the answer from the front of `input`. `None` while the answer is
    /// incomplete.
    ///
    /// # Errors
    /// If the answer is malformed, or a value is longer than `max_value` bytes.
    #[inline]
    pub(crate) fn read(
        &mut self,
        input: &mut BytesMut,
        max_value: usize,
    ) -> Result<Option<Answer>, Nonsense> {
        loop {
            let step = if self.header.is_some() {
                match self.value(input)? {
                    Some(step) => step,
                    None => return Ok(None),
                }
            } else {
                match self.head(input, max_value)? {
                    Some(step) => step,
                    None => return Ok(None),
                }
            };
            if let Step::Done(answer) = step {
                return Ok(Some(answer));
            }
        }
    }

    /// Takes one line.
    #[inline]
    fn head(&mut self, input: &mut BytesMut, max_value: usize) -> Result<Option<Step>, Nonsense> {
        let (step, consumed) = match reply(input) {
            Reply::Incomplete => return Ok(None),
            Reply::Malformed => return Err(Nonsense::of(input)),
            Reply::Value { line, key, flags, cas, len, consumed } => {
                if len > max_value || !self.expects(key) {
                    return Err(Nonsense::of(line));
                }
                let line = match key {
                    Some(_) => Bytes::new(),
                    None => Bytes::copy_from_slice(line),
                };
                self.header = Some(Header { len, flags, cas, line });
                (Step::More, consumed)
            }
            Reply::Line { line, consumed } => (self.line_of(line, max_value)?, consumed),
        };
        input.advance(consumed);
        Ok(Some(step))
    }

    /// Whether a value with this key may come next; moves on to that key.
    #[inline]
    fn expects(&mut self, key: Option<&[u8]>) -> bool {
        match (&mut self.kind, key) {
            (Kind::One { mark, item: None }, Some(key)) => *mark == key_mark(key),
            (Kind::Many { marks, items, next }, Some(key)) => {
                let key = key_mark(key);
                let is_it = |&place: &usize| marks[place] == key && items[place].is_none();
                // Values come in the order of the request, without the misses. A proxy that gathers
                // them from several servers may change the order.
                let place = (*next..marks.len()).chain(0..*next).find(is_it);
                *next = place.map_or(*next, |place| place + 1);
                place.is_some()
            }
            (Kind::Meta, None) => true,
            _ => false,
        }
    }

    fn line_of(&mut self, line: &[u8], max_value: usize) -> Result<Step, Nonsense> {
        let done = |answer| Ok(Step::Done(answer));
        let end = line == b"END";
        match &mut self.kind {
            Kind::Line(expected) => {
                let answer = Line::of(line);
                if expected.includes(&answer) {
                    return done(Answer::Line(answer));
                }
                return Err(Nonsense::of(line));
            }
            Kind::Meta if is_meta(line) => {
                return done(Answer::Meta(Bytes::copy_from_slice(line), None));
            }
            Kind::One { item, .. } if end => return done(Answer::One(item.take())),
            Kind::Many { items, .. } if end => {
                return done(Answer::Many(std::mem::take(items)));
            }
            Kind::Stats { lines, .. } if end => {
                return done(Answer::Stats(std::mem::take(lines)));
            }
            Kind::Stats { .. } if line == b"RESET" => return done(Answer::Line(Line::Ok)),
            Kind::Stats { lines, bytes } => {
                if let Some(stat) = line.strip_prefix(b"STAT ") {
                    *bytes += stat.len() + STAT_OVERHEAD;
                    if *bytes > MAX_STATS {
                        return Err(Nonsense::of(line));
                    }
                    lines.push(stat_of(stat));
                    return Ok(Step::More);
                }
            }
            Kind::Block { block: block @ Some(_) } if end => {
                if let Some((line, bytes)) = block.take() {
                    return done(Answer::Block(line, bytes));
                }
            }
            Kind::Block { block: None } => {
                if let Some(len) = block_len(line).filter(|&len| len <= max_value) {
                    let line = Bytes::copy_from_slice(line);
                    self.header = Some(Header { len, flags: 0, cas: None, line });
                    return Ok(Step::More);
                }
            }
            Kind::One { .. } | Kind::Many { .. } | Kind::Meta | Kind::Block { .. } => {}
        }
        match Line::of(line) {
            error @ (Line::ClientError(_) | Line::ServerError(_)) => done(Answer::Line(error)),
            _ => Err(Nonsense::of(line)),
        }
    }

    /// Takes the bytes that a header announced, and the line end after them.
    #[inline]
    fn value(&mut self, input: &mut BytesMut) -> Result<Option<Step>, Nonsense> {
        let Some(header) = &self.header else {
            return Ok(None);
        };
        if input.len() < header.len + 2 {
            return Ok(None);
        }
        if &input[header.len..header.len + 2] != b"\r\n" {
            return Err(Nonsense::of(&input[header.len..]));
        }
        let value = match header.len {
            0..SHARED_FROM => {
                let value = Bytes::copy_from_slice(&input[..header.len]);
                input.advance(header.len);
                value
            }
            len => {
                let value = input.split_to(len).freeze();
                // Move the remaining input, so that neither keeps the other's memory alive.
                *input = BytesMut::from(&input[..]);
                value
            }
        };
        input.advance(2);
        let Some(Header { flags, cas, line, .. }) = self.header.take() else {
            return Ok(None);
        };
        match &mut self.kind {
            Kind::One { item, .. } => *item = Some(Item { value, flags, cas }),
            Kind::Many { items, next, .. } => {
                items[*next - 1] = Some(Item { value, flags, cas });
            }
            Kind::Meta => return Ok(Some(Step::Done(Answer::Meta(line, Some(value))))),
            Kind::Block { block } => *block = Some((line, value)),
            Kind::Line(_) | Kind::Stats { .. } => {}
        }
        Ok(Some(Step::More))
    }
}

fn digits(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Whether this is an answer to a meta command without a value.
fn is_meta(line: &[u8]) -> bool {
    matches!(Tokens::new(line).next(), Some(b"HD" | b"EN" | b"NF" | b"NS" | b"EX"))
}

fn stat_of(stat: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(stat);
    let (name, value) = text.split_once(' ').unwrap_or((&text, ""));
    (name.to_owned(), value.to_owned())
}

/// The length at the end of `RING version digest len` or `CONFIG cluster 0 len`.
fn block_len(line: &[u8]) -> Option<usize> {
    let announces = line.starts_with(b"RING ") || line.starts_with(b"CONFIG ");
    let word = Tokens::new(line).last_word().filter(|_| announces)?;
    usize::try_from(digits(word)?).ok()
}
