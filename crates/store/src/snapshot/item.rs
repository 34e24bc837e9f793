//! One item in a block.

use super::Reader;
use crate::{Expiry, ItemRef, MAX_KEY_LEN, Meta};

const EXPIRY: u8 = 1;
const FLAGS: u8 = 2;
const STALE: u8 = 4;
const WIN_SENT: u8 = 8;
const BINARY_KEY: u8 = 16;
const FETCHED: u8 = 32;
const ALL: u8 = 63;

/// Bytes of every item besides its key and value.
const FIXED: usize = 18;

/// An item of a snapshot, borrowed from the bytes it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedItem<'a> {
    /// The key: 1 to [`MAX_KEY_LEN`] bytes.
    pub key: &'a [u8],
    /// The whole value.
    pub value: &'a [u8],
    /// The item's metadata.
    pub meta: Meta,
}

/// Bytes of an item in a block.
pub(super) fn len(item: &dyn ItemRef) -> usize {
    let meta = item.meta();
    let expiry = if meta.expiry == Expiry::NEVER { 0 } else { 4 };
    let flags = if meta.flags == 0 { 0 } else { 4 };
    FIXED + expiry + flags + item.key().len() + item.value().len()
}

/// Appends an item. Returns false, and appends nothing, if the format cannot hold the item.
pub(super) fn write(item: &dyn ItemRef, out: &mut Vec<u8>) -> bool {
    let (key, value, meta) = (item.key(), item.value(), item.meta());
    let (Ok(key_len), Ok(value_len)) = (u8::try_from(key.len()), u32::try_from(value.len())) else {
        return false;
    };
    let mut marks = 0;
    for (mark, on) in [
        (EXPIRY, meta.expiry != Expiry::NEVER),
        (FLAGS, meta.flags != 0),
        (STALE, meta.stale),
        (WIN_SENT, meta.win_sent),
        (BINARY_KEY, meta.binary_key),
        (FETCHED, meta.fetched),
    ] {
        if on {
            marks |= mark;
        }
    }
    out.extend_from_slice(&[key_len, marks]);
    out.extend_from_slice(&value_len.to_le_bytes());
    out.extend_from_slice(&meta.cas.to_le_bytes());
    out.extend_from_slice(&meta.last_access.to_le_bytes());
    if marks & EXPIRY != 0 {
        out.extend_from_slice(&meta.expiry.to_bits().to_le_bytes());
    }
    if marks & FLAGS != 0 {
        out.extend_from_slice(&meta.flags.to_le_bytes());
    }
    out.extend_from_slice(key);
    value.copy_to(out);
    true
}

/// Takes the first item off a block's contents. `None` if they do not begin with a valid item.
#[inline]
pub(super) fn read<'a>(reader: &mut Reader<'a>) -> Option<SavedItem<'a>> {
    let (key_len, marks) = (usize::from(reader.u8()?), reader.u8()?);
    let value_len = usize::try_from(reader.u32()?).ok()?;
    let (cas, last_access) = (reader.u64()?, reader.u32()?);
    let expiry = if marks & EXPIRY == 0 { 0 } else { reader.u32()? };
    let flags = if marks & FLAGS == 0 { 0 } else { reader.u32()? };
    let (key, value) = (reader.take(key_len)?, reader.take(value_len)?);
    if marks & !ALL != 0 || !(1..=MAX_KEY_LEN).contains(&key_len) {
        return None;
    }
    let meta = Meta {
        flags,
        cas,
        expiry: Expiry::from_bits(expiry),
        last_access,
        fetched: marks & FETCHED != 0,
        stale: marks & STALE != 0,
        win_sent: marks & WIN_SENT != 0,
        binary_key: marks & BINARY_KEY != 0,
    };
    Some(SavedItem { key, value, meta })
}
