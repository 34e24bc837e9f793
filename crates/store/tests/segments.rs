//! The contract of `Store`, applied to the engine of segments.

mod contract;

use ringbinder_store::{Limits, SegmentStore, Shape};

fn store(limits: Limits) -> SegmentStore {
    SegmentStore::new(limits, None)
}

fn shaped(limits: Limits, shards: usize, segment: usize) -> SegmentStore {
    let shape = Shape { shards, segment, seed: 7 };
    SegmentStore::with_shape(limits, shape, None).expect("a shape for every budget of the contract")
}

contract::suite!(super::store);

/// Segments are constantly sealed, compacted and evicted, and all of it coincides.
mod one_shard_of_tiny_segments {
    fn store(limits: super::Limits) -> super::SegmentStore {
        super::shaped(limits, 1, 4 << 10)
    }

    crate::contract::suite!(super::store);
}

/// Two keys seldom share a shard, and open segments take a large part of the memory.
mod many_shards {
    fn store(limits: super::Limits) -> super::SegmentStore {
        super::shaped(limits, 64, 4 << 10)
    }

    crate::contract::suite!(super::store);
}

/// A segment takes a large part of the memory.
mod few_large_segments {
    fn store(limits: super::Limits) -> super::SegmentStore {
        super::shaped(limits, 2, 64 << 10)
    }

    crate::contract::suite!(super::store);
}

mod segments {
    use std::sync::{Arc, Mutex};

    use ringbinder_store::{
        Arithmetic, ArithmeticResult, Delete, Evicted, Expiry, Limits, Mode, ResizeResult,
        SegmentStore, Store, Write, WriteResult,
    };

    use crate::contract::{BUMP, MIB, NOW, add, limits, set, stored, value, write};

