//! `ringbinder bench`: ringbinderd, its client and others of their kind, side by side on one machine.
//!
//! `compare` measures what a request costs, `memory` what an item and an idle connection cost,
//! `replay` how often a cache of a size has what a trace asks for, `ring` what a request costs that
//! another node of a ring answers. They start the servers on free ports of 127.0.0.1. They print
//! Markdown on stdout and their progress on stderr.
//!
//! The command line is a part of the operator's tool: `ringbinder` has [`Bench`] as a subcommand,
//! and calls [`run`]. Errors say who is at fault; what exit code that makes is the tool's business.
//!
//! The feature `developer` adds the benchmarks that only developers of Ringbinder run, and the caches
//! and clients that these compare it with. They have a program of their own, `ringbinder-bench`.
//!
//! | file | purpose |
//! |---|---|
//! | `cli`, `error` | the command line; what can fail |
//! | `compare`, `memory`, `replay`, `ring` | the benchmarks |
//! | `developer` | the benchmarks of `ringbinder-bench` |
//! | `load`, `trace`, `order` | load on a server; traces; the order of turns in a round |
//! | `servers`, `cores`, `machine`, `stop` | the servers; which cores they run on; the machine; ending early |
//! | `output`, `table`, `picture`, `progress` | Markdown and JSON; tables; SVG; progress |

mod cli;
mod compare;
mod cores;
#[cfg(feature = "developer")]
pub mod developer;
mod error;
mod load;
mod machine;
mod memory;
mod order;
mod output;
mod picture;
mod progress;
mod replay;
mod ring;
mod servers;
mod stop;
mod table;
mod trace;

pub use cli::{Bench, CompareOptions, MemoryOptions, ReplayOptions, RingOptions};
pub use error::BenchError;
pub use progress::Look;

use stop::Stop;

/// How a run ended that printed all it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing spoils the figures.
    Clean,
    /// At least one row carries a flag, such as misses that should not be.
    Flagged,
}

/// Measures what was asked for, and prints it on stdout. `look` is what stderr can show.
///
/// From then on SIGINT, SIGTERM and SIGHUP end the run and no longer the process, and a panic ends
/// the servers that were started. It blocks, and moves the calling thread to the load's cores.
///
/// # Errors
/// Where something could not be measured. The servers that were started are stopped by then.
pub fn run(bench: Bench, look: Look) -> Result<Verdict, BenchError> {
    measure(|stop| match bench {
        Bench::Compare(options) => compare::run(&options, look, stop),
        Bench::Memory(options) => memory::run(&options, look, stop),
        Bench::Replay(options) => replay::run(&options, look, stop),
        Bench::Ring(options) => ring::run(&options, look, stop),
    })
}

/// Runs a benchmark that signals can end, with the servers that it starts.
fn measure(
    benchmark: impl FnOnce(&Stop) -> anyhow::Result<Verdict>,
) -> Result<Verdict, BenchError> {
    servers::end_children_on_panic();
    let stop = Stop::on_signals()?;
    match benchmark(&stop) {
        // Ctrl-C reaches the servers too: what their end looks like is not what went wrong.
        Err(_) if stop.check().is_err() => Err(BenchError::Interrupted),
        verdict => Ok(verdict?),
    }
}
