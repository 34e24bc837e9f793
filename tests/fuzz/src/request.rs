//! Requests as a client means them, and as it writes them on the wire.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest key word on the wire.
pub const MAX_KEY_LEN: usize = 250;

/// A classic storage command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `set`
    Set,
    /// `add`
    Add,
    /// `replace`
    Replace,
    /// `append`
    Append,
    /// `prepend`
    Prepend,
    /// `cas`
    Cas,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Set => "set",
            Verb::Add => "add",
            Verb::Replace => "replace",
            Verb::Append => "append",
            Verb::Prepend => "prepend",
            Verb::Cas => "cas",
        }
    }
}

/// A key in a meta request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaKey {
    /// The key itself.
    pub bytes: Vec<u8>,
    /// Sent in base64, with the flag `b`.
    pub base64: bool,
}

impl MetaKey {
    /// The word on the wire.
    pub fn word(&self) -> Vec<u8> {
        if self.base64 { STANDARD.encode(&self.bytes).into_bytes() } else { self.bytes.clone() }
    }
}

/// What stands behind a meta flag's letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// An exptime.
    Signed(i64),
    /// A number.
    Unsigned(u64),
    /// Bytes without blanks.
    Bytes(Vec<u8>),
}

/// A meta flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its letter.
    pub letter: u8,
    /// What stands behind it.
    pub argument: Argument,
}

/// Key and flags of a meta request; the flag `b` is written where the key wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The key.
    pub key: MetaKey,
    /// The flags in order, without `b`.
    pub flags: Vec<Flag>,
}

impl Meta {
    /// The flag with this letter.
    pub fn flag(&self, letter: u8) -> Option<&Argument> {
        self.flags.iter().find(|flag| flag.letter == letter).map(|flag| &flag.argument)
    }

    /// Whether the flag was given.
    pub fn has(&self, letter: u8) -> bool {
        self.flag(letter).is_some()
    }

    /// The exptime behind a flag.
    pub fn signed(&self, letter: u8) -> Option<i64> {
        match self.flag(letter)? {
            Argument::Signed(number) => Some(*number),
            _ => None,
        }
    }

