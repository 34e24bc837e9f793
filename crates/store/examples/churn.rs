//! Overwrites a full store with values whose sizes drift from 50 bytes to 50 KB and back, and
//! prints the largest resident memory seen. Arguments: budget in MiB, millions of sets, bytes of
//! the largest values, and `off` for a store without a probe of resident memory.

mod support;

use ringbinder_store::{NewValue, Store};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(clippy::cast_possible_truncation, reason = "lengths up to a few megabytes")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, or: u64| arguments.get(at).map_or(or, |text| text.parse().expect("a number"));
    let megabytes = number(0, 256);
    let sets = number(1, 10) * 1_000_000;
    let largest = number(2, 50_000) as f64;
    let looks = arguments.get(3).is_none_or(|text| text != "off");
    let probe = move || looks.then(support::resident);
    let store = support::store(megabytes * support::MIB).with_resident_probe(Box::new(probe));
    let value = vec![b'v'; largest as usize * 2];
    let mut random = support::Random(1);
    let (mut peak, mut peak_at) = (0, 0);
    for set in 0..sets {
        // 50 B at both ends, the largest in the middle; each value is up to 40 % off the drift.
        let drift = 1.0 - (2.0 * set as f64 / sets as f64 - 1.0).abs();
        let middle = 50.0 * (largest / 50.0).powf(drift);
        let spread = 0.6 + 0.8 * (random.next() % 1024) as f64 / 1024.0;
        let len = (middle * spread) as usize;
        let key = format!("key:{:010}", random.next() % sets);
        support::set(&store, key.as_bytes(), NewValue::Slice(&value[..len]));
        if set % 256 == 0 {
            let resident = support::resident();
            if resident > peak {
                (peak, peak_at) = (resident, set);
            }
        }
        if set % (sets / 20) == 0 {
            let counters = store.counters();
            println!(
                "set {set:>10}  value {len:>6}  items {:>8}  charged {:>5} MiB  held {:>5} MiB  resident {:>5} MiB",
                counters.items,
                counters.bytes / support::MIB,
                store.held() / support::MIB,
                support::resident() / support::MIB,
            );
        }
    }
    let over = peak as f64 / support::MIB as f64 - megabytes as f64;
    println!(
        "peak {:.1} MiB at set {peak_at}: budget {over:+.1} MiB",
        peak as f64 / support::MIB as f64
    );
}
