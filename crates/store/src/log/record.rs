//! The layout of an item in a segment.
//!
//! A record is a header of [`HEADER`] bytes, the optional fields, the key and the value:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | length of the key; 0 is one byte of filling, after a shorter record that replaced a longer one |
//! | 1 | which optional fields there are, whether the record is dead, and the number of recent uses |
//! | 2 | length of the value in the record, and three marks |
//! | 4 | the CAS unique, as its distance from the segment's |
//! | 3 | the lowest bits of the second of the last access, and whether the item was fetched |
//! | 0, 4 | expiry; always present if evictions are off, so that a touch needs no memory |
//! | 0, 4 | client flags |
//! | 0, 8 | the CAS unique, if the distance is too large |
//! | .. | key |
//! | .. | value, or the handle of its pieces and its rest |
//!
//! Every item pays for every byte here, so fields that most items lack are optional. A change in
//! place for which a record has no room, such as an expiry for a record without one, is kept beside
//! it (see [`Record::has_override`]).

use std::ops::Range;

use crate::{Cas, Expiry, Meta, Seconds};

/// Bytes of every record besides its key and value.
pub(crate) const HEADER: usize = 11;

/// Longest value, in bytes, that a record can hold.
pub(crate) const MAX_INLINE: usize = (1 << VALUE_BITS) - 1;

/// Bytes of a handle.
pub(crate) const HANDLE: usize = 4;

/// Most uses of an item that are counted.
pub(crate) const MAX_USES: u8 = 3;

const VALUE_BITS: u32 = 13;
const STALE: u16 = 1 << 13;
const WIN_SENT: u16 = 1 << 14;
const BINARY_KEY: u16 = 1 << 15;

const EXPIRY: u8 = 1;
const FLAGS: u8 = 2;
const WIDE_CAS: u8 = 4;
const LARGE: u8 = 8;
const DEAD: u8 = 16;
const OVERRIDE: u8 = 32;
const USES_SHIFT: u32 = 6;

const ACCESS_BITS: u32 = 23;
const ACCESS: u32 = (1 << ACCESS_BITS) - 1;
const FETCHED: u32 = 1 << ACCESS_BITS;

/// Most seconds that an access may lie ahead of an operation's time, because of another thread's
/// clock, or a clock that was set back.
const AHEAD: u32 = 1 << 16;

/// A decoded record of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    at: usize,
    key_len: u8,
    parts: u8,
    value: u16,
    cas_distance: u32,
    access: u32,
}

/// The contents of a record to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRecord<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) body: Body<'a>,
    pub(crate) meta: Meta,
    pub(crate) uses: u8,
    /// Whether to leave room for an expiry if there is none.
    pub(crate) touchable: bool,
}

/// A value in the form in which a record holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    /// Two parts, one after the other, of at most [`MAX_INLINE`] bytes together.
    Inline(&'a [u8], &'a [u8]),
    /// The handle of the value's pieces, and the bytes after them.
    Large(u32, &'a [u8]),
}

impl Record {
    /// Reads the record at `at`; `None` for filling. Only the log that wrote a record reads it, so
    /// its length can be trusted.
    #[inline]
    pub(crate) fn read(data: &[u8], at: usize) -> Option<Record> {
        let header: &[u8; HEADER] = data[at..].first_chunk()?;
        let [key_len, parts, v0, v1, c0, c1, c2, c3, a0, a1, a2] = *header;
        (key_len != 0).then_some(Record {
            at,
            key_len,
            parts,
            value: u16::from_le_bytes([v0, v1]),
            cas_distance: u32::from_le_bytes([c0, c1, c2, c3]),
            access: u32::from_le_bytes([a0, a1, a2, 0]),
        })
    }

