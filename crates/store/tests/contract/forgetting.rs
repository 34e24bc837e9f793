//! Rules of `forget`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use ringbinder_store::{
    Arithmetic, ArithmeticResult, Delete, DeleteResult, Expiry, KeyPredicate, Limits, MetaGet,
    Miss, Mode, ResizeResult, Store, Write, WriteResult,
};

use super::{BUMP, MIB, NOW, add, calculate, limits, meta, roomy, set, stored, value, write};

/// Forgets the keys that begin with `prefix`.
fn forget(store: &impl Store, prefix: &'static [u8]) {
    store.forget(Arc::new(move |key| key.starts_with(prefix)), NOW);
}

pub(crate) fn forget_takes_exactly_the_lost_keys_stored_so_far<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"lost", b"v");
    set(&store, b"lost too", b"v");
    set(&store, b"lost over", b"v");
    let cas = set(&store, b"kept", b"v");
    forget(&store, b"lost");
    set(&store, b"lost later", b"v");
    set(&store, b"lost over", b"w");
    assert_eq!(value(&store, b"lost over"), Some(b"w".to_vec()));
    assert_eq!(store.get(b"lost", NOW, |_| ()), Err(Miss::Absent));
    assert_eq!(store.peek(b"lost too", NOW, |_| ()), Err(Miss::Absent));
    assert!(value(&store, b"lost later").is_some());
    assert!(value(&store, b"kept").is_some());
    assert_eq!(meta(&store, b"kept").cas, cas);
    set(&store, b"lost", b"again");
    assert_eq!(value(&store, b"lost"), Some(b"again".to_vec()));
    let counters = store.counters();
    assert_eq!((counters.items, counters.reclaimed, counters.expired_unfetched), (4, 3, 0));
    store.validate(NOW);
}

pub(crate) fn a_forgotten_item_is_absent_for_every_operation<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let lose = || {
        let old = Write { flags: 9, ..write(Mode::Set, b"k", b"5") };
        let cas = stored(&store, old);
        store.get(b"k", NOW, |_| ()).unwrap();
        forget(&store, b"k");
        cas
    };
    for (mode, expected) in [
        (Mode::Replace, WriteResult::NotStored),
        (Mode::Append, WriteResult::NotStored),
        (Mode::Prepend, WriteResult::NotStored),
        (Mode::Cas, WriteResult::NotFound),
    ] {
        let compare = lose();
        let attempt = Write { compare, ..write(mode, b"k", b"new") };
        assert_eq!(store.write(attempt, NOW), expected, "{mode:?}");
        assert_eq!(store.counters().items, 0, "{mode:?}");
    }
    lose();
    stored(&store, Write { vivify: Some(Expiry::NEVER), ..write(Mode::Append, b"k", b"end") });
    assert_eq!(value(&store, b"k"), Some(b"end".to_vec()));
    lose();
    stored(&store, write(Mode::Add, b"k", b"new"));
    assert_eq!(value(&store, b"k"), Some(b"new".to_vec()));
    assert_eq!(meta(&store, b"k").flags, 0);
    lose();
    assert_eq!(calculate(&store, b"k", add(1)), ArithmeticResult::NotFound);
    lose();
    let create = Arithmetic { vivify: Some(7), ..add(1) };
    assert_eq!(calculate(&store, b"k", create), ArithmeticResult::Created((7, "7".into())));
    assert_eq!(calculate(&store, b"k", create), ArithmeticResult::Done((8, "8".into())));
    let cas = lose();
    for how in [
        Delete::PLAIN,
        Delete { compare: Some(cas), mark_stale: true, ..Delete::PLAIN },
        Delete { drop_value: Some(1), ..Delete::PLAIN },
    ] {
        assert_eq!(store.delete(b"k", how, NOW), DeleteResult::NotFound, "{how:?}");
    }
    lose();
    assert!(!store.touch(b"k", Expiry::NEVER, NOW));
    lose();
    assert_eq!(store.get_and_touch(b"k", Expiry::NEVER, NOW, |_| ()), Err(Miss::Absent));
    lose();
    assert_eq!(store.meta_get(b"k", BUMP, false, NOW, |_, _| ()), Err(Miss::Absent));
    lose();
    let create = MetaGet { vivify: true, ..BUMP };
    let created = store.meta_get(b"k", create, false, NOW, |item, is_new| {
        (is_new, item.value().len(), item.meta().flags)
    });
    assert_eq!(created, Ok((true, 0, 0)));
    assert!(value(&store, b"k").is_some());
    let too_large = vec![b'x'; 2 << 20];
    lose();
    assert_eq!(store.write(write(Mode::Set, b"k", &too_large), NOW), WriteResult::TooLarge);
    assert_eq!(value(&store, b"k"), None);
    store.validate(NOW);
    assert_eq!(store.counters().items, 0);
}

