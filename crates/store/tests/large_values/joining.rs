//! Append, prepend and arithmetic keep the pieces that do not change.

use ringbinder_store::{
    ArithmeticResult, Delete, Limits, Mode, NewValue, Piece, SegmentStore, Shape, Store,
    WriteResult,
};

use super::contract::{MIB, NOW, add, calculate};
use super::{arrived, bytes, pieces, put, store, stored, value};

/// Addresses of the pieces.
fn addresses(pieces: &[Piece]) -> Vec<*const u8> {
    pieces.iter().map(|piece| piece.as_ptr()).collect()
}

#[test]
fn parts_of_all_lengths_join_and_what_is_held_stays_what_it_was() {
    let lens = [1, 100, 255, 256, 511, 513, 4_095, 4_096, 4_097, 9_000, 16_384, 16_385, 70_000];
    // Records take 512 bytes, 4 KiB and 8 KiB.
    for budget in [4 * MIB, 64 * MIB, 1024 * MIB] {
        let (store, outside) = store(budget, true);
        let mut model = Vec::new();
        stored(put(&store, Mode::Set, b"k", NewValue::Slice(&[])));
        for (turn, len) in (0..180).map(|turn| (turn, lens[(turn * 7 + turn / 13) % lens.len()])) {
            let held = pieces(&store, b"k");
            let part = bytes(len, turn);
            let mode = if turn % 3 == 1 { Mode::Prepend } else { Mode::Append };
            let before = model.clone();
            match mode {
                Mode::Append => model.extend_from_slice(&part),
                _ => model = [&part[..], &model].concat(),
            }
            let part = match turn % 2 {
                0 => NewValue::Slice(&part),
                _ => NewValue::Large(arrived(&store, &part)),
            };
            stored(put(&store, mode, b"k", part));
            assert!(value(&store, b"k") == Some(model.clone()), "turn {turn} of {budget}");
            store.validate(NOW);
            let still: Vec<u8> = held.iter().flat_map(|piece| piece.iter()).copied().collect();
            assert!(before.starts_with(&still), "what is held has changed");
            let others = held.iter().filter(|piece| !piece.is_stored());
            assert_eq!(outside.held(), others.map(Piece::charge).sum::<u64>());
            if turn % 60 == 59 {
                model.truncate(turn * 10);
                stored(put(&store, Mode::Set, b"k", NewValue::Slice(&model)));
            }
        }
        store.delete(b"k", Delete::PLAIN, NOW);
        assert_eq!(outside.held(), 0);
        store.validate(NOW);
    }
}

#[test]
fn a_value_that_grows_bit_by_bit_has_few_pieces() {
    for mode in [Mode::Append, Mode::Prepend] {
        for (budget, part) in
            [(16 * MIB, 700), (64 * MIB, 90), (64 * MIB, 5_000), (64 * MIB, 20_000)]
        {
            let (store, outside) = store(budget, true);
            let mut len = 0;
            stored(put(&store, Mode::Set, b"k", NewValue::Slice(&[])));
            while len < 3 << 20 {
                stored(put(&store, mode, b"k", NewValue::Slice(&vec![b'v'; part])));
                len += part;
                let count = pieces(&store, b"k").len();
                let most = match part {
                    // Pages up to a length of 1 MiB, and pieces of 64 KiB beyond.
                    ..=16_384 => 256 + len / (64 << 10) + 64,
                    // Each part's pages and its rest, and the previous rest.
                    _ => len / part * (part / (4 << 10) + 2),
                };
                assert!(count <= most, "{count} pieces of {len} bytes");
            }
            let charged = store.counters().bytes;
            assert!(charged <= (len + len / 20 + (1 << 10)) as u64, "{charged} for {len} bytes");
            assert_eq!(
                (value(&store, b"k").map(|value| value.len()), outside.held()),
                (Some(len), 0)
            );
            store.validate(NOW);
        }
    }
}

