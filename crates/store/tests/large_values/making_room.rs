//! Room for a large value is made in steps, kept for it, and given back if it is not written.

use ringbinder_store::{
    Delete, LargeValue, Mode, NewValue, Readiness, SegmentStore, Store, WriteResult,
};

use super::contract::{MIB, NOW, set};
use super::{arrived, bytes, pieces, put, store, stored, value};

/// Fills a store with small items until it evicts.
fn fill(store: &SegmentStore) -> u64 {
    let mut item = 0_u64;
    while store.counters().evictions == 0 {
        set(store, format!("small{item}").as_bytes(), &[b'v'; 400]);
        item += 1;
    }
    item
}

/// Makes room until it is ready; returns the number of steps.
fn make_ready(store: &SegmentStore, key: &[u8], value: &mut LargeValue) -> u32 {
    let mut steps = 1;
    while store.make_ready(key, Mode::Set, value, NOW) == Readiness::Unfinished {
        steps += 1;
        assert!(steps < 100_000, "it does not end");
    }
    steps
}

#[test]
fn a_step_gives_up_little_and_what_it_frees_is_kept() {
    let (store, _) = store(64 * MIB, true);
    fill(&store);
    let mut large = arrived(&store, &bytes(24 << 20, 0));
    let (mut steps, mut evictions) = (0, store.counters().evictions);
    let first = evictions;
    while store.make_ready(b"large", Mode::Set, &mut large, NOW) == Readiness::Unfinished {
        steps += 1;
        let after = store.counters().evictions;
        assert!(after - evictions <= 4_096, "{} items went in one step", after - evictions);
        evictions = after;
        // Other writes make their own room meanwhile.
        for item in 0..20 {
            set(&store, format!("other{steps}.{item}").as_bytes(), &[b'v'; 400]);
        }
        if steps % 20 == 0 {
            store.validate(NOW);
        }
    }
    assert!(steps > 5);
    let before = store.counters().evictions;
    stored(put(&store, Mode::Set, b"large", NewValue::Large(large)));
    assert!(store.counters().evictions - before < 300, "its room was not kept");
    // The evicted bytes are about those that the value takes.
    assert!(store.counters().evictions - first < 24 * MIB / 400 + 8_000);
    assert!(value(&store, b"large") == Some(bytes(24 << 20, 0)));
    store.validate(NOW);
}

#[test]
fn what_was_kept_for_a_value_that_is_not_written_goes_back() {
    let (store, outside) = store(64 * MIB, true);
    fill(&store);
    let mut large = arrived(&store, &bytes(24 << 20, 0));
    make_ready(&store, b"large", &mut large);
    store.validate(NOW);
    drop(large);
    assert_eq!(outside.held(), 0);
    store.validate(NOW);
    let evictions = store.counters().evictions;
    let more = 20 * MIB / 500;
    for item in 0..more {
        set(&store, format!("more{item}").as_bytes(), &[b'v'; 400]);
    }
    assert_eq!(store.counters().evictions, evictions, "there was room for all of them");
    // The same for a refused write.
    let mut large = arrived(&store, &bytes(24 << 20, 0));
    make_ready(&store, b"large", &mut large);
    assert_eq!(
        put(&store, Mode::Replace, b"large", NewValue::Large(large)),
        WriteResult::NotStored
    );
    assert_eq!(outside.held(), 0);
    store.validate(NOW);
}

