//! Tests with complete, truncated, damaged and made-up snapshots.

use super::*;
use crate::{Expiry, Meta, ValueRef};

const NOW: u32 = 1_700_000_000;

/// An item of a store.
struct Stored {
    key: Vec<u8>,
    value: Vec<u8>,
    meta: Meta,
}

impl crate::ItemRef for Stored {
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

fn stored(number: u32) -> Stored {
    let on = |bit: u32| number >> bit & 1 == 1;
    let key_len = [1, 7, MAX_KEY][number as usize % 3];
    let mut key = format!("{number:03}").into_bytes();
    key.resize(key_len.max(3), b'k');
    Stored {
        key,
        value: number.to_le_bytes().repeat(number as usize % 50),
        meta: Meta {
            flags: if on(0) { number } else { 0 },
            cas: u64::from(number) << 30,
            expiry: if on(1) { Expiry::at(NOW + number) } else { Expiry::NEVER },
            last_access: NOW - number,
            fetched: on(2),
            stale: on(3),
            win_sent: on(4),
            binary_key: on(5),
        },
    }
}

const MAX_KEY: usize = crate::MAX_KEY_LEN;

fn header() -> Header {
    Header {
        is_clean: true,
        written_at: NOW,
        last_cas: 77,
        items: 200,
        flush_due: Some(NOW + 5),
        origin: Some(Origin { version: 3, digest: 4, node: "cache-a".to_owned() }),
    }
}

/// A snapshot of these items, with the buffer emptied from time to time.
fn written(header: &Header, items: &[Stored]) -> Vec<u8> {
    let mut encoder = Encoder::new(header);
    let mut whole = Vec::new();
    for (number, item) in items.iter().enumerate() {
        encoder.push(item);
        if encoder.is_full() || number % 70 == 69 {
            whole.extend_from_slice(encoder.bytes());
            encoder.clear();
        }
    }
    whole.extend_from_slice(encoder.finish());
    assert_eq!(encoder.totals().bytes, whole.len() as u64);
    whole
}

/// The decoded parts.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    header: Option<Header>,
    items: Vec<(Vec<u8>, Vec<u8>, Meta)>,
    passed: u32,
    end: Option<Totals>,
}

/// Decodes input that arrives in pieces of `step` bytes, and never passes more at once than the
/// decoder asks for.
fn read_by(input: &[u8], step: usize, longest: usize) -> (Seen, Result<(), SnapshotError>) {
    let (mut seen, mut decoder) = (Seen::default(), Decoder::new(longest));
    let (mut start, mut end) = (0, 0);
    loop {
        match decoder.decode(&input[start..end]) {
            Err(error) => return (seen, Err(error)),
            Ok((0, Decoded::Incomplete(needed))) => {
                assert!(needed > end - start, "it has {needed} bytes already");
                assert!(needed <= decoder.most(), "{needed} bytes are too many");
                if end == input.len() {
                    let whole = seen.end.is_some();
                    return (seen, if whole { Ok(()) } else { Err(SnapshotError::CutOff) });
                }
                end = (end + step).min(input.len());
            }
            Ok((consumed, decoded)) => {
                assert!(consumed > 0);
                start += consumed;
                match decoded {
                    Decoded::Header(header) => seen.header = Some(header),
                    Decoded::Items(items) => seen.items.extend(
                        items.map(|item| (item.key.to_vec(), item.value.to_vec(), item.meta)),
                    ),
                    Decoded::Passed { items } => seen.passed += items,
                    Decoded::End(totals) => seen.end = Some(totals),
                    Decoded::Incomplete(_) => panic!("it consumed something"),
                }
            }
        }
    }
}

fn read(input: &[u8]) -> (Seen, Result<(), SnapshotError>) {
    read_by(input, usize::MAX / 2, 1 << 20)
}

fn check_end(input: &[u8]) -> Result<Totals, SnapshotError> {
    let tail = input.last_chunk().ok_or(SnapshotError::CutOff)?;
    check_tail(tail, input.len() as u64)
}

#[test]
fn all_of_it_comes_back_however_it_is_cut() {
    let items: Vec<Stored> = (0..200).map(stored).collect();
    let input = written(&header(), &items);
    for step in [1, 2, 3, 7, 64, 1000, 1 << 20] {
        let (seen, ended) = read_by(&input, step, 1 << 20);
        assert_eq!(ended, Ok(()));
        assert_eq!(seen.header, Some(header()));
        assert_eq!(seen.items.len(), items.len());
        for (seen, item) in seen.items.iter().zip(&items) {
            assert_eq!(*seen, (item.key.clone(), item.value.clone(), item.meta));
        }
        assert_eq!(seen.end, Some(check_end(&input).unwrap()));
    }
    let none = written(&Header::default(), &[]);
    let (seen, ended) = read(&none);
    assert_eq!((seen.header, seen.items.len(), ended), (Some(Header::default()), 0, Ok(())));
}

