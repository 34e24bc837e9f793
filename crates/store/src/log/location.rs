//! The place of a record, in 32 bits.

use crate::log::record::{HANDLE, MAX_INLINE};

/// The size of a segment, and the encoding of a place in 32 bits: the segment's number and the
/// record's offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes of a segment, a power of two.
    pub(crate) segment: usize,
    /// Longest value that a segment stores, and the longest rest of one after its handle.
    pub(crate) inline: usize,
    /// Bytes of large values after which a segment is closed. They are evicted together.
    pub(crate) apart: u64,
}

impl Layout {
    /// Bytes that the places of one shard can address.
    pub(crate) const REACH: u64 = 1 << 32;

    pub(crate) fn new(segment: usize, budget: u64) -> Layout {
        let inline = (MAX_INLINE - HANDLE).min(segment / 16);
        Layout { segment, inline, apart: (budget / 256).max(segment as u64) }
    }

    #[inline]
    pub(crate) fn split(self, place: u32) -> (usize, usize) {
        let place = place as usize;
        (place >> self.segment.trailing_zeros(), place & (self.segment - 1))
    }

    #[inline]
    pub(crate) fn place(self, number: u32, at: usize) -> u32 {
        number << self.segment.trailing_zeros() | u32::try_from(at).unwrap_or(0)
    }

    /// Most segments that one shard opens. Compaction writes a few more, and the last possible
    /// place means "none".
    pub(crate) fn most_segments(self) -> usize {
        usize::try_from(Self::REACH / self.segment as u64 - 64).unwrap_or(usize::MAX)
    }
}
