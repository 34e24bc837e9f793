//! Threads that read, hold, replace, join and evict large values at once keep the bookkeeping
//! correct.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use ringbinder_store::{Delete, Mode, NewValue, Readiness, Store as _};

use super::contract::{MIB, NOW, add, calculate};
use super::{arrived, bytes, pieces, put, store};

#[test]
fn threads_that_hold_replace_join_and_evict_leave_nothing_behind() {
    let (store, outside) = store(8 * MIB, true);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let users = (0..4_u64).map(|thread| {
            let store = &store;
            scope.spawn(move || {
                let mut state = thread + 1;
                let mut held = Vec::new();
                for _ in 0..2_500 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let key = [b'k', (state >> 33).to_le_bytes()[0]];
                    let len = usize::try_from((state >> 40) % 40_000).unwrap();
                    let value = || NewValue::Large(arrived(store, &vec![key[1]; len]));
                    match (state >> 58) % 10 {
                        0..3 => _ = put(store, Mode::Set, &key, value()),
                        3 => _ = put(store, Mode::Append, &key, value()),
                        4 => _ = put(store, Mode::Prepend, &key, value()),
                        5 => _ = put(store, Mode::Append, &key, NewValue::Slice(&[key[1]])),
                        6 => _ = store.delete(&key, Delete::PLAIN, NOW),
                        7 if len % 16 == 0 => {
                            let mut large = arrived(store, &vec![key[1]; 2 << 20]);
                            while store.make_ready(&key, Mode::Set, &mut large, NOW)
                                == Readiness::Unfinished
                            {
                                thread::yield_now();
                            }
                            if len % 32 == 0 {
                                _ = put(store, Mode::Set, &key, NewValue::Large(large));
                            }
                        }
                        7 => {
                            let padded = [b"1".to_vec(), vec![b' '; len]].concat();
                            let number = [b'n', key[1]];
                            _ = put(store, Mode::Set, &number, NewValue::Slice(&padded));
                            _ = calculate(store, &number, add(1));
                        }
                        _ => {
                            held.push((key[1], pieces(store, &key)));
                            if held.len() > 8 {
                                let (byte, pieces) = held.swap_remove(len % 8);
                                let all = pieces.iter().flat_map(|piece| piece.iter());
                                assert!(all.copied().all(|it| it == byte), "it has changed");
                            }
                        }
                    }
                }
            })
        });
        let users: Vec<_> = users.collect();
        scope.spawn(|| {
            while !done.load(Relaxed) {
                store.sweep(NOW);
                store.for_each(NOW, &mut |_| true);
            }
        });
        let ended: Vec<_> = users.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Relaxed);
        assert!(ended.into_iter().all(|user| user.is_ok()));
    });
    assert!(store.counters().evictions > 0);
    store.validate(NOW);
    assert_eq!(outside.held(), 0, "all that was held is let go of");
}
