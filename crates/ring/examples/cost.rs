//! Measures the cost of building a ring, and of finding the owner of a key.
//!
//!     cargo run --profile dist -p ringbinder-ring --example cost
//!
//! Each figure is the median of several rounds. Keys are hashed in an order that the processor
//! cannot predict, like requests.

use std::hint::black_box;
use std::time::Instant;

use ringbinder_ring::{Format, Point, Ring, RingError, compare, point};

/// Rounds of each measurement.
const ROUNDS: usize = 9;

/// Keys in a round: more than a cache line each, fewer than fit the last-level cache.
const KEYS: usize = 1 << 16;

fn main() -> Result<(), RingError> {
    println!(
        "{:>6} {:>8} {:>11} {:>11} {:>11}",
        "nodes", "build", "owner 14 B", "owner 60 B", "owner_at"
    );
    for nodes in [1, 3, 10, 100, 1_000, 4_096] {
        let text = text(nodes);
        let build = median(|| {
            let start = Instant::now();
            black_box(Ring::parse(&text, Format::Toml, "made").is_ok());
            start.elapsed().as_secs_f64() * 1e3
        });
        let ring = Ring::parse(&text, Format::Toml, "made")?;
        let short = keys(14);
        let long = keys(60);
        let points: Vec<Point> = short.iter().map(|key| point(key)).collect();
        println!(
            "{nodes:>6} {build:>5.1} ms {:>8.0} ns {:>8.0} ns {:>8.0} ns",
            each(&short, |key| ring.owner(key)),
            each(&long, |key| ring.owner(key)),
            each(&points, |&point| ring.owner_at(point)),
        );
    }
    let short = keys(14);
    println!("hashing alone, 14 B: {:.0} ns", each(&short, |key| point(key).0));
    let (old, new) = (text(1_000), text(1_001));
    let old = Ring::parse(&old, Format::Toml, "made")?;
    let new = Ring::parse(&new, Format::Toml, "made")?;
    let both = median(|| {
        let start = Instant::now();
        black_box(compare(&old, &new));
        start.elapsed().as_secs_f64() * 1e3
    });
    println!("comparing 1000 nodes with 1001: {both:.1} ms");
    Ok(())
}

/// A ring file of `nodes` nodes.
fn text(nodes: usize) -> String {
    let nodes = (0..nodes).map(|n| {
        let address = format!("10.{}.{}.{}:11211", n >> 16, n >> 8 & 255, n & 255);
        format!("[[node]]\nname = \"cache-{n}\"\naddress = \"{address}\"\n")
    });
    format!("version = 1\n{}", nodes.collect::<String>())
}

/// Keys of length `len`.
fn keys(len: usize) -> Vec<Vec<u8>> {
    (0..KEYS)
        .map(|n| format!("{:0len$}", n.wrapping_mul(2_654_435_761) % 1_000_000_007).into())
        .collect()
}

/// Nanoseconds that `ask` takes per item.
fn each<T>(items: &[T], mut ask: impl FnMut(&T) -> u32) -> f64 {
    median(|| {
        let start = Instant::now();
        for item in items {
            black_box(ask(black_box(item)));
        }
        start.elapsed().as_secs_f64() * 1e9 / items.len() as f64
    })
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut figures: Vec<f64> = (0..ROUNDS).map(|_| measure()).collect();
    figures.sort_by(f64::total_cmp);
    figures[ROUNDS / 2]
}