#[test]
fn two_large_values_at_once_both_find_room() {
    for len in [20 << 20, 40 << 20] {
        let (store, _) = store(64 * MIB, true);
        fill(&store);
        let mut values = [b"one", b"two"].map(|key| (key, Some(arrived(&store, &bytes(len, 0)))));
        let mut steps = 0;
        while values.iter().any(|(_, value)| value.is_some()) {
            for (key, value) in &mut values {
                let Some(mut large) = value.take() else { continue };
                match store.make_ready(*key, Mode::Set, &mut large, NOW) {
                    Readiness::Unfinished => *value = Some(large),
                    Readiness::Ready => {
                        stored(put(&store, Mode::Set, *key, NewValue::Large(large)));
                    }
                }
            }
            if steps % 50 == 0 {
                store.validate(NOW);
            }
            steps += 1;
            assert!(steps < 100_000, "they wait for each other");
        }
        // Two of 40 MiB do not fit: the second evicted the first.
        let there = [b"one", b"two"].map(|key| !pieces(&store, key).is_empty());
        assert_eq!(
            there.iter().filter(|there| **there).count(),
            if len > 32 << 20 { 1 } else { 2 }
        );
    }
}

#[test]
fn values_of_half_the_memory_are_all_stored() {
    for (share, parts) in [(2, 1), (1, 1), (8, 7)] {
        let (store, outside) = store(16 * MIB, true);
        fill(&store);
        let len = (16 << 20) / share * parts - (1 << 20);
        for turn in 0..8 {
            let key = [b'k', turn];
            let mut large = arrived(&store, &bytes(len, turn.into()));
            if turn % 2 == 0 {
                make_ready(&store, &key, &mut large);
            }
            stored(put(&store, Mode::Set, &key, NewValue::Large(large)));
            assert!(value(&store, &key) == Some(bytes(len, turn.into())), "{turn}");
            // Replaces the previous one, which has another length.
            stored(put(&store, Mode::Append, &key, NewValue::Slice(b"x")));
            let mut again = arrived(&store, &bytes(len, 9));
            make_ready(&store, &key, &mut again);
            stored(put(&store, Mode::Set, &key, NewValue::Large(again)));
            store.validate(NOW);
        }
        assert_eq!((store.counters().out_of_memory, outside.held()), (0, 0));
    }
}

#[test]
fn a_value_in_the_place_of_another_needs_only_what_it_has_more() {
    let (store, _) = store(64 * MIB, true);
    stored(put(&store, Mode::Set, b"k", NewValue::Large(arrived(&store, &bytes(30 << 20, 0)))));
    fill(&store);
    let evictions = store.counters().evictions;
    let mut large = arrived(&store, &bytes(31 << 20, 1));
    make_ready(&store, b"k", &mut large);
    stored(put(&store, Mode::Set, b"k", NewValue::Large(large)));
    assert!(store.counters().evictions - evictions < 2 * MIB / 400 + 1_000);
    store.validate(NOW);
}

#[test]
fn without_evictions_there_is_room_or_a_refusal() {
    let (store, outside) = store(64 * MIB, false);
    let mut items = 0;
    while store.counters().bytes < 40 * MIB {
        set(&store, format!("small{items}").as_bytes(), &[b'v'; 400]);
        items += 1;
    }
    let mut large = arrived(&store, &bytes(24 << 20, 0));
    make_ready(&store, b"large", &mut large);
    assert_eq!(put(&store, Mode::Set, b"large", NewValue::Large(large)), WriteResult::NoMemory);
    assert_eq!((store.counters().items, outside.held()), (items, 0));
    let mut large = arrived(&store, &bytes(12 << 20, 0));
    make_ready(&store, b"large", &mut large);
    store.validate(NOW);
    stored(put(&store, Mode::Set, b"large", NewValue::Large(large)));
    store.delete(b"large", Delete::PLAIN, NOW);
    store.validate(NOW);
    assert_eq!(store.counters().items, items);
}

#[test]
fn what_can_never_fit_is_ready_to_be_refused() {
    let (store, outside) = store(16 * MIB, true);
    fill(&store);
    let items = store.counters().items;
    let mut large = arrived(&store, &bytes(17 << 20, 0));
    assert_eq!(make_ready(&store, b"k", &mut large), 1);
    assert_eq!(put(&store, Mode::Set, b"k", NewValue::Large(large)), WriteResult::NoMemory);
    assert_eq!((store.counters().items, outside.held()), (items, 0));
    store.validate(NOW);
}