#[test]
fn the_pieces_of_a_value_and_of_a_long_part_are_not_copied() {
    let (store, outside) = store(64 * MIB, true);
    stored(put(&store, Mode::Set, b"k", NewValue::Large(arrived(&store, &bytes(3_000_001, 0)))));
    let before = addresses(&pieces(&store, b"k"));
    for _ in 0..100 {
        stored(put(&store, Mode::Append, b"k", NewValue::Slice(b"x")));
        stored(put(&store, Mode::Prepend, b"k", NewValue::Slice(b"x")));
    }
    let after = addresses(&pieces(&store, b"k"));
    // Four pages and three pieces of 16 KiB come first, and are merged with the bytes before them.
    let large: Vec<_> = before[7..45].to_vec();
    assert!(after.windows(large.len()).any(|some| some == large), "they were copied");
    let part = arrived(&store, &bytes(2_000_000, 1));
    let parts = addresses(part.pieces());
    stored(put(&store, Mode::Append, b"k", NewValue::Large(part.clone())));
    let joined = addresses(&pieces(&store, b"k"));
    assert!(joined.ends_with(&parts) && joined.starts_with(&after));
    drop(part);
    assert_eq!(outside.held(), 0);
    store.validate(NOW);
}

#[test]
fn a_refused_part_changes_nothing() {
    let (store, outside) = store(4 * MIB, false);
    let large = bytes(1_500_000, 0);
    stored(put(&store, Mode::Set, b"k", NewValue::Large(arrived(&store, &large))));
    let before = addresses(&pieces(&store, b"k"));
    for mode in [Mode::Append, Mode::Prepend] {
        let part = NewValue::Large(arrived(&store, &bytes(3_000_000, 1)));
        let refused = put(&store, mode, b"k", part);
        assert_eq!(refused, WriteResult::NoMemory);
        assert_eq!((addresses(&pieces(&store, b"k")), outside.held()), (before.clone(), 0));
        store.validate(NOW);
    }
    assert!(value(&store, b"k") == Some(large));
}

#[test]
fn arithmetic_makes_only_those_pieces_anew_that_change() {
    for budget in [4 * MIB, 64 * MIB] {
        let (store, outside) = store(budget, true);
        let mut padded = vec![b' '; 512 << 10];
        padded[100] = b'7';
        padded[300_000] = b'\t';
        stored(put(&store, Mode::Set, b"k", NewValue::Large(arrived(&store, &padded))));
        let held = pieces(&store, b"k");
        let number = calculate(&store, b"k", add(1));
        assert!(matches!(number, ArithmeticResult::Done((8, _))));
        let mut expected = vec![b' '; 512 << 10];
        expected[0] = b'8';
        assert!(value(&store, b"k") == Some(expected.clone()));
        let after = pieces(&store, b"k");
        let changed = held.iter().zip(&after).filter(|(old, new)| old.as_ptr() != new.as_ptr());
        assert_eq!(changed.count(), 2, "the one with digits and the one with a tab");
        let others: u64 = held.iter().filter(|piece| !piece.is_stored()).map(Piece::charge).sum();
        assert!(others > 0 && outside.held() == others);
        let old: Vec<u8> = held.iter().flat_map(|piece| piece.iter()).copied().collect();
        assert!(padded.starts_with(&old), "what is held has changed");
        drop((held, after));
        assert_eq!(outside.held(), 0);
        store.validate(NOW);
    }
}

#[test]
fn digits_may_lie_across_pieces() {
    let (store, _) = store(64 * MIB, true);
    stored(put(&store, Mode::Set, b"k", NewValue::Slice(b"18446744073709551")));
    let part: Vec<u8> = [&b"600 "[..], &vec![b' '; 40_000]].concat();
    stored(put(&store, Mode::Append, b"k", NewValue::Slice(&part)));
    assert_eq!(pieces(&store, b"k").first().map(|piece| piece.len()), Some(17));
    let number = calculate(&store, b"k", add(15));
    assert!(matches!(number, ArithmeticResult::Done((u64::MAX, _))));
    let value = value(&store, b"k").unwrap();
    assert_eq!((&value[..21], value.len()), (&b"18446744073709551615 "[..], 17 + part.len()));
    store.validate(NOW);
}

#[test]
fn a_value_cut_for_another_store_may_come_to_lie_in_a_record() {
    let small = SegmentStore::with_shape(
        Limits { max_bytes: MIB, max_item: MIB, evict: true },
        Shape { shards: 1, segment: 4 << 10, seed: 1 },
        None,
    );
    let small = small.unwrap();
    let (store, _) = store(1024 * MIB, true);
    let part = arrived(&small, &bytes(600, 0));
    assert!(!part.pieces().is_empty());
    stored(put(&store, Mode::Set, b"k", NewValue::Large(part)));
    stored(put(&store, Mode::Append, b"k", NewValue::Slice(b"x")));
    assert_eq!(value(&store, b"k"), Some([&bytes(600, 0)[..], b"x"].concat()));
    assert!(pieces(&store, b"k").is_empty());
    store.validate(NOW);
}
