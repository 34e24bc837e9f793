//! `ringbinder-bench`: benchmarks for developers of Ringbinder.
//!
//! `clients` measures the cost of a get for the client, on nodes that it starts. `instructions` counts under
//! valgrind the cost of a request for the server. Two need no server: `simulate` replays a trace against
//! known eviction policies, and `engine` measures the store within this process. The programs and crates that
//! Ringbinder is compared with here stay out of the operator's programs.

mod cli;
mod clients;
mod engine;
mod instructions;
mod simulate;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::error::BenchError;
use crate::progress::Look;
use crate::{Verdict, measure};
use cli::{Bench, Cli};

/// Runs the benchmark named on the command line. Exits with 0 if its figures are clean, 1 if one carries a
/// flag, 2 if there are none, and 130 after Ctrl-C.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let look = look();
    let verdict = measure(|stop| match cli.bench {
        Bench::Clients(options) => clients::run(&options, look, stop),
        Bench::Simulate(options) => simulate::run(&options, look, stop),
        Bench::Instructions(options) => instructions::run(&options, look, stop),
        Bench::Engine(options) => engine::run(&options, look, stop),
        Bench::ClientsWorker(options) => clients::run_worker(&options).map(|()| Verdict::Clean),
    });
    match verdict {
        Ok(Verdict::Clean) => ExitCode::SUCCESS,
        Ok(Verdict::Flagged) => ExitCode::from(1),
        Err(error) => {
            eprintln!("ringbinder-bench: {error}");
            ExitCode::from(if matches!(error, BenchError::Interrupted) { 130 } else { 2 })
        }
    }
}

/// The capabilities of standard error.
fn look() -> Look {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let terminal = std::io::stderr().is_terminal() && !dumb;
    Look { terminal, colors: terminal && !is_set("NO_COLOR") }
}
