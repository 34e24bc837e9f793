//! Restoring the items of another store into a store in use.

#[path = "contract/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the contract has its own users")]
mod contract;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use contract::{BUMP, MIB, NOW, limits, meta, set, value, write};
use ringbinder_store::snapshot::{Decoded, Decoder, Encoder, Header, SavedItem};
use ringbinder_store::{
    Delete, DeleteResult, Expiry, Limits, Meta, Mode, ResizeResult, Restored, SegmentStore, Store,
    Write, WriteResult,
};

fn store() -> SegmentStore {
    SegmentStore::new(limits(64 * MIB), None)
}

fn fresh() -> Meta {
    Meta {
        flags: 5,
        cas: 3,
        expiry: Expiry::NEVER,
        last_access: NOW - 9,
        fetched: true,
        stale: false,
        win_sent: false,
        binary_key: false,
    }
}

fn old(key: &[u8]) -> SavedItem<'_> {
    SavedItem { key, value: b"old", meta: fresh() }
}

#[test]
fn an_item_comes_back_as_it_was() {
    let store = store();
    let restore = store.begin_restore(10, 1_000, NOW).unwrap();
    assert!(store.begin_restore(10, 0, NOW).is_none(), "one at a time");
    let large = vec![7; 100_000];
    for (number, bits) in (0..64_u32).enumerate() {
        let on = |bit: u32| bits >> bit & 1 == 1;
        let meta = Meta {
            flags: if on(0) { 9 } else { 0 },
            cas: if on(1) { u64::MAX - 7 } else { 3 },
            expiry: if on(2) { Expiry::at(NOW + 5) } else { Expiry::NEVER },
            last_access: NOW - bits,
            fetched: on(3),
            stale: on(4),
            win_sent: on(5),
            binary_key: on(0),
        };
        let key = format!("key{number}");
        let value = if on(1) { &large[..] } else { b"v" };
        let item = SavedItem { key: key.as_bytes(), value, meta };
        assert_eq!(store.restore(&restore, &item, NOW), Restored::Kept);
        assert_eq!(contract::meta(&store, key.as_bytes()), meta);
        assert_eq!(self::value(&store, key.as_bytes()).as_deref(), Some(value));
    }
    store.validate(NOW);
    store.end_restore();
    store.validate(NOW);
    assert_eq!(set(&store, b"new", b"v"), 1_001, "CAS uniques go on above those of before");
    let again = store.begin_restore(10, 7, NOW).unwrap();
    assert_eq!(set(&store, b"new", b"v"), 1_002);
    store.end_restore();
    assert_eq!(store.restore(&again, &old(b"k"), NOW), Restored::Over);
}

#[test]
fn marks_take_no_more_than_the_budget_where_it_is_spent() {
    let store = SegmentStore::new(limits(5 * MIB), None);
    let mut item = 0;
    for _ in 0..20 {
        while store.counters().evictions == 0 {
            set(&store, format!("key{item}").as_bytes(), &[b'v'; 900]);
            item += 1;
        }
        store.reset_counters();
        assert!(store.begin_restore(1_000_000, 0, NOW).is_some());
        store.validate(NOW);
        store.end_restore();
        store.validate(NOW);
    }
}

/// A change of a key before its item is restored.
type Use = fn(&SegmentStore);

const USES: [(&str, Use); 9] = [
    ("set", |store| {
        set(store, b"k", b"new");
    }),
    ("add", |store| {
        assert!(matches!(
            store.write(write(Mode::Add, b"k", b"new"), NOW),
            WriteResult::Stored { .. }
        ));
    }),
    ("replace", |store| {
        assert_eq!(store.write(write(Mode::Replace, b"k", b""), NOW), WriteResult::NotStored);
    }),
    ("append", |store| {
        assert_eq!(store.write(write(Mode::Append, b"k", b""), NOW), WriteResult::NotStored);
    }),
    ("cas", |store| {
        let cas = Write { compare: 3, ..write(Mode::Cas, b"k", b"") };
        assert_eq!(store.write(cas, NOW), WriteResult::NotFound);
    }),
    ("delete", |store| {
        assert_eq!(store.delete(b"k", Delete::PLAIN, NOW), DeleteResult::NotFound);
    }),
    ("touch", |store| assert!(!store.touch(b"k", Expiry::NEVER, NOW))),
    ("gat", |store| {
        assert!(store.get_and_touch(b"k", Expiry::NEVER, NOW, |_| ()).is_err());
    }),
    ("a set that is too large", |store| {
        let large = vec![0; 2 << 20];
        assert_eq!(store.write(write(Mode::Set, b"k", &large), NOW), WriteResult::TooLarge);
    }),
];

