//! A borrowed item, as a callback sees it.

use crate::shard::common::Common;
use crate::shard::{Found, Shard};
use crate::{Expiry, ItemMut, ItemRef, Meta, Seconds, ValueRef};

/// An item lent to a callback. [`Shard::lend`] applies the callback's changes.
pub(crate) struct Lent<'a> {
    key: &'a [u8],
    value: ValueRef<'a>,
    meta: Meta,
}

impl ItemRef for Lent<'_> {
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

impl ItemMut for Lent<'_> {
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
    pub(crate) fn lent(&self, common: &Common, found: &Found, now: Seconds) -> Option<Lent<'_>> {
        let segment = self.segment(common, found.place)?;
        let pieces = found.record.handle(&segment.data).and_then(|handle| self.values.get(handle));
        let rest = &segment.data[found.record.rest_range()];
        Some(Lent {
            key: found.record.key(&segment.data),
            value: match pieces {
                Some(pieces) => ValueRef::pieced(pieces.as_slice(), pieces.len(), rest),
                None => ValueRef::whole(rest),
            },
            meta: self.meta(segment, found, now),
        })
    }

    /// Lends an item for changes.
    pub(crate) fn lend<R>(
        &mut self,
        common: &Common,
        found: &mut Found,
        now: Seconds,
        f: impl FnOnce(&mut Lent<'_>) -> R,
    ) -> Option<R> {
        let mut lent = self.lent(common, found, now)?;
        let before = lent.meta;
        let result = f(&mut lent);
        let after = lent.meta;
        if after.expiry != before.expiry {
            self.set_expiry(common, found, after.expiry);
        }
        if after.win_sent != before.win_sent {
            let data = &mut self.segment_mut(common, found.place)?.data;
            found.record.set_win_sent(data, after.win_sent);
        }
        Some(result)
    }

    /// Counts a use of an item.
    #[inline]
    pub(crate) fn bump(&mut self, common: &Common, found: &mut Found, now: Seconds) {
        if let Some(segment) = self.segment_mut(common, found.place) {
            found.record.bump(&mut segment.data, now);
        }
    }
}
