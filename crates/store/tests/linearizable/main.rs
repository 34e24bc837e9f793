//! Linearizability: several threads use few keys, and a sequential order must explain their
//! answers.
//!
//! Stateright's tester checks every operation of the store in short rounds ([`rounds`]). The
//! checker that also checks the rings does so for sets, gets and deletes in long histories. Both
//! run in a store with room for everything, from which nothing may be missing, and in a full one,
//! where other threads evict items, flush, forget, sweep and change the budget: there an item may
//! leave at any moment, and must never come back. `RINGBINDER_STORE_ROUNDS` is the number of
//! rounds, `RINGBINDER_STORE_SEED` chooses their operations; the interleaving differs in each run.

#[allow(dead_code, unreachable_pub, reason = "the rings have their own use of it")]
#[path = "../../../../tests/src/history.rs"]
mod history;
mod rounds;
mod spec;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use ringbinder_store::{
    Delete, DeleteResult, Expiry, Limits, Mode, NewValue, Seconds, SegmentStore, Shape, Store,
    Write, WriteResult,
};

use self::rounds::{Event, is_linearizable};
use self::spec::{Op, Ret};

const MIB: u64 = 1 << 20;
const NOW: Seconds = 1_700_000_000;

fn setting(name: &str, or: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return or };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

fn seed() -> u64 {
    let seed = setting("RINGBINDER_STORE_SEED", rand::random::<u64>() >> 32);
    println!("RINGBINDER_STORE_SEED={seed}");
    seed
}

fn rounds() -> usize {
    usize::try_from(setting("RINGBINDER_STORE_ROUNDS", 200)).expect("a number of rounds")
}

fn write<'a>(mode: Mode, key: &'a [u8], value: &'a [u8]) -> Write<'a> {
    Write::plain(mode, key, NewValue::Slice(value))
}

fn store(budget: u64, shards: usize) -> SegmentStore {
    let limits = Limits { max_bytes: budget, max_item: MIB, evict: true };
    let shape = Shape { shards, segment: 4 << 10, seed: 1 };
    SegmentStore::with_shape(limits, shape, None).expect("a good shape")
}

/// Runs `work` while other threads put the store under pressure.
fn under_pressure<R>(store: &SegmentStore, seed: u64, work: impl FnOnce() -> R) -> R {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Stop the threads even if `work` panics.
        let _stop = Stop(&stop);
        for thread in 0..2 {
            let stop = &stop;
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed + 50 + thread);
                let value = vec![b'v'; 60_000];
                while !stop.load(SeqCst) {
                    for _ in 0..20 {
                        let key = format!("other{}", rng.random_range(0..500));
                        let len = rng.random_range(0..value.len());
                        store.write(write(Mode::Set, key.as_bytes(), &value[..len]), NOW);
                    }
                    match rng.random_range(0..40) {
                        0 => store.flush(NOW, NOW),
                        1..3 => store.forget(Arc::new(|key| key.ends_with(b"3")), NOW),
                        3..6 => drop(store.sweep(NOW)),
                        6..10 => {
                            store.resize(MIB * rng.random_range(2..5) / 2);
                        }
                        _ => {}
                    }
                }
            });
        }
        work()
    })
}

#[test]
fn all_operations_are_linearizable_where_there_is_room() {
    for shards in [1, 16] {
        let store = store(64 * MIB, shards);
        rounds::run(&store, rounds(), seed(), false);
        assert_eq!(store.counters().evictions, 0);
        store.validate(NOW);
    }
}

#[test]
fn all_operations_are_linearizable_in_a_full_store() {
    for shards in [1, 16] {
        let (store, seed) = (store(MIB, shards), seed());
        under_pressure(&store, seed, || rounds::run(&store, rounds(), seed, true));
        assert!(store.counters().evictions > 1_000);
        store.validate(NOW);
    }
}

