//! Checks a shard's bookkeeping: recounts everything.

use std::sync::atomic::Ordering::Relaxed;

use super::{Found, Shard};
use crate::Seconds;
use crate::index::bucket::Slot;
use crate::shard::common::Common;

impl Shard {
    /// Recounts everything and returns the bytes that the budget should count.
    pub(crate) fn validate(&self, common: &Common) -> u64 {
        self.index.validate();
        self.values.validate();
        assert!(self.dropped.is_empty(), "something is still to be freed");
        let (mut items, mut charged, mut held, mut garbage, mut values) = (0, 0, 0, 0, 0);
        let mut overrides = 0;
        for (number, segment) in (0_u32..).zip(&self.segments) {
            let Some(segment) = segment else { continue };
            let (mut live, mut bytes, mut large_sum) = (0, 0, 0);
            for (at, record) in segment.living() {
                let location = common.layout.location(number, at);
                let hash = common.hash(record.key(&segment.data));
                let slot = Slot::new(hash.tag(), location);
                assert!(self.index.contains(slot), "a living record is not in the index");
                let large = self.large_charge(segment, &record);
                values += usize::from(large > 0);
                overrides += usize::from(record.has_override());
                assert_eq!(record.has_override(), self.overrides.contains_key(&location));
                let found = Found { location, record };
                let expiry = self.expiry(segment, &found).unix().unwrap_or(Seconds::MAX);
                assert!(expiry >= segment.soonest, "an item expires before its segment says");
                live += 1;
                bytes += record.len() as u64;
                large_sum += large;
                charged += Shard::charge(record.len(), large);
            }
            assert_eq!(live, segment.live, "a segment miscounts its records");
            assert_eq!(bytes, u64::from(segment.live_bytes), "a segment miscounts their bytes");
            assert_eq!(large_sum, segment.large, "a segment miscounts its large values");
            items += u64::from(live);
            held += segment.bytes();
            garbage += segment.garbage();
            let is_evicted = self.evicting.as_ref().is_some_and(|it| it.number == number);
            let queue = &self.queues[segment.queue as usize];
            let standing = queue.iter().filter(|&&other| other == number).count();
            assert_eq!(standing, usize::from(!is_evicted), "a segment is not once in its queue");
        }
        assert_eq!(items, self.counters.items, "the items are miscounted");
        assert_eq!(items, self.index.len() as u64, "the index has other items than the segments");
        assert_eq!(charged, self.counters.bytes, "the bytes charged are miscounted");
        assert_eq!(garbage, self.published.garbage.load(Relaxed), "the dead bytes are miscounted");
        assert_eq!(values, self.values.len(), "large values are left over or missing");
        assert_eq!(overrides, self.overrides.len(), "overrides are left over or missing");
        held + self.accounted
    }
}
