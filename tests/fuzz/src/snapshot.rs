//! What reading a snapshot promises, checked on any bytes.
//!
//! - It never panics, never asks for more bytes than it may, and always gets on.
//! - How the bytes are cut changes nothing.
//! - What comes out of a snapshot that something was done to is what had gone in, as far as it comes, and
//!   the end is told only where all of it came.
//! - A store takes up whatever comes, and its books add up.
//!
//! The first byte of an input chooses what the others are: bytes as they are, or decisions that make a
//! snapshot and then do something to it. Since no luck finds a checksum, there is a third kind: contents
//! of a block under a checksum that is right.

use ringbinder_store::snapshot::{
    Decoded, Decoder, Encoder, Header, Origin, SavedItem, SnapshotError, TAIL_LEN, Totals,
    check_tail,
};
use ringbinder_store::{Expiry, ItemRef, Limits, MAX_KEY_LEN, Meta, SegmentStore, Store, ValueRef};

use crate::choices::Choices;

const NOW: u32 = 1_700_000_000;

/// Longest item that is read.
const LONGEST: usize = 300 << 10;

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Snapshots read to their end.
    pub whole: u64,
    /// Inputs refused.
    pub refused: u64,
    /// Items that came.
    pub items: u64,
}

/// An item as it was stored.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    key: Vec<u8>,
    value: Vec<u8>,
    meta: Meta,
}

impl ItemRef for Item {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn value(&self) -> ValueRef<'_> {
        ValueRef::whole(&self.value)
    }

    fn meta(&self) -> Meta {
        self.meta
    }
}

/// What was read.
#[derive(Debug, PartialEq)]
struct Seen {
    header: Option<Header>,
    items: Vec<Item>,
    passed: u64,
    end: Option<Totals>,
    ended: Result<(), SnapshotError>,
}

/// Checks all promises for these bytes.
///
/// # Panics
/// Where one is broken.
pub fn check(data: &[u8]) -> Tally {
    let mut choices = Choices::new(data);
    let (input, stored) = match choices.below(4) {
        0 => (choices.rest().to_vec(), None),
        1 => (sealed(choices.rest()), None),
        _ => {
            let (header, items) = (header(&mut choices), items(&mut choices));
            let mut input = written(&header, &items);
            spoil(&mut input, &mut choices);
            (input, Some((header, items)))
        }
    };
    let seen = read(&input, input.len().max(1));
    for step in [1, 13, 4096] {
        if input.len() / step < 10_000 {
            assert_eq!(read(&input, step), seen, "cut into {step} bytes");
        }
    }
    if let Some((header, items)) = &stored {
        // Two of them may have been put together: then the second header is no block.
        assert!(seen.header.as_ref().is_none_or(|seen| seen == header));
        assert!(seen.items.len() <= items.len() && seen.items[..] == items[..seen.items.len()]);
        if let Some(end) = seen.end {
            assert_eq!(end.items, items.len() as u64);
            assert_eq!(seen.items.len(), items.len());
        }
    }
    if let Some(tail) = input.last_chunk::<TAIL_LEN>() {
        let whole = seen.ended.is_ok();
        assert!(!whole || check_tail(tail, input.len() as u64).ok() == seen.end);
    }
    take_up(&seen);
    Tally {
        whole: u64::from(seen.ended.is_ok()),
        refused: u64::from(seen.ended.is_err()),
        items: seen.items.len() as u64,
    }
}

/// Reads what comes in pieces.
fn read(input: &[u8], step: usize) -> Seen {
    let mut seen = Seen {
        header: None,
        items: Vec::new(),
        passed: 0,
        end: None,
        ended: Err(SnapshotError::CutOff),
    };
    let (mut decoder, mut start, mut end) = (Decoder::new(LONGEST), 0, 0);
    loop {
        match decoder.decode(&input[start..end]) {
            Err(error) => {
                seen.ended = Err(error);
                return seen;
            }
            Ok((0, Decoded::Incomplete(needed))) => {
                assert!(needed > end - start && needed <= decoder.most());
                if end == input.len() {
                    if seen.end.is_some() {
                        seen.ended = Ok(());
                    }
                    return seen;
                }
                end = (end + step).min(input.len());
            }
            Ok((consumed, decoded)) => {
                assert!(consumed > 0 && consumed <= end - start, "it does not get on");
                start += consumed;
                match decoded {
                    Decoded::Header(header) => seen.header = Some(header),
                    Decoded::Items(items) => seen.items.extend(items.map(|item| Item {
                        key: item.key.to_vec(),
                        value: item.value.to_vec(),
                        meta: item.meta,
                    })),
                    Decoded::Passed { items } => seen.passed += u64::from(items),
                    Decoded::End(totals) => seen.end = Some(totals),
                    Decoded::Incomplete(_) => panic!("it consumed something"),
                }
            }
        }
    }
}

