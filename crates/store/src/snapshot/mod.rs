//! Snapshots: items as a stream of bytes, for a file or for the next process.
//!
//! A stream is a header, blocks of items, and an end. All numbers are little-endian.
//!
//! | part | bytes | content |
//! |---|---|---|
//! | header | 8 | [`MAGIC`] |
//! | | 4 | version of the format, [`VERSION`] |
//! | | 4 | length of the fields |
//! | | .. | the fields: see [`Header`] |
//! | | 4 | CRC-32 of the whole header |
//! | block | 4 | its kind: `ITEM` or `TAIL` |
//! | | 4 | its number, from 0 |
//! | | 4 | length of its contents |
//! | | 4 | number of its items |
//! | | 4 | CRC-32 of the four numbers above and of the contents |
//! | | .. | contents: items one after the other, or [`Totals`] |
//!
//! An item is its key's length (1), a set of bits ([`item`]), its value's length (4), its CAS
//! unique (8), the second of its last access (4), its expiry (0 or 4), its flags (0 or 4), key and
//! value.
//!
//! The end has the number of items and blocks, a digest of the blocks' checksums, and the length of
//! the whole. So a truncated stream, or one joined from two, can be told from a complete one; for a
//! file, its last bytes suffice ([`check_tail`]).
//!
//! This module does no I/O. [`Encoder`] fills a buffer, [`Decoder`] reads the bytes it is given.
//! The decoder trusts no number: it allocates nothing, asks for no more bytes than its user's
//! longest block, and returns the items of a block only after it has checked the whole block.
//!
//! | file | purpose |
//! |---|---|
//! | `encode`, `decode` | writing and reading a stream |
//! | `header`, `item` | the header; one item of a block |
//! | `error` | why bytes are not a valid snapshot |

mod decode;
mod encode;
mod error;
mod header;
mod item;

#[cfg(test)]
mod tests;

pub use decode::{Decoded, Decoder, Items, check_tail};
pub use encode::Encoder;
pub use error::SnapshotError;
pub use header::{Header, Origin};
pub use item::SavedItem;

/// The first bytes of every snapshot.
pub const MAGIC: [u8; 8] = *b"RBSNAP\r\n";

/// The version of the format: the one written, and the newest one read.
pub const VERSION: u32 = 1;

/// Bytes of a full block of items, unless one item is longer.
pub const BLOCK_LEN: usize = 256 << 10;

/// Bytes of the end, which are the last bytes of a complete snapshot.
pub const TAIL_LEN: usize = HEAD_LEN + Totals::LEN;

/// Bytes before a block's contents.
const HEAD_LEN: usize = 20;

/// The kinds of block.
const ITEMS: [u8; 4] = *b"ITEM";
const TAIL: [u8; 4] = *b"TAIL";

/// Totals of a whole snapshot, stored in its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of items in all blocks.
    pub items: u64,
    /// Number of blocks of items.
    pub blocks: u32,
    /// CRC-32 of the checksums of the header and of all blocks, in order.
    pub digest: u32,
    /// Bytes of the whole snapshot, including the end.
    pub bytes: u64,
}

impl Totals {
    const LEN: usize = 24;

    fn to_bytes(self) -> [u8; Totals::LEN] {
        let mut bytes = [0; Totals::LEN];
        bytes[..8].copy_from_slice(&self.items.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.digest.to_le_bytes());
        bytes[16..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Totals> {
        let mut reader = Reader(bytes);
        let totals = Totals {
            items: reader.u64()?,
            blocks: reader.u32()?,
            digest: reader.u32()?,
            bytes: reader.u64()?,
        };
        reader.0.is_empty().then_some(totals)
    }
}

/// Takes numbers off the front of a slice; `None` if it is too short.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
