//! Rules of writing.

use ringbinder_store::{
    Arithmetic, ArithmeticResult, Delete, DeleteResult, Expiry, Limits, Mode, Store, Write,
    WriteResult,
};

use super::{BUMP, MIB, NOW, add, calculate, limits, meta, roomy, set, stored, sub, value, write};

pub(crate) fn add_stores_only_what_is_absent<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    stored(&store, write(Mode::Add, b"k", b"one"));
    assert_eq!(store.write(write(Mode::Add, b"k", b"two"), NOW + 4), WriteResult::NotStored);
    assert_eq!(meta(&store, b"k").last_access, NOW + 4);
    assert_eq!(value(&store, b"k"), Some(b"one".to_vec()));
}

pub(crate) fn replace_stores_only_what_is_there<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert_eq!(store.write(write(Mode::Replace, b"k", b"one"), NOW), WriteResult::NotStored);
    assert_eq!(value(&store, b"k"), None);
    set(&store, b"k", b"one");
    stored(&store, write(Mode::Replace, b"k", b"two"));
    assert_eq!(value(&store, b"k"), Some(b"two".to_vec()));
}

pub(crate) fn append_and_prepend_join<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert_eq!(store.write(write(Mode::Append, b"k", b"x"), NOW), WriteResult::NotStored);
    assert_eq!(store.write(write(Mode::Prepend, b"k", b"x"), NOW), WriteResult::NotStored);
    let expiry = Expiry::at(NOW + 50);
    stored(&store, Write { flags: 5, expiry, ..write(Mode::Set, b"k", b"middle") });
    let other = Write { flags: 9, ..write(Mode::Append, b"k", b"-end") };
    let WriteResult::Stored { cas, len } = store.write(other, NOW) else { panic!("not stored") };
    assert_eq!((cas, len), (2, 10));
    stored(&store, write(Mode::Prepend, b"k", b"start-"));
    assert_eq!(value(&store, b"k"), Some(b"start-middle-end".to_vec()));
    assert_eq!((meta(&store, b"k").flags, meta(&store, b"k").expiry), (5, expiry));
}

pub(crate) fn append_compares_and_vivifies<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let vivify = Some(Expiry::at(NOW + 7));
    stored(&store, Write { vivify, flags: 3, ..write(Mode::Append, b"k", b"a") });
    assert_eq!(meta(&store, b"k").expiry, Expiry::at(NOW + 7));
    assert_eq!(meta(&store, b"k").flags, 3);
    let cas = stored(&store, Write { vivify, ..write(Mode::Prepend, b"k", b"b") });
    let wrong = Write { compare: cas + 1, ..write(Mode::Append, b"k", b"c") };
    assert_eq!(store.write(wrong, NOW), WriteResult::Exists);
    stored(&store, Write { compare: cas, ..write(Mode::Append, b"k", b"c") });
    assert_eq!(value(&store, b"k"), Some(b"bac".to_vec()));
}

pub(crate) fn cas_stores_only_what_was_seen<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let attempt =
        |compare, value| store.write(Write { compare, ..write(Mode::Cas, b"k", value) }, NOW);
    assert_eq!(attempt(1, b"x"), WriteResult::NotFound);
    assert_eq!(attempt(0, b"x"), WriteResult::NotFound);
    let cas = set(&store, b"k", b"one");
    assert_eq!(attempt(0, b"x"), WriteResult::Exists);
    assert_eq!(attempt(cas + 1, b"x"), WriteResult::Exists);
    assert_eq!(attempt(cas, b"two"), WriteResult::Stored { cas: cas + 1, len: 3 });
    assert_eq!(attempt(cas, b"three"), WriteResult::Exists);
    assert_eq!(value(&store, b"k"), Some(b"two".to_vec()));
}

