//! Checks a shard's bookkeeping: recounts everything.

use std::sync::atomic::Ordering::Relaxed;

use super::{Common, Found, Shard};
use crate::Seconds;
use crate::index::bucket::Slot;

impl Shard {
    /// Recounts everything and returns the bytes that the budget should count.
    pub(crate) fn validate(&self, common: &Common) -> u64 {
        self.index.validate();
        self.values.validate();
        assert!(self.dropped.is_empty(), "something is still to be freed");
        let (mut items, mut charged, mut held, mut garbage, mut values) = (0, 0, 0, 0, 0);
        let mut overrides = 0;
        self.segments.validate(self.evicting.as_ref().map(|evicting| evicting.id));
        for (id, segment) in self.segments.iter() {
            let (mut live, mut bytes, mut large_sum) = (0, 0, 0);
            for (at, record) in segment.living() {
                let location = common.layout.location(id.number, at);
                let hash = common.hash(record.key(&segment.data));
                let slot = Slot::new(hash.tag(), location);
                assert!(self.index.contains(slot), "a living record is not in the index");
                let found = Found { location, record };
                let item = self.item_in(segment, &found);
                let size = item.size();
                values += usize::from(size.large > 0);
                overrides += usize::from(record.has_override());
                assert_eq!(record.has_override(), self.overrides.get(location).is_some());
                let expiry = item.expiry().unix().unwrap_or(Seconds::MAX);
                assert!(expiry >= segment.soonest, "an item expires before its segment says");
                live += 1;
                bytes += size.record as u64;
                large_sum += size.large;
                charged += size.charge();
            }
            assert_eq!(live, segment.live, "a segment miscounts its records");
            assert_eq!(bytes, u64::from(segment.live_bytes), "a segment miscounts their bytes");
            assert_eq!(large_sum, segment.large, "a segment miscounts its large values");
            items += u64::from(live);
            held += segment.bytes();
            garbage += segment.garbage();
        }
        assert_eq!(items, self.counters.items(), "the items are miscounted");
        assert_eq!(items, self.index.len() as u64, "the index has other items than the segments");
        assert_eq!(charged, self.counters.bytes(), "the bytes charged are miscounted");
        assert_eq!(garbage, self.published.garbage.load(Relaxed), "the dead bytes are miscounted");
        assert_eq!(values, self.values.len(), "large values are left over or missing");
        assert_eq!(overrides, self.overrides.len(), "overrides are left over or missing");
        held + self.accounted
    }
}
