//! Where a record lies, in 32 bits.

use super::record::{HANDLE, MAX_INLINE};

/// How large a segment is, and how a place is told in 32 bits: the number of the segment and where
/// in it the record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of a segment, a power of two.
    pub(super) segment: usize,
    /// Longest value that goes into a segment, and the longest rest of one that follows its handle.
    pub(super) inline: usize,
    /// Bytes of values apart after which a segment is closed: what is given up at once.
    pub(super) apart: u64,
}

impl Layout {
    /// Bytes that the places of one shard can tell apart.
    pub(super) const REACH: u64 = 1 << 32;

    pub(super) fn new(segment: usize, budget: u64) -> Layout {
        let inline = (MAX_INLINE - HANDLE).min(segment / 16);
        Layout { segment, inline, apart: (budget / 256).max(segment as u64) }
    }

    #[inline]
    pub(super) fn split(self, place: u32) -> (usize, usize) {
        let place = place as usize;
        (place >> self.segment.trailing_zeros(), place & (self.segment - 1))
    }

    #[inline]
    pub(super) fn place(self, number: u32, at: usize) -> u32 {
        number << self.segment.trailing_zeros() | u32::try_from(at).unwrap_or(0)
    }

    /// Most segments of one shard that are opened: a few more are written while some are compacted, and
    /// the last place of all stands for none.
    pub(super) fn most_segments(self) -> usize {
        usize::try_from(Self::REACH / self.segment as u64 - 64).unwrap_or(usize::MAX)
    }
}
