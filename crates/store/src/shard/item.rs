//! An item of a locked shard: its record and all that belongs to it.

use super::overrides::Overrides;
use super::{Common, Hash, Shard, Size};
use crate::epochs::Verdict;
use crate::log::location::Location;
use crate::log::record::Record;
use crate::log::segment::Segment;
use crate::value::large::{LargeValues, Pieces};
use crate::{Expiry, ItemMut, ItemRef, Meta, Miss, Seconds, ValueRef};

/// A record that was found, and its location.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) location: Location,
    pub(crate) record: Record,
}

/// A record that was found, with its segment, its large value and its override.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    found: &'a Found,
    segment: &'a Segment,
    values: &'a LargeValues,
    overrides: &'a Overrides,
}

impl<'a> Item<'a> {
    #[inline]
    pub(crate) fn segment(&self) -> &'a Segment {
        self.segment
    }

    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        self.found.record.key(&self.segment.data)
    }

    #[inline]
    pub(crate) fn expiry(&self) -> Expiry {
        if self.found.record.has_override()
            && let Some(expiry) = self.overrides.get(self.found.location).and_then(|it| it.expiry)
        {
            return expiry;
        }
        self.found.record.expiry(&self.segment.data)
    }

    #[inline]
    pub(crate) fn meta(&self, now: Seconds) -> Meta {
        let mut meta = self.found.record.meta(&self.segment.data, self.segment.cas_base, now);
        if self.found.record.has_override()
            && let Some(other) = self.overrides.get(self.found.location)
        {
            meta.expiry = other.expiry.unwrap_or(meta.expiry);
            meta.cas = other.cas.unwrap_or(meta.cas);
        }
        meta
    }

    /// The state of the item at `now`.
    #[inline(always)]
    pub(crate) fn judge(&self, common: &Common, now: Seconds) -> Verdict {
        let mut verdict = common.epochs.judge(self.segment.epoch, self.key(), now);
        if verdict.miss.is_none() && self.expiry().is_past(now) {
            verdict.miss = Some(Miss::Expired);
        }
        verdict
    }

    /// The handle of the value's pieces, if it has any.
    #[inline]
    pub(crate) fn handle(&self) -> Option<u32> {
        self.found.record.handle(&self.segment.data)
    }

    /// The value's pieces, if it has any.
    #[inline]
    pub(crate) fn pieces(&self) -> Option<&'a Pieces> {
        self.handle().and_then(|handle| self.values.get(handle))
    }

    /// The value's bytes after its pieces.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.segment.data[self.found.record.rest_range()]
    }

    /// Length of the value.
    pub(crate) fn value_len(&self) -> usize {
        self.pieces().map_or(0, Pieces::len) + self.found.record.rest_range().len()
    }

    /// Bytes of the record, and bytes charged for the large value.
    pub(crate) fn size(&self) -> Size {
        Size { record: self.found.record.len(), large: self.pieces().map_or(0, Pieces::charge) }
    }

    /// The item as a callback sees it.
    #[inline(always)]
    pub(crate) fn borrow(&self, now: Seconds) -> Borrowed<'a> {
        let rest = self.rest();
        Borrowed {
            key: self.key(),
            value: match self.pieces() {
                Some(pieces) => ValueRef::pieced(pieces.as_slice(), pieces.len(), rest),
                None => ValueRef::whole(rest),
            },
            meta: self.meta(now),
        }
    }
}

/// An item that a read holds: its use can be counted without another lookup.
pub(crate) struct Held<'a> {
    pub(crate) found: Found,
    segment: &'a mut Segment,
    values: &'a LargeValues,
    overrides: &'a Overrides,
}

impl Held<'_> {
    #[inline]
    pub(crate) fn item(&self) -> Item<'_> {
        let Held { found, segment, values, overrides } = self;
        Item { found, segment, values, overrides }
    }

    /// Counts a use.
    #[inline]
    pub(crate) fn bump(&mut self, now: Seconds) {
        self.found.record.bump(&mut self.segment.data, now);
    }
}