pub(crate) fn what_is_made_of_an_item_after_a_forget_stays<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"appended", b"1");
    set(&store, b"counted", b"9");
    set(&store, b"touched", b"v");
    forget(&store, b"another");
    stored(&store, write(Mode::Append, b"appended", b"2"));
    calculate(&store, b"counted", add(1));
    assert!(store.touch(b"touched", Expiry::at(NOW + 9), NOW));
    assert_eq!(value(&store, b"appended"), Some(b"12".to_vec()));
    assert_eq!(value(&store, b"counted"), Some(b"10".to_vec()));
    assert!(value(&store, b"touched").is_some());
    // A touch stores nothing, however recent it is.
    forget(&store, b"t");
    assert_eq!(value(&store, b"touched"), None);
    assert!(value(&store, b"appended").is_some());
}

pub(crate) fn a_key_stored_again_outlives_forgets_of_others<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"a", b"old");
    set(&store, b"b", b"old");
    forget(&store, b"a");
    set(&store, b"a", b"new");
    forget(&store, b"b");
    assert_eq!(value(&store, b"a"), Some(b"new".to_vec()));
    assert_eq!(value(&store, b"b"), None);
    store.sweep(NOW);
    assert_eq!(value(&store, b"a"), Some(b"new".to_vec()));
    forget(&store, b"a");
    assert_eq!(value(&store, b"a"), None);
    set(&store, b"a", b"newer");
    store.sweep(NOW);
    assert_eq!(value(&store, b"a"), Some(b"newer".to_vec()));
    store.validate(NOW);
}

pub(crate) fn several_forgets_add_up<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    let keys: Vec<String> = (0..300).map(|item| format!("{}key{item}", item % 10)).collect();
    for key in &keys {
        set(&store, key.as_bytes(), b"v");
    }
    for prefix in [b"1", b"4", b"9", b"4"] {
        forget(&store, prefix);
    }
    for key in &keys {
        let is_lost = ["1", "4", "9"].iter().any(|prefix| key.starts_with(prefix));
        assert_eq!(value(&store, key.as_bytes()).is_none(), is_lost, "{key}");
    }
    assert_eq!(store.counters().items, 210);
    store.validate(NOW);
}

pub(crate) fn for_each_does_not_meet_what_is_forgotten<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for item in 0..100 {
        set(&store, format!("{}key{item}", item % 2).as_bytes(), b"v");
    }
    forget(&store, b"1");
    let mut met = 0;
    store.for_each(NOW, &mut |item| {
        assert_eq!(item.key()[0], b'0');
        met += 1;
        true
    });
    assert_eq!(met, 50);
    assert_eq!(store.counters().items, 100, "a visit removes nothing");
}

pub(crate) fn a_flush_after_a_forget_takes_the_rest<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"lost", b"v");
    set(&store, b"kept", b"v");
    forget(&store, b"lost");
    set(&store, b"lost later", b"v");
    store.flush(NOW, NOW);
    set(&store, b"after", b"v");
    assert!(store.get(b"lost", NOW, |_| ()).is_err());
    assert_eq!(store.get(b"lost later", NOW, |_| ()), Err(Miss::Flushed));
    assert_eq!(store.get(b"kept", NOW, |_| ()), Err(Miss::Flushed));
    assert!(value(&store, b"after").is_some());
    forget(&store, b"after");
    assert_eq!(store.get(b"after", NOW, |_| ()), Err(Miss::Absent));
    store.validate(NOW);
}

pub(crate) fn a_forget_leaves_a_later_flush_due<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"kept", b"v");
    store.flush(NOW + 10, NOW);
    forget(&store, b"lost");
    assert!(store.peek(b"kept", NOW + 9, |_| ()).is_ok());
    assert_eq!(store.peek(b"kept", NOW + 10, |_| ()), Err(Miss::Flushed));
}

