//! Rules of the whole store: flushes, visits, sweeps, budgets.

use std::collections::HashSet;

use ringbinder_store::{
    Arithmetic, ArithmeticResult, Cursor, Delete, DeleteResult, Expiry, Limits, Miss, Mode,
    ResizeResult, Store, Write, WriteResult,
};

use super::{MIB, NOW, limits, roomy, set, stored, value, write};

pub(crate) fn flush_takes_exactly_what_is_stored<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"before", b"v");
    store.flush(NOW, NOW);
    set(&store, b"after", b"v");
    assert_eq!(store.get(b"before", NOW, |_| ()), Err(Miss::Flushed));
    assert_eq!(store.get(b"before", NOW, |_| ()), Err(Miss::Absent));
    assert!(value(&store, b"after").is_some());
    set(&store, b"before", b"again");
    assert!(value(&store, b"before").is_some());
    assert_eq!(store.counters().reclaimed, 1);
    store.validate(NOW);
}

pub(crate) fn a_later_flush_waits_for_its_second<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"one", b"v");
    store.flush(NOW + 10, NOW);
    set(&store, b"two", b"v");
    assert!(store.get(b"one", NOW + 9, |_| ()).is_ok());
    assert_eq!(store.get(b"one", NOW + 10, |_| ()), Err(Miss::Flushed));
    assert_eq!(store.get(b"two", NOW + 10, |_| ()), Err(Miss::Flushed));
    store.write(write(Mode::Set, b"three", b"v"), NOW + 10);
    assert!(store.get(b"three", NOW + 20, |_| ()).is_ok());
}

pub(crate) fn a_flush_replaces_one_that_is_due<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"k", b"v");
    store.flush(NOW + 10, NOW);
    store.flush(NOW + 20, NOW);
    assert!(store.get(b"k", NOW + 15, |_| ()).is_ok());
    store.flush(NOW + 16, NOW + 16);
    store.write(write(Mode::Set, b"k", b"v"), NOW + 16);
    assert!(store.get(b"k", NOW + 30, |_| ()).is_ok());
}

pub(crate) fn for_each_meets_every_living_item_once<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for item in 0..2_000 {
        set(&store, format!("key{item}").as_bytes(), format!("value{item}").as_bytes());
    }
    set(&store, b"large", &vec![b'x'; 20_000]);
    stored(&store, Write { expiry: Expiry::PAST, ..write(Mode::Set, b"dead", b"v") });
    let mut met = HashSet::new();
    store.for_each(NOW + 5, &mut |item| {
        assert!(!item.meta().fetched);
        if item.key() == b"large" {
            assert_eq!(item.value().len(), 20_000);
        } else {
            assert_eq!(item.value().to_vec()[5..], item.key()[3..]);
        }
        assert!(met.insert(item.key().to_vec()));
        // The visitor runs outside all locks.
        assert!(store.peek(item.key(), NOW, |_| ()).is_ok());
        true
    });
    assert_eq!(met.len(), 2_001);
    store.for_each(NOW, &mut |item| {
        assert!(!item.meta().fetched, "a visit is no access");
        true
    });
}

pub(crate) fn for_each_stops_when_told_to<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for item in 0..100 {
        set(&store, format!("key{item}").as_bytes(), b"v");
    }
    let mut met = 0;
    store.for_each(NOW, &mut |_| {
        met += 1;
        met < 10
    });
    assert_eq!(met, 10);
}

pub(crate) fn steps_of_a_visit_are_short_and_meet_every_item_once<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for item in 0..5_000 {
        set(&store, format!("key{item}").as_bytes(), b"v");
    }
    let mut met = HashSet::new();
    let (mut at, mut steps) = (Some(Cursor::default()), 0);
    while let Some(from) = at {
        let before = met.len();
        at = store.visit_some(from, NOW, &mut |item| {
            assert!(met.insert(item.key().to_vec()));
        });
        assert!(met.len() - before < 500, "{} in one step", met.len() - before);
        steps += 1;
        // The visit must not depend on changes between its steps.
        set(&store, format!("key{steps}").as_bytes(), b"another");
    }
    assert_eq!(met.len(), 5_000);
}

