//! `ringbinder bench`: runs the benchmarks of `ringbinder_bench`.
//!
//! The benchmarks print their results and write their own files. This module turns their verdict into an exit
//! code and their errors into messages.

use std::io::IsTerminal as _;
use std::thread;

use ringbinder_bench::{Bench, Look, Verdict};

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;

/// Runs a benchmark to its end.
pub(crate) fn run(mut bench: Bench, out: &Output) -> Result<Answer, CliError> {
    if out.is_json() {
        bench.print_json();
    }
    let look = look();
    // The benchmark gets its own thread: it moves to the cores of the load generator, and some benchmarks
    // start a runtime, which must not be nested in another.
    let verdict = thread::scope(|scope| scope.spawn(|| ringbinder_bench::run(bench, look)).join());
    match verdict {
        Ok(Ok(Verdict::Clean)) => Ok(Answer::Yes),
        Ok(Ok(Verdict::Flagged)) => Ok(Answer::No),
        Ok(Err(error)) => Err(error.into()),
        // The panic hook has already printed the message.
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The capabilities of standard error.
fn look() -> Look {
    let stderr = std::io::stderr();
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let choice = anstream::AutoStream::choice(&stderr);
    Look { terminal: stderr.is_terminal() && !dumb, colors: choice != anstream::ColorChoice::Never }
}
