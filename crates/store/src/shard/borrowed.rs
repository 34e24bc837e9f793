//! A borrowed item, as a callback sees it.

use crate::shard::common::Common;
use crate::shard::{Found, Shard};
use crate::{Expiry, ItemMut, ItemRef, Meta, Seconds, ValueRef};

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
    /// The item that was found. `None` if it is gone, which callers rule out.
    #[inline(always)]
    pub(crate) fn borrow_item(
        &self,
        common: &Common,
        found: &Found,
        now: Seconds,
    ) -> Option<Borrowed<'_>> {
        let segment = self.segment(common, found.location)?;
        let pieces = found.record.handle(&segment.data).and_then(|handle| self.values.get(handle));
        let rest = &segment.data[found.record.rest_range()];
        Some(Borrowed {
            key: found.record.key(&segment.data),
            value: match pieces {
                Some(pieces) => ValueRef::pieced(pieces.as_slice(), pieces.len(), rest),
                None => ValueRef::whole(rest),
            },
            meta: self.meta(segment, found, now),
        })
    }

    /// Lends an item for changes.
    pub(crate) fn modify_item<R>(
        &mut self,
        common: &Common,
        found: &mut Found,
        now: Seconds,
        f: impl FnOnce(&mut Borrowed<'_>) -> R,
    ) -> Option<R> {
        let mut item = self.borrow_item(common, found, now)?;
        let before = item.meta;
        let result = f(&mut item);
        let after = item.meta;
        if after.expiry != before.expiry {
            self.set_expiry(common, found, after.expiry);
        }
        if after.win_sent != before.win_sent {
            let data = &mut self.segment_mut(common, found.location)?.data;
            found.record.set_win_sent(data, after.win_sent);
        }
        Some(result)
    }

    /// Counts a use of an item.
    #[inline]
    pub(crate) fn bump(&mut self, common: &Common, found: &mut Found, now: Seconds) {
        if let Some(segment) = self.segment_mut(common, found.location) {
            found.record.bump(&mut segment.data, now);
        }
    }
}