pub(crate) fn a_sweep_ends_a_forget<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for item in 0..300 {
        set(&store, format!("{}key{item:03}", item % 3).as_bytes(), b"v");
    }
    let (third, bytes) = (100, store.counters().bytes / 3);
    let first: KeyPredicate = Arc::new(|key| key[0] == b'1');
    let second: KeyPredicate = Arc::new(|key| key[0] == b'2');
    store.forget(Arc::clone(&first), NOW);
    assert!(Arc::strong_count(&first) > 1);
    assert_eq!(value(&store, b"1key001"), None);
    assert_eq!(store.sweep(NOW), third - 1);
    assert_eq!(Arc::strong_count(&first), 1);
    let counters = store.counters();
    assert_eq!((counters.items, counters.bytes), (2 * third, 2 * bytes));
    assert_eq!((counters.reclaimed, counters.sweep_reclaimed), (third, third - 1));
    assert_eq!(counters.sweep_checked, 3 * third - 1);
    assert_eq!(store.sweep(NOW), 0);
    assert_eq!(store.counters().sweep_checked, 3 * third - 1, "nothing is left to look for");
    store.forget(Arc::clone(&second), NOW);
    store.forget(Arc::clone(&first), NOW);
    assert_eq!(store.sweep(NOW), third);
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
    assert_eq!((store.counters().items, store.counters().bytes), (third, bytes));
    store.validate(NOW);
    for item in 0..300 {
        let key = format!("{}key{item:03}", item % 3);
        assert_eq!(value(&store, key.as_bytes()).is_some(), item % 3 == 0, "{key}");
    }
}

/// Runs `operation`, and forgets `lost` in the middle of it, while it judges an old item. An
/// earlier forget makes this possible: its predicate blocks when it is first called.
fn forget_in_the_middle(store: &impl Store, lost: KeyPredicate, operation: impl FnOnce() + Send) {
    let (asked, is_asked) = mpsc::sync_channel(0);
    let (told, is_told) = mpsc::sync_channel::<()>(0);
    let once = Mutex::new(Some((asked, is_told)));
    let innocent = move |_: &[u8]| {
        if let Some((asked, is_told)) = once.lock().unwrap().take() {
            asked.send(()).unwrap();
            is_told.recv().unwrap();
        }
        false
    };
    store.forget(Arc::new(innocent), NOW);
    thread::scope(|scope| {
        scope.spawn(operation);
        is_asked.recv().unwrap();
        store.forget(lost, NOW);
        told.send(()).unwrap();
    });
}

pub(crate) fn what_is_made_of_an_item_during_a_forget_goes_with_it<S: Store>(
    make: fn(Limits) -> S,
) {
    let store = roomy(make);
    let operations: [&(dyn Fn(u64) + Sync); 6] = [
        &|_| {
            store.write(write(Mode::Append, b"k", b"+"), NOW);
        },
        &|_| {
            store.write(write(Mode::Prepend, b"k", b"and more than that"), NOW);
        },
        &|compare| {
            store.write(Write { compare, ..write(Mode::Cas, b"k", b"10") }, NOW);
        },
        &|_| {
            calculate(&store, b"k", add(1));
        },
        &|_| {
            store.delete(b"k", Delete { mark_stale: true, ..Delete::PLAIN }, NOW);
        },
        &|_| {
            store.touch(b"k", Expiry::NEVER, NOW);
        },
    ];
    for (number, operation) in operations.iter().enumerate() {
        let cas = set(&store, b"k", b"9");
        forget_in_the_middle(&store, Arc::new(|_| true), || operation(cas));
        assert_eq!(value(&store, b"k"), None, "operation {number}");
    }
    store.validate(NOW);
}

pub(crate) fn a_forget_during_a_sweep_waits_for_the_next<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    for item in 0..100 {
        set(&store, format!("key{item}").as_bytes(), b"v");
    }
    let second: KeyPredicate = Arc::new(|key| key != b"key7");
    forget_in_the_middle(&store, Arc::clone(&second), || {
        store.sweep(NOW);
    });
    assert!(Arc::strong_count(&second) > 1);
    store.for_each(NOW, &mut |item| {
        assert_eq!(item.key(), b"key7");
        true
    });
    store.sweep(NOW);
    assert_eq!(Arc::strong_count(&second), 1);
    assert_eq!(store.counters().items, 1);
    assert!(value(&store, b"key7").is_some());
    store.validate(NOW);
}

