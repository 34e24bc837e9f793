//! A large value before it is stored: as its bytes arrive, and complete.

use std::sync::Arc;

use bytes::BufMut;
use bytes::buf::Limit;

use super::piece::{HUGE, Piece, charge, next_size};
use crate::Account;
use crate::memory::reserved::Reserved;

/// A large value in pieces, and the memory reserved for it in a store.
#[derive(Debug, Default)]
pub struct LargeValue {
    pieces: Vec<Piece>,
    rest: Vec<u8>,
    len: usize,
    room: Option<Box<Reserved>>,
}

impl LargeValue {
    /// Bytes of the whole value.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value's pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The bytes after the pieces.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Bytes charged for the pieces.
    pub fn charge(&self) -> u64 {
        charge(self.pieces.len(), self.len - self.rest.len())
    }

    /// Appends a copy of the value to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.len);
        for piece in &self.pieces {
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(&self.rest);
    }

    /// The memory reserved for the value.
    pub(crate) fn room(&mut self) -> &mut Option<Box<Reserved>> {
        &mut self.room
    }

    /// The value's pieces, and the bytes after them.
    pub(crate) fn into_parts(self) -> (Vec<Piece>, Vec<u8>) {
        (self.pieces, self.rest)
    }
}

impl Clone for LargeValue {
    /// A value with the same pieces. The reserved memory stays with the original.
    fn clone(&self) -> LargeValue {
        let (pieces, rest) = (self.pieces.clone(), self.rest.clone());
        LargeValue { pieces, rest, len: self.len, room: None }
    }
}

/// A large value on its way in. It takes memory piece by piece, as its bytes arrive, and charges it
/// to the account outside the store until the value is stored.
#[derive(Debug)]
pub struct Arriving {
    value: LargeValue,
    /// Bytes of the whole value.
    whole: usize,
    /// Bytes of the full pieces.
    closed: usize,
    /// Bytes charged for the full pieces.
    charged: u64,
    inline: usize,
    /// The piece being filled, and the bytes that it is to have. Empty between pieces.
    open: Vec<u8>,
    size: usize,
    outside: Arc<Account>,
    /// Bytes of `open` and the rest that `outside` counts.
    open_charge: u64,
}

impl Arriving {
    /// Prepares for a value of `whole` bytes, of which a record of its store takes up to `inline`.
    /// `outside` counts its memory.
    pub fn new(whole: usize, inline: usize, outside: &Arc<Account>) -> Arriving {
        Arriving {
            value: LargeValue { len: whole, ..LargeValue::default() },
            whole,
            closed: 0,
            charged: 0,
            inline,
            open: Vec::new(),
            size: 0,
            outside: Arc::clone(outside),
            open_charge: 0,
        }
    }

    /// Bytes that have not arrived yet.
    pub fn missing(&self) -> usize {
        self.whole - self.closed - self.open.len()
    }

    /// Bytes that the value takes so far.
    pub fn held(&self) -> u64 {
        self.charged + self.open_charge
    }

    /// Whether a piece is begun and not full.
    pub fn is_open(&self) -> bool {
        self.open.len() < self.size
    }

    /// Whether to read the next bytes straight into [`Arriving::room`], since they are many.
    pub fn is_huge(&self) -> bool {
        self.whole >= HUGE
    }

    /// Space for the next bytes: never more than are missing, and never empty while any are
    /// missing.
    pub fn room(&mut self) -> Limit<&mut Vec<u8>> {
        self.close_full();
        if self.size == 0 {
            let missing = self.missing();
            self.size = next_size(missing, self.whole, self.inline).unwrap_or(missing);
            self.open = Vec::with_capacity(self.size);
            self.open_charge = self.size as u64;
            self.outside.take(self.open_charge);
        }
        let room = self.size - self.open.len();
        (&mut self.open).limit(room)
    }

    /// Takes as many of these bytes as are missing, and returns their number.
    pub fn fill(&mut self, mut bytes: &[u8]) -> usize {
        let mut taken = 0;
        while !bytes.is_empty() && self.missing() > 0 {
            let mut room = self.room();
            let some = bytes.len().min(room.remaining_mut());
            room.put_slice(&bytes[..some]);
            bytes = &bytes[some..];
            taken += some;
        }
        taken
    }

    /// The complete value. Call this only when no byte is missing.
    pub fn finish(mut self) -> LargeValue {
        debug_assert_eq!(self.missing(), 0);
        self.close_full();
        let mut value = std::mem::take(&mut self.value);
        value.pieces.shrink_to_fit();
        value
    }

    fn close_full(&mut self) {
        if self.size == 0 || self.open.len() < self.size {
            return;
        }
        let is_piece = next_size(self.whole - self.closed, self.whole, self.inline).is_some();
        let bytes = std::mem::take(&mut self.open);
        self.closed += bytes.len();
        self.outside.give(std::mem::take(&mut self.open_charge));
        self.size = 0;
        if is_piece {
            let piece = Piece::arrived(bytes, &self.outside);
            self.charged += piece.charge();
            self.value.pieces.push(piece);
        } else {
            self.value.rest = bytes;
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.outside.give(self.open_charge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::piece::PAGE;

    fn arrived(len: usize, inline: usize, outside: &Arc<Account>) -> LargeValue {
        let mut arriving = Arriving::new(len, inline, outside);
        let bytes: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[0]).collect();
        for some in bytes.chunks(5_000) {
            assert_eq!(arriving.fill(some), some.len());
        }
        assert_eq!((arriving.missing(), arriving.fill(b"more")), (0, 0));
        let value = arriving.finish();
        let mut copy = Vec::new();
        value.copy_to(&mut copy);
        assert_eq!(copy, bytes);
        value
    }

    #[test]
    fn a_value_is_charged_outside_as_it_arrives_until_it_is_stored() {
        for (len, inline) in [(5_000, 512), (4_096, 4_092), (100_000, 4_092), (3 << 20, 4_092)] {
            let outside = Arc::default();
            let value = arrived(len, inline, &outside);
            let pieces: u64 = value.pieces().iter().map(Piece::charge).sum();
            assert!(value.rest().len() <= inline && pieces >= (len - value.rest().len()) as u64);
            assert_eq!(outside.held(), pieces);
            value.pieces().iter().for_each(Piece::adopt);
            assert_eq!(outside.held(), 0);
            drop(value);
            assert_eq!(outside.held(), 0);
        }
    }

    #[test]
    fn what_is_announced_takes_nothing_and_what_is_begun_takes_a_piece() {
        let outside = Arc::default();
        let mut arriving = Arriving::new(100_000, 4_092, &outside);
        assert_eq!(outside.held(), 0);
        arriving.fill(b"x");
        assert_eq!(outside.held(), PAGE as u64);
        drop(arriving);
        assert_eq!(outside.held(), 0);
    }
}
