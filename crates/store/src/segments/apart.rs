//! Values too large for a segment: cut into pieces that live on their own.
//!
//! Nearly all pieces have one size, [`PAGE`], whatever the sizes of the values, so what one value gives
//! up the next can use, and the allocator is left with hardly any holes. What remains is short enough
//! to lie in the record, behind the handle of the pieces. So a large value stands in the same queues
//! as every other and leaves when its turn comes. Only huge values are cut into larger pieces: they
//! are few, and each piece has to be counted.
//!
//! Pieces are counted references: a socket can be given them without a copy, and what is being written
//! out outlives its item.

use bytes::Bytes;

/// Bytes of a piece, largest first. The smaller two are for budgets so small that records are.
const SIZES: [usize; 4] = [64 << 10, PAGE, 1 << 10, 256];
const PAGE: usize = 4 << 10;

/// From this length on a value is huge.
const HUGE: usize = 1 << 20;

/// The pieces of one value.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    pieces: Box<[Bytes]>,
    len: usize,
}

impl Pieces {
    /// Cuts a value up, but for its last bytes, at most `inline`.
    pub(super) fn cut(value: &[u8], inline: usize) -> (Pieces, &[u8]) {
        let mut rest = value;
        let sizes = if value.len() < HUGE { &SIZES[1..] } else { &SIZES };
        let mut pieces = Vec::with_capacity(value.len() / sizes[0] + SIZES[0] / PAGE);
        for &size in sizes {
            while rest.len() > inline && rest.len() >= size {
                let (piece, behind) = rest.split_at(size);
                pieces.push(Bytes::copy_from_slice(piece));
                rest = behind;
            }
        }
        (Pieces { pieces: pieces.into(), len: value.len() - rest.len() }, rest)
    }

    pub(super) fn as_slice(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What they are charged: themselves, a reference to each, and its count.
    pub(super) fn charge(&self) -> u64 {
        const BOOKKEEPING: usize = 64;
        const ALL: usize = 32;
        (self.len + self.pieces.len() * BOOKKEEPING + ALL) as u64
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
        if let Some(kept) = self.values.get_mut(handle as usize) {
            *kept = Some(pieces);
        }
    }

    /// Puts copies in the place of a value's pieces, unless it is huge. What stays longer than what
    /// came with it leaves the allocator's pages to that: they are free when all of it has gone.
    pub(super) fn renew(&mut self, handle: u32) {
        let Some(Some(pieces)) = self.values.get_mut(handle as usize) else { return };
        if pieces.len < HUGE {
            for piece in &mut pieces.pieces {
                *piece = Bytes::copy_from_slice(piece);
            }
        }
    }

    /// Lets go of a value.
    pub(super) fn remove(&mut self, handle: u32) {
        let removed = self.values.get_mut(handle as usize).and_then(Option::take);
        if removed.is_some() {
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

    #[test]
    fn a_value_is_cut_into_few_sizes_and_a_short_rest() {
        let value: Vec<u8> = (0..2_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        for len in [0, 255, 256, 257, 4_095, 4_096, 20_479, 65_536, 69_632, 99_999, 1_999_999] {
            for inline in [512, 1_024, 4_096] {
                let (pieces, rest) = Pieces::cut(&value[..len], inline);
                assert!(rest.len() <= inline);
                assert_eq!(pieces.len() + rest.len(), len);
                let whole = pieces.as_slice().iter().flatten().chain(rest).copied();
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
        let pieces = |len| Pieces::cut(&vec![7; len], 0).0;
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