pub(crate) fn a_resize_keeps_what_is_forgotten_forgotten<S: Store>(make: fn(Limits) -> S) {
    let store = make(limits(8 * MIB));
    for item in 0..1_000 {
        set(&store, format!("{}key{item}", item % 2).as_bytes(), b"v");
    }
    let lost: KeyPredicate = Arc::new(|key| key[0] == b'1');
    store.forget(Arc::clone(&lost), NOW);
    set(&store, b"1 later", b"v");
    assert_eq!(store.resize(16 * MIB), ResizeResult::Done);
    assert_eq!(value(&store, b"1key1"), None);
    assert!(value(&store, b"0key0").is_some());
    assert_eq!(store.sweep(NOW), 499);
    assert_eq!(Arc::strong_count(&lost), 1);
    assert_eq!(store.resize(8 * MIB), ResizeResult::Done);
    assert_eq!(value(&store, b"1key3"), None);
    assert!(value(&store, b"1 later").is_some());
    assert_eq!(store.counters().items, 501);
    store.validate(NOW);
}

pub(crate) fn an_item_on_its_way_in_outlives_a_sweep_of_others<S: Store>(make: fn(Limits) -> S) {
    let store = roomy(make);
    set(&store, b"other", b"v");
    let (begun, in_callback) = mpsc::sync_channel(0);
    let (swept, sweep_done) = mpsc::sync_channel(1);
    thread::scope(|scope| {
        let store = &store;
        scope.spawn(move || {
            let create = MetaGet { vivify: true, ..BUMP };
            let created = store.meta_get(b"created", create, false, NOW, |_, is_new| {
                begun.send(()).unwrap();
                // Either the sweep waits for this item, and nothing is received, or it knows of the
                // item.
                let _ = sweep_done.recv_timeout(Duration::from_millis(100));
                is_new
            });
            assert_eq!(created, Ok(true));
        });
        in_callback.recv().unwrap();
        forget(store, b"other");
        store.sweep(NOW);
        // There is no receiver any more if the sweep waited for the item.
        let _ = swept.send(());
    });
    assert!(value(&store, b"created").is_some());
    assert_eq!(value(&store, b"other"), None);
    store.validate(NOW);
}

/// Each writer stores ever higher numbers under its own key and appends to them. A number whose
/// write ended before a forget began must not be seen after it. A number whose write began after
/// the last forget ended must be seen.
pub(crate) fn forgets_among_writers_take_the_old_and_leave_the_new<S: Store>(
    make: fn(Limits) -> S,
) {
    const WRITERS: u64 = 3;
    const FORGETS: u64 = 400;
    let store = roomy(make);
    let written: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let (begun, over) = (AtomicU64::new(0), AtomicU64::new(0));
    let is_done = AtomicBool::new(false);
    let number_of = |key: &[u8]| {
        let text = value(&store, key)?;
        let digits = text.split(|&byte| byte == b'+').next().unwrap();
        Some(String::from_utf8_lossy(digits).parse::<u64>().unwrap())
    };
    thread::scope(|scope| {
        for (writer, written) in written.iter().enumerate() {
            let (store, begun, over, is_done) = (&store, &begun, &over, &is_done);
            let number_of = &number_of;
            scope.spawn(move || {
                let key = format!("key{writer}");
                let key = key.as_bytes();
                for number in 1.. {
                    if is_done.load(SeqCst) {
                        return;
                    }
                    let over_before = over.load(SeqCst);
                    set(store, key, number.to_string().as_bytes());
                    let seen = number_of(key);
                    if begun.load(SeqCst) == over_before {
                        assert_eq!(seen, Some(number), "a new item was forgotten");
                    }
                    written.store(number, SeqCst);
                    store.write(write(Mode::Append, key, b"+"), NOW);
                    store.write(write(Mode::Append, key, b"+ and more than that"), NOW);
                }
            });
        }
        scope.spawn(|| {
            while !is_done.load(SeqCst) {
                store.sweep(NOW);
            }
        });
        for turn in 0..FORGETS {
            let old: Vec<u64> = written.iter().map(|written| written.load(SeqCst)).collect();
            begun.store(turn + 1, SeqCst);
            store.forget(Arc::new(|_| true), NOW);
            over.store(turn + 1, SeqCst);
            for _ in 0..20 {
                for (writer, old) in old.iter().enumerate() {
                    let seen = number_of(format!("key{writer}").as_bytes());
                    assert!(seen.is_none_or(|seen| seen > *old), "{seen:?} is back, {old} is lost");
                }
            }
        }
        is_done.store(true, SeqCst);
    });
    store.sweep(NOW);
    store.validate(NOW);
}