    #[test]
    fn the_observer_sees_every_eviction_and_nothing_else() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let observer = move |evicted: Evicted<'_>| {
            noted.lock().unwrap().push((evicted.key.to_vec(), evicted.len, evicted.meta.flags));
        };
        let store = SegmentStore::new(limits(MIB), Some(Box::new(observer)));
        let value = vec![b'v'; 1000];
        for item in 0..5_000 {
            set(&store, format!("key{item}").as_bytes(), &value);
        }
        store.validate(NOW);
        let counters = store.counters();
        assert!(counters.evictions > 3_000);
        assert_eq!(counters.items + counters.evictions, 5_000);
        {
            let seen = seen.lock().unwrap();
            assert_eq!(seen.len() as u64, counters.evictions);
            assert!(seen.iter().all(|(_, len, flags)| (*len, *flags) == (1000, 0)));
            let keys: std::collections::HashSet<_> = seen.iter().map(|(key, ..)| key).collect();
            assert_eq!(keys.len(), seen.len(), "an item leaves once");
        }
        drop(store);
        assert_eq!(seen.lock().unwrap().len() as u64, counters.evictions);
    }

    #[test]
    fn a_set_is_there_when_it_returns() {
        let store = SegmentStore::new(limits(MIB), None);
        for item in 0..20_000 {
            let key = format!("key{item}");
            set(&store, key.as_bytes(), b"some value");
            assert!(value(&store, key.as_bytes()).is_some(), "{key}");
        }
    }

    #[test]
    fn the_budget_holds_while_items_are_only_touched() {
        let store = SegmentStore::new(limits(MIB), None);
        let keys: Vec<_> = (0..12_000).map(|item| format!("key{item}")).collect();
        for key in &keys {
            set(&store, key.as_bytes(), b"some value");
        }
        assert!(store.counters().items > 10_000);
        for (turn, key) in keys.iter().enumerate() {
            let expiry = Expiry::at(NOW + 60);
            match turn % 3 {
                0 => drop(store.touch(key.as_bytes(), expiry, NOW)),
                1 => drop(store.get_and_touch(key.as_bytes(), expiry, NOW, |_| ())),
                _ => drop(store.meta_get(key.as_bytes(), BUMP, false, NOW, |item, _| {
                    item.set_expiry(expiry);
                })),
            }
            if turn % 100 == 0 {
                store.validate(NOW);
            }
        }
        store.validate(NOW);
    }

    #[test]
    fn what_is_dead_when_a_refused_set_drops_it_is_reclaimed() {
        let store = SegmentStore::new(limits(MIB), None);
        let large = vec![b'v'; 2 << 20];
        stored(&store, Write { expiry: Expiry::PAST, ..write(Mode::Set, b"k", b"v") });
        assert_eq!(store.write(write(Mode::Set, b"k", &large), NOW), WriteResult::TooLarge);
        assert_eq!((store.counters().items, store.counters().reclaimed), (0, 1));
        set(&store, b"k", b"v");
        assert_eq!(store.write(write(Mode::Set, b"k", &large), NOW), WriteResult::TooLarge);
        assert_eq!((store.counters().items, store.counters().reclaimed), (0, 1));
    }

    #[test]
    fn a_value_and_the_segment_for_it_do_not_take_turns_in_giving_way() {
        // Segments for 256 MiB in a budget of 1 MiB: a dozen of them.
        let store = SegmentStore::new(limits(256 * MIB), None);
        assert_eq!(store.resize(MIB), ResizeResult::Done);
        for item in 0..500_usize {
            set(&store, format!("key{item}").as_bytes(), &vec![b'v'; item * 997 % 400_000]);
        }
        store.validate(NOW);
    }

    #[test]
    fn values_of_all_lengths_around_the_longest_of_a_record_come_back() {
        for budget in [2 * MIB, 64 * MIB, 1024 * MIB, 16_384 * MIB] {
            let store = SegmentStore::new(limits(budget), None);
            for base in [0_usize, 4_096, 8_192, 12_288, 65_536] {
                for len in (base + 8_160..base + 8_220).chain(base + 4_080..base + 4_110) {
                    let stored: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[0]).collect();
                    set(&store, b"k", &stored);
                    assert_eq!(value(&store, b"k"), Some(stored), "{len} bytes of {budget}");
                }
            }
            store.validate(NOW);
        }
    }

    #[test]
    fn a_store_of_hardly_any_budget_holds_nothing() {
        for budget in [0, 1_000, 32 << 10] {
            let store = SegmentStore::new(limits(budget), None);
            assert_eq!(store.write(write(Mode::Set, b"k", b"v"), NOW), WriteResult::NoMemory);
            assert_eq!(value(&store, b"k"), None);
            assert_eq!(store.counters().items, 0);
        }
    }

    #[test]
    fn a_budget_too_small_to_work_with_is_refused() {
        let store = SegmentStore::new(limits(4 * MIB), None);
        assert_eq!(store.resize(MIB - 1), ResizeResult::Refused);
        assert_eq!(store.counters().max_bytes, 4 * MIB);
    }

    #[test]
    fn what_the_probe_finds_too_much_is_given_up_and_taken_back() {
        use std::sync::atomic::{AtomicU64, Ordering};

        let resident = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&resident);
        let store = SegmentStore::new(limits(64 * MIB), None)
            .with_resident_probe(Box::new(move || Some(told.load(Ordering::Relaxed))));
        let value = vec![b'v'; 1000];
        let mut item = 0;
        let mut churn = |bytes| {
            resident.store(bytes, Ordering::Relaxed);
            for _ in 0..200_000 {
                item += 1;
                set(&store, format!("key{item}").as_bytes(), &value);
            }
            store.validate(NOW);
            let mut met = 0;
            store.for_each(NOW, &mut |item| {
                assert!(!item.key().is_empty());
                met += 1;
                true
            });
            assert_eq!(met, store.counters().items);
            store.counters().bytes
        };
        let whole = churn(0);
        assert!(whole > 60 * MIB);
        let less = churn(200 * MIB);
        // A thirty-second of the budget, however much is resident.
        assert!(less < whole - MIB && less > whole - 3 * MIB, "{less} of {whole}");
        assert!(churn(0) > 60 * MIB);
    }

    #[test]
    fn a_smaller_budget_keeps_as_much_as_it_has_room_for() {
        let store = SegmentStore::new(limits(128 * MIB), None)
            .with_resident_probe(Box::new(|| Some(400 * MIB)));
        // Lower the budget first, so that memory resident by now is excused.
        assert_eq!(store.resize(128 * MIB), ResizeResult::Done);
        for len in [40_usize, 900, 30_000] {
            let value = vec![b'v'; len];
            let items = 130 * MIB / (value.len() as u64 + 40);
            for item in 0..items {
                set(&store, format!("{len}:{item}").as_bytes(), &value);
            }
            for budget in [128, 64, 32, 16, 8] {
                assert_eq!(store.resize(budget * MIB), ResizeResult::Done);
                store.validate(NOW);
                let kept = store.counters().bytes * 100 / (budget * MIB);
                assert!(kept > 70, "{kept} % of {budget} MiB, values of {len} bytes");
            }
            assert_eq!(store.resize(128 * MIB), ResizeResult::Done);
        }
    }

    /// A full store with evictions off.
    fn full_of(value: &[u8], expiry: Expiry) -> (SegmentStore, Vec<String>) {
        let store = SegmentStore::new(Limits { evict: false, ..limits(8 * MIB) }, None);
        let mut keys: Vec<String> = Vec::new();
        loop {
            let key = format!("key{}", keys.len());
            let write = Write { expiry, ..write(Mode::Set, key.as_bytes(), value) };
            if store.write(write, NOW) == WriteResult::NoMemory {
                return (store, keys);
            }
            keys.push(key);
        }
    }

    #[test]
    fn what_is_flushed_or_expired_makes_room_where_nothing_is_evicted() {
        for (expiry, len) in
            [(Expiry::NEVER, 10), (Expiry::at(NOW + 5), 500), (Expiry::at(NOW + 5), 20_000)]
        {
            let value = vec![b'v'; len];
            let (store, keys) = full_of(&value, expiry);
            assert!(store.held() > 7 * MIB, "{}", store.held());
            if expiry == Expiry::NEVER {
                store.flush(NOW, NOW);
            }
            // The index may be a little larger than the first time.
            for key in &keys[..keys.len() / 100 * 90] {
                let key = key.replace("key", "new");
                let stored = store.write(write(Mode::Set, key.as_bytes(), &value), NOW + 5);
                assert!(matches!(stored, WriteResult::Stored { .. }), "{key} of {}", keys.len());
            }
            store.validate(NOW + 5);
        }
    }

    #[test]
    fn what_changes_items_takes_no_memory_where_nothing_is_evicted() {
        let (store, keys) = full_of(b"7", Expiry::NEVER);
        let before = store.held();
        assert!(before <= 8 * MIB && keys.len() > 100_000);
        for key in &keys {
            let key = key.as_bytes();
            assert!(store.touch(key, Expiry::at(NOW + 60), NOW));
            assert!(store.get_and_touch(key, Expiry::at(NOW + 90), NOW, |_| ()).is_ok());
        }
        assert_eq!(store.held(), before);
        store.validate(NOW);
        // CAS uniques that do not fit a record are kept beside it, as long as there is room.
        let far = Some(u64::MAX / 2);
        let mut refused = 0;
        for key in &keys {
            let key = key.as_bytes();
            let how = Arithmetic { new_cas: far, ..add(1) };
            let done = store.arithmetic(key, how, false, NOW, |_, _, _| ());
            refused += u64::from(done == ArithmeticResult::NoMemory);
            let stale = Delete { mark_stale: true, new_cas: far, ..Delete::PLAIN };
            store.delete(key, stale, NOW);
        }
        assert!(refused > 0);
        assert!(store.held() <= 8 * MIB, "{}", store.held());
        store.validate(NOW);
    }
}
