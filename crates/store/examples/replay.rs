//! Replays a trace against the store and prints its hit ratio. A trace is a file of records: key
//! (u64) and value size (u32), little-endian, in request order. Each request gets its key and, on a
//! miss, sets it. Arguments: trace file, budget in MiB, multiplier of sizes.

mod support;

use ringbinder_store::{NewValue, Store};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, megabytes, multiplier] = &arguments[..] else {
        eprintln!("usage: replay TRACE MEGABYTES MULTIPLIER");
        std::process::exit(2);
    };
    let Ok(trace) = std::fs::read(path) else {
        println!("SKIPPED: there is no trace at {path}");
        return;
    };
    let megabytes: u64 = megabytes.parse().expect("megabytes");
    let multiplier: usize = multiplier.parse().expect("a multiplier");
    let store = support::store(megabytes * support::MIB);
    let (mut requests, mut hits, mut lost) = (0_u64, 0_u64, 0_u64);
    let mut value = Vec::new();
    for record in trace.chunks_exact(12) {
        let key = u64::from_le_bytes(record[..8].try_into().expect("8 bytes"));
        let size = u32::from_le_bytes(record[8..].try_into().expect("4 bytes"));
        let key = format!("{key:014x}");
        requests += 1;
        if store.get(key.as_bytes(), support::NOW, |_| ()).is_ok() {
            hits += 1;
            continue;
        }
        value.resize(usize::try_from(size).expect("fits") * multiplier, b'v');
        support::set(&store, key.as_bytes(), NewValue::Slice(&value));
        if store.peek(key.as_bytes(), support::NOW, |_| ()).is_err() {
            lost += 1;
        }
    }
    println!(
        "{megabytes} MiB, sizes x{multiplier}: hit ratio {:.4} of {requests} requests; \
         {lost} sets gone when they returned; {} MiB resident",
        hits as f64 / requests as f64,
        support::resident() / support::MIB,
    );
}