/// An item borrowed by a callback. [`Shard::modify_item`] applies the callback's changes.
pub(crate) struct Borrowed<'a> {
    key: &'a [u8],
    value: ValueRef<'a>,
    meta: Meta,
}

impl ItemRef for Borrowed<'_> {
    #[inline]
    fn key(&self) -> &[u8] {
        self.key
    }

    #[inline]
    fn value(&self) -> ValueRef<'_> {
        self.value
    }

    #[inline]
    fn meta(&self) -> Meta {
        self.meta
    }
}

impl ItemMut for Borrowed<'_> {
    fn set_expiry(&mut self, expiry: Expiry) {
        self.meta.expiry = expiry;
    }

    fn set_win_sent(&mut self) {
        self.meta.win_sent = true;
    }
}

impl Shard {
    /// Finds the record under a key.
    #[inline(always)]
    pub(crate) fn find(&self, common: &Common, hash: Hash, key: &[u8]) -> Option<Found> {
        let location = self.locate(common, hash, key)?;
        Some(Found { location, record: self.record(common, location)? })
    }

    #[inline(always)]
    fn locate(&self, common: &Common, hash: Hash, key: &[u8]) -> Option<Location> {
        self.index.find(hash.tag(), |location| {
            let (number, at) = common.layout.split(location);
            let segment = self.segments.get(number);
            segment.is_some_and(|segment| Record::is_of(&segment.data, at, key))
        })
    }

    #[inline]
    pub(crate) fn record(&self, common: &Common, location: Location) -> Option<Record> {
        let (number, at) = common.layout.split(location);
        Record::read(&self.segments.get(number)?.data, at)
    }

    /// Finds the item under a key, and holds its segment.
    #[inline(always)]
    pub(crate) fn hold(&mut self, common: &Common, hash: Hash, key: &[u8]) -> Option<Held<'_>> {
        let location = self.locate(common, hash, key)?;
        let (number, at) = common.layout.split(location);
        let segment = self.segments.get_mut(number)?;
        let found = Found { location, record: Record::read(&segment.data, at)? };
        Some(Held { found, segment, values: &self.values, overrides: &self.overrides })
    }

    /// The item that was found. `None` if it is gone, which callers rule out.
    #[inline]
    pub(crate) fn item<'a>(&'a self, common: &Common, found: &'a Found) -> Option<Item<'a>> {
        Some(self.item_in(self.segment(common, found)?, found))
    }

    /// The item that was found in a segment, which may be taken out.
    #[inline]
    pub(crate) fn item_in<'a>(&'a self, segment: &'a Segment, found: &'a Found) -> Item<'a> {
        Item { found, segment, values: &self.values, overrides: &self.overrides }
    }

    #[inline]
    pub(crate) fn segment(&self, common: &Common, found: &Found) -> Option<&Segment> {
        self.segments.get(common.layout.number(found.location))
    }

    #[inline]
    pub(crate) fn segment_mut(&mut self, common: &Common, found: &Found) -> Option<&mut Segment> {
        self.segments.get_mut(common.layout.number(found.location))
    }

    /// Lets a callback see an item and change it.
    pub(crate) fn modify_item<R>(
        &mut self,
        common: &Common,
        found: &mut Found,
        now: Seconds,
        f: impl FnOnce(&mut Borrowed<'_>) -> R,
    ) -> Option<R> {
        let mut item = self.item(common, found)?.borrow(now);
        let before = item.meta;
        let result = f(&mut item);
        let after = item.meta;
        if after.expiry != before.expiry {
            self.set_expiry(common, found, after.expiry);
        }
        if after.win_sent != before.win_sent {
            let data = &mut self.segment_mut(common, found)?.data;
            found.record.set_win_sent(data, after.win_sent);
        }
        Some(result)
    }

    /// Counts a use of an item.
    #[inline]
    pub(crate) fn bump(&mut self, common: &Common, found: &mut Found, now: Seconds) {
        if let Some(segment) = self.segment_mut(common, found) {
            found.record.bump(&mut segment.data, now);
        }
    }
}
