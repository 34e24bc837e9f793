//! The location of a record, in 32 bits.

use crate::log::record::{HANDLE, MAX_INLINE};

/// The location of a record: the number of its segment and its offset there, as [`Layout`] packs
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Location(pub(crate) u32);

impl Location {
    /// No record begins at the last possible byte.
    pub(crate) const NONE: Location = Location(u32::MAX);
}

/// The size of a segment, and the encoding of a location in 32 bits: the segment's number and the
/// record's offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Bytes of a segment, a power of two.
    pub(crate) segment: usize,
    /// Longest value that a segment stores, and the longest rest of one after its handle.
    pub(crate) inline: usize,
    /// Bytes of large values after which a segment is closed. They are evicted together.
    pub(crate) max_large: u64,
}

impl Layout {
    /// Bytes that the locations of one shard can address.
    pub(crate) const REACH: u64 = 1 << 32;

    pub(crate) fn new(segment: usize, budget: u64) -> Layout {
        let inline = (MAX_INLINE - HANDLE).min(segment / 16);
        Layout { segment, inline, max_large: (budget / 256).max(segment as u64) }
    }

    /// The number of a location's segment.
    #[inline]
    pub(crate) fn number(self, Location(location): Location) -> u32 {
        location >> self.segment.trailing_zeros()
    }

    /// The number of a location's segment, and the offset there.
    #[inline]
    pub(crate) fn split(self, location: Location) -> (u32, usize) {
        (self.number(location), location.0 as usize & (self.segment - 1))
    }

    #[inline]
    pub(crate) fn location(self, number: u32, at: usize) -> Location {
        Location(number << self.segment.trailing_zeros() | u32::try_from(at).unwrap_or(0))
    }

    /// Most segments that one shard opens. Compaction writes a few more, and the last
    /// possible location is [`Location::NONE`].
    pub(crate) fn max_segments(self) -> usize {
        usize::try_from(Self::REACH / self.segment as u64 - 64).unwrap_or(usize::MAX)
    }
}
