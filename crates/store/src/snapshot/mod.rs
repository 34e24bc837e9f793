//! Items as a stream of bytes that outlives the process: what a snapshot file holds, and what one
//! process hands to the next.
//!
//! A stream is a header, blocks of items, and an end. All numbers are little-endian.
//!
//! | part | bytes | what |
//! |---|---|---|
//! | header | 8 | [`MAGIC`] |
//! | | 4 | version of the format, [`VERSION`] |
//! | | 4 | length of the fields |
//! | | .. | the fields: see [`Header`] |
//! | | 4 | CRC-32 of all of it |
//! | block | 4 | what it is: `ITEM` or `TAIL` |
//! | | 4 | its number, from 0 |
//! | | 4 | length of its contents |
//! | | 4 | how many items it holds |
//! | | 4 | CRC-32 of the four numbers above and of the contents |
//! | | .. | contents: items one behind the other, or [`Totals`] |
//!
//! An item is its key's length (1), what it has ([`item`]), its value's length (4), its CAS unique (8),
//! the second of its last access (4), its expiry (0 or 4), its flags (0 or 4), key and value.
//!
//! The end counts items and blocks, sums up the blocks' checksums and says how long the whole is. So a
//! stream that was cut off, or put together of two, is told from a whole one; of a file, by a look at its
//! last bytes ([`check_tail`]).
//!
//! Nothing here does I/O. [`Encoder`] fills a buffer, [`Decoder`] reads what it is shown. The decoder
//! trusts no number: it holds no memory of its own, asks for no more bytes than the longest block that
//! its user wants to see, and passes on items of a block only after all of it was checked.

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
