//! The eviction policy: which items stay.
//!
//! Two queues of segments, after S3-FIFO (SOSP '23): new items are on probation, in a short queue,
//! and useful ones go on to the main queue. Both queues evict their oldest segment. Its items that
//! were used often enough are appended to the main queue, once more if they come from there, and
//! must be used again to stay longer. A use costs two bits in the item's own record and changes
//! nothing else.
//!
//! Four rules are added:
//!
//! - The larger an item, the more uses it must show, since other items could be hit in its place.
//!   It needs half as many as it is times larger than the mean, and at least one.
//! - Evicted keys are remembered for a while ([`Ghosts`]). An item that comes back soon has proved
//!   useful, unless it is large, and starts in the main queue.
//! - The items that come back decide the length of probation: an item that probation evicted just a
//!   little too early makes it longer, one that the main queue evicted makes it shorter (as with
//!   ARC's two lists, FAST '03).
//! - Some unused items go on to the main queue nevertheless, at random: nearly all while the main
//!   queue has room, one in 64 otherwise. So the cache keeps a part of a loop that is longer than
//!   the cache.
//!
//! `ghosts` has the memory of evicted keys.

mod ghosts;

use self::ghosts::{Ghosts, Seen};
use crate::log::record::MAX_USES;
use crate::log::segment::Queue;

/// Probation's share of the memory, in units of 2^-30: initial, minimum and maximum.
pub(crate) const FIRST_SHARE: u32 = SHARE_UNIT / 10;
const MIN_SHARE: u32 = SHARE_UNIT / 50;
const MAX_SHARE: u32 = SHARE_UNIT / 10 * 9;
const SHARE_UNIT: u32 = 1 << 30;

/// Change of the share for one item that came back too late, as a multiple of one item's share.
const STEP: u64 = 10;

/// Bytes that a queue may have evicted since it evicted an item that comes back, in hundredths of
/// the memory. Below the first bound the item came back only just too late. Below the second, for
/// probation, it may start in the main queue.
const JUST: u32 = 5;
const SOON: u32 = 90;

/// Unused items for each one that goes on to the main queue.
const UNUSED_PER_KEPT: u64 = 64;

/// The policy of one shard.
#[derive(Debug)]
pub(crate) struct Policy {
    ghosts: Ghosts,
    random: u64,
}

/// An item as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) tag: u32,
    /// The item's charge, and the mean charge of items in this shard.
    pub(crate) charge: u64,
    pub(crate) mean: u64,
}

/// The state of the memory of one shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// Bytes that the items of a shard may take.
    pub(crate) capacity: u64,
    /// Bytes of the main queue as a part of its maximum, in units of 2^-16.
    pub(crate) main_fill: u64,
    /// Number of uses that do not count: the more, the stricter items are judged.
    pub(crate) pressure: u8,
}

/// The fate of an item whose segment is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The item is evicted.
    Evict,
    /// The item is appended to the main queue, with this number of uses left.
    Keep(u8),
}

/// The queue for a new item, and the effect of the item on probation's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub(crate) queue: Queue,
    /// The queue that evicted the item just a little too early.
    pub(crate) evicted_early: Option<Queue>,
}

impl Candidate {
    /// Uses that an item of this size must show: 1 to [`MAX_USES`].
    fn needed(&self) -> u8 {
        let half = self.charge.div_ceil(2 * self.mean.max(1));
        u8::try_from(half).map_or(MAX_USES, |half| half.clamp(1, MAX_USES))
    }

    /// Uses that another round in the main queue costs.
    fn taken(&self) -> u8 {
        let half = self.charge / (2 * self.mean.max(1));
        u8::try_from(half).map_or(MAX_USES, |half| half.clamp(1, MAX_USES))
    }

    fn is_small(&self) -> bool {
        self.charge <= 2 * self.mean
    }
}

