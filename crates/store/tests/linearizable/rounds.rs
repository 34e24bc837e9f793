//! Threads that meet on a key for a few operations each, over and over.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::thread;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use ringbinder_store::{
    Arithmetic, ArithmeticResult, Delete, DeleteResult, Expiry, Mode, NewValue, SegmentStore,
    Store, Write, WriteResult,
};
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester};

use crate::spec::{Key, Op, Ret};
use crate::{NOW, write};

const THREADS: usize = 3;
const OPERATIONS: usize = 6;

/// An operation of one thread, and the moments between which it happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) thread: usize,
    pub(crate) op: Op,
    pub(crate) ret: Ret,
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
}

/// Whether a sequential order of the operations explains their answers.
pub(crate) fn is_linearizable(events: &[Event], leaves: bool) -> bool {
    let mut moments: Vec<_> = events
        .iter()
        .flat_map(|event| [(event.invoked, true, event), (event.returned, false, event)])
        .collect();
    moments.sort_by_key(|(moment, ..)| *moment);
    let mut tester = LinearizabilityTester::new(Key { item: None, leaves });
    for (_, begins, event) in moments {
        let told = match begins {
            true => tester.on_invoke(event.thread, event.op.clone()),
            false => tester.on_return(event.thread, event.ret.clone()),
        };
        told.expect("a thread does one thing at a time");
    }
    tester.is_consistent()
}

/// Runs rounds, each on a fresh key. Returns the number of misses.
pub(crate) fn run(store: &SegmentStore, rounds: usize, seed: u64, leaves: bool) -> usize {
    let clock = AtomicU64::new(0);
    let barrier = Barrier::new(THREADS + 1);
    let events = Mutex::new(Vec::new());
    let mut misses = 0;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (clock, barrier, events) = (&clock, &barrier, &events);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed * 100 + thread as u64);
                for round in 0..rounds {
                    let key = format!("round{round}");
                    let mut mine = Vec::with_capacity(OPERATIONS);
                    let mut cas = 1;
                    barrier.wait();
                    for turn in 0..OPERATIONS {
                        let op = choose(&mut rng, thread, turn, cas);
                        let invoked = clock.fetch_add(1, SeqCst);
                        let ret = perform(store, key.as_bytes(), &op);
                        let returned = clock.fetch_add(1, SeqCst);
                        if let Ret::Hit(_, seen) | Ret::Stored(seen) | Ret::Number(_, seen) = ret {
                            cas = seen;
                        }
                        mine.push(Event { thread, op, ret, invoked, returned });
                        if rng.random_bool(0.3) {
                            thread::yield_now();
                        }
                    }
                    events.lock().unwrap().extend(mine);
                    barrier.wait();
                }
            });
        }
        let mut failed = None;
        for round in 0..rounds {
            barrier.wait();
            barrier.wait();
            // No thread adds events before the next round begins.
            let events = std::mem::take(&mut *events.lock().unwrap());
            misses += events.iter().filter(|event| event.ret == Ret::Miss).count();
            if failed.is_none() && !is_linearizable(&events, leaves) {
                failed = Some((round, events));
            }
        }
        // Report only here: a panic in the loop would leave the other threads waiting.
        if let Some((round, mut events)) = failed {
            events.sort_by_key(|event| event.invoked);
            panic!("round {round} of seed {seed} is not linearizable: {events:#?}");
        }
    });
    misses
}

fn choose(rng: &mut StdRng, thread: usize, turn: usize, cas: u64) -> Op {
    let value = (100 * (thread + 1) + turn).to_string();
    match rng.random_range(0..14) {
        0..4 => Op::Get,
        4..6 => Op::Set(value),
        6 => Op::Add(value),
        7..9 => Op::Cas(cas, value),
        9 => Op::Append(thread.to_string()),
        10..12 => Op::Increment(1 + turn as u64),
        12 => Op::Delete,
        _ => Op::Touch,
    }
}

fn perform(store: &SegmentStore, key: &[u8], op: &Op) -> Ret {
    let put = |mode, value: &str, compare| {
        let value = NewValue::Slice(value.as_bytes());
        match store.write(Write { value, compare, ..write(mode, key, b"") }, NOW) {
            WriteResult::Stored { cas, .. } => Ret::Stored(cas),
            WriteResult::NotStored => Ret::NotStored,
            WriteResult::Exists => Ret::Exists,
            WriteResult::NotFound => Ret::Miss,
            refused @ (WriteResult::TooLarge | WriteResult::NoMemory) => panic!("{refused:?}"),
        }
    };
    match op {
        Op::Get => store
            .get(key, NOW, |item| {
                let value = String::from_utf8(item.value().to_vec()).expect("text");
                Ret::Hit(value, item.meta().cas)
            })
            .unwrap_or(Ret::Miss),
        Op::Set(value) => put(Mode::Set, value, 0),
        Op::Add(value) => put(Mode::Add, value, 0),
        Op::Cas(compare, value) => put(Mode::Cas, value, *compare),
        Op::Append(part) => put(Mode::Append, part, 0),
        Op::Increment(delta) => {
            let (increment, delta) = (true, *delta);
            let how = Arithmetic { increment, delta, compare: 0, new_cas: None, vivify: None };
            let done = store.arithmetic(key, how, false, NOW, |item, number, _| {
                Ret::Number(number, item.meta().cas)
            });
            match done {
                ArithmeticResult::Done(ret) => ret,
                ArithmeticResult::NotFound => Ret::Miss,
                ArithmeticResult::NonNumeric => Ret::NonNumeric,
                _ => panic!("an increment was neither created, compared nor out of memory"),
            }
        }
        Op::Delete => match store.delete(key, Delete::PLAIN, NOW) {
            DeleteResult::Deleted { .. } => Ret::Done,
            _ => Ret::Miss,
        },
        Op::Touch => match store.touch(key, Expiry::NEVER, NOW) {
            true => Ret::Done,
            false => Ret::Miss,
        },
    }
}