#[test]
fn long_histories_of_sets_gets_and_deletes_are_linearizable() {
    const KEYS: usize = 6;
    let (store, seed) = (store(MIB, 2), seed());
    let (clock, values) = (AtomicU64::new(0), AtomicU64::new(1));
    let operations = rounds() * 50;
    let worker = |thread: u64| {
        let mut rng = StdRng::seed_from_u64(seed + thread);
        let mut histories = vec![Vec::new(); KEYS];
        for _ in 0..operations {
            let key = rng.random_range(0..KEYS);
            let name = format!("key{key}");
            let invoked = clock.fetch_add(1, SeqCst);
            let action = match rng.random_range(0..10) {
                0..3 => {
                    let value = values.fetch_add(1, SeqCst);
                    // Of any length, so that there are values in records and large values.
                    let text = format!("{value:<len$}", len = rng.random_range(1..2_000));
                    let set = store.write(write(Mode::Set, name.as_bytes(), text.as_bytes()), NOW);
                    assert!(matches!(set, WriteResult::Stored { .. }));
                    Some(history::Action::Write(value))
                }
                3 => match store.delete(name.as_bytes(), Delete::PLAIN, NOW) {
                    DeleteResult::Exists => panic!("nothing was compared"),
                    _ => Some(history::Action::Delete),
                },
                _ => {
                    let read = store.get(name.as_bytes(), NOW, |item| item.value().to_vec());
                    read.ok().map(|value| {
                        let text = String::from_utf8(value).expect("text");
                        history::Action::Read(text.trim_end().parse().expect("a number"))
                    })
                }
            };
            let responded = Some(clock.fetch_add(1, SeqCst));
            if let Some(action) = action {
                histories[key].push(history::Operation { action, invoked, responded });
            }
        }
        histories
    };
    let histories = under_pressure(&store, seed, || {
        thread::scope(|scope| {
            let worker = &worker;
            let threads: Vec<_> =
                (0..3).map(|thread| scope.spawn(move || worker(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    });
    for key in 0..KEYS {
        let of_key: Vec<_> = histories.iter().flat_map(|of| of[key].iter().copied()).collect();
        let reads = |it: &&history::Operation| matches!(it.action, history::Action::Read(_));
        assert!(of_key.iter().filter(reads).count() > 500, "hardly anything was read");
        if let Err(violation) = history::check(&of_key) {
            panic!("key{key} of seed {seed}: {violation}");
        }
    }
    store.validate(NOW);
}

/// Older items are restored while three threads use their keys: a thread that wrote or deleted a
/// key meets no older value afterwards.
#[test]
fn what_is_taken_up_meanwhile_replaces_nothing_newer() {
    const KEYS: usize = 40;
    let mut read_old = 0;
    for budget in [MIB, 64 * MIB] {
        let (store, seed) = (store(budget, 2), seed());
        let mut rounds = || {
            for round in 0..rounds() / 4 {
                read_old += restore_round(&store, seed + round as u64, round, KEYS);
            }
        };
        match budget {
            MIB => under_pressure(&store, seed, rounds),
            _ => rounds(),
        }
        store.validate(NOW);
    }
    assert!(read_old > 100, "items of before were read {read_old} times");
}

/// One round on fresh keys; returns the number of reads of an older item.
fn restore_round(store: &SegmentStore, seed: u64, round: usize, keys: usize) -> usize {
    let (clock, values) = (AtomicU64::new(1), AtomicU64::new(1_000));
    let name = |key: usize| format!("round{round}key{key}");
    let restore = store.begin_restore(keys as u64, 0, NOW).expect("one at a time");
    let meta = ringbinder_store::Meta {
        flags: 0,
        cas: 1,
        expiry: Expiry::NEVER,
        last_access: NOW,
        fetched: false,
        stale: false,
        win_sent: false,
        binary_key: false,
    };
    let worker = |thread: u64| {
        let mut rng = StdRng::seed_from_u64(seed * 10 + thread);
        let mut histories = vec![Vec::new(); keys];
        for _ in 0..400 {
            let key = rng.random_range(0..keys);
            let name = name(key);
            let invoked = clock.fetch_add(1, SeqCst);
            let action = match rng.random_range(0..20) {
                0..2 => {
                    let value = values.fetch_add(1, SeqCst);
                    let text = value.to_string();
                    store.write(write(Mode::Set, name.as_bytes(), text.as_bytes()), NOW);
                    Some(history::Action::Write(value))
                }
                2 => {
                    store.delete(name.as_bytes(), Delete::PLAIN, NOW);
                    Some(history::Action::Delete)
                }
                3 => {
                    let value = values.fetch_add(1, SeqCst);
                    let text = value.to_string();
                    let add = write(Mode::Add, name.as_bytes(), text.as_bytes());
                    let added = matches!(store.write(add, NOW), WriteResult::Stored { .. });
                    added.then_some(history::Action::Write(value))
                }
                _ => {
                    let read = store.get(name.as_bytes(), NOW, |item| item.value().to_vec()).ok();
                    read.map(|value| {
                        let text = String::from_utf8(value).expect("text");
                        history::Action::Read(text.parse().expect("a number"))
                    })
                }
            };
            let responded = Some(clock.fetch_add(1, SeqCst));
            if let Some(action) = action {
                histories[key].push(history::Operation { action, invoked, responded });
            }
            if rng.random_bool(0.2) {
                thread::yield_now();
            }
        }
        histories
    };
    let histories = thread::scope(|scope| {
        let (worker, restore, name) = (&worker, &restore, &name);
        scope.spawn(move || {
            for key in 0..keys {
                let (name, value) = (name(key), key.to_string());
                let (key, value) = (name.as_bytes(), value.as_bytes());
                let item = ringbinder_store::snapshot::SavedItem { key, value, meta };
                let _: ControlFlow<()> =
                    store.restore_all(restore, [item], NOW, |_| ControlFlow::Continue(()));
                (0..5).for_each(|_| thread::yield_now());
            }
        });
        let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || worker(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    store.end_restore();
    let mut read_old = 0;
    for key in 0..keys {
        // The older item was written before all operations here.
        let value = key as u64;
        let action = history::Action::Write(value);
        let before = history::Operation { action, invoked: 0, responded: Some(0) };
        let of_key: Vec<_> = std::iter::once(before)
            .chain(histories.iter().flat_map(|of| of[key].iter().copied()))
            .collect();
        read_old += of_key.iter().filter(|it| it.action == history::Action::Read(value)).count();
        if let Err(violation) = history::check(&of_key) {
            panic!("key {key} of round {round}, seed {seed}: {violation}");
        }
    }
    read_old
}

#[test]
fn the_tester_tells_good_histories_from_bad_ones() {
    let event = |thread, op, ret, invoked, returned| Event { thread, op, ret, invoked, returned };
    let set = |value: &str| Op::Set(value.into());
    let hit = |value: &str, cas| Ret::Hit(value.into(), cas);
    let both = |events: &[Event]| [true, false].map(|leaves| is_linearizable(events, leaves));
    let first = event(0, set("1"), Ret::Stored(1), 0, 1);
    let second = event(0, set("2"), Ret::Stored(2), 2, 5);
    let during = |value, cas| event(1, Op::Get, hit(value, cas), 3, 4);
    assert_eq!(both(&[first.clone(), second.clone(), during("1", 1)]), [true, true]);
    assert_eq!(both(&[first.clone(), second.clone(), during("2", 2)]), [true, true]);
    assert_eq!(both(&[first.clone(), second.clone(), during("2", 1)]), [false, false]);
    let after = |ret| event(1, Op::Get, ret, 6, 7);
    assert_eq!(both(&[first.clone(), second.clone(), after(hit("1", 1))]), [false, false], "stale");
    assert_eq!(both(&[first.clone(), second, after(Ret::Miss)]), [true, false], "it may have left");
    let miss = event(1, Op::Get, Ret::Miss, 2, 3);
    let back = event(1, Op::Get, hit("1", 1), 4, 5);
    assert_eq!(both(&[first.clone(), miss, back]), [false, false], "what left stays away");
    let count = |thread, at: u64| event(thread, Op::Increment(1), Ret::Number(2, 2 + at), 2, 9);
    assert_eq!(both(&[first.clone(), count(0, 0), count(1, 1)]), [false, false], "a lost update");
    let add = |thread, cas| event(thread, Op::Add("3".into()), Ret::Stored(cas), 2, 9);
    assert_eq!(both(&[add(0, 1), add(1, 2)]), [true, false], "two adds");
    let swap = |thread, cas| event(thread, Op::Cas(1, "4".into()), Ret::Stored(cas), 2, 9);
    assert_eq!(both(&[first, swap(0, 2), swap(1, 3)]), [false, false], "one CAS unique, two swaps");
}
