//! Changes in place for which a record has no room: an expiry for a record without one, or a CAS
//! unique too far from its segment's. A table of the shard holds them, and its memory is charged.

use crate::log::location::Location;
use crate::log::record::Override;
use crate::shard::common::Common;
use crate::shard::{Found, Shard};
use crate::{Cas, Expiry};

impl Shard {
    /// Sets an item's expiry.
    pub(crate) fn set_expiry(&mut self, common: &Common, found: &mut Found, expiry: Expiry) {
        let Some(segment) = self.segments[common.layout.split(found.location).0].as_mut() else {
            return;
        };
        segment.note_expiry(expiry);
        let has_room = found.record.set_expiry(&mut segment.data, expiry);
        let other = (!has_room).then_some(expiry);
        if has_room && !found.record.has_override() {
            return;
        }
        found.record.set_has_override(&mut segment.data, true);
        self.override_at(found.location).expiry = other;
        self.settle_account(common);
    }

    /// Sets an item's CAS unique.
    pub(crate) fn set_cas(&mut self, common: &Common, found: &mut Found, cas: Cas) {
        let Some(segment) = self.segments[common.layout.split(found.location).0].as_mut() else {
            return;
        };
        let has_room = found.record.set_cas(&mut segment.data, segment.cas_base, cas);
        let other = (!has_room).then_some(cas);
        if has_room && !found.record.has_override() {
            return;
        }
        found.record.set_has_override(&mut segment.data, true);
        self.override_at(found.location).cas = other;
        self.settle_account(common);
    }

    /// Whether a record has room for another CAS unique.
    pub(crate) fn has_room_for_cas(&self, common: &Common, found: &Found, cas: Cas) -> bool {
        let segment = self.segment(common, found.location);
        segment.is_none_or(|segment| found.record.has_room_for_cas(segment.cas_base, cas))
    }

    /// Bytes that the table of overrides grows by for another entry.
    pub(crate) fn override_growth(&self) -> u64 {
        let (len, capacity) = (self.overrides.len(), self.overrides.capacity());
        if len < capacity { 0 } else { table_bytes(2 * (capacity + 1)) }
    }

    #[inline]
    pub(crate) fn drop_override(&mut self, common: &Common, found: &Found) {
        if found.record.has_override() {
            self.remove_override(found.location);
            self.settle_account(common);
        }
    }

    /// The override of the record at a location, created if missing.
    #[cold]
    fn override_at(&mut self, location: Location) -> &mut Override {
        if self.overrides.len() == self.overrides.capacity() {
            self.overrides.reserve(1);
            self.override_bytes = table_bytes(self.overrides.capacity());
        }
        self.overrides.entry(location).or_default()
    }

    /// Removes a record's override, and shrinks the table if it is mostly free.
    #[cold]
    pub(crate) fn remove_override(&mut self, location: Location) {
        self.overrides.remove(&location);
        let len = self.overrides.len();
        if len * 8 < self.overrides.capacity() {
            self.overrides.shrink_to(2 * len);
            self.override_bytes = table_bytes(self.overrides.capacity());
        }
    }
}

/// Bytes of a hash table with room for `capacity` overrides.
fn table_bytes(capacity: usize) -> u64 {
    const ENTRY: usize = size_of::<(Location, Override)>() + 1;
    const GROUP: usize = 16;
    match capacity {
        0 => 0,
        // The table is filled to seven eighths, and has a power of two of entries.
        _ => ((capacity * 8 / 7).next_power_of_two() * ENTRY + GROUP) as u64,
    }
}
