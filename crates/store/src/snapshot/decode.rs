//! Decoding of a snapshot from the bytes that have arrived so far.

use crc32fast::Hasher;

use super::{
    BLOCK_LEN, HEAD_LEN, Header, ITEMS, Reader, SavedItem, SnapshotError, TAIL, TAIL_LEN, Totals,
    item,
};

/// The decoded next part.
#[derive(Clone, Debug)]
pub enum Decoded<'a> {
    /// The part is incomplete: decoding needs at least this number of unread bytes, never more than
    /// [`Decoder::most`].
    Incomplete(usize),
    /// The header, always the first part.
    Header(Header),
    /// A block of items, checked as a whole.
    Items(Items<'a>),
    /// Bytes of a block that is larger than the reader takes, and skipped.
    Passed {
        /// Number of items in the block; 0 if the block continues.
        items: u32,
    },
    /// The end of a complete snapshot.
    End(Totals),
}

/// Decodes a snapshot. The decoder keeps no bytes: the caller passes unconsumed bytes again, with
/// more.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Longest contents of a block that the decoder asks for.
    longest: usize,
    digest: Hasher,
    seen: Totals,
}

#[derive(Debug)]
enum State {
    Header,
    Blocks,
    /// In the middle of a block that is too large.
    Passing {
        left: usize,
        items: u32,
        crc: Hasher,
        expected: u32,
    },
    Over,
}

/// The numbers before a block's contents.
struct Head {
    kind: [u8; 4],
    number: u32,
    len: usize,
    items: u32,
    crc: u32,
}

impl Head {
    fn read(input: &[u8]) -> Option<Head> {
        let mut reader = Reader(input);
        Some(Head {
            kind: reader.array()?,
            number: reader.u32()?,
            len: usize::try_from(reader.u32()?).ok()?,
            items: reader.u32()?,
            crc: reader.u32()?,
        })
    }
}

impl Decoder {
    /// A decoder of items whose keys and values have up to `longest` bytes; it skips larger ones.
    pub fn new(longest: usize) -> Decoder {
        Decoder {
            state: State::Header,
            longest: longest.max(BLOCK_LEN).saturating_add(64),
            digest: Hasher::new(),
            seen: Totals::default(),
        }
    }

    /// The most bytes that the decoder ever needs at once.
    pub fn most(&self) -> usize {
        self.longest.saturating_add(HEAD_LEN)
    }

    /// Decodes the part at the beginning of `input`, and returns the number of bytes it took.
    ///
    /// # Errors
    /// If the input is not a snapshot, or is damaged. After an error nothing more can be decoded.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Decoded<'a>), SnapshotError> {
        let (consumed, decoded) = match &mut self.state {
            State::Header => match Header::read(input)? {
                Err(needed) => return Ok((0, Decoded::Incomplete(needed))),
                Ok((header, len, crc)) => {
                    self.digest.update(&crc.to_le_bytes());
                    self.state = State::Blocks;
                    (len, Decoded::Header(header))
                }
            },
            State::Blocks => self.block(input)?,
            State::Passing { left, items, crc, expected } => {
                let len = input.len().min(*left);
                crc.update(&input[..len]);
                *left -= len;
                let (left, items, expected) = (*left, *items, *expected);
                match left {
                    0 if crc.clone().finalize() != expected => return Err(self.damaged()),
                    0 => {
                        self.state = State::Blocks;
                        self.count(items, expected);
                        (len, Decoded::Passed { items })
                    }
                    _ if len == 0 => return Ok((0, Decoded::Incomplete(1))),
                    _ => (len, Decoded::Passed { items: 0 }),
                }
            }
            State::Over if input.is_empty() => return Ok((0, Decoded::Incomplete(1))),
            State::Over => return Err(SnapshotError::Trailing),
        };
        self.seen.bytes += consumed as u64;
        Ok((consumed, decoded))
    }

    fn block<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Decoded<'a>), SnapshotError> {
        let Some(head) = Head::read(input) else { return Ok((0, Decoded::Incomplete(HEAD_LEN))) };
        let is_tail = head.kind == TAIL;
        let fits = match head.kind {
            TAIL => head.len == Totals::LEN && head.items == 0,
            ITEMS => head.len > 0 && head.items > 0,
            _ => false,
        };
        if !fits || head.number != self.seen.blocks {
            return Err(self.damaged());
        }
        if head.len > self.longest {
            let mut crc = Hasher::new();
            crc.update(&input[..HEAD_LEN - 4]);
            let (left, items, expected) = (head.len, head.items, head.crc);
            self.state = State::Passing { left, items, crc, expected };
            return Ok((HEAD_LEN, Decoded::Passed { items: 0 }));
        }
        let whole = HEAD_LEN + head.len;
        let Some(contents) = input.get(HEAD_LEN..whole) else {
            return Ok((0, Decoded::Incomplete(whole)));
        };
        if checksum(input, contents) != head.crc {
            return Err(self.damaged());
        }
        if is_tail {
            let totals = Totals::read(contents).ok_or(self.damaged())?;
            self.seen.digest = self.digest.clone().finalize();
            let bytes = self.seen.bytes + whole as u64;
            if totals != (Totals { bytes, ..self.seen }) {
                return Err(SnapshotError::Inconsistent);
            }
            self.state = State::Over;
            return Ok((whole, Decoded::End(totals)));
        }
        // Check the whole block before the first item is passed on.
        let mut reader = Reader(contents);
        for _ in 0..head.items {
            item::read(&mut reader).ok_or(self.damaged())?;
        }
        if !reader.0.is_empty() {
            return Err(self.damaged());
        }
        self.count(head.items, head.crc);
        Ok((whole, Decoded::Items(Items { reader: contents, left: head.items })))
    }

    /// Adds a block to the totals.
    fn count(&mut self, items: u32, crc: u32) {
        self.digest.update(&crc.to_le_bytes());
        self.seen.items += u64::from(items);
        self.seen.blocks = self.seen.blocks.wrapping_add(1);
    }

    fn damaged(&self) -> SnapshotError {
        SnapshotError::Damaged { block: Some(self.seen.blocks) }
    }
}

fn checksum(input: &[u8], contents: &[u8]) -> u32 {
    let mut crc = Hasher::new();
    crc.update(&input[..HEAD_LEN - 4]);
    crc.update(contents);
    crc.finalize()
}

/// The items of one block.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    reader: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Items<'a> {
    type Item = SavedItem<'a>;

    #[inline]
    fn next(&mut self) -> Option<SavedItem<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut reader = Reader(self.reader);
        let item = item::read(&mut reader);
        self.reader = reader.0;
        item
    }
}

/// Checks that the last bytes of `len` in all are the end of a complete snapshot, without reading
/// the rest.
///
/// # Errors
/// If they are not: the snapshot is incomplete, or was changed afterwards.
pub fn check_tail(tail: &[u8; TAIL_LEN], len: u64) -> Result<Totals, SnapshotError> {
    let contents = &tail[HEAD_LEN..];
    let head = Head::read(tail).filter(|head| head.kind == TAIL).ok_or(SnapshotError::CutOff)?;
    if checksum(tail, contents) != head.crc {
        return Err(SnapshotError::CutOff);
    }
    match Totals::read(contents) {
        Some(totals) if totals.bytes == len && totals.blocks == head.number => Ok(totals),
        _ => Err(SnapshotError::Inconsistent),
    }
}
