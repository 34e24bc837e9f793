//! Visits all items while other operations go on.
//!
//! Items move between segments, but a key's tag stays. So a visit goes over the tags of each shard
//! in steps: it copies the items of a few dozen adjacent tags, releases the lock, and hands the
//! copies to the visitor. An item that is there all the time is met exactly once.

use super::SegmentStore;
use crate::log::location::Location;
use crate::shard::Found;
use crate::{Cursor, ItemRef, Meta, Piece, Seconds, ValueRef};

/// About how many items are copied in one step.
const STEP: usize = 64;

/// An item as it was when the visit met it.
struct Snapshot<'a> {
    key: &'a [u8],
    value: ValueRef<'a>,
    meta: Meta,
}

impl ItemRef for Snapshot<'_> {
    fn key(&self) -> &[u8] {
        self.key
    }

    fn value(&self) -> ValueRef<'_> {
        self.value
    }

    fn meta(&self) -> Meta {
        self.meta
    }
}

/// Copied items: their bytes one after the other, and the lengths that separate them.
#[derive(Default)]
struct Copies {
    bytes: Vec<u8>,
    /// For each item the lengths of its key, pieces and rest, the pieces, and the metadata.
    items: Vec<([usize; 3], Vec<Piece>, Meta)>,
    locations: Vec<Location>,
}

impl Copies {
    /// Passes the items to `visit` until it returns false; returns false if it did.
    fn take(&mut self, mut visit: impl FnMut(&dyn ItemRef) -> bool) -> bool {
        let mut bytes = &self.bytes[..];
        for ([key_len, pieces_len, rest_len], pieces, meta) in self.items.drain(..) {
            let (key, behind) = bytes.split_at(key_len);
            let (rest, behind) = behind.split_at(rest_len);
            bytes = behind;
            let value = ValueRef::pieced(&pieces, pieces_len, rest);
            if !visit(&Snapshot { key, value, meta }) {
                return false;
            }
        }
        true
    }
}

impl SegmentStore {
    pub(super) fn visit(&self, now: Seconds, visit: &mut dyn FnMut(&dyn ItemRef) -> bool) {
        let mut copies = Copies::default();
        let mut from = Some(Cursor::default());
        while let Some(cursor) = from {
            from = self.copy_step(cursor, now, &mut copies);
            let goes_on = copies.take(|item| visit(item));
            if !goes_on {
                return;
            }
        }
    }

    /// One step of a visit.
    pub(super) fn step(
        &self,
        from: Cursor,
        now: Seconds,
        visit: &mut dyn FnMut(&dyn ItemRef),
    ) -> Option<Cursor> {
        let mut copies = Copies::default();
        let next = self.copy_step(from, now, &mut copies);
        copies.take(|item| {
            visit(item);
            true
        });
        next
    }

    /// Copies the items of one step, and returns the start of the next step.
    fn copy_step(&self, from: Cursor, now: Seconds, copies: &mut Copies) -> Option<Cursor> {
        let Cursor { shard: shard_number, tag } = from;
        let to = self.copy(shard_number, tag, now, copies);
        match to.checked_add(1) {
            Some(tag) => Some(Cursor { shard: shard_number, tag }),
            None => Some(Cursor { shard: shard_number + 1, tag: 0 }),
        }
        .filter(|next| next.shard < self.slots.len())
    }

    /// Copies the living items of a shard whose tags begin at `from`, and returns the last tag.
    fn copy(&self, shard_number: usize, from: u32, now: Seconds, copies: &mut Copies) -> u32 {
        let common = &self.common;
        let shard = self.slots[shard_number].lock(common);
        let steps = u32::try_from(shard.index.len() / STEP + 1).unwrap_or(u32::MAX);
        let to = from.saturating_add(u32::MAX / steps);
        copies.bytes.clear();
        copies.items.clear();
        copies.locations.clear();
        shard.index.collect(from, to, &mut copies.locations);
        for &location in &copies.locations {
            let Some(record) = shard.record(common, location) else { continue };
            let found = Found { location, record };
            let Some(item) = shard.item(common, &found) else { continue };
            if item.judge(common, now).miss.is_some() {
                continue;
            }
            let item = item.borrow(now);
            let value = item.value();
            copies.bytes.extend_from_slice(item.key());
            copies.bytes.extend_from_slice(value.rest());
            let pieces = value.pieces().to_vec();
            let (len, rest) = (value.len(), value.rest().len());
            copies.items.push(([item.key().len(), len - rest, rest], pieces, item.meta()));
        }
        to
    }
}
