//! `simulate`: hit ratios of known eviction policies on a trace, without a server.
//!
//! It models a cache beside a database: each request gets its key, and a miss sets a value of the size in the
//! trace. Every policy has the same bytes, and each item costs its key, its value and a fixed overhead. The
//! memcached column is charged memcached's own overhead, and all others are charged `--overhead`, so that
//! only their decisions differ.
//!
//! | file | policy |
//! |---|---|
//! | `lru`, `s3fifo`, `tinylfu`, `segcache` | one policy each |
//! | `list`, `sketch` | the linked list and the frequency sketch that they share |

mod list;
mod lru;
mod s3fifo;
mod segcache;
mod sketch;
mod tinylfu;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::Verdict;
use crate::developer::cli::SimulateOptions;
use crate::output;
use crate::progress::{Look, Progress};
use crate::stop::Stop;
use crate::table::markdown;
use crate::trace::{self, Format, Request};

/// A cache that counts bytes and keeps no values.
trait Policy {
    /// Gets `key`; on a miss sets it as an item of `bytes` in total. Returns true on a hit.
    ///
    /// A key has the same `bytes` at every set; a hit ignores them. An item larger than the policy can hold
    /// stays a miss.
    fn request(&mut self, key: u64, bytes: u64) -> bool;
}

/// Bytes per item beyond key and value: memcached 1.6.45 takes 75 to 96 (resident, 14-byte keys).
const MEMCACHED_OVERHEAD: u64 = 85;

/// Requests between two checks of the stop flag.
const GLANCE: usize = 1 << 16;

/// A column: its head, its overhead (`None`: `--overhead`), and a constructor that takes the bytes of the
/// cache.
type Column = (&'static str, Option<u64>, fn(u64) -> Box<dyn Policy>);

const COLUMNS: [Column; 5] = [
    ("LRU", None, |bytes| Box::new(lru::Lru::new(bytes))),
    ("S3-FIFO", None, |bytes| Box::new(s3fifo::S3Fifo::new(bytes))),
    ("TinyLFU", None, |bytes| Box::new(tinylfu::TinyLfu::new(bytes))),
    ("segcache merge", None, |bytes| Box::new(segcache::Segcache::new(bytes))),
    ("memcached-like", Some(MEMCACHED_OVERHEAD), |bytes| Box::new(lru::Lru::new(bytes))),
];

/// A row as JSON.
#[derive(Debug, Serialize)]
struct Simulated {
    trace: String,
    multiply: u32,
    megabytes: u64,
    hit_ratios: BTreeMap<&'static str, f64>,
}

/// Runs `ringbinder-bench simulate`.
pub(crate) fn run(options: &SimulateOptions, look: Look, stop: &Stop) -> anyhow::Result<Verdict> {
    let mut progress = Progress::new(look);
    output::will_write(options.data.json.as_deref())?;
    let (mut rows, mut data) = (vec![head()], Vec::new());
    for path in &options.traces {
        let name = name(path);
        progress.show(&name, "is read");
        let requests = load(path, options.format, stop)?;
        for &megabytes in &options.memory_limit {
            let mut row =
                vec![name.clone(), format!("x{}", options.multiply), megabytes.to_string()];
            let mut hit_ratios = BTreeMap::new();
            for (title, overhead, policy) in COLUMNS {
                progress.show(&name, &format!("{megabytes} MB, {title}"));
                let fixed = options.key_length + overhead.unwrap_or(options.overhead);
                let mut policy = policy(megabytes << 20);
                let hits = replay(&mut *policy, &requests, options.multiply, fixed, stop)?;
                let ratio = hits as f64 / requests.len() as f64;
                row.push(format!("{ratio:.4}"));
                hit_ratios.insert(title, ratio);
            }
            rows.push(row);
            data.push(Simulated {
                trace: name.clone(),
                multiply: options.multiply,
                megabytes,
                hit_ratios,
            });
        }
    }
    drop(progress);
    let overhead = options.overhead;
    let text = format!(
        "Hit ratios; items cost key ({} bytes), value and {overhead} bytes, memcached-like \
         {MEMCACHED_OVERHEAD}.\n\n{}",
        options.key_length,
        markdown(&rows)
    );
    output::publish(&text, options.data.json.as_deref(), &data)?;
    Ok(Verdict::Clean)
}

fn head() -> Vec<String> {
    let policies = COLUMNS.iter().map(|&(title, ..)| title);
    ["trace", "sizes", "MB"].into_iter().chain(policies).map(str::to_owned).collect()
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn load(path: &Path, format: Option<Format>, stop: &Stop) -> anyhow::Result<Vec<Request>> {
    let mut requests = Vec::new();
    for request in trace::open(path, format)? {
        if requests.len() % GLANCE == 0 {
            stop.check()?;
        }
        requests.push(request?);
    }
    anyhow::ensure!(!requests.is_empty(), "the trace {} has no requests", path.display());
    Ok(requests)
}

/// Counts hits over the whole trace, starting with an empty cache. `fixed` is the cost of an item beyond its
/// value.
fn replay(
    policy: &mut dyn Policy,
    requests: &[Request],
    multiply: u32,
    fixed: u64,
    stop: &Stop,
) -> anyhow::Result<usize> {
    let mut hits = 0;
    for part in requests.chunks(GLANCE) {
        stop.check()?;
        for &Request { key, size } in part {
            let bytes = u64::from(size) * u64::from(multiply) + fixed;
            hits += usize::from(policy.request(key, bytes));
        }
    }
    Ok(hits)
}

/// The results of requests for items of one size: `.` for a miss, `x` for a hit.
#[cfg(test)]
fn answers(policy: &mut dyn Policy, keys: &[u64], bytes: u64) -> String {
    keys.iter().map(|&key| if policy.request(key, bytes) { 'x' } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_cost_their_overhead() {
        let requests = [1, 2, 1, 2].map(|key| Request { key, size: 10 });
        let hits = |fixed, multiply| {
            let mut lru = lru::Lru::new(80);
            replay(&mut lru, &requests, multiply, fixed, &Stop::default()).unwrap()
        };
        assert_eq!(hits(30, 1), 2, "two items of 40 bytes");
        assert_eq!(hits(31, 1), 0, "two items of 41 bytes");
        assert_eq!(hits(20, 2), 2);
        assert_eq!(hits(21, 2), 0);
    }

    #[test]
    fn no_policy_keeps_what_is_larger_than_all_memory() {
        for (title, _, policy) in COLUMNS {
            let mut policy = policy(1 << 20);
            // At the second request, TinyLFU may still hold the item in its log of writes.
            for _ in 0..200 {
                policy.request(1, (1 << 20) + 1);
            }
            assert!(!policy.request(2, 100), "{title}");
            assert!(policy.request(2, 100), "{title}");
        }
    }

    #[test]
    fn every_policy_keeps_all_that_fits() {
        for (title, _, policy) in COLUMNS {
            let mut policy = policy(1 << 20);
            let keys: Vec<u64> = (0..64).collect();
            assert_eq!(answers(&mut *policy, &keys, 1000), ".".repeat(64), "{title}");
            assert_eq!(answers(&mut *policy, &keys, 1000), "x".repeat(64), "{title}");
        }
    }
}
