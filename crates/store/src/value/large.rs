//! Values too large for a segment: cut into separately allocated pieces ([`crate::value::piece`]).
//!
//! Bytes that do not fill a piece lie in the record, after the handle of the pieces. So a large
//! value stands in the same queues as every other value and is evicted in its turn.
//!
//! Pieces are reference-counted: a socket can send them without a copy, and may keep them longer
//! than their item lives. The store's account counts the pieces of its items. When an item goes
//! while a socket still holds its pieces, the account outside the store counts them.

use super::Cutting;
use crate::value::piece::{Piece, charge, next_size};

/// The pieces of one value.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: Vec<Piece>,
    len: usize,
    charge: u64,
}

impl Pieces {
    /// Cuts a value into pieces, except its last bytes, which stay in the record.
    pub(crate) fn cut<'v>(value: &'v [u8], cutting: Cutting<'_>) -> (Pieces, &'v [u8]) {
        let mut rest = value;
        let mut pieces = Vec::new();
        while let Some(size) = next_size(rest.len(), value.len(), cutting.inline) {
            let (piece, behind) = rest.split_at(size);
            pieces.push(Piece::arrived(piece, cutting.outside));
            rest = behind;
        }
        pieces.shrink_to_fit();
        (Pieces::new(pieces, value.len() - rest.len()), rest)
    }

    /// Pieces of `len` bytes together.
    pub(crate) fn new(pieces: Vec<Piece>, len: usize) -> Pieces {
        let charge = Pieces::charge_of(pieces.len(), len);
        Pieces { pieces, len, charge }
    }

    /// Bytes charged for `pieces` pieces of `len` bytes together, including the entry that keeps
    /// them.
    pub(crate) fn charge_of(pieces: usize, len: usize) -> u64 {
        const ALL: u64 = 48;
        if pieces == 0 { 0 } else { charge(pieces, len) + ALL }
    }

    /// Moves the pieces to the store's account.
    pub(crate) fn adopt(&self) {
        self.pieces.iter().for_each(Piece::adopt);
    }

    /// Drops the pieces; any other holder counts them from here on.
    pub(crate) fn release(self) {
        for piece in self.pieces {
            piece.release();
        }
    }

    /// The pieces themselves.
    pub(crate) fn into_vec(self) -> Vec<Piece> {
        self.pieces
    }

    pub(crate) fn as_slice(&self) -> &[Piece] {
        &self.pieces
    }

    /// Bytes of all pieces.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes charged for the pieces.
    pub(crate) fn charge(&self) -> u64 {
        self.charge
    }

    /// Replaces a piece by another of the same length, made for the store, and returns the old one.
    pub(crate) fn replace(&mut self, at: usize, piece: Piece) -> Piece {
        debug_assert!(piece.len() == self.pieces[at].len() && piece.is_stored());
        std::mem::replace(&mut self.pieces[at], piece)
    }
}

/// The large values of a shard, by handle. See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct LargeValues {
    values: Vec<Option<Pieces>>,
    free: Vec<u32>,
    len: usize,
}

impl LargeValues {
    /// Keeps a value's pieces, all of which the store's account counts, and returns their handle.
    pub(crate) fn insert(&mut self, pieces: Pieces) -> u32 {
        self.len += 1;
        if let Some(handle) = self.free.pop() {
            self.values[handle as usize] = Some(pieces);
            return handle;
        }
        self.values.push(Some(pieces));
        // More values would exceed the memory of any machine.
        u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&Pieces> {
        self.values.get(handle as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> Option<&mut Pieces> {
        self.values.get_mut(handle as usize)?.as_mut()
    }

    /// Takes the pieces of a value that is about to be removed. Its charge does not change.
    pub(crate) fn take(&mut self, handle: u32) -> Vec<Piece> {
        self.get_mut(handle).map_or_else(Vec::new, |it| std::mem::take(&mut it.pieces))
    }

    /// Removes a value and returns it.
    pub(crate) fn remove(&mut self, handle: u32) -> Pieces {
        let Some(removed) = self.values.get_mut(handle as usize).and_then(Option::take) else {
            return Pieces::default();
        };
        self.len -= 1;
        self.free.push(handle);
        if self.len == 0 {
            *self = LargeValues::default();
        }
        removed
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Recounts every value.
    pub(crate) fn validate(&self) {
        for pieces in self.values.iter().flatten() {
            let len = pieces.pieces.iter().map(|piece| piece.len()).sum();
            assert_eq!(len, pieces.len, "a value's bytes are miscounted");
            assert_eq!(Pieces::charge_of(pieces.pieces.len(), len), pieces.charge);
            assert!(pieces.pieces.iter().all(Piece::is_stored), "a piece is counted elsewhere");
        }
        assert_eq!(self.values.iter().flatten().count(), self.len, "large values are miscounted");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::value::piece::{PAGE, SIZES};

    #[test]
    fn a_value_is_cut_into_few_sizes_and_a_short_rest() {
        let value: Vec<u8> = (0..2_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        for len in [0, 255, 256, 257, 4_095, 4_096, 20_479, 65_536, 69_632, 99_999, 1_999_999] {
            for inline in [512, 1_024, 4_096] {
                let outside = &Arc::default();
                let (pieces, rest) = Pieces::cut(&value[..len], Cutting { inline, outside });
                assert!(rest.len() <= inline);
                assert_eq!(pieces.len() + rest.len(), len);
                let whole =
                    pieces.as_slice().iter().flat_map(|piece| piece.iter()).chain(rest).copied();
                assert_eq!(Vec::from_iter(whole), value[..len]);
                assert!(pieces.as_slice().iter().all(|piece| SIZES.contains(&piece.len())));
                if len >= 8 << 10 {
                    assert!(pieces.charge() <= (len + len / 16) as u64);
                    assert!(pieces.as_slice().len() <= len / PAGE + 16);
                }
            }
        }
    }

    #[test]
    fn handles_are_used_again() {
        let pieces =
            |len| Pieces::cut(&vec![7; len], Cutting { inline: 0, outside: &Arc::default() }).0;
        let mut large = LargeValues::default();
        let (one, two) = (large.insert(pieces(256)), large.insert(pieces(512)));
        assert_eq!(large.remove(one).len(), 256);
        assert_eq!(large.remove(one).len(), 0);
        assert!(large.get(one).is_none());
        assert_eq!(large.insert(pieces(1_024)), one);
        assert_eq!((large.get(two).map(Pieces::len), large.len()), (Some(512), 2));
    }
}
