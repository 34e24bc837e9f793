//! `ringbinder bench`: what another crate measures.
//!
//! The benchmarks print by themselves and write their own files; here their verdict becomes an exit
//! code, and what went wrong a message.

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
    // On a thread of its own: it is moved to the cores of the load, and some benchmarks have a
    // runtime of their own, which may not be within another.
    let verdict = thread::scope(|scope| scope.spawn(|| ringbinder_bench::run(bench, look)).join());
    match verdict {
        Ok(Ok(Verdict::Clean)) => Ok(Answer::Yes),
        Ok(Ok(Verdict::Flagged)) => Ok(Answer::No),
        Ok(Err(error)) => Err(error.into()),
        // Its message is on standard error.
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// What standard error can show.
fn look() -> Look {
    let stderr = std::io::stderr();
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let choice = anstream::AutoStream::choice(&stderr);
    Look { terminal: stderr.is_terminal() && !dumb, colors: choice != anstream::ColorChoice::Never }
}
