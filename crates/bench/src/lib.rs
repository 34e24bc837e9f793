//! `ringbinder bench`: comparisons of ringbinderd and its client with similar programs on one machine.
//!
//! `compare` measures the cost of a request, and `memory` that of an item and of an idle connection. `replay`
//! measures the hit ratio of a cache of a given size on a trace, and `ring` the cost of a request that
//! another node of the ring answers. They start the servers on free ports of 127.0.0.1. They print Markdown
//! on stdout and their progress on stderr.
//!
//! The command line is part of the operator's tool: `ringbinder` has [`Bench`] as a subcommand and calls
//! [`run`]. Errors tell their cause; the tool maps it to an exit code.
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

/// The result of a run that printed all its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No row carries a flag.
    Clean,
    /// At least one row carries a flag, such as unexpected misses.
    Flagged,
}

/// Runs the benchmark and prints its figures on stdout. `look` describes the capabilities of stderr.
///
/// During the call SIGINT, SIGTERM and SIGHUP end the run and not the process, and a panic ends the servers
/// that were started. The call blocks, and moves the calling thread to the load's cores.
///
/// # Errors
/// If something could not be measured. All servers that were started have been stopped by then.
pub fn run(bench: Bench, look: Look) -> Result<Verdict, BenchError> {
    measure(|stop| match bench {
        Bench::Compare(options) => compare::run(&options, look, stop),
        Bench::Memory(options) => memory::run(&options, look, stop),
        Bench::Replay(options) => replay::run(&options, look, stop),
        Bench::Ring(options) => ring::run(&options, look, stop),
    })
}

/// Runs a benchmark with the servers that it starts. Signals can end it.
fn measure(
    benchmark: impl FnOnce(&Stop) -> anyhow::Result<Verdict>,
) -> Result<Verdict, BenchError> {
    servers::end_children_on_panic();
    let stop = Stop::on_signals()?;
    match benchmark(&stop) {
        // Ctrl-C ends the servers too, so their exit is not the cause of the failure.
        Err(_) if stop.check().is_err() => Err(BenchError::Interrupted),
        verdict => Ok(verdict?),
    }
}
