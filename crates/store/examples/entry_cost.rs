//! Prints what an item costs in resident memory beyond its key and value, beside what it is
//! charged. Run with `cargo run --release -p ringbinder-store --example entry_cost`; each line is
//! measured in a process of its own.

mod support;

use ringbinder_store::{NewValue, Policy, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, items, value_len, policy] = &arguments[..] {
        let policy = if policy == "lfu" { Policy::TinyLfu } else { Policy::Lru };
        measure(items.parse().expect("a number"), value_len.parse().expect("a length"), policy);
        return;
    }
    println!("items     value   policy  resident beyond key+value   charged beyond key+value");
    for (items, value_len, policy) in [
        ("1000000", "10", "lru"),
        ("1000000", "100", "lru"),
        ("1000000", "500", "lru"),
        ("1100000", "100", "lru"),
        ("1300000", "100", "lru"),
        ("100000", "4000", "lru"),
        ("1000000", "100", "lfu"),
    ] {
        let program = std::env::current_exe().expect("this program's path");
        let mut child = std::process::Command::new(program);
        let status = child.args([items, value_len, policy]).status().expect("a child process");
        assert!(status.success(), "the measurement failed");
    }
}

fn measure(items: u64, value_len: usize, policy: Policy) {
    // Room for three times what is measured: nothing is evicted.
    let store = support::store(items * (value_len as u64 + 500) * 3 / 2, policy);
    let value = vec![b'v'; value_len];
    support::set(&store, b"warm", NewValue::Slice(&value));
    let before = support::resident();
    let charged_before = store.counters().bytes;
    let mut key_len = 0;
    for item in 0..items {
        let key = format!("key:{item:010}");
        key_len = key.len() as u64;
        support::set(&store, key.as_bytes(), NewValue::Slice(&value));
    }
    store.validate(support::NOW);
    let payload = items * (key_len + value_len as u64);
    let resident = support::resident() - before - payload;
    let charged = store.counters().bytes - charged_before - payload;
    println!("{items:<9} {value_len:<7} {policy:<7?} {:<27} {}", resident / items, charged / items);
}
