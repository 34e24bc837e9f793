//! Changes in place for which a record has no room: an expiry for a record without one, or a CAS
//! unique too far from its segment's. A table of the shard holds them, and its memory is charged.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::Common;
use super::{Found, Shard};
use crate::log::location::Location;
use crate::{Cas, Expiry};

/// The changes in place for which a record has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Override {
    pub(crate) expiry: Option<Expiry>,
    pub(crate) cas: Option<Cas>,
}

/// The overrides of a shard's records.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    table: HashMap<Location, Override, FixedState>,
    bytes: u64,
}

impl Overrides {
    pub(crate) fn get(&self, location: Location) -> Option<&Override> {
        self.table.get(&location)
    }

    /// Number of records with an override.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of memory of the table.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that the table grows by for another entry.
    pub(crate) fn growth(&self) -> u64 {
        let (len, capacity) = (self.table.len(), self.table.capacity());
        if len < capacity { 0 } else { table_bytes(2 * (capacity + 1)) }
    }

    /// The override of the record at a location, created if missing.
    #[cold]
    fn at(&mut self, location: Location) -> &mut Override {
        if self.table.len() == self.table.capacity() {
            self.table.reserve(1);
            self.bytes = table_bytes(self.table.capacity());
        }
        self.table.entry(location).or_default()
    }

    /// Removes a record's override, and shrinks the table if it is mostly free.
    #[cold]
    pub(crate) fn remove(&mut self, location: Location) {
        self.table.remove(&location);
        let len = self.table.len();
        if len * 8 < self.table.capacity() {
            self.table.shrink_to(2 * len);
            self.bytes = table_bytes(self.table.capacity());
        }
    }
}

impl Shard {
    /// Sets an item's expiry.
    pub(crate) fn set_expiry(&mut self, common: &Common, found: &mut Found, expiry: Expiry) {
        let Some(segment) = self.segments.get_mut(common.layout.number(found.location)) else {
            return;
        };
        segment.note_expiry(expiry);
        let has_room = found.record.set_expiry(&mut segment.data, expiry);
        if has_room && !found.record.has_override() {
            return;
        }
        found.record.set_has_override(&mut segment.data, true);
        self.overrides.at(found.location).expiry = (!has_room).then_some(expiry);
        self.settle_account(common);
    }

    /// Sets an item's CAS unique.
    pub(crate) fn set_cas(&mut self, common: &Common, found: &mut Found, cas: Cas) {
        let Some(segment) = self.segments.get_mut(common.layout.number(found.location)) else {
            return;
        };
        let has_room = found.record.set_cas(&mut segment.data, segment.cas_base, cas);
        if has_room && !found.record.has_override() {
            return;
        }
        found.record.set_has_override(&mut segment.data, true);
        self.overrides.at(found.location).cas = (!has_room).then_some(cas);
        self.settle_account(common);
    }

    /// Whether a record has room for another CAS unique.
    pub(crate) fn has_room_for_cas(&self, common: &Common, found: &Found, cas: Cas) -> bool {
        let segment = self.segments.get(common.layout.number(found.location));
        segment.is_none_or(|segment| found.record.has_room_for_cas(segment.cas_base, cas))
    }

    #[inline]
    pub(crate) fn drop_override(&mut self, common: &Common, found: &Found) {
        if found.record.has_override() {
            self.overrides.remove(found.location);
            self.settle_account(common);
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