impl Policy {
    pub(crate) fn new(seed: u64) -> Policy {
        Policy { ghosts: Ghosts::new([SOON, JUST]), random: seed | 1 }
    }

    /// Bytes of memory beyond the structure's own.
    pub(crate) fn bytes(&self) -> usize {
        self.ghosts.bytes()
    }

    /// The queue for a new item. The call changes nothing.
    #[inline]
    pub(crate) fn admission(&self, item: Candidate, capacity: u64) -> Admission {
        let unknown = Admission { queue: Queue::Probation, evicted_early: None };
        let Some(Seen { queue, since }) = self.ghosts.find(item.tag, capacity) else {
            return unknown;
        };
        let is_soon = queue == Queue::Probation && since <= capacity / 100 * u64::from(SOON);
        Admission {
            queue: if is_soon && item.is_small() { Queue::Main } else { Queue::Probation },
            evicted_early: (since <= capacity / 100 * u64::from(JUST)).then_some(queue),
        }
    }

    /// Records that a new item went where [`Policy::admission`] directed it.
    #[inline]
    pub(crate) fn admitted(&mut self, tag: u32) {
        self.ghosts.remove(tag);
    }

    /// The fate of an item with `uses` uses in the `queue` that evicts its segment.
    pub(crate) fn fate(
        &mut self,
        queue: Queue,
        uses: u8,
        item: Candidate,
        situation: Situation,
        items: usize,
    ) -> Fate {
        let needed = item.needed();
        let shown = uses >= needed + situation.pressure;
        match queue {
            Queue::Probation if shown => Fate::Keep(0),
            Queue::Main if shown => Fate::Keep(uses - item.taken()),
            Queue::Probation if situation.pressure == 0 && self.is_drawn(uses, item, situation) => {
                Fate::Keep(0)
            }
            _ => {
                self.ghosts.add(item.tag, queue, item.charge, situation.capacity, items);
                Fate::Evict
            }
        }
    }

    /// Whether an unused item goes on nevertheless.
    fn is_drawn(&mut self, uses: u8, item: Candidate, situation: Situation) -> bool {
        const ONE: u64 = 1 << 16;
        let chance = ONE.saturating_sub(situation.main_fill).max(ONE / UNUSED_PER_KEPT);
        // xorshift64 (Marsaglia, 2003), which is enough: no secret depends on it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        uses == 0 && item.is_small() && self.random % ONE < chance
    }
}

/// Probation's share after the return of an item that `queue` had evicted just a little too early.
/// `items` is the number of items in the store.
pub(crate) fn share_after(share: u32, evicted_early: Queue, items: u64) -> u32 {
    let step = STEP * u64::from(SHARE_UNIT) / items.max(1);
    let step = u32::try_from(step).unwrap_or(SHARE_UNIT).min(SHARE_UNIT / 100);
    match evicted_early {
        Queue::Probation => (share + step).min(MAX_SHARE),
        Queue::Main => share.saturating_sub(step).max(MIN_SHARE),
    }
}

/// The queue that must evict a segment, given the weights of both.
pub(crate) fn victim(probation: u64, main: u64, share: u32) -> Queue {
    let target = part(probation + main, share);
    if main == 0 || probation > target { Queue::Probation } else { Queue::Main }
}

/// The fill of the main queue, in units of 2^-16 of its maximum.
pub(crate) fn main_fill(main: u64, limit: u64, share: u32) -> u64 {
    let most = limit.saturating_sub(part(limit, share));
    let fill = u128::from(main) * (1 << 16) / u128::from(most.max(1));
    u64::try_from(fill).unwrap_or(u64::MAX)
}

