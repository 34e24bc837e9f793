//! `engine`: the cost of the store's operations within the process, without sockets.
//!
//! It has three parts. `ops` compares our store with the crates quick_cache and moka: one thread and many
//! keys. `tail` measures the slowest operations of our store while it evicts. `hot` measures one key and
//! several threads. All use this program's allocator, which is the same as ringbinderd's.
//!
//! | file | purpose |
//! |---|---|
//! | `ops`, `tail`, `hot` | the three parts |
//! | `caches`, `keys` | the caches that are compared; the keys |
//! | `clock`, `report` | measuring time; the tables |

mod caches;
mod clock;
mod hot;
mod keys;
mod ops;
mod report;
mod tail;

use std::time::Duration;

use serde_json::json;

use crate::Verdict;
use crate::developer::cli::{EngineOptions, Part};
use crate::machine;
use crate::output;
use crate::progress::{Look, Progress};
use crate::stop::Stop;

/// The allocator of ringbinderd, so that the figures apply to it. It is set here and not in the program, so
/// that no measurement runs without it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs `ringbinder-bench engine`.
pub(crate) fn run(options: &EngineOptions, look: Look, stop: &Stop) -> anyhow::Result<Verdict> {
    output::will_write(options.data.json.as_deref())?;
    let is_asked = |part| options.only.is_empty() || options.only.contains(&part);
    let mut progress = Progress::new(look);
    let mut text = report::head(options);
    let mut data = json!({
        "benchmark": "engine",
        "machine": machine::data(),
        "items": options.items,
        "value": options.value,
        "rounds": options.rounds,
    });
    let time = Duration::from_secs(u64::from(options.seconds));
    let mut flagged = false;
    if is_asked(Part::Ops) {
        let plan = ops::Plan { items: options.items, value: options.value, rounds: options.rounds };
        let turns = ops::run(plan, |now| progress.show("ops:", now), stop)?;
        let (table, misses) = report::ops(&turns, &plan);
        flagged |= misses;
        text += &table;
        data["ops"] = json!(turns);
    }
    if is_asked(Part::Tail) {
        let plan = tail::Plan {
            bytes: options.memory_limit << 20,
            threads: u64::from(options.threads),
            time,
        };
        let outcome = tail::run(plan, |now| progress.show("tail:", now), stop)?;
        text += &report::tail(&outcome, &plan);
        data["tail"] = json!(outcome);
    }
    if is_asked(Part::Hot) {
        let plan = hot::Plan {
            value: options.value,
            rounds: options.rounds,
            time: Duration::from_millis(500),
        };
        let rates = hot::run(plan, |now| progress.show("hot:", now), stop)?;
        text += &report::hot(&rates, &plan);
        data["hot"] = json!(rates);
    }
    drop(progress);
    output::publish(&text, options.data.json.as_deref(), &data)?;
    Ok(if flagged { Verdict::Flagged } else { Verdict::Clean })
}