pub(crate) fn what_operations_meet_dead_is_counted<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let keys = [b"get", b"set", b"del", b"inc", b"tch", b"add"];
    let store_all = || {
        for key in keys {
            stored(&store, Write { expiry: Expiry::at(NOW + 1), ..write(Mode::Set, key, b"1") });
        }
    };
    let meet_all = |now| {
        assert!(store.get(b"get", now, |_| ()).is_err());
        store.write(write(Mode::Set, b"set", b"1"), now);
        assert_eq!(store.delete(b"del", Delete::PLAIN, now), DeleteResult::NotFound);
        let how = Arithmetic { increment: true, delta: 1, compare: 0, new_cas: None, vivify: None };
        let met = store.arithmetic(b"inc", how, false, now, |_, _, _| ());
        assert_eq!(met, ArithmeticResult::NotFound);
        assert!(!store.touch(b"tch", Expiry::NEVER, now));
        store.write(write(Mode::Add, b"add", b"1"), now);
    };
    store_all();
    meet_all(NOW + 1);
    let counters = store.counters();
    assert_eq!((counters.met_expired, counters.met_flushed), (6, 0));
    store.delete(b"set", Delete::PLAIN, NOW + 1);
    store.delete(b"add", Delete::PLAIN, NOW + 1);
    store_all();
    store.flush(NOW, NOW);
    meet_all(NOW);
    let counters = store.counters();
    assert_eq!((counters.met_expired, counters.met_flushed), (6, 6));
    store_all();
    store.sweep(NOW + 1);
    assert_eq!(store.counters().met_expired, 6, "a sweep is no operation on a key");
    store.reset_counters();
    assert_eq!((store.counters().met_expired, store.counters().met_flushed), (0, 0));
    store.validate(NOW);
}

pub(crate) fn sweep_removes_the_dead<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for item in 0..300 {
        let key = format!("key{item}");
        let expiry = if item % 3 == 0 { Expiry::NEVER } else { Expiry::at(NOW + item % 3) };
        stored(&store, Write { expiry, ..write(Mode::Set, key.as_bytes(), b"v") });
    }
    assert_eq!(store.sweep(NOW), 0);
    assert_eq!(store.sweep(NOW + 1), 100);
    assert_eq!(store.sweep(NOW + 2), 100);
    assert_eq!(store.counters().items, 100);
    store.flush(NOW + 3, NOW + 3);
    store.write(write(Mode::Set, b"after", b"v"), NOW + 3);
    assert_eq!(store.sweep(NOW + 3), 100);
    let counters = store.counters();
    assert_eq!((counters.items, counters.reclaimed, counters.sweep_reclaimed), (1, 300, 300));
    assert_eq!(counters.expired_unfetched, 200);
    store.validate(NOW + 3);
}

pub(crate) fn sweep_passes_over_when_nothing_can_have_died<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for item in 0..100 {
        set(&store, format!("key{item}").as_bytes(), b"v");
    }
    assert_eq!(store.sweep(NOW), 0);
    assert_eq!(store.counters().sweep_checked, 0);
    store.touch(b"key7", Expiry::at(NOW + 1), NOW);
    assert_eq!(store.sweep(NOW + 1), 1);
    let checked = store.counters().sweep_checked;
    assert_eq!(store.sweep(NOW + 2), 0);
    assert_eq!(store.counters().sweep_checked, checked);
}

pub(crate) fn an_item_larger_than_the_budget_is_refused<S: Store>(make: fn(Limits) -> S) {
    let store = make(Limits { max_item: 8 * MIB, ..limits(2 * MIB) });
    set(&store, b"k", b"old");
    let large = vec![b'x'; 3 << 20];
    assert_eq!(store.write(write(Mode::Set, b"k", &large), NOW), WriteResult::NoMemory);
    assert_eq!(value(&store, b"k"), None);
    assert_eq!(store.counters().out_of_memory, 1);
    store.validate(NOW);
}