fn part(of: u64, share: u32) -> u64 {
    let part = u128::from(of) * u128::from(share) / u128::from(SHARE_UNIT);
    u64::try_from(part).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Situation = Situation { capacity: 1 << 20, main_fill: 1 << 16, pressure: 0 };

    fn item(tag: u32, charge: u64) -> Candidate {
        Candidate { tag, charge, mean: 100 }
    }

    #[test]
    fn larger_items_have_to_show_more_uses() {
        let needed = |charge| item(0, charge).needed();
        assert_eq!([1, 100, 200, 201, 400, 401, 1 << 40].map(needed), [1, 1, 1, 2, 2, 3, 3]);
        let mut policy = Policy::new(1);
        assert_eq!(policy.fate(Queue::Main, 3, item(1, 300), FULL, 10), Fate::Keep(2));
        assert_eq!(policy.fate(Queue::Main, 1, item(1, 300), FULL, 10), Fate::Evict);
        assert_eq!(policy.fate(Queue::Probation, 1, item(2, 100), FULL, 10), Fate::Keep(0));
        let strict = Situation { pressure: 1, ..FULL };
        assert_eq!(policy.fate(Queue::Main, 1, item(3, 100), strict, 10), Fate::Evict);
        let strictest = Situation { pressure: MAX_USES, ..FULL };
        assert_eq!(policy.fate(Queue::Main, 3, item(4, 100), strictest, 10), Fate::Evict);
    }

    #[test]
    fn what_comes_back_soon_starts_in_the_main_queue() {
        let mut policy = Policy::new(1);
        let strict = Situation { pressure: 1, ..FULL };
        let enters = |policy: &Policy, charge| policy.admission(item(7, charge), FULL.capacity);
        assert_eq!(enters(&policy, 100).queue, Queue::Probation);
        policy.fate(Queue::Probation, 0, item(7, 100), strict, 10);
        let back = Admission { queue: Queue::Main, evicted_early: Some(Queue::Probation) };
        assert_eq!(enters(&policy, 100), back);
        assert_eq!(enters(&policy, 500).queue, Queue::Probation, "it is large");
        policy.fate(Queue::Probation, 0, item(8, FULL.capacity / 2), strict, 10);
        assert_eq!(enters(&policy, 100), Admission { evicted_early: None, ..back });
        policy.admitted(7);
        assert_eq!(enters(&policy, 100).queue, Queue::Probation);
        policy.fate(Queue::Main, 0, item(7, 100), strict, 10);
        let back = Admission { queue: Queue::Probation, evicted_early: Some(Queue::Main) };
        assert_eq!(enters(&policy, 100), back);
    }

    #[test]
    fn lots_are_drawn_while_the_main_queue_has_room() {
        let mut policy = Policy::new(1);
        let mut kept = |main_fill, uses, charge| {
            let situation = Situation { main_fill, ..FULL };
            let fates = (0..6_400)
                .map(|tag| policy.fate(Queue::Probation, uses, item(tag, charge), situation, 10));
            fates.filter(|fate| *fate != Fate::Evict).count()
        };
        assert_eq!(kept(0, 0, 100), 6_400);
        assert!((3_000..3_400).contains(&kept(1 << 15, 0, 100)));
        assert!((60..140).contains(&kept(1 << 17, 0, 100)));
        assert_eq!(kept(0, 0, 300), 0, "large ones take no part");
    }

    #[test]
    fn the_share_of_probation_follows_what_is_regretted_within_bounds() {
        let mut share = FIRST_SHARE;
        for _ in 0..10_000 {
            let more = share_after(share, Queue::Probation, 1_000);
            assert!(more > share || more == MAX_SHARE);
            share = more;
        }
        assert_eq!(share, MAX_SHARE);
        for _ in 0..10_000 {
            share = share_after(share, Queue::Main, 1_000);
        }
        assert_eq!(share, MIN_SHARE);
        assert_eq!(victim(30, 70, SHARE_UNIT / 5), Queue::Probation);
        assert_eq!(victim(10, 90, SHARE_UNIT / 5), Queue::Main);
        assert_eq!(victim(10, 0, MAX_SHARE), Queue::Probation);
        assert!((32_000..33_000).contains(&main_fill(45_000, 100_000, SHARE_UNIT / 10)));
    }
}
