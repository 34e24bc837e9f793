//! Fills a store to a part of the capacity that `docs/capacity.md` states, overwrites every key
//! several times with values from half to one and a half times as long, and prints how many keys
//! are missing and the cost of a set. Arguments: budget in MiB, percentage filled, rounds, mean
//! length.

mod support;

use ringbinder_store::{NewValue, Store};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(clippy::cast_possible_truncation, reason = "lengths up to a few megabytes")]
fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let mut number = |or| arguments.next().unwrap_or(or);
    let (megabytes, percent, rounds, mean) = (number(64), number(90), number(5), number(1_000));
    let store = support::store(megabytes * support::MIB);
    // Keys of 14 bytes, and the overhead that docs/capacity.md gives for values around 1,000 bytes.
    let items = megabytes * support::MIB / 100 * percent / (14 + mean + 40);
    let value = vec![b'v'; 2 * mean as usize];
    let mut random = support::Random(1);
    let mut order: Vec<u64> = (0..items).collect();
    println!("{megabytes} MiB, {percent} % full, {items} items of {mean} bytes on average");
    for round in 0..=rounds {
        for at in (1..items).rev() {
            order.swap(at as usize, (random.next() % (at + 1)) as usize);
        }
        let (before, evicted) = (support::on_processor(), store.counters().evictions);
        for item in &order {
            let len = mean / 2 + random.next() % (mean + 1);
            let key = format!("key:{item:010}");
            support::set(&store, key.as_bytes(), NewValue::Slice(&value[..len as usize]));
        }
        let took = support::on_processor() - before;
        let counters = store.counters();
        println!(
            "round {round}: {:>5.0} ns a set, {} evictions, {:.2} % of the items are gone, {} MiB resident",
            took as f64 / items as f64,
            counters.evictions - evicted,
            100.0 - 100.0 * counters.items as f64 / items as f64,
            support::resident() / support::MIB,
        );
    }
    store.validate(support::NOW);
}
