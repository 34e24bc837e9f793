//! Prints the resident memory of an item beyond its key and value, and its charge. Run with
//! `_RJEM_MALLOC_CONF=thp:never cargo run --release -p ringbinder-store --example entry_cost`, the
//! setting that the server gives its allocator. Each line is measured in a process of its own.

mod support;

use ringbinder_store::{NewValue, Store};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, items, value_len] = &arguments[..] {
        measure(items.parse().expect("a number"), value_len.parse().expect("a length"));
        return;
    }
    println!("items     value   resident beyond key+value   charged beyond key+value");
    for (items, value_len) in [
        ("1000000", "10"),
        ("1000000", "100"),
        ("1000000", "500"),
        ("1100000", "100"),
        ("1300000", "100"),
        ("100000", "4000"),
        ("10000", "40000"),
    ] {
        let program = std::env::current_exe().expect("this program's path");
        let mut child = std::process::Command::new(program);
        let status = child.args([items, value_len]).status().expect("a child process");
        assert!(status.success(), "the measurement failed");
    }
}

fn measure(items: u64, value_len: usize) {
    let store = support::store(2048 * support::MIB);
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
    let resident = support::resident() - before;
    store.validate(support::NOW);
    let payload = items * (key_len + value_len as u64);
    let resident = (resident as f64 - payload as f64) / items as f64;
    let charged = (store.counters().bytes - charged_before - payload) / items;
    println!("{items:<9} {value_len:<7} {resident:<27.1} {charged}");
}
