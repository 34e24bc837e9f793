//! The division of a budget: the number of shards and the size of a segment.
//!
//! Many shards reduce contention between threads; few shards waste less on half-empty segments.
//! Large segments waste less at their ends; small ones order items more finely by age. There should
//! be some thousand segments in all, and never so few that one of them exceeds a percent of the
//! budget.

use crate::log::location::Layout;

/// The number of shards and the layout of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizing {
    /// Number of shards, a power of two.
    pub(super) shards: usize,
    pub(super) layout: Layout,
}

/// Smallest budget that leaves room for items beside the reserves.
pub(super) const MIN_BUDGET: u64 = 1 << 20;

const KIB: usize = 1 << 10;
const MIB: u64 = 1 << 20;

impl Sizing {
    /// The sizes for a budget in bytes.
    pub(super) fn for_budget(budget: u64) -> Sizing {
        let segment = match budget / MIB {
            0..8 => 8 * KIB,
            8..32 => 16 * KIB,
            32..64 => 32 * KIB,
            64..1024 => 64 * KIB,
            1024..16384 => 128 * KIB,
            _ => 256 * KIB,
        };
        let wanted = (budget / (4 * MIB)).clamp(1, 32).max(budget >> 30);
        let shards = usize::try_from(wanted).unwrap_or(1 << 20).next_power_of_two();
        Sizing { shards, layout: Layout::new(segment, budget) }
    }

    /// Bytes of a budget that may be taken: the rest is for segments that are written while others
    /// are evicted. 0 for a budget smaller than that rest.
    pub(super) fn limit(&self, budget: u64) -> u64 {
        budget.saturating_sub((budget / 256).max(4 * self.layout.segment as u64))
    }

    /// Bytes of a segment's buffer: a whole segment, unless the budget is much smaller than the one
    /// for which the store was built. Then the open segments of all shards would take a large part
    /// of it.
    pub(super) fn buffer(&self, budget: u64) -> usize {
        let part = usize::try_from(budget / (32 * self.shards as u64)).unwrap_or(usize::MAX);
        let least = (self.layout.inline + 512).next_power_of_two();
        let power = 1 << part.max(1).ilog2();
        power.clamp(least.min(self.layout.segment), self.layout.segment)
    }

    /// The largest budget in which no shard runs out of locations, even with twice its share.
    pub(super) fn max_budget(&self) -> u64 {
        self.shards as u64 * Layout::REACH / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_budget_is_cut_into_hundreds_of_segments_and_can_grow() {
        for shift in 20..45 {
            for budget in [1 << shift, (1 << shift) * 3 / 2] {
                let Sizing { shards, layout } = Sizing::for_budget(budget);
                let sizing = Sizing { shards, layout };
                assert!(shards.is_power_of_two() && layout.segment.is_power_of_two());
                assert!(budget / layout.segment as u64 >= 128);
                assert!(budget >= shards as u64 * 16 * layout.segment as u64);
                assert!(sizing.limit(budget) > budget / 100 * 93);
                assert!(sizing.max_budget() >= 2 * budget);
                assert_eq!(sizing.buffer(budget), layout.segment);
                assert!(sizing.buffer(budget / 1024) < layout.segment);
                assert!(sizing.buffer(1) > layout.inline + 300);
                assert!(layout.inline < layout.segment / 8);
            }
        }
    }
}