/// A small store takes it all up.
fn take_up(seen: &Seen) {
    let limits = Limits { max_bytes: 1 << 20, max_item: 64 << 10, evict: true };
    let store = SegmentStore::new(limits, None);
    let header = seen.header.clone().unwrap_or_default();
    let restore = store.begin_restore(header.items, header.last_cas.min(1 << 62), NOW);
    let restore = restore.expect("one at a time");
    for Item { key, value, meta } in &seen.items {
        assert!((1..=MAX_KEY_LEN).contains(&key.len()));
        store.restore(&restore, &SavedItem { key, value, meta: *meta }, NOW);
    }
    store.end_restore();
    store.validate(NOW);
    assert_eq!(store.counters().evictions, 0);
}

fn header(choices: &mut Choices<'_>) -> Header {
    let origin = choices.once_in(2).then(|| Origin {
        version: 7,
        digest: choices.below(1 << 16) as u64,
        node: "n".repeat(choices.below(20)),
    });
    Header {
        is_clean: choices.once_in(2),
        written_at: NOW,
        last_cas: choices.below(1 << 16) as u64,
        items: choices.below(1 << 16) as u64,
        flush_due: choices.once_in(4).then_some(NOW + 1),
        origin,
    }
}

fn items(choices: &mut Choices<'_>) -> Vec<Item> {
    (0..choices.below(40))
        .map(|number| {
            let marks = choices.below(64);
            let on = |bit: usize| marks >> bit & 1 == 1;
            let len = if choices.once_in(16) { 290_000 } else { choices.below(300) };
            let number = u32::try_from(number).unwrap_or(0);
            let mut key = number.to_string().into_bytes();
            key.extend(std::iter::repeat_n(b'k', choices.below(200)));
            Item {
                key,
                value: vec![b'v'; len],
                meta: Meta {
                    flags: if on(0) { number + 1 } else { 0 },
                    cas: u64::from(number) << 20,
                    expiry: if on(1) { Expiry::at(NOW + number) } else { Expiry::NEVER },
                    last_access: NOW - number,
                    fetched: on(2),
                    stale: on(3),
                    win_sent: on(4),
                    binary_key: on(5),
                },
            }
        })
        .collect()
}

fn written(header: &Header, items: &[Item]) -> Vec<u8> {
    let (mut encoder, mut whole) = (Encoder::new(header), Vec::new());
    for (number, item) in items.iter().enumerate() {
        encoder.push(item);
        if encoder.is_full() || number % 7 == 6 {
            whole.extend_from_slice(encoder.bytes());
            encoder.clear();
        }
    }
    whole.extend_from_slice(encoder.finish());
    whole
}

/// Does something to a snapshot, or nothing.
fn spoil(input: &mut Vec<u8>, choices: &mut Choices<'_>) {
    for _ in 0..choices.below(4) {
        let at = choices.below(input.len().max(1));
        match choices.below(5) {
            0 => input.truncate(at),
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << choices.below(8);
                }
            }
            2 => {
                let more = choices.bytes(8).to_vec();
                input.splice(at.min(input.len())..at.min(input.len()), more);
            }
            3 => {
                let end = (at + choices.below(300)).min(input.len());
                input.drain(at.min(end)..end);
            }
            _ => input.extend_from_within(at.min(input.len())..),
        }
    }
}

/// A header, and these bytes as the contents of a block of as many items as the first byte says.
fn sealed(data: &[u8]) -> Vec<u8> {
    let (count, contents) = data.split_first().map_or((0, data), |(count, rest)| (*count, rest));
    let mut input = written(&Header::default(), &[]);
    input.truncate(input.len() - TAIL_LEN);
    let mut head = Vec::from(*b"ITEM");
    head.extend_from_slice(&0_u32.to_le_bytes());
    head.extend_from_slice(&u32::try_from(contents.len()).unwrap_or(0).to_le_bytes());
    head.extend_from_slice(&u32::from(count).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(contents);
    input.extend_from_slice(&head);
    input.extend_from_slice(&crc.finalize().to_le_bytes());
    input.extend_from_slice(contents);
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_come_whole_and_spoilt() {
        let (mut sum, mut state) = (Tally::default(), 1_u64);
        for _ in 0..300 {
            let data: Vec<u8> = (0..300)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state.to_be_bytes()[0]
                })
                .collect();
            let tally = check(&data);
            sum.whole += tally.whole;
            sum.refused += tally.refused;
            sum.items += tally.items;
        }
        assert!(sum.whole > 20 && sum.refused > 100 && sum.items > 500, "{sum:?}");
    }
}
