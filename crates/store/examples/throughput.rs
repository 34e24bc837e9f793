//! Nanoseconds per operation in one thread, before and after a forget, and beside moka alone.
//! Argument: keys (200000).

mod support;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use ringbinder_store::{NewValue, Policy, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OPERATIONS: u64 = 3_000_000;

fn main() {
    let keys: u64 = std::env::args().nth(1).map_or(200_000, |text| text.parse().expect("a number"));
    let names: Vec<String> = (0..keys).map(|key| format!("memtier-{key:08}")).collect();
    let value = vec![b'v'; 100];
    let longer = vec![b'v'; 200];
    let store = support::store(4096 * support::MIB, Policy::Lru);
    let mut random = support::Random(7);
    let mut sum = 0;

    let started = Instant::now();
    for name in &names {
        support::set(&store, name.as_bytes(), NewValue::Slice(&value));
    }
    report("store: set, new key", started, keys);
    let mut pick = || names[usize::try_from(random.next() % keys).expect("fits")].as_bytes();
    let started = Instant::now();
    for _ in 0..OPERATIONS {
        sum += store.get(pick(), support::NOW, |item| item.value().len()).unwrap_or(0);
    }
    report("store: get", started, OPERATIONS);
    let started = Instant::now();
    for _ in 0..OPERATIONS {
        sum += store.peek(pick(), support::NOW, |item| item.value().len()).unwrap_or(0);
    }
    report("store: peek", started, OPERATIONS);
    let started = Instant::now();
    for _ in 0..OPERATIONS {
        support::set(&store, pick(), NewValue::Slice(&value));
    }
    report("store: set, same length", started, OPERATIONS);
    let started = Instant::now();
    for turn in 0..OPERATIONS {
        let value = if turn % 2 == 0 { &value } else { &longer };
        support::set(&store, pick(), NewValue::Slice(value));
    }
    report("store: set, half of another length", started, OPERATIONS);

    let hasher = RandomState::default();
    let lost = move |key: &[u8]| hasher.hash_one(key) % 1_000 == 0;
    store.forget(Arc::new(lost), support::NOW);
    let started = Instant::now();
    for _ in 0..OPERATIONS {
        sum += store.get(pick(), support::NOW, |item| item.value().len()).unwrap_or(0);
    }
    report("store: get, a forget pending", started, OPERATIONS);
    let started = Instant::now();
    store.sweep(support::NOW);
    report("store: sweep, per item", started, keys);
    let started = Instant::now();
    for _ in 0..OPERATIONS {
        sum += store.get(pick(), support::NOW, |item| item.value().len()).unwrap_or(0);
    }
    report("store: get, the forget swept", started, OPERATIONS);

    let bare = moka::sync::Cache::builder()
        .max_capacity(u64::MAX)
        .eviction_policy(moka::policy::EvictionPolicy::lru())
        .build_with_hasher(RandomState::default());
    let started = Instant::now();
    for name in &names {
        bare.insert(Box::<[u8]>::from(name.as_bytes()), triomphe_value(&value));
    }
    report("moka: insert, new key", started, keys);
    let started = Instant::now();
    for _ in 0..OPERATIONS {
        sum += bare.get(pick()).map_or(0, |value| value.len());
    }
    report("moka: get", started, OPERATIONS);
    let started = Instant::now();
    for _ in 0..OPERATIONS {
        bare.insert(Box::<[u8]>::from(pick()), triomphe_value(&value));
    }
    report("moka: insert, key there", started, OPERATIONS);
    assert!(sum > 0);
}

fn triomphe_value(value: &[u8]) -> triomphe::Arc<[u8]> {
    triomphe::Arc::from(value)
}

fn report(what: &str, started: Instant, operations: u64) {
    println!("{what:<36} {:>6} ns", started.elapsed().as_nanos() / u128::from(operations));
}