#[test]
fn a_key_that_was_used_stays_as_its_user_left_it() {
    for (name, uses) in USES {
        let store = store();
        let restore = store.begin_restore(1_000, 0, NOW).unwrap();
        uses(&store);
        let before = value(&store, b"k");
        assert_eq!(store.restore(&restore, &old(b"k"), NOW), Restored::Outdated, "{name}");
        assert_eq!(value(&store, b"k"), before, "{name}");
        store.delete(b"k", Delete::PLAIN, NOW);
        assert_eq!(store.restore(&restore, &old(b"k"), NOW), Restored::Outdated, "{name}");
    }
}

#[test]
fn reading_a_key_does_not_keep_its_item_away() {
    let store = store();
    let restore = store.begin_restore(1_000, 0, NOW).unwrap();
    assert!(store.get(b"k", NOW, |_| ()).is_err());
    assert!(store.peek(b"k", NOW, |_| ()).is_err());
    assert!(store.meta_get(b"k", BUMP, false, NOW, |_, _| ()).is_err());
    assert_eq!(store.restore(&restore, &old(b"k"), NOW), Restored::Kept);
    assert_eq!(meta(&store, b"k").flags, 5);
    assert_eq!(store.restore(&restore, &old(b"k"), NOW), Restored::Outdated, "twice");
    store.delete(b"k", Delete::PLAIN, NOW);
    assert_eq!(store.restore(&restore, &old(b"k"), NOW), Restored::Outdated);
}

#[test]
fn an_item_that_left_for_any_reason_does_not_come_back() {
    let expiring = Expiry::at(NOW + 10);
    let store = store();
    let restore = store.begin_restore(1_000, 0, NOW).unwrap();
    for key in [&b"met"[..], b"swept"] {
        contract::stored(&store, Write { expiry: expiring, ..write(Mode::Set, key, b"new") });
    }
    assert!(store.get(b"met", NOW + 10, |_| ()).is_err());
    assert_eq!(store.sweep(NOW + 10), 1);
    for key in [&b"met"[..], b"swept"] {
        assert_eq!(store.restore(&restore, &old(key), NOW + 10), Restored::Outdated);
    }
    let dead = SavedItem { meta: Meta { expiry: expiring, ..fresh() }, ..old(b"other") };
    assert_eq!(store.restore(&restore, &dead, NOW + 10), Restored::Expired);

    // Nearly every key of a small store is evicted.
    let store = SegmentStore::new(limits(MIB), None);
    let restore = store.begin_restore(100_000, 0, NOW).unwrap();
    let keys: Vec<String> = (0..20_000).map(|number| format!("key{number}")).collect();
    for key in &keys {
        set(&store, key.as_bytes(), &[b'v'; 500]);
    }
    assert!(store.counters().evictions > 10_000);
    let (evictions, room) = (store.counters().evictions, 10 * MIB);
    assert_eq!(store.resize(room), ResizeResult::Done);
    for key in &keys {
        assert_eq!(store.restore(&restore, &old(key.as_bytes()), NOW), Restored::Outdated, "{key}");
    }
    assert_eq!(store.counters().evictions, evictions);
    store.validate(NOW);
}

#[test]
fn a_flush_takes_what_is_not_there_yet_as_well() {
    let store = store();
    let restore = store.begin_restore(1_000, 0, NOW).unwrap();
    assert_eq!(store.restore(&restore, &old(b"early"), NOW), Restored::Kept);
    store.flush(NOW, NOW);
    assert_eq!(store.restore(&restore, &old(b"late"), NOW), Restored::Over);
    assert_eq!((value(&store, b"early"), value(&store, b"late")), (None, None));

    let store = self::store();
    let restore = store.begin_restore(1_000, 0, NOW).unwrap();
    store.flush(NOW + 5, NOW);
    assert_eq!(store.flush_due(), Some(NOW + 5));
    assert_eq!(store.restore(&restore, &old(b"early"), NOW + 4), Restored::Kept);
    assert_eq!(store.restore(&restore, &old(b"late"), NOW + 5), Restored::Over);
    assert_eq!(store.flush_due(), None);
    assert!(store.get(b"early", NOW + 5, |_| ()).is_err());
}

