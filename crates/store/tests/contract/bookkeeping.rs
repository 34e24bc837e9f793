//! Rules of use by several threads at once.

use std::sync::Arc;
use std::thread;

use ringbinder_store::{Delete, Expiry, Limits, Mode, Store, Write};

use super::{MIB, NOW, add, calculate, limits, roomy, set, value, write};

const THREADS: usize = 4;

pub(crate) fn increments_from_several_threads_all_count<S: Store>(make: fn(Limits) -> S) {
    const TURNS: usize = 5_000;
    let store = roomy(make);
    set(&store, b"k", b"0");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..TURNS {
                    calculate(&store, b"k", add(1));
                    store.write(write(Mode::Append, b"log", b"x"), NOW);
                    store.write(write(Mode::Add, b"log", b""), NOW);
                }
            });
        }
    });
    let total = (THREADS * TURNS).to_string();
    assert_eq!(value(&store, b"k"), Some(total.into_bytes()));
    // All appends succeeded, except those before the first add.
    let logged = value(&store, b"log").unwrap().len();
    assert!((THREADS * (TURNS - 1)..=THREADS * TURNS).contains(&logged), "{logged}");
    store.validate(NOW);
}

pub(crate) fn writers_and_readers_leave_the_books_in_order<S: Store>(make: fn(Limits) -> S) {
    let store = make(limits(2 * MIB));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let mut state = thread as u64 + 1;
                for turn in 0..8_000_u32 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let key = format!("key{}", (state >> 33) % 3_000);
                    let key = key.as_bytes();
                    match (state >> 50) % 8 {
                        0..3 => {
                            let len = usize::try_from((state >> 40) % 2_000).unwrap();
                            let value = vec![key[3]; len];
                            let expiry = match (state >> 55) % 4 {
                                0 => Expiry::at(NOW + turn / 1_000),
                                _ => Expiry::NEVER,
                            };
                            store.write(Write { expiry, ..write(Mode::Set, key, &value) }, NOW);
                        }
                        3..6 => {
                            let now = NOW + turn / 1_000;
                            let _ = store.get(key, now, |item| {
                                assert_eq!(item.key(), key);
                                assert!(item.value().to_vec().iter().all(|&byte| byte == key[3]));
                            });
                        }
                        6 => {
                            store.delete(key, Delete::PLAIN, NOW);
                        }
                        _ => match turn % 400 {
                            0 => store.flush(NOW, NOW),
                            1 => {
                                store.sweep(NOW + turn / 1_000);
                            }
                            2 => store.forget(Arc::new(|key| key.ends_with(b"7")), NOW),
                            3 => {
                                store.resize(if thread % 2 == 0 { MIB } else { 2 * MIB });
                            }
                            _ => {
                                store.touch(key, Expiry::NEVER, NOW);
                            }
                        },
                    }
                }
            });
        }
    });
    store.validate(NOW);
    store.flush(NOW, NOW);
    store.sweep(NOW);
    store.validate(NOW);
    assert_eq!((store.counters().items, store.counters().bytes), (0, 0));
}
