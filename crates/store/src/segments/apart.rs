//! Values too large for a segment: cut into pieces that live on their own ([`crate::piece`]).
//!
//! What does not fill a piece lies in the record, behind the handle of the pieces. So a large value
//! stands in the same queues as every other and leaves when its turn comes.
//!
//! Pieces are counted references: a socket can be given them without a copy, and what is being written
//! out outlives its item. The store answers for the pieces of its items, and hands that on with those
//! that a socket still holds when their item goes.

use std::sync::Arc;

use crate::piece::{HUGE, Piece, next_size};
use crate::{Account, LargeValue};

/// The pieces of one value.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    pieces: Box<[Piece]>,
    len: usize,
}

impl Pieces {
    /// Cuts a value up, but for its last bytes, at most `inline`.
    pub(super) fn cut<'v>(
        value: &'v [u8],
        inline: usize,
        outside: &Arc<Account>,
    ) -> (Pieces, &'v [u8]) {
        let mut rest = value;
        let mut pieces = Vec::new();
        while let Some(size) = next_size(rest.len(), value.len(), inline) {
            let (piece, behind) = rest.split_at(size);
            pieces.push(Piece::stored(piece, outside));
            rest = behind;
        }
        (Pieces { pieces: pieces.into(), len: value.len() - rest.len() }, rest)
    }

    /// The pieces of a value that was cut up already.
    pub(super) fn of(value: &LargeValue) -> Pieces {
        let pieces = value.pieces().into();
        Pieces { pieces, len: value.len() - value.rest().len() }
    }

    /// The store answers for them from here on.
    fn adopt(&self) {
        self.pieces.iter().for_each(Piece::adopt);
    }

    /// Whoever else holds them answers for them from here on.
    fn release(&self) {
        self.pieces.iter().for_each(Piece::release);
    }

    pub(super) fn as_slice(&self) -> &[Piece] {
        &self.pieces
    }

    /// Bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What they are charged: themselves, a reference to each, and its count.
    pub(super) fn charge(&self) -> u64 {
        const ALL: u64 = 32;
        self.pieces.iter().map(Piece::charge).sum::<u64>() + ALL
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Apart {
    values: Vec<Option<Pieces>>,
    free: Vec<u32>,
    len: usize,
}

impl Apart {
    /// Keeps a value's pieces and returns their handle.
    pub(super) fn insert(&mut self, pieces: Pieces) -> u32 {
        self.len += 1;
        pieces.adopt();
        if let Some(handle) = self.free.pop() {
            self.values[handle as usize] = Some(pieces);
            return handle;
        }
        self.values.push(Some(pieces));
        // More values than that would be more than any machine's memory.
        u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, handle: u32) -> Option<&Pieces> {
        self.values.get(handle as usize)?.as_ref()
    }

    /// Puts other pieces under a handle.
    pub(super) fn replace(&mut self, handle: u32, pieces: Pieces) {
        if let Some(Some(kept)) = self.values.get_mut(handle as usize) {
            pieces.adopt();
            std::mem::replace(kept, pieces).release();
        }
    }

    /// Puts copies in the place of a value's pieces, unless it is huge. What stays longer than what
    /// came with it leaves the allocator's pages to that: they are free when all of it has gone.
    pub(super) fn renew(&mut self, handle: u32) {
        let Some(Some(pieces)) = self.values.get_mut(handle as usize) else { return };
        if pieces.len < HUGE {
            for piece in &mut pieces.pieces {
                piece.release();
                *piece = piece.renewed();
            }
        }
    }

    /// Lets go of a value.
    pub(super) fn remove(&mut self, handle: u32) {
        let removed = self.values.get_mut(handle as usize).and_then(Option::take);
        if let Some(pieces) = removed {
            pieces.release();
            self.len -= 1;
            self.free.push(handle);
        }
        if self.len == 0 {
            *self = Apart::default();
        }
    }

    /// How many values are kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{PAGE, SIZES};

    #[test]
    fn a_value_is_cut_into_few_sizes_and_a_short_rest() {
        let value: Vec<u8> = (0..2_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        for len in [0, 255, 256, 257, 4_095, 4_096, 20_479, 65_536, 69_632, 99_999, 1_999_999] {
            for inline in [512, 1_024, 4_096] {
                let (pieces, rest) = Pieces::cut(&value[..len], inline, &Arc::default());
                assert!(rest.len() <= inline);
                assert_eq!(pieces.len() + rest.len(), len);
                let whole =
                    pieces.as_slice().iter().flat_map(|piece| piece.iter()).chain(rest).copied();
                assert_eq!(Vec::from_iter(whole), value[..len]);
                assert!(pieces.as_slice().iter().all(|piece| SIZES.contains(&piece.len())));
                if len >= 8 << 10 {
                    assert!(pieces.charge() <= (len + len / 32) as u64);
                    assert!(pieces.as_slice().len() <= len / PAGE + 16);
                }
            }
        }
    }

    #[test]
    fn handles_are_used_again() {
        let pieces = |len| Pieces::cut(&vec![7; len], 0, &Arc::default()).0;
        let mut apart = Apart::default();
        let (one, two) = (apart.insert(pieces(256)), apart.insert(pieces(512)));
        apart.remove(one);
        apart.remove(one);
        assert!(apart.get(one).is_none());
        assert_eq!(apart.insert(pieces(1_024)), one);
        apart.replace(two, pieces(768));
        assert_eq!((apart.get(two).map(Pieces::len), apart.len()), (Some(768), 2));
    }
}