#[test]
fn every_beginning_is_told_from_the_whole_and_has_no_wrong_item() {
    let items: Vec<Stored> = (0..120).map(stored).collect();
    let input = written(&header(), &items);
    let (whole, _) = read(&input);
    for len in 0..input.len() {
        let (seen, ended) = read(&input[..len]);
        assert_eq!(ended, Err(SnapshotError::CutOff), "{len} bytes");
        assert!(seen.items[..] == whole.items[..seen.items.len()]);
        assert!(check_end(&input[..len]).is_err(), "{len} bytes");
    }
    let more = [&input[..], b"x"].concat();
    assert_eq!(read(&more).1, Err(SnapshotError::Trailing));
    assert!(check_end(&more).is_err());
    let twice = [&input[..], &input[..]].concat();
    assert_eq!(read(&twice).1, Err(SnapshotError::Trailing));
    assert_eq!(check_end(&twice), Err(SnapshotError::Inconsistent));
}

#[test]
fn every_byte_that_is_changed_is_noticed_and_makes_no_wrong_item() {
    let items: Vec<Stored> = (0..120).map(stored).collect();
    let input = written(&header(), &items);
    let (whole, _) = read(&input);
    for at in 0..input.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = input.clone();
            changed[at] ^= flip;
            let (seen, ended) = read(&changed);
            assert!(ended.is_err(), "byte {at} ^ {flip:#x}");
            assert!(seen.items[..] == whole.items[..seen.items.len()], "byte {at} ^ {flip:#x}");
            assert!(seen.header.is_none_or(|seen| seen == header()));
        }
    }
}

#[test]
fn blocks_that_are_missing_doubled_or_swapped_are_noticed() {
    let items: Vec<Stored> = (0..210).map(stored).collect();
    let input = written(&header(), &items);
    let starts: Vec<usize> = (0..input.len())
        .filter(|&at| input[at..].starts_with(&ITEMS) || input[at..].starts_with(&TAIL))
        .collect();
    let [first, second, third, tail] = starts[..] else { panic!("{starts:?}") };
    let (head, one, two, three) =
        (&input[..first], &input[first..second], &input[second..third], &input[third..tail]);
    let end = &input[tail..];
    for wrong in [
        vec![head, one, three, end],
        vec![head, one, two, two, three, end],
        vec![head, two, one, three, end],
        vec![head, one, two, end],
        vec![head, end],
    ] {
        assert!(read(&wrong.concat()).1.is_err());
    }
    let other = written(&Header { written_at: NOW + 1, ..header() }, &items);
    let mixed = [&other[..first], &input[first..]].concat();
    assert_eq!(read(&mixed).1, Err(SnapshotError::Inconsistent), "of two snapshots");
}

#[test]
fn what_is_no_snapshot_or_a_newer_one_is_named() {
    assert_eq!(read(b"version = 1\n").1, Err(SnapshotError::Foreign));
    assert_eq!(read(b"R").1, Err(SnapshotError::CutOff));
    assert_eq!(read(b"").1, Err(SnapshotError::CutOff));
    let mut newer = written(&header(), &[]);
    newer[8..12].copy_from_slice(&2_u32.to_le_bytes());
    assert_eq!(read(&newer).1, Err(SnapshotError::Newer { version: 2 }));
    let mut none = written(&header(), &[]);
    none[8..12].copy_from_slice(&0_u32.to_le_bytes());
    assert_eq!(read(&none).1, Err(SnapshotError::Damaged { block: None }));
}

#[test]
fn items_larger_than_the_reader_takes_are_passed_over() {
    let mut items: Vec<Stored> = (0..20).map(stored).collect();
    items[10].value = vec![7; 3 << 20];
    let input = written(&header(), &items);
    for step in [1 << 10, 100_000, 1 << 30] {
        let (seen, ended) = read_by(&input, step, 1 << 20);
        assert_eq!((seen.passed, seen.items.len(), ended), (1, 19, Ok(())));
    }
    let at = input.len() / 2;
    let mut changed = input.clone();
    changed[at] ^= 1;
    assert_eq!(read(&changed).1, Err(SnapshotError::Damaged { block: Some(1) }));
    assert_eq!(read_by(&input, 1 << 20, 4 << 20).0.items.len(), 20);
}

#[test]
fn a_block_whose_checksum_is_right_and_whose_items_are_not_is_refused() {
    let block = |contents: &[u8], count: u32| {
        let mut input = written(&Header::default(), &[]);
        let head = input.len() - TAIL_LEN;
        input.truncate(head);
        let mut block = Vec::from(ITEMS);
        block.extend_from_slice(&0_u32.to_le_bytes());
        block.extend_from_slice(&u32::try_from(contents.len()).unwrap().to_le_bytes());
        block.extend_from_slice(&count.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&block);
        crc.update(contents);
        block.extend_from_slice(&crc.finalize().to_le_bytes());
        block.extend_from_slice(contents);
        input.extend_from_slice(&block);
        read(&input)
    };
    let mut good = Vec::new();
    assert!(item::write(&stored(9), &mut good));
    assert_eq!(block(&good, 1).1, Err(SnapshotError::CutOff), "the end is missing");
    let damaged = Err(SnapshotError::Damaged { block: Some(0) });
    assert_eq!(block(&good, 2).1, damaged);
    assert_eq!(block(&[&good[..], b"x"].concat(), 1).1, damaged);
    assert_eq!(block(&good, 0).1, damaged);
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        block(&bad, 1)
    };
    assert_eq!(with(0, 0).1, damaged, "a key of no byte");
    assert_eq!(with(0, 251).1, damaged, "a key that is too long");
    assert_eq!(with(1, 64).1, damaged, "an unknown mark");
    assert_eq!(with(5, 255).1, damaged, "a value of gigabytes");
}
