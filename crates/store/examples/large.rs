//! Prints the cost of a set and a get of large values, how long another key waits meanwhile, and
//! the duration of the steps that make room for them. Run with `cargo run --release -p
//! ringbinder-store --example large`. With the argument `small`, it only sets and gets small
//! values, so many that instructions can be counted (`valgrind --tool=callgrind`).

mod support;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use ringbinder_store::{
    LargeValue, Limits, Mode, NewValue, Piece, Readiness, SegmentStore, Store, Write, WriteResult,
};

use self::support::{MIB, NOW};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("small") => return small(),
        Some("half") => return half_of_the_memory(),
        _ => {}
    }
    println!("{:<34}{:>12}{:>22}", "", "each", "another key waits");
    for (len, turns) in [(100_000, 10_000), (1 << 20, 1_000), (100 << 20, 20)] {
        measure(&format!("set, get of {len} bytes"), turns, |store, turn| {
            set_and_get(store, turn, len);
        });
    }
    measure("append of 1 byte to 100 MiB", 100, |store, turn| {
        if turn == 0 {
            put(store, Mode::Set, b"grows", 100 << 20);
        }
        put(store, Mode::Append, b"grows", 1);
    });
    measure("the same, held by a reader", 100, |store, turn| {
        if turn == 0 {
            put(store, Mode::Set, b"grows", 100 << 20);
        }
        let held = pieces(store, b"grows");
        put(store, Mode::Append, b"grows", 1);
        drop(held);
    });
    measure("prepend of 1 byte to 100 MiB", 100, |store, turn| {
        if turn == 0 {
            put(store, Mode::Set, b"grows", 100 << 20);
        }
        put(store, Mode::Prepend, b"grows", 1);
    });
    half_of_the_memory();
}

/// Eight values of 127 MiB in a memory of 256 MiB that is full of small items.
fn half_of_the_memory() {
    let limits = Limits { max_bytes: 256 * MIB, max_item: 128 * MIB, evict: true };
    let store = SegmentStore::new(limits, None);
    let mut item = 0_u64;
    while store.counters().evictions == 0 {
        for _ in 0..1_000 {
            support::set(&store, format!("key{item}").as_bytes(), NewValue::Slice(&[b'v'; 50]));
            item += 1;
        }
    }
    println!("127 MiB in 256 MiB, {} small items there:", store.counters().items);
    for turn in 0..8_u8 {
        let mut value = arrived(&store, 127 << 20);
        let key = [b'k', turn];
        let mut steps = Vec::new();
        loop {
            let start = Instant::now();
            let readiness = store.make_ready(&key, Mode::Set, &mut value, NOW);
            steps.push(start.elapsed());
            if readiness == Readiness::Ready {
                break;
            }
        }
        steps.sort_unstable();
        let [usual, long, longest] =
            [50, 99, 100].map(|part| steps[(steps.len() - 1) * part / 100]);
        let start = Instant::now();
        write(&store, Mode::Set, &key, NewValue::Large(value));
        let (took, items) = (start.elapsed(), store.counters().items);
        println!(
            "{:>5} steps of {usual:.1?}, 99 % within {long:.1?}, all within {longest:.1?}; then {took:.1?}; \
             {items} items; resident {} MiB",
            steps.len(),
            support::resident() / MIB
        );
    }
}

/// 100,000 items of 100 bytes: set, overwritten, and got four times.
fn small() {
    let store = support::store(256 * MIB);
    let keys: Vec<_> = (0..100_000).map(|item| format!("key:{item:010}")).collect();
    let value = [b'v'; 100];
    for _ in 0..2 {
        for key in &keys {
            support::set(&store, key.as_bytes(), NewValue::Slice(&value));
        }
    }
    for _ in 0..4 {
        for key in &keys {
            let len = store.get(key.as_bytes(), NOW, |item| item.value().len());
            assert_eq!(black_box(len), Ok(value.len()));
        }
    }
}

fn measure(what: &str, turns: u32, mut work: impl FnMut(&SegmentStore, u32)) {
    let limits = Limits { max_bytes: 512 * MIB, max_item: 512 * MIB, evict: true };
    let store = SegmentStore::new(limits, None);
    let other = b"another key";
    support::set(&store, other, NewValue::Slice(b"v"));
    let done = AtomicBool::new(false);
    let (took, longest) = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !done.load(Relaxed) {
                let start = Instant::now();
                let _ = store.get(other, NOW, |item| black_box(item.value().len()));
                longest = longest.max(start.elapsed());
            }
            longest
        });
        let start = Instant::now();
        for turn in 0..turns {
            work(&store, turn);
        }
        let took = start.elapsed();
        done.store(true, Relaxed);
        (took, waiting.join().expect("the reader"))
    });
    println!("{what:<34}{:>12.1?}{longest:>22.1?}", took / turns);
}

fn set_and_get(store: &SegmentStore, turn: u32, len: usize) {
    let key = format!("key{}", turn % 100);
    put(store, Mode::Set, key.as_bytes(), len);
    black_box(pieces(store, key.as_bytes()));
}

fn pieces(store: &SegmentStore, key: &[u8]) -> Vec<Piece> {
    store.get(key, NOW, |item| item.value().pieces().to_vec()).expect("an item")
}

/// Writes a value as the server does: large values arrive in pieces.
fn put(store: &SegmentStore, mode: Mode, key: &[u8], len: usize) {
    if len > 64 << 10 {
        write(store, mode, key, NewValue::Large(arrived(store, len)));
    } else {
        write(store, mode, key, NewValue::Slice(&vec![b'v'; len]));
    }
}

fn arrived(store: &SegmentStore, len: usize) -> LargeValue {
    let bytes = vec![b'v'; 64 << 10];
    let mut arriving = store.receive(len);
    while arriving.missing() > 0 {
        arriving.fill(&bytes);
    }
    arriving.finish()
}

fn write(store: &SegmentStore, mode: Mode, key: &[u8], value: NewValue<'_>) {
    let write = Write::plain(mode, key, value);
    assert!(matches!(store.write(write, NOW), WriteResult::Stored { .. }));
}