pub(crate) fn a_lower_cas_may_store_a_stale_value<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let expiry = Expiry::at(NOW + 60);
    let cas = stored(&store, Write { expiry, ..write(Mode::Set, b"k", b"one") });
    store.meta_get(b"k", BUMP, false, NOW, |item, _| item.set_win_sent()).unwrap();
    let late = |compare| Write {
        compare,
        accept_stale: true,
        flags: 8,
        ..write(Mode::Cas, b"k", b"late")
    };
    assert_eq!(store.write(late(cas + 1), NOW), WriteResult::Exists);
    assert_eq!(store.write(late(0), NOW), WriteResult::Exists);
    stored(&store, Write { new_cas: Some(50), ..late(cas) });
    assert!(!meta(&store, b"k").stale, "an equal CAS is no stale store");
    store.meta_get(b"k", BUMP, false, NOW, |item, _| item.set_win_sent()).unwrap();
    stored(&store, Write { expiry: Expiry::NEVER, ..late(49) });
    let after = meta(&store, b"k");
    assert!(after.stale && after.win_sent && !after.fetched);
    assert_eq!((after.flags, after.expiry), (8, Expiry::NEVER));
}

pub(crate) fn a_dead_item_is_absent_for_every_mode<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let die = || {
        stored(&store, Write { expiry: Expiry::PAST, flags: 9, ..write(Mode::Set, b"k", b"old") });
    };
    for (mode, expected) in [
        (Mode::Replace, WriteResult::NotStored),
        (Mode::Append, WriteResult::NotStored),
        (Mode::Prepend, WriteResult::NotStored),
        (Mode::Cas, WriteResult::NotFound),
    ] {
        die();
        assert_eq!(store.write(write(mode, b"k", b"new"), NOW), expected, "{mode:?}");
        assert_eq!(store.counters().items, 0, "{mode:?}");
    }
    die();
    stored(&store, write(Mode::Add, b"k", b"new"));
    assert_eq!(value(&store, b"k"), Some(b"new".to_vec()));
    assert_eq!(meta(&store, b"k").flags, 0);
    die();
    assert_eq!(calculate(&store, b"k", add(1)), ArithmeticResult::NotFound);
    die();
    assert_eq!(store.delete(b"k", Delete::PLAIN, NOW), DeleteResult::NotFound);
    die();
    assert!(!store.touch(b"k", Expiry::NEVER, NOW));
    store.validate(NOW);
}

pub(crate) fn a_set_starts_afresh<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    stored(&store, Write { flags: 4, binary_key: true, ..write(Mode::Set, b"k", b"one") });
    assert!(meta(&store, b"k").binary_key);
    store.get(b"k", NOW, |_| ()).unwrap();
    store.delete(b"k", Delete { mark_stale: true, ..Delete::PLAIN }, NOW);
    assert!(meta(&store, b"k").stale);
    store.write(write(Mode::Set, b"k", b"two"), NOW + 3);
    let after = meta(&store, b"k");
    assert!(!after.fetched && !after.stale && !after.win_sent && !after.binary_key);
    assert_eq!((after.flags, after.last_access), (0, NOW + 3));
}

pub(crate) fn an_explicit_cas_is_kept_and_costs_none<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let chosen = Write { new_cas: Some(1_000), ..write(Mode::Set, b"k", b"5") };
    assert_eq!(stored(&store, chosen), 1_000);
    calculate(&store, b"k", Arithmetic { new_cas: Some(1_001), ..add(1) });
    assert_eq!(meta(&store, b"k").cas, 1_001);
    assert_eq!(set(&store, b"other", b""), 1);
}

pub(crate) fn cas_numbers_rise_by_one<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert_eq!(set(&store, b"k", b"9"), 1);
    assert_eq!(store.write(write(Mode::Add, b"k", b""), NOW), WriteResult::NotStored);
    calculate(&store, b"k", add(1));
    assert_eq!(meta(&store, b"k").cas, 2);
    calculate(&store, b"k", sub(1));
    assert_eq!(meta(&store, b"k").cas, 3);
    store.delete(b"k", Delete { mark_stale: true, ..Delete::PLAIN }, NOW);
    assert_eq!(meta(&store, b"k").cas, 4);
    store.touch(b"k", Expiry::NEVER, NOW);
    store.delete(b"k", Delete::PLAIN, NOW);
    store.flush(NOW, NOW);
    assert_eq!(set(&store, b"k", b""), 6);
    store.flush(NOW + 10, NOW);
    assert_eq!(set(&store, b"k", b""), 7);
}