    /// Bytes of the whole record.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        HEADER + optional(self.parts) + usize::from(self.key_len) + self.body_len()
    }

    #[inline]
    fn key_range(&self) -> Range<usize> {
        let start = self.at + HEADER + optional(self.parts);
        start..start + usize::from(self.key_len)
    }

    #[inline]
    fn body_len(&self) -> usize {
        usize::from(self.value) & MAX_INLINE
    }

    #[inline]
    pub(crate) fn key<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        &data[self.key_range()]
    }

    /// Whether the record at `at` has this key. Does not decode the rest of the record.
    #[inline]
    pub(crate) fn is_of(data: &[u8], at: usize, key: &[u8]) -> bool {
        let Some([key_len, parts]) = data[at..].first_chunk() else { return false };
        let start = at + HEADER + optional(*parts);
        usize::from(*key_len) == key.len()
            && data.get(start..start + key.len()).is_some_and(|there| is_same(there, key))
    }

    /// The range of the value, or of the handle of its pieces and the bytes after them.
    #[inline]
    pub(crate) fn body_range(&self) -> Range<usize> {
        let start = self.key_range().end;
        start..start + self.body_len()
    }

    /// The range of the value, or of the bytes after its pieces.
    #[inline]
    pub(crate) fn rest_range(&self) -> Range<usize> {
        let Range { start, end } = self.body_range();
        if self.parts & LARGE == 0 { start..end } else { start + HANDLE..end }
    }

    /// The handle of the value's pieces, if it has any.
    #[inline]
    pub(crate) fn handle(&self, data: &[u8]) -> Option<u32> {
        if self.parts & LARGE == 0 {
            return None;
        }
        data[self.body_range()].first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn is_dead(&self) -> bool {
        self.parts & DEAD != 0
    }

    /// Whether the shard keeps an override for the record.
    #[inline]
    pub(crate) fn has_override(&self) -> bool {
        self.parts & OVERRIDE != 0
    }

    /// The contents of the record, to be written again with this metadata.
    pub(crate) fn rewritten<'a>(
        &self,
        data: &'a [u8],
        meta: Meta,
        uses: u8,
        touchable: bool,
    ) -> NewRecord<'a> {
        let body = match self.handle(data) {
            Some(handle) => Body::Large(handle, &data[self.rest_range()]),
            None => Body::Inline(&data[self.body_range()], &[]),
        };
        NewRecord { key: self.key(data), body, meta, uses, touchable }
    }

    /// Number of recent uses: 0 to [`MAX_USES`].
    #[inline]
    pub(crate) fn uses(&self) -> u8 {
        self.parts >> USES_SHIFT
    }

    /// The item's expiry, unless an override has another.
    #[inline]
    pub(crate) fn expiry(&self, data: &[u8]) -> Expiry {
        if self.parts & EXPIRY == 0 {
            return Expiry::NEVER;
        }
        Expiry::from_bits(word(data, self.at + HEADER))
    }

    /// The item's CAS unique, unless an override has another. `base` is its segment's.
    #[inline]
    pub(crate) fn cas(&self, data: &[u8], base: Cas) -> Cas {
        if self.parts & WIDE_CAS == 0 {
            return base.wrapping_add_signed(i64::from(self.cas_distance.cast_signed()));
        }
        let at = self.at + HEADER + optional(self.parts & (EXPIRY | FLAGS));
        data[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// The item's metadata, unless an override differs.
    #[inline]
    pub(crate) fn meta(&self, data: &[u8], base: Cas, now: Seconds) -> Meta {
        let flags = match self.parts & FLAGS {
            0 => 0,
            _ => word(data, self.at + HEADER + optional(self.parts & EXPIRY)),
        };
        Meta {
            flags,
            cas: self.cas(data, base),
            expiry: self.expiry(data),
            last_access: self.last_access(now),
            fetched: self.access & FETCHED != 0,
            stale: self.value & STALE != 0,
            win_sent: self.value & WIN_SENT != 0,
            binary_key: self.value & BINARY_KEY != 0,
        }
    }

    /// The second of the last access. Correct for 96 days before and 18 hours after `now`.
    #[inline]
    fn last_access(&self, now: Seconds) -> Seconds {
        let ago = now.wrapping_sub(self.access) & ACCESS;
        if ago > ACCESS - AHEAD {
            now.saturating_add(ACCESS + 1 - ago)
        } else {
            now.saturating_sub(ago)
        }
    }

    /// Counts a use, and an access at `now`.
    #[inline]
    pub(crate) fn bump(&mut self, data: &mut [u8], now: Seconds) {
        let access = (now & ACCESS) | FETCHED;
        if access != self.access {
            self.access = access;
            let [a0, a1, a2, _] = access.to_le_bytes();
            data[self.at + 8..self.at + HEADER].copy_from_slice(&[a0, a1, a2]);
        }
        if self.uses() < MAX_USES {
            self.parts += 1 << USES_SHIFT;
            data[self.at + 1] = self.parts;
        }
    }

    /// Sets only the second of the last access.
    pub(crate) fn set_last_access(&mut self, data: &mut [u8], now: Seconds) {
        self.access = (now & ACCESS) | (self.access & FETCHED);
        let [a0, a1, a2, _] = self.access.to_le_bytes();
        data[self.at + 8..self.at + HEADER].copy_from_slice(&[a0, a1, a2]);
    }

    /// Marks the record dead.
    pub(crate) fn kill(&mut self, data: &mut [u8]) {
        self.set_part(data, DEAD, true);
    }

    pub(crate) fn set_has_override(&mut self, data: &mut [u8], on: bool) {
        self.set_part(data, OVERRIDE, on);
    }

    fn set_part(&mut self, data: &mut [u8], part: u8, on: bool) {
        self.parts = if on { self.parts | part } else { self.parts & !part };
        data[self.at + 1] = self.parts;
    }

    pub(crate) fn set_stale(&mut self, data: &mut [u8], on: bool) {
        self.set_mark(data, STALE, on);
    }

    pub(crate) fn set_win_sent(&mut self, data: &mut [u8], on: bool) {
        self.set_mark(data, WIN_SENT, on);
    }

    fn set_mark(&mut self, data: &mut [u8], mark: u16, on: bool) {
        self.value = if on { self.value | mark } else { self.value & !mark };
        data[self.at + 2..self.at + 4].copy_from_slice(&self.value.to_le_bytes());
    }

    /// Sets the expiry if the record has room for it. Returns whether it has.
    pub(crate) fn set_expiry(&mut self, data: &mut [u8], expiry: Expiry) -> bool {
        if self.parts & EXPIRY == 0 {
            return expiry == Expiry::NEVER;
        }
        let at = self.at + HEADER;
        data[at..at + 4].copy_from_slice(&expiry.to_bits().to_le_bytes());
        true
    }

    /// Whether the record has room for another CAS unique.
    pub(crate) fn has_room_for_cas(&self, base: Cas, cas: Cas) -> bool {
        self.parts & WIDE_CAS != 0 || distance(base, cas).is_some()
    }

    /// Sets the CAS unique if the record has room for it. Returns whether it has.
    pub(crate) fn set_cas(&mut self, data: &mut [u8], base: Cas, cas: Cas) -> bool {
        if self.parts & WIDE_CAS != 0 {
            let at = self.at + HEADER + optional(self.parts & (EXPIRY | FLAGS));
            data[at..at + 8].copy_from_slice(&cas.to_le_bytes());
            return true;
        }
        let Some(distance) = distance(base, cas) else { return false };
        self.cas_distance = distance;
        data[self.at + 4..self.at + 8].copy_from_slice(&distance.to_le_bytes());
        true
    }
}

impl NewRecord<'_> {
    fn parts(&self, base: Cas) -> u8 {
        let mut parts = self.uses << USES_SHIFT;
        if self.touchable || self.meta.expiry != Expiry::NEVER {
            parts |= EXPIRY;
        }
        if self.meta.flags != 0 {
            parts |= FLAGS;
        }
        if distance(base, self.meta.cas).is_none() {
            parts |= WIDE_CAS;
        }
        if matches!(self.body, Body::Large(..)) {
            parts |= LARGE;
        }
        parts
    }

    /// Bytes of the record in a segment whose CAS unique is `base`.
    #[inline]
    pub(crate) fn len(&self, base: Cas) -> usize {
        let body = match self.body {
            Body::Inline(front, back) => front.len() + back.len(),
            Body::Large(_, rest) => HANDLE + rest.len(),
        };
        HEADER + optional(self.parts(base)) + self.key.len() + body
    }

    /// The largest [`NewRecord::len`] in any segment.
    #[inline]
    pub(crate) fn max_len(&self) -> usize {
        self.len(self.meta.cas) + 8
    }

    /// Writes the record with `write`, part by part from its beginning.
    #[inline]
    pub(crate) fn write(&self, base: Cas, mut write: impl FnMut(&[u8])) {
        let parts = self.parts(base);
        let len = match self.body {
            Body::Inline(front, back) => front.len() + back.len(),
            Body::Large(_, rest) => HANDLE + rest.len(),
        };
        debug_assert!(len <= MAX_INLINE && !self.key.is_empty());
        let mut value = u16::try_from(len).unwrap_or(0);
        for (mark, on) in [
            (STALE, self.meta.stale),
            (WIN_SENT, self.meta.win_sent),
            (BINARY_KEY, self.meta.binary_key),
        ] {
            if on {
                value |= mark;
            }
        }
        let access = (self.meta.last_access & ACCESS) | if self.meta.fetched { FETCHED } else { 0 };
        let mut head = [0; HEADER + 16];
        head[0] = u8::try_from(self.key.len()).unwrap_or(0);
        head[1] = parts;
        head[2..4].copy_from_slice(&value.to_le_bytes());
        head[4..8].copy_from_slice(&distance(base, self.meta.cas).unwrap_or(0).to_le_bytes());
        head[8..HEADER].copy_from_slice(&access.to_le_bytes()[..3]);
        let mut end = HEADER;
        let mut put = |bytes: &[u8]| {
            head[end..end + bytes.len()].copy_from_slice(bytes);
            end += bytes.len();
        };
        if parts & EXPIRY != 0 {
            put(&self.meta.expiry.to_bits().to_le_bytes());
        }
        if parts & FLAGS != 0 {
            put(&self.meta.flags.to_le_bytes());
        }
        if parts & WIDE_CAS != 0 {
            put(&self.meta.cas.to_le_bytes());
        }
        write(&head[..end]);
        write(self.key);
        match self.body {
            Body::Inline(front, back) => {
                write(front);
                if !back.is_empty() {
                    write(back);
                }
            }
            Body::Large(handle, rest) => {
                write(&handle.to_le_bytes());
                write(rest);
            }
        }
    }
}

/// Bytes of the optional fields.
#[inline]
fn optional(parts: u8) -> usize {
    const LENGTHS: [u8; 8] = [0, 4, 4, 8, 8, 12, 12, 16];
    usize::from(LENGTHS[usize::from(parts & (EXPIRY | FLAGS | WIDE_CAS))])
}

/// The distance of a CAS unique from `base`, if it fits.
#[inline]
fn distance(base: Cas, cas: Cas) -> Option<u32> {
    let distance = cas.wrapping_sub(base).cast_signed();
    i32::try_from(distance).ok().map(i32::cast_unsigned)
}

/// Whether two keys of the same length are equal. Keys are short: a call would take longer.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(end), Some(other_end)) => {
            let (one, other) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
            end == other_end && one.iter().zip(other).all(|(one, other)| one == other)
        }
        _ => one.iter().zip(other).all(|(one, other)| one == other),
    }
}

#[inline]
fn word(data: &[u8], at: usize) -> u32 {
    data[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