#[test]
fn what_was_forgotten_does_not_come_back_even_after_a_sweep() {
    let store = store();
    let restore = store.begin_restore(1_000, 0, NOW).unwrap();
    store.forget(Arc::new(|key| key.starts_with(b"lost")), NOW);
    assert_eq!(store.restore(&restore, &old(b"lost1"), NOW), Restored::Outdated);
    assert_eq!(store.restore(&restore, &old(b"ours1"), NOW), Restored::Kept);
    store.sweep(NOW);
    assert_eq!(value(&store, b"ours1").as_deref(), Some(&b"old"[..]));
    // The store has dropped the predicates of the forgets.
    assert_eq!(store.restore(&restore, &old(b"lost2"), NOW), Restored::Over);
    assert_eq!(store.restore(&restore, &old(b"ours2"), NOW), Restored::Over);
    store.validate(NOW);
}

#[test]
fn nothing_is_given_up_for_it_and_the_rest_is_left_out() {
    for evict in [true, false] {
        let limits = Limits { evict, ..limits(MIB) };
        let store = SegmentStore::new(limits, None);
        let mine: Vec<String> = (0..300).map(|number| format!("mine{number}")).collect();
        let restore = store.begin_restore(5_000, 0, NOW).unwrap();
        for key in &mine {
            set(&store, key.as_bytes(), &[b'm'; 500]);
        }
        let (mut kept, mut full, mut marked) = (0, 0, 0);
        for number in 0..5_000 {
            let key = format!("theirs{number}");
            // Some of them are large values.
            let value = vec![b't'; if number % 50 == 0 { 10_000 } else { 500 }];
            let item = SavedItem { key: key.as_bytes(), value: &value, meta: fresh() };
            match store.restore(&restore, &item, NOW) {
                Restored::Kept => kept += 1,
                Restored::Full => full += 1,
                // The key shares its mark with another test key.
                Restored::Outdated => marked += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(kept > 500 && full > 2_000, "{kept} kept, {full} without room");
        assert!(marked < 200, "{marked} left out for the sake of 300");
        assert_eq!(store.counters().evictions, 0);
        assert!(mine.iter().all(|key| value(&store, key.as_bytes()).is_some()));
        store.validate(NOW);
        store.end_restore();
        store.validate(NOW);
    }
}

#[test]
fn marks_are_part_of_the_budget() {
    let store = SegmentStore::new(limits(8 * MIB), None);
    let restore = store.begin_restore(u64::MAX, 0, NOW).unwrap();
    store.validate(NOW);
    assert_eq!(store.restore(&restore, &old(b"k"), NOW), Restored::Kept);
    store.end_restore();
    store.validate(NOW);
}

#[test]
fn a_store_that_was_written_is_another_store_when_it_was_read() {
    let first = SegmentStore::new(limits(64 * MIB), None);
    for number in 0..5_000_usize {
        let (key, len) = (format!("key{number}"), number * 37 % 3_000);
        let value = vec![b'v'; len];
        let write = Write {
            flags: u32::try_from(number % 3).unwrap(),
            expiry: if number % 2 == 0 { Expiry::NEVER } else { Expiry::at(NOW + 7) },
            binary_key: number % 5 == 0,
            ..write(Mode::Set, key.as_bytes(), &value)
        };
        contract::stored(&first, write);
    }
    set(&first, b"large", &vec![b'l'; 900_000]);
    let last_cas = first.last_cas();
    let mut encoder =
        Encoder::new(&Header { last_cas, items: first.counters().items, ..Header::default() });
    let mut file = Vec::new();
    first.for_each(NOW, &mut |item| {
        encoder.push(item);
        if encoder.is_full() {
            file.extend_from_slice(encoder.bytes());
            encoder.clear();
        }
        true
    });
    file.extend_from_slice(encoder.finish());

    let second = SegmentStore::new(limits(64 * MIB), None);
    let (mut decoder, mut unread, mut restore) = (Decoder::new(1 << 20), &file[..], None);
    while !unread.is_empty() {
        let (consumed, decoded) = decoder.decode(unread).unwrap();
        unread = &unread[consumed..];
        match decoded {
            Decoded::Header(header) => {
                restore = second.begin_restore(header.items, header.last_cas, NOW);
            }
            Decoded::Items(items) => {
                for item in items {
                    let restored = second.restore(restore.as_ref().unwrap(), &item, NOW);
                    assert_eq!(restored, Restored::Kept);
                }
            }
            _ => {}
        }
    }
    second.end_restore();
    second.validate(NOW);
    let mut compared = 0;
    first.for_each(NOW, &mut |item| {
        let there = second.peek(item.key(), NOW, |there| (there.value().to_vec(), there.meta()));
        assert_eq!(there.unwrap(), (item.value().to_vec(), item.meta()));
        compared += 1;
        true
    });
    assert_eq!((compared, second.counters().items, second.last_cas()), (5_001, 5_001, last_cas));
}

#[test]
fn many_at_once_come_back_as_one_by_one() {
    let store = store();
    let restore = store.begin_restore(10, 0, NOW).unwrap();
    set(&store, b"key7", b"new");
    let (dead, huge, apart) = (Expiry::at(NOW - 1), vec![1; 2 << 20], vec![2; 100_000]);
    let keys: Vec<String> = (0..3_000).map(|number| format!("key{number}")).collect();
    let items = || {
        keys.iter().enumerate().map(|(number, key)| {
            let mut item = old(key.as_bytes());
            match number {
                8 => item.meta.expiry = dead,
                9 => item.value = &huge,
                10 => item.value = &apart,
                _ => {}
            }
            item
        })
    };
    let mut told = Vec::new();
    let end = store.restore_all(&restore, items(), NOW, |restored| {
        told.push(restored);
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(end, ControlFlow::Continue(()));
    let count = |told: &[Restored], what| told.iter().filter(|it| **it == what).count();
    assert_eq!((told.len(), count(&told, Restored::Kept)), (3_000, 2_997));
    for what in [Restored::Outdated, Restored::Expired, Restored::TooLarge] {
        assert_eq!(count(&told, what), 1, "{what:?}");
    }
    for (number, key) in keys.iter().enumerate() {
        let expected = match number {
            7 => Some(&b"new"[..]),
            8 | 9 => None,
            10 => Some(&apart[..]),
            _ => Some(&b"old"[..]),
        };
        assert_eq!(self::value(&store, key.as_bytes()).as_deref(), expected, "{key}");
    }
    store.validate(NOW);

    // The callback may end the restore, and is not called again after that.
    store.end_restore();
    let mut told = 0;
    let end = store.restore_all(&restore, items(), NOW, |restored| {
        told += 1;
        if restored == Restored::Over {
            ControlFlow::Break("over")
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(end, ControlFlow::Break("over"));
    assert!(told <= 3, "{told}: after the first that is over, no other");
}

/// Several threads, each with its own blocks, restore what one thread would.
#[test]
fn several_threads_take_up_at_once() {
    let store = store();
    let restore = store.begin_restore(10, 0, NOW).unwrap();
    let keys: Vec<String> = (0..20_000).map(|number| format!("key{number}")).collect();
    let kept = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Every key comes twice: one of two threads restores it.
        for half in keys.chunks(10_000).chain(keys.chunks(10_000)) {
            let (store, restore, kept) = (&store, &restore, &kept);
            scope.spawn(move || {
                for block in half.chunks(500) {
                    let items = block.iter().map(|key| old(key.as_bytes()));
                    let _: ControlFlow<()> = store.restore_all(restore, items, NOW, |restored| {
                        kept.fetch_add(usize::from(restored == Restored::Kept), Relaxed);
                        ControlFlow::Continue(())
                    });
                }
            });
        }
    });
    assert_eq!(kept.into_inner(), keys.len());
    store.end_restore();
    store.validate(NOW);
    assert_eq!(store.counters().items, keys.len() as u64);
}
