//! Encoding of a snapshot, buffer by buffer.

use crc32fast::Hasher;

use super::{BLOCK_LEN, HEAD_LEN, Header, ITEMS, TAIL, TAIL_LEN, Totals, item};
use crate::ItemRef;

/// Writes a snapshot into a buffer that is emptied again and again.
///
/// ```
/// # use ringbinder_store::snapshot::{Encoder, Header};
/// # use ringbinder_store::{Limits, SegmentStore, Store};
/// # let store = SegmentStore::new(Limits { max_bytes: 8 << 20, max_item: 1 << 20, evict: true }, None);
/// # let mut file = Vec::new();
/// let mut encoder = Encoder::new(&Header::default());
/// store.for_each(1_700_000_000, &mut |item| {
///     encoder.push(item);
///     if encoder.is_full() {
///         file.extend_from_slice(encoder.bytes());
///         encoder.clear();
///     }
///     true
/// });
/// file.extend_from_slice(encoder.finish());
/// ```
#[derive(Debug)]
pub struct Encoder {
    buffer: Vec<u8>,
    /// Start of the open block, to which items are appended.
    open: Option<usize>,
    /// Number of items in the open block.
    count: u32,
    digest: Hasher,
    totals: Totals,
}

impl Encoder {
    /// Begins a snapshot with a header.
    pub fn new(header: &Header) -> Encoder {
        let mut buffer = Vec::with_capacity(BLOCK_LEN + (64 << 10));
        let crc = header.write(&mut buffer);
        let mut digest = Hasher::new();
        digest.update(&crc.to_le_bytes());
        let totals = Totals { bytes: buffer.len() as u64, ..Totals::default() };
        Encoder { buffer, open: None, count: 0, digest, totals }
    }

    /// Appends an item. Leaves out an item that the format cannot hold, with a value of 4 GiB or
    /// more.
    pub fn push(&mut self, item: &dyn ItemRef) {
        let len = item::len(item);
        if self.open.is_some_and(|open| self.buffer.len() - open + len > BLOCK_LEN) {
            self.seal();
        }
        let begun = self.buffer.len();
        if self.open.is_none() {
            self.open = Some(begun);
            self.buffer.resize(begun + HEAD_LEN, 0);
        }
        if item::write(item, &mut self.buffer) {
            self.count += 1;
            self.totals.items += 1;
        } else if self.count == 0 {
            self.buffer.truncate(begun);
            self.open = None;
        }
    }

    /// Whether the buffer should be written out.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BLOCK_LEN
    }

    /// All bytes appended since the last [`Encoder::clear`], in whole blocks.
    pub fn bytes(&mut self) -> &[u8] {
        self.seal();
        &self.buffer
    }

    /// Empties the buffer, after its bytes are written.
    pub fn clear(&mut self) {
        self.seal();
        self.buffer.clear();
        // Free the memory that one large item needed.
        self.buffer.shrink_to(4 * BLOCK_LEN);
    }

    /// Appends the end and returns the bytes that remain to be written.
    pub fn finish(&mut self) -> &[u8] {
        self.seal();
        self.totals.digest = self.digest.clone().finalize();
        self.totals.bytes += TAIL_LEN as u64;
        let (contents, start) = (self.totals.to_bytes(), self.buffer.len());
        self.buffer.resize(start + HEAD_LEN, 0);
        self.buffer.extend_from_slice(&contents);
        self.write_head(start, TAIL, 0);
        &self.buffer
    }

    /// Totals of everything encoded so far; of the whole snapshot once it is finished.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Ends the open block.
    fn seal(&mut self) {
        let Some(start) = self.open.take() else { return };
        let count = std::mem::take(&mut self.count);
        let crc = self.write_head(start, ITEMS, count);
        self.digest.update(&crc.to_le_bytes());
        self.totals.blocks += 1;
        self.totals.bytes += (self.buffer.len() - start) as u64;
    }

    /// Writes the numbers before the contents that end the buffer.
    fn write_head(&mut self, start: usize, kind: [u8; 4], items: u32) -> u32 {
        let (head, contents) = self.buffer[start..].split_at_mut(HEAD_LEN);
        head[..4].copy_from_slice(&kind);
        head[4..8].copy_from_slice(&self.totals.blocks.to_le_bytes());
        head[8..12].copy_from_slice(&u32::try_from(contents.len()).unwrap_or(0).to_le_bytes());
        head[12..16].copy_from_slice(&items.to_le_bytes());
        let mut crc = Hasher::new();
        crc.update(&head[..16]);
        crc.update(contents);
        let crc = crc.finalize();
        head[16..].copy_from_slice(&crc.to_le_bytes());
        crc
    }
}