    /// The number behind a flag.
    pub fn unsigned(&self, letter: u8) -> Option<u64> {
        match self.flag(letter)? {
            Argument::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    /// The letter behind `M`.
    pub fn mode(&self) -> Option<u8> {
        match self.flag(b'M')? {
            Argument::Bytes(bytes) => bytes.first().copied(),
            _ => None,
        }
    }

    fn write(&self, command: &str, len: Option<usize>, out: &mut Vec<u8>) {
        out.extend_from_slice(command.as_bytes());
        out.push(b' ');
        out.extend_from_slice(&self.key.word());
        if let Some(len) = len {
            out.extend_from_slice(format!(" {len}").as_bytes());
        }
        for Flag { letter, argument } in &self.flags {
            out.extend_from_slice(&[b' ', *letter]);
            match argument {
                Argument::None => {}
                Argument::Signed(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Argument::Unsigned(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Argument::Bytes(bytes) => out.extend_from_slice(bytes),
            }
        }
        if self.key.base64 {
            out.extend_from_slice(b" b");
        }
    }
}

/// The block of bytes behind a storage request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The value.
    pub value: Vec<u8>,
    /// Two other bytes stand where its line end should.
    pub spoiled: bool,
}

impl Block {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value);
        out.extend_from_slice(if self.spoiled { b"xx" } else { b"\r\n" });
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A classic storage command.
    Store {
        /// Which.
        verb: Verb,
        /// The key.
        key: Vec<u8>,
        /// The client's flags.
        flags: u32,
        /// The exptime as written.
        exptime: i64,
        /// The CAS unique of `cas`.
        cas: u64,
        /// The value.
        block: Block,
        /// `noreply`
        noreply: bool,
    },
    /// `get`, `gets`, or with an exptime `gat`, `gats`.
    Get {
        /// The exptime of `gat`.
        exptime: Option<i64>,
        /// With CAS uniques.
        with_cas: bool,
        /// The keys.
        keys: Vec<Vec<u8>>,
    },
    /// `delete`
    Delete {
        /// The key.
        key: Vec<u8>,
        /// With the delay of zero that old clients send.
        zero: bool,
        /// `noreply`
        noreply: bool,
    },
    /// `incr`, `decr`
    Arithmetic {
        /// `incr` if true.
        increment: bool,
        /// The key.
        key: Vec<u8>,
        /// By how much.
        delta: u64,
        /// `noreply`
        noreply: bool,
    },
    /// `touch`
    Touch {
        /// The key.
        key: Vec<u8>,
        /// The exptime as written.
        exptime: i64,
        /// `noreply`
        noreply: bool,
    },
    /// `mg`
    MetaGet(Meta),
    /// `ms`
    MetaStore(Meta, Block),
    /// `md`
    MetaDelete(Meta),
    /// `ma`
    MetaArithmetic(Meta),
    /// `mn`
    MetaNoop,
    /// `me`
    MetaDebug(MetaKey),
    /// `flush_all`
    FlushAll {
        /// The delay as written.
        delay: Option<i64>,
        /// `noreply`
        noreply: bool,
    },
    /// Bytes that change nothing, and their fixed answer.
    Fixed {
        /// What is sent.
        sent: &'static [u8],
        /// What comes back.
        answer: &'static [u8],
    },
}

impl Request {
    /// Appends the request as it goes over the wire. `line_end` ends its line; the value's line end
    /// is always the full one.
    pub fn write(&self, line_end: &[u8], out: &mut Vec<u8>) {
        match self {
            Request::Store { verb, key, flags, exptime, cas, block, noreply } => {
                out.extend_from_slice(verb.name().as_bytes());
                out.push(b' ');
                out.extend_from_slice(key);
                let len = block.value.len();
                out.extend_from_slice(format!(" {flags} {exptime} {len}").as_bytes());
                if *verb == Verb::Cas {
                    out.extend_from_slice(format!(" {cas}").as_bytes());
                }
                end(*noreply, line_end, out);
                block.write(out);
            }
            Request::Get { exptime, with_cas, keys } => {
                out.extend_from_slice(if exptime.is_some() { b"gat" } else { b"get" });
                if *with_cas {
                    out.push(b's');
                }
                if let Some(exptime) = exptime {
                    out.extend_from_slice(format!(" {exptime}").as_bytes());
                }
                for key in keys {
                    out.push(b' ');
                    out.extend_from_slice(key);
                }
                out.extend_from_slice(line_end);
            }
            Request::Delete { key, zero, noreply } => {
                keyed("delete", key, out);
                if *zero {
                    out.extend_from_slice(b" 0");
                }
                end(*noreply, line_end, out);
            }
            Request::Arithmetic { increment, key, delta, noreply } => {
                keyed(if *increment { "incr" } else { "decr" }, key, out);
                out.extend_from_slice(format!(" {delta}").as_bytes());
                end(*noreply, line_end, out);
            }
            Request::Touch { key, exptime, noreply } => {
                keyed("touch", key, out);
                out.extend_from_slice(format!(" {exptime}").as_bytes());
                end(*noreply, line_end, out);
            }
            Request::MetaGet(meta) => meta_line("mg", meta, None, line_end, out),
            Request::MetaStore(meta, block) => {
                meta_line("ms", meta, Some(block.value.len()), line_end, out);
                block.write(out);
            }
            Request::MetaDelete(meta) => meta_line("md", meta, None, line_end, out),
            Request::MetaArithmetic(meta) => meta_line("ma", meta, None, line_end, out),
            Request::MetaNoop => {
                out.extend_from_slice(b"mn");
                out.extend_from_slice(line_end);
            }
            Request::MetaDebug(key) => {
                keyed("me", &key.word(), out);
                out.extend_from_slice(if key.base64 { b" b" } else { b"" });
                out.extend_from_slice(line_end);
            }
            Request::FlushAll { delay, noreply } => {
                out.extend_from_slice(b"flush_all");
                if let Some(delay) = delay {
                    out.extend_from_slice(format!(" {delay}").as_bytes());
                }
                end(*noreply, line_end, out);
            }
            Request::Fixed { sent, .. } => out.extend_from_slice(sent),
        }
    }
}

fn keyed(command: &str, key: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(command.as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
}

fn end(noreply: bool, line_end: &[u8], out: &mut Vec<u8>) {
    if noreply {
        out.extend_from_slice(b" noreply");
    }
    out.extend_from_slice(line_end);
}

fn meta_line(command: &str, meta: &Meta, len: Option<usize>, line_end: &[u8], out: &mut Vec<u8>) {
    meta.write(command, len, out);
    out.extend_from_slice(line_end);
}
