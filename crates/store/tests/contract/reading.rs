//! Rules of reading.

use std::sync::Arc;

use ringbinder_store::{Arriving, Expiry, Limits, MetaGet, Miss, Mode, NewValue, Store};

use super::{BUMP, NOW, meta, roomy, set, stored, value, write};

pub(crate) fn get_returns_what_was_set<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert_eq!(store.get(b"k", NOW, |_| ()), Err(Miss::Absent));
    stored(&store, ringbinder_store::Write { flags: 7, ..write(Mode::Set, b"k", b"one") });
    let seen = store
        .get(b"k", NOW, |item| (item.key().to_vec(), item.value().to_vec(), item.meta().flags));
    assert_eq!(seen, Ok((b"k".to_vec(), b"one".to_vec(), 7)));
    set(&store, b"k", b"");
    assert_eq!(value(&store, b"k"), Some(vec![]));
}

pub(crate) fn a_read_counts_after_the_callback_saw_the_item<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"k", b"v");
    let first = store.get(b"k", NOW + 5, |item| item.meta()).unwrap();
    assert_eq!((first.fetched, first.last_access), (false, NOW));
    let second = store.get(b"k", NOW + 9, |item| item.meta()).unwrap();
    assert_eq!((second.fetched, second.last_access), (true, NOW + 5));
}

pub(crate) fn peek_has_no_effect<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"k", b"v");
    let before = meta(&store, b"k");
    store.peek(b"k", NOW + 100, |_| ()).unwrap();
    assert_eq!(meta(&store, b"k"), before);
    assert_eq!(store.peek(b"absent", NOW, |_| ()), Err(Miss::Absent));
}

pub(crate) fn get_and_touch_changes_the_expiry<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let cas = set(&store, b"k", b"v");
    store.get_and_touch(b"k", Expiry::at(NOW + 10), NOW, |_| ()).unwrap();
    assert_eq!(meta(&store, b"k").expiry, Expiry::at(NOW + 10));
    assert_eq!(meta(&store, b"k").cas, cas);
    assert!(meta(&store, b"k").fetched);
    assert_eq!(store.get(b"k", NOW + 10, |_| ()), Err(Miss::Expired));
}

pub(crate) fn meta_get_bumps_only_when_asked_to<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"k", b"v");
    let quiet = MetaGet { bump: false, ..BUMP };
    store.meta_get(b"k", quiet, false, NOW + 1, |_, _| ()).unwrap();
    assert!(!meta(&store, b"k").fetched);
    let before = store.meta_get(b"k", BUMP, false, NOW + 2, |item, _| item.meta()).unwrap();
    assert_eq!((before.fetched, before.last_access), (false, NOW));
    assert!(meta(&store, b"k").fetched);
    assert_eq!(meta(&store, b"k").last_access, NOW + 2);
}

pub(crate) fn meta_get_creates_once<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    assert_eq!(store.meta_get(b"k", BUMP, false, NOW, |_, _| ()), Err(Miss::Absent));
    let create = MetaGet { vivify: true, ..BUMP };
    let created = store.meta_get(b"k", create, true, NOW, |item, is_new| {
        item.set_expiry(Expiry::at(NOW + 30));
        item.set_win_sent();
        (is_new, item.value().len(), item.meta().binary_key)
    });
    assert_eq!(created, Ok((true, 0, true)));
    let met =
        store.meta_get(b"k", create, true, NOW, |item, is_new| (is_new, item.meta())).unwrap();
    assert!(!met.0);
    assert!(met.1.win_sent && met.1.fetched);
    assert_eq!(met.1.expiry, Expiry::at(NOW + 30));
    // A dead item is created again.
    let again = store.meta_get(b"k", create, false, NOW + 30, |item, is_new| {
        (is_new, item.meta().win_sent, item.meta().binary_key)
    });
    assert_eq!(again, Ok((true, false, false)));
    let chosen = MetaGet { new_cas: Some(99), ..create };
    store.meta_get(b"other", chosen, false, NOW, |_, _| ()).unwrap();
    assert_eq!(meta(&store, b"other").cas, 99);
    assert_eq!(store.counters().items, 2);
    store.validate(NOW);
}

pub(crate) fn meta_get_lends_for_changing<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"k", b"v");
    let lent = store.meta_get(b"k", BUMP, false, NOW, |item, _| {
        item.set_expiry(Expiry::at(NOW + 3));
        item.set_win_sent();
        item.meta()
    });
    let lent = lent.unwrap();
    assert!(lent.win_sent);
    assert_eq!(lent.expiry, Expiry::at(NOW + 3));
    assert!(meta(&store, b"k").win_sent);
    assert_eq!(store.get(b"k", NOW + 3, |_| ()), Err(Miss::Expired));
}

pub(crate) fn an_expired_item_is_gone_at_its_second<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let expiry = Expiry::at(NOW + 10);
    stored(&store, ringbinder_store::Write { expiry, ..write(Mode::Set, b"k", b"v") });
    assert!(store.get(b"k", NOW + 9, |_| ()).is_ok());
    assert_eq!(store.peek(b"k", NOW + 10, |_| ()), Err(Miss::Expired));
    let past = ringbinder_store::Write { expiry: Expiry::PAST, ..write(Mode::Set, b"p", b"v") };
    stored(&store, past);
    assert_eq!(store.get(b"p", NOW, |_| ()), Err(Miss::Expired));
    assert_eq!(store.get(b"p", NOW, |_| ()), Err(Miss::Absent));
    store.validate(NOW);
    assert_eq!(store.counters().reclaimed, 2);
    assert_eq!(store.counters().expired_unfetched, 1);
}

pub(crate) fn large_values_are_shared<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let large = vec![b'x'; 100_000];
    set(&store, b"slice", &large);
    let mut arriving = Arriving::new(large.len(), 512, &Arc::default());
    assert_eq!(arriving.fill(&large), large.len());
    let shared = NewValue::Large(arriving.finish());
    stored(&store, ringbinder_store::Write { value: shared, ..write(Mode::Set, b"shared", b"") });
    for key in [&b"slice"[..], b"shared"] {
        let (kept, rest) = store
            .get(key, NOW, |item| (item.value().pieces().to_vec(), item.value().rest().to_vec()))
            .unwrap();
        assert!(!kept.is_empty() && rest.len() < 8 << 10, "it would be copied");
        set(&store, key, b"small");
        assert_eq!(
            kept.iter().flat_map(|piece| piece.iter()).chain(&rest).copied().collect::<Vec<u8>>(),
            large
        );
    }
    assert_eq!(store.get(b"slice", NOW, |item| item.value().pieces().len()), Ok(0));
}

pub(crate) fn keys_of_all_lengths_are_told_apart<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let long = [b'k'; 250];
    for len in 1..=long.len() {
        set(&store, &long[..len], len.to_string().as_bytes());
    }
    for len in 1..=long.len() {
        assert_eq!(value(&store, &long[..len]), Some(len.to_string().into_bytes()));
    }
    set(&store, b"a\0b", b"zero");
    assert_eq!(value(&store, b"a"), None);
    assert_eq!(value(&store, b"a\0b"), Some(b"zero".to_vec()));
}