pub(crate) fn what_is_too_large_is_refused_and_the_old_gone<S: Store>(make: fn(Limits) -> S) {
    let store = make(Limits { max_item: 1_024, ..limits(64 * MIB) });
    let large = vec![b'x'; 1_024];
    let half = vec![b'x'; 600];
    set(&store, b"k", &half);
    assert_eq!(store.write(write(Mode::Add, b"k", &large), NOW), WriteResult::TooLarge);
    assert_eq!(store.write(write(Mode::Append, b"k", &large), NOW), WriteResult::TooLarge);
    assert_eq!(store.write(write(Mode::Append, b"k", &half), NOW), WriteResult::NotStored);
    assert_eq!(value(&store, b"k"), Some(half));
    assert_eq!(store.write(write(Mode::Set, b"k", &large), NOW), WriteResult::TooLarge);
    assert_eq!(value(&store, b"k"), None);
    store.validate(NOW);
}

pub(crate) fn arithmetic_counts_up_and_down<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert_eq!(calculate(&store, b"k", add(1)), ArithmeticResult::NotFound);
    stored(&store, Write { flags: 6, ..write(Mode::Set, b"k", b"8") });
    store.get(b"k", NOW, |_| ()).unwrap();
    assert_eq!(calculate(&store, b"k", add(1)), ArithmeticResult::Done((9, "9".into())));
    assert!(meta(&store, b"k").fetched, "changed in place");
    assert_eq!(calculate(&store, b"k", add(1)), ArithmeticResult::Done((10, "10".into())));
    assert!(!meta(&store, b"k").fetched, "a new item");
    assert_eq!(meta(&store, b"k").flags, 6);
    assert_eq!(calculate(&store, b"k", sub(11)), ArithmeticResult::Done((0, "0 ".into())));
    let max = u64::MAX.to_string();
    set(&store, b"k", max.as_bytes());
    let wrapped = format!("{:<20}", 1);
    assert_eq!(calculate(&store, b"k", add(2)), ArithmeticResult::Done((1, wrapped)));
}

pub(crate) fn arithmetic_keeps_the_length<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"k", b"100  ");
    assert_eq!(calculate(&store, b"k", sub(1)), ArithmeticResult::Done((99, "99   ".into())));
    assert_eq!(calculate(&store, b"k", add(1)), ArithmeticResult::Done((100, "100  ".into())));
    set(&store, b"k", b" +5 apples");
    assert_eq!(calculate(&store, b"k", add(1)), ArithmeticResult::Done((6, "6         ".into())));
}

pub(crate) fn arithmetic_refuses_what_is_no_number<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for text in [&b""[..], b" ", b"abc", b"12a", b"-1", b"18446744073709551616"] {
        set(&store, b"k", text);
        assert_eq!(calculate(&store, b"k", add(1)), ArithmeticResult::NonNumeric, "{text:?}");
        assert_eq!(value(&store, b"k"), Some(text.to_vec()));
    }
}

pub(crate) fn arithmetic_compares_before_it_parses<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let cas = set(&store, b"k", b"abc");
    let compare = |compare| Arithmetic { compare, ..add(1) };
    assert_eq!(calculate(&store, b"k", compare(cas + 1)), ArithmeticResult::Exists);
    assert_eq!(calculate(&store, b"k", compare(cas)), ArithmeticResult::NonNumeric);
    set(&store, b"k", b"");
    assert_eq!(calculate(&store, b"k", compare(cas)), ArithmeticResult::NonNumeric);
}

pub(crate) fn arithmetic_creates<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let create = Arithmetic { vivify: Some(42), ..add(5) };
    let made = store.arithmetic(b"k", create, true, NOW, |item, number, is_new| {
        item.set_expiry(Expiry::at(NOW + 2));
        (item.value().to_vec(), number, is_new, item.meta().binary_key)
    });
    assert_eq!(made, ArithmeticResult::Created((b"42".to_vec(), 42, true, true)));
    assert_eq!(meta(&store, b"k").expiry, Expiry::at(NOW + 2));
    assert_eq!(calculate(&store, b"k", create), ArithmeticResult::Done((47, "47".into())));
    assert_eq!(meta(&store, b"k").cas, 2);
}

