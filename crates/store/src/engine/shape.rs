//! Shapes of a store that no budget leads to, for tests that want every event to happen often.

use std::fmt;

use super::SegmentStore;
use super::sizing::{MIN_BUDGET, Sizing};
use crate::log::location::Layout;
use crate::{EvictionObserver, Limits};

/// The division of a store into shards and segments, independent of its budget. For tests.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of shards: a power of two, up to [`Shape::MAX_SHARDS`].
    pub shards: usize,
    /// Bytes of a segment: a power of two within [`Shape::SEGMENTS`].
    pub segment: usize,
    /// Seed of the hashes: stores with the same seed hash keys alike, so that a history repeats
    /// itself.
    pub seed: u64,
}

/// The reason why a store cannot have a shape.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// The number of shards is not a power of two, or too large.
    Shards(usize),
    /// The bytes of a segment are not a power of two, or out of bounds.
    Segment(usize),
    /// The budget in bytes is too small or too large for the shape.
    Budget(u64),
}

impl Shape {
    /// Most shards of a store.
    pub const MAX_SHARDS: usize = 1 << 12;

    /// Minimum and maximum bytes of a segment.
    pub const SEGMENTS: std::ops::RangeInclusive<usize> = 4 << 10..=1 << 20;

    fn sizing(self, budget: u64) -> Result<Sizing, ShapeError> {
        let Shape { shards, segment, .. } = self;
        if !shards.is_power_of_two() || shards > Shape::MAX_SHARDS {
            return Err(ShapeError::Shards(shards));
        }
        if !segment.is_power_of_two() || !Shape::SEGMENTS.contains(&segment) {
            return Err(ShapeError::Segment(segment));
        }
        let layout = Layout::new(segment, budget);
        let sizing = Sizing { shards, layout };
        // Every shard may have an open segment in each queue, and some more segments are being
        // written.
        let least = MIN_BUDGET.max(8 * segment as u64).max(4 * (shards * segment) as u64);
        if !(least..=sizing.max_budget()).contains(&budget) {
            return Err(ShapeError::Budget(budget));
        }
        Ok(sizing)
    }
}

impl SegmentStore {
    /// An empty store of the given shape.
    ///
    /// # Errors
    /// If the shape is out of bounds, or does not suit the budget.
    #[doc(hidden)]
    pub fn with_shape(
        limits: Limits,
        shape: Shape,
        observer: Option<EvictionObserver>,
    ) -> Result<SegmentStore, ShapeError> {
        let sizing = shape.sizing(limits.max_bytes)?;
        let mut store = SegmentStore::with_sizing(limits, sizing, observer);
        store.common.seed_hashes(shape.seed);
        Ok(store)
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShapeError::Shards(shards) => write!(f, "{shards} shards: want a power of two"),
            ShapeError::Segment(bytes) => write!(f, "segments of {bytes} bytes: out of bounds"),
            ShapeError::Budget(bytes) => write!(f, "{bytes} bytes do not go with this shape"),
        }
    }
}

impl std::error::Error for ShapeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_out_of_bounds_is_refused() {
        let make = |shards, segment, max_bytes| {
            let limits = Limits { max_bytes, max_item: 1 << 20, evict: true };
            let shape = Shape { shards, segment, seed: 1 };
            SegmentStore::with_shape(limits, shape, None).map(|store| store.slots.len())
        };
        assert_eq!(make(1, 4096, 1 << 20), Ok(1));
        assert_eq!(make(64, 4096, 1 << 20), Ok(64));
        assert_eq!(make(3, 4096, 1 << 20), Err(ShapeError::Shards(3)));
        assert_eq!(make(0, 4096, 1 << 20), Err(ShapeError::Shards(0)));
        assert_eq!(make(1, 5000, 1 << 20), Err(ShapeError::Segment(5000)));
        assert_eq!(make(1, 2048, 1 << 20), Err(ShapeError::Segment(2048)));
        assert_eq!(make(1, 4096, 1 << 19), Err(ShapeError::Budget(1 << 19)));
        assert_eq!(make(128, 4096, 1 << 20), Err(ShapeError::Budget(1 << 20)));
        assert_eq!(make(1, 4096, 1 << 40), Err(ShapeError::Budget(1 << 40)));
    }
}
