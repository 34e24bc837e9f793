//! The `ringbinder` command: commands for rings and for the nodes of a ring.
//!
//! Every command is a variant of an enum in `args`, and a struct of its flags with a `run`. Help, completions,
//! man pages and `docs/cli.md` are generated from these structs. A command reads its ring through `source`. It
//! prints through `output`, which handles terminals and JSON. It fails with a `CliError`, which alone decides
//! the exit code.
//!
//! Text from nodes and files is escaped with `escape`, which is [`ringbinder_ring::printable`]: code that puts
//! such text into a sentence makes it `printable` first. `output` also removes everything except text and our
//! own styles, in case that was forgotten. JSON escapes the same characters in JSON's way, so no information
//! is lost.
//!
//! | file | purpose |
//! |---|---|
//! | `args`, `manual` | the commands and their flags; the pages made from them |
//! | `ring` | commands on ring files |
//! | `source`, `key` | the ring that a command works on; keys and values |
//! | `fleet`, `top`, `up`, `bench` | commands that ask nodes; the live view; a local ring; benchmarks |
//! | `output`, `terminal` | text and JSON; drawing on a terminal |
//! | `table`, `style`, `shell` | tables, colours, commands to type |
//! | `error`, `exit` | errors and their exit codes |

mod args;
mod bench;
mod error;
mod exit;
mod fleet;
mod key;
mod output;
mod ring;
mod shell;
mod source;
mod style;
mod table;
mod terminal;
mod top;
mod up;

pub mod manual;

use std::ffi::OsString;
use std::process::ExitCode;

pub use args::command;

use ringbinder_ring::printable as escape;

use args::Cli;
use error::CliError;
use exit::{Answer, Exit};
use output::Output;

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    output::choose_color(args::color_of(&arguments));
    let (cli, json) = match Cli::parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return output::print_usage(&error).into(),
    };
    match execute(cli, json) {
        Ok(Answer::Yes) => Exit::Ok.into(),
        Ok(Answer::No) => Exit::No.into(),
        Ok(Answer::WrongProcess) => Exit::Identity.into(),
        Err(error) if error.is_closed_pipe() => Exit::Ok.into(),
        Err(error) => {
            output::print_error(&error, json);
            error.exit().into()
        }
    }
}

fn execute(cli: Cli, json: bool) -> Result<Answer, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let mut out = Output::new(json);
    let answer = runtime.block_on(cli.command.run(&mut out));
    // Output printed before a failure is still part of the answer.
    let flushed = out.flush();
    answer.and_then(|answer| flushed.map(|()| answer))
}