pub(crate) fn delete_removes<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert_eq!(store.delete(b"k", Delete::PLAIN, NOW), DeleteResult::NotFound);
    set(&store, b"k", b"four");
    assert_eq!(store.delete(b"k", Delete::PLAIN, NOW), DeleteResult::Deleted { len: 4 });
    assert_eq!(store.delete(b"k", Delete::PLAIN, NOW), DeleteResult::NotFound);
    assert_eq!(value(&store, b"k"), None);
    assert_eq!((store.counters().items, store.counters().bytes), (0, 0));
    set(&store, b"k", b"again");
    assert_eq!(value(&store, b"k"), Some(b"again".to_vec()));
    store.validate(NOW);
}

pub(crate) fn delete_compares_even_with_zero<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let cas = set(&store, b"k", b"v");
    let compare = |cas| Delete { compare: Some(cas), ..Delete::PLAIN };
    assert_eq!(store.delete(b"k", compare(0), NOW), DeleteResult::Exists);
    assert_eq!(store.delete(b"k", compare(cas + 1), NOW), DeleteResult::Exists);
    assert_eq!(store.delete(b"k", compare(cas), NOW), DeleteResult::Deleted { len: 1 });
}

pub(crate) fn delete_can_mark_stale<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let expiry = Expiry::at(NOW + 20);
    let cas = stored(&store, Write { expiry, flags: 3, ..write(Mode::Set, b"k", b"v") });
    store.meta_get(b"k", BUMP, false, NOW, |item, _| item.set_win_sent()).unwrap();
    let mark = Delete { mark_stale: true, ..Delete::PLAIN };
    assert_eq!(store.delete(b"k", mark, NOW), DeleteResult::Deleted { len: 1 });
    let after = meta(&store, b"k");
    assert!(after.stale && !after.win_sent && after.fetched);
    assert_eq!((after.cas, after.expiry, after.flags), (cas + 1, expiry, 3));
    let sooner = Delete { expiry: Some(Expiry::at(NOW + 5)), new_cas: Some(77), ..mark };
    store.delete(b"k", sooner, NOW);
    assert_eq!((meta(&store, b"k").cas, meta(&store, b"k").expiry), (77, Expiry::at(NOW + 5)));
    assert_eq!(value(&store, b"k"), Some(b"v".to_vec()));
}

pub(crate) fn delete_can_drop_the_value<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let drop = Delete { drop_value: Some(8), ..Delete::PLAIN };
    assert_eq!(store.delete(b"k", drop, NOW), DeleteResult::NotFound);
    let cas = stored(&store, Write { flags: 3, ..write(Mode::Set, b"k", b"value") });
    assert_eq!(store.delete(b"k", drop, NOW), DeleteResult::Deleted { len: 5 });
    let after = meta(&store, b"k");
    assert_eq!((after.cas, after.flags, after.stale), (cas, 8, false));
    assert_eq!(value(&store, b"k"), Some(vec![]));
    let both = Delete { mark_stale: true, expiry: Some(Expiry::at(NOW + 4)), ..drop };
    assert_eq!(store.delete(b"k", both, NOW), DeleteResult::Deleted { len: 0 });
    let after = meta(&store, b"k");
    assert_eq!((after.cas, after.stale, after.expiry), (cas + 1, true, Expiry::at(NOW + 4)));
    store.delete(b"k", Delete { new_cas: Some(9), ..drop }, NOW);
    assert_eq!(meta(&store, b"k").cas, 9);
    store.validate(NOW);
}

pub(crate) fn touch_counts_as_an_access<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert!(!store.touch(b"k", Expiry::NEVER, NOW));
    let cas = set(&store, b"k", b"v");
    assert!(store.touch(b"k", Expiry::at(NOW + 9), NOW + 2));
    let after = meta(&store, b"k");
    assert!(after.fetched);
    assert_eq!((after.last_access, after.expiry, after.cas), (NOW + 2, Expiry::at(NOW + 9), cas));
}