pub(crate) fn without_evictions_a_full_store_refuses<S: Store>(make: fn(Limits) -> S) {
    let store = make(Limits { evict: false, ..limits(2 * MIB) });
    let value_of = |size| vec![b'v'; size];
    let mut held = 0;
    while let WriteResult::Stored { .. } =
        store.write(write(Mode::Set, format!("key{held}").as_bytes(), &value_of(1_000)), NOW)
    {
        held += 1;
    }
    assert!(held > 1_000);
    store.validate(NOW);
    let counters = store.counters();
    assert_eq!((counters.items, counters.evictions, counters.out_of_memory), (held, 0, 1));
    assert!(counters.bytes <= 2 * MIB);
    // Present items can be overwritten and incremented; they can grow only while there is room.
    set(&store, b"key5", &value_of(1_000));
    let grow = write(Mode::Append, b"key5", b"0123456789012345678901234567890123456789");
    assert_eq!(store.write(grow, NOW), WriteResult::Stored { cas: held + 2, len: 1_040 });
    let grow = write(Mode::Replace, b"key6", &[b'v'; 100_000]);
    assert_eq!(store.write(grow, NOW), WriteResult::NoMemory);
    assert_eq!(value(&store, b"key6"), Some(value_of(1_000)));
    let grow = write(Mode::Set, b"key6", &[b'v'; 100_000]);
    assert_eq!(store.write(grow, NOW), WriteResult::NoMemory);
    assert_eq!(value(&store, b"key6"), None);
    set(&store, b"another", &value_of(900));
    store.validate(NOW);
}

pub(crate) fn resize_keeps_the_newest<S: Store>(make: fn(Limits) -> S) {
    let store = make(limits(8 * MIB));
    for item in 0..4_000_u32 {
        let key = format!("key{item}");
        store.write(write(Mode::Set, key.as_bytes(), &[b'v'; 1_000]), NOW + item);
    }
    store.validate(NOW);
    assert_eq!(store.counters().evictions, 0);
    assert_eq!(store.resize(2 * MIB), ResizeResult::Done);
    store.validate(NOW);
    let counters = store.counters();
    assert_eq!(counters.max_bytes, 2 * MIB);
    assert!(counters.bytes <= 2 * MIB);
    assert_eq!(counters.items + counters.evictions, 4_000);
    assert!(value(&store, b"key3999").is_some());
    set(&store, b"after", b"v");
    assert!(value(&store, b"after").is_some());
}

pub(crate) fn resize_upwards_keeps_everything<S: Store>(make: fn(Limits) -> S) {
    let store = make(limits(2 * MIB));
    for item in 0..1_000 {
        set(&store, format!("key{item}").as_bytes(), &[b'v'; 500]);
    }
    assert_eq!(store.resize(16 * MIB), ResizeResult::Done);
    for item in 1_000..10_000 {
        set(&store, format!("key{item}").as_bytes(), &[b'v'; 500]);
    }
    store.validate(NOW);
    assert_eq!((store.counters().items, store.counters().evictions), (10_000, 0));
}

pub(crate) fn counters_count<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert_eq!(store.counters().max_bytes, 64 * MIB);
    set(&store, b"a", b"1");
    set(&store, b"a", b"2");
    set(&store, b"b", b"3");
    let counters = store.counters();
    assert_eq!((counters.items, counters.total_items), (2, 3));
    assert!(counters.bytes > 4);
    stored(&store, Write { expiry: Expiry::PAST, ..write(Mode::Set, b"b", b"4") });
    assert!(value(&store, b"b").is_none());
    assert_eq!(store.counters().reclaimed, 1);
    store.reset_counters();
    let counters = store.counters();
    assert_eq!((counters.reclaimed, counters.expired_unfetched), (0, 0));
    assert_eq!((counters.items, counters.total_items), (1, 4));
    store.validate(NOW);
}
