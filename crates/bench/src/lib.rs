//! `ringbinder bench`: ringbinderd, its client and others of their kind, side by side on one machine.
//!
//! `compare` measures what a request costs, `memory` what an item and an idle connection cost,
//! `replay` how often a cache of a size has what a trace asks for, `ring` what a request costs that
//! another node of a ring answers, `clients` what it costs the client. These start the servers
//! themselves on free ports of 127.0.0.1, and `instructions` does so under valgrind. Two need none:
//! `simulate` replays a trace against known eviction policies, `engine` measures the store within this
//! process. All print Markdown on stdout; what they are doing goes to stderr.
//!
//! The command line is a part of the operator's tool: `ringbinder` has [`Bench`] as a subcommand,
//! and calls [`run`]. Errors say who is at fault; what exit code that makes is the tool's business.

mod cli;
mod clients;
mod compare;
mod cores;
mod engine;
mod error;
mod instructions;
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
mod simulate;
mod stop;
mod table;
mod trace;

pub use cli::{
    Bench, ClientsOptions, CompareOptions, EngineOptions, InstructionsOptions, MemoryOptions,
    ReplayOptions, RingOptions, SimulateOptions, WorkerOptions,
};
pub use error::BenchError;
pub use progress::Look;

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
    servers::end_children_on_panic();
    let stop = stop::Stop::on_signals()?;
    let verdict = match bench {
        Bench::Compare(options) => compare::run(&options, look, &stop),
        Bench::Memory(options) => memory::run(&options, look, &stop),
        Bench::Replay(options) => replay::run(&options, look, &stop),
        Bench::Ring(options) => ring::run(&options, look, &stop),
        Bench::Clients(options) => clients::run(&options, look, &stop),
        Bench::Instructions(options) => instructions::run(&options, look, &stop),
        Bench::Simulate(options) => simulate::run(&options, look, &stop),
        Bench::Engine(options) => engine::run(&options, look, &stop),
        Bench::ClientsWorker(options) => clients::run_worker(&options).map(|()| Verdict::Clean),
    };
    // Ctrl-C reaches the servers too: what their end looks like is not what went wrong.
    match verdict {
        Err(_) if stop.check().is_err() => Err(BenchError::Interrupted),
        verdict => Ok(verdict?),
    }
}
