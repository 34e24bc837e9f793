//! A generated command, with the bytes for each side.

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The reference.
    Theirs,
    /// The subject.
    Ours,
}

/// The CAS numbers that each side assigned to the same state of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CasPair {
    /// The reference's number.
    pub theirs: u64,
    /// The subject's number.
    pub ours: u64,
}

impl CasPair {
    /// The same number on both sides.
    pub fn same(number: u64) -> CasPair {
        CasPair { theirs: number, ours: number }
    }
}

#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Cas(CasPair),
}

/// A command line with its body, if it has one.
#[derive(Clone, Debug, Default)]
pub struct Command {
    pieces: Vec<Piece>,
}

impl Command {
    /// A command that starts with these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Command {
        Command { pieces: vec![Piece::Bytes(bytes.as_ref().to_vec())] }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: impl AsRef<[u8]>) -> &mut Command {
        if let Some(Piece::Bytes(last)) = self.pieces.last_mut() {
            last.extend_from_slice(bytes.as_ref());
        } else {
            self.pieces.push(Piece::Bytes(bytes.as_ref().to_vec()));
        }
        self
    }

    /// Adds a CAS number, which differs between the sides.
    pub fn push_cas(&mut self, pair: CasPair) -> &mut Command {
        self.pieces.push(Piece::Cas(pair));
        self
    }

    /// Appends another command.
    pub fn append(&mut self, other: &Command) -> &mut Command {
        for piece in &other.pieces {
            match piece {
                Piece::Bytes(bytes) => self.push(bytes),
                Piece::Cas(pair) => self.push_cas(*pair),
            };
        }
        self
    }

    /// The bytes for one side.
    pub fn render(&self, side: Side) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(part) => bytes.extend_from_slice(part),
                Piece::Cas(pair) => {
                    let number = if side == Side::Theirs { pair.theirs } else { pair.ours };
                    bytes.extend_from_slice(number.to_string().as_bytes());
                }
            }
        }
        bytes
    }
}

/// The words of a command's first line.
pub(super) fn words(command: &[u8]) -> Vec<&[u8]> {
    let line = command.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect()
}

/// Whether a meta command has this flag.
pub(super) fn has_flag(words: &[&[u8]], flag: u8) -> bool {
    let skip = if words.first() == Some(&b"ms".as_slice()) { 3 } else { 2 };
    words.iter().skip(skip).any(|word| word[0] == flag)
}
