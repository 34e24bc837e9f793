//! Append and prepend to a large value, or to a value that becomes large.
//!
//! The present pieces stay, and so do those of a long part, so the copied bytes do not grow with
//! either. Pieces are never written to, since sockets may hold them. A short part is cut again
//! together with the short pieces at its end of the value. So a value that grows byte by byte has
//! pages like any other. Once it is huge, its pages are gradually merged into larger pieces.
//!
//! Each long part leaves one piece of odd length, from the rest of the value or of the part.

use std::ops::Range;

use super::Cutting;
use super::incoming::Incoming;
use crate::value::large::Pieces;
use crate::value::piece::{HUGE, PAGE, Piece, SIZES, next_size};

/// Longest part, in bytes, that is copied.
const SHORT: usize = 4 * PAGE;

/// Bytes of a piece of a huge value.
const LARGE: usize = SIZES[0];

/// Most pieces that are examined in order to merge them into larger ones, and their most bytes.
const MAX_LOOKED_AT: usize = 64;
const MAX_MERGED: usize = 2 * LARGE;

/// The end of the value to which a part is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Front,
    Back,
}

/// The present value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PresentValue<'a> {
    /// The handle of its pieces, if any.
    pub(crate) handle: Option<u32>,
    pub(crate) pieces: &'a [Piece],
    /// Bytes of all pieces.
    pub(crate) len: usize,
    pub(crate) rest: &'a [u8],
}

/// A plan to join a part to the present value: the pieces of the result.
#[derive(Debug)]
pub(crate) struct Join<'a> {
    end: End,
    /// The present value, and the range of its pieces that stay.
    handle: Option<u32>,
    kept: Range<usize>,
    /// New pieces, between those that stay and those of the part.
    made: Vec<Piece>,
    part: Option<&'a mut Pieces>,
    /// Number of pieces of the result, and their bytes.
    count: usize,
    len: usize,
}

impl<'a> Join<'a> {
    /// Plans the join. Nothing changes before [`Join::finish`]. Afterwards `bytes` holds, from the
    /// returned offset, the bytes to store after the pieces.
    pub(crate) fn plan(
        end: End,
        present: PresentValue<'_>,
        part: &'a mut Incoming<'_>,
        cutting: Cutting<'_>,
        bytes: &mut Vec<u8>,
    ) -> (Join<'a>, usize) {
        let part_len = part.len();
        let (part_pieces, part_rest) = (part.pieces(), part.rest());
        let whole = present.len + present.rest.len() + part_len;
        let is_short = part_len <= SHORT;
        bytes.clear();
        let mut kept = 0..present.pieces.len();
        let (made, rest) = match end {
            End::Back if is_short => {
                kept.end -= run(present.pieces.iter().rev(), whole);
                copy(&present.pieces[kept.end..], bytes);
                bytes.extend_from_slice(present.rest);
                copy(part_pieces, bytes);
                bytes.extend_from_slice(part_rest);
                cutting.forwards(bytes, whole)
            }
            End::Back => {
                bytes.extend_from_slice(part_rest);
                (cutting.whole(present.rest), 0)
            }
            End::Front if present.pieces.is_empty() => {
                if is_short {
                    copy(part_pieces, bytes);
                }
                bytes.extend_from_slice(part_rest);
                bytes.extend_from_slice(present.rest);
                cutting.forwards(bytes, whole)
            }
            End::Front => {
                let made = if is_short {
                    kept.start += run(present.pieces.iter(), whole);
                    copy(part_pieces, bytes);
                    bytes.extend_from_slice(part_rest);
                    copy(&present.pieces[..kept.start], bytes);
                    cutting.backwards(bytes, whole)
                } else {
                    cutting.whole(part_rest)
                };
                bytes.clear();
                bytes.extend_from_slice(present.rest);
                (made, 0)
            }
        };
        let part = if is_short { None } else { part.pieces_mut() };
        let moved = part.as_ref().map_or(0, |part| part.as_slice().len());
        let count = kept.len() + made.len() + moved;
        let len = whole - (bytes.len() - rest);
        (Join { end, handle: present.handle, kept, made, part, count, len }, rest)
    }

    /// Whether the result has no pieces.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all pieces.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes charged for the pieces of the result.
    pub(crate) fn charge(&self) -> u64 {
        Pieces::charge_of(self.count, self.len)
    }

    /// The handle of the present value's pieces.
    pub(crate) fn handle(&self) -> Option<u32> {
        self.handle
    }

    /// Makes the value's pieces out of `present`, and returns them and the pieces left over.
    /// The store's account counts all of them.
    pub(crate) fn finish(self, mut present: Vec<Piece>) -> (Pieces, Pieces) {
        let part = self.part.map(std::mem::take).unwrap_or_default();
        part.adopt();
        let part = part.into_vec();
        let more = self.made.len() + part.len();
        if present.capacity() - present.len() < more {
            // Little spare capacity: the charge assumes the exact size.
            present.reserve_exact(more + present.len() / 8);
        }
        let left_over = match self.end {
            End::Back => {
                present.splice(self.kept.end.., self.made.into_iter().chain(part)).collect()
            }
            End::Front => {
                present.splice(..self.kept.start, part.into_iter().chain(self.made)).collect()
            }
        };
        debug_assert_eq!(present.len(), self.count);
        (Pieces::new(present, self.len), Pieces::new(left_over, 0))
    }
}

impl Cutting<'_> {
    /// Cuts a value of `whole` bytes from here on, and returns where its rest begins.
    fn forwards(self, bytes: &[u8], whole: usize) -> (Vec<Piece>, usize) {
        let (mut made, mut at) = (Vec::new(), 0);
        while let Some(size) = next_size(bytes.len() - at, whole, self.inline) {
            made.push(Piece::stored(&bytes[at..at + size], self.outside));
            at += size;
        }
        (made, at)
    }

    /// Cuts the beginning of a value of `whole` bytes, short pieces first.
    fn backwards(self, bytes: &[u8], whole: usize) -> Vec<Piece> {
        let mut end = bytes.len();
        let mut made = Vec::new();
        while end > 0 {
            let size = if whole >= HUGE && end >= LARGE { LARGE } else { PAGE.min(end) };
            made.push(Piece::stored(&bytes[end - size..end], self.outside));
            end -= size;
        }
        made.reverse();
        made
    }

    /// Makes one piece of all bytes, if there are any.
    fn whole(self, bytes: &[u8]) -> Vec<Piece> {
        let piece = (!bytes.is_empty()).then(|| Piece::stored(bytes, self.outside));
        piece.into_iter().collect()
    }
}

/// Number of pieces at an end of a value to cut again together with the part that comes there.
fn run<'p>(from_end: impl Iterator<Item = &'p Piece> + Clone, whole: usize) -> usize {
    let lens = from_end.map(|piece| piece.len());
    if whole >= HUGE {
        let (count, bytes) = count(lens.clone(), LARGE, MAX_MERGED);
        if bytes >= LARGE {
            return count;
        }
    }
    count(lens, PAGE, SHORT).0
}

/// Counts the next lengths below `size`, as long as their sum is at most `most`. Returns the count
/// and the sum.
fn count(lens: impl Iterator<Item = usize>, size: usize, most: usize) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for len in lens.take(MAX_LOOKED_AT) {
        if len >= size || bytes + len > most {
            break;
        }
        count += 1;
        bytes += len;
    }
    (count, bytes)
}

fn copy(pieces: &[Piece], bytes: &mut Vec<u8>) {
    for piece in pieces {
        bytes.extend_from_slice(piece);
    }
}
