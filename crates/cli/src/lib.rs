//! The `ringbinder` command: commands for rings and for the nodes of a ring.
//!
//! Every command is a variant of an enum in `args`, and a struct of its flags in a file of its own, with a
//! `run`. Help, completions, man pages and `docs/cli.md` are generated from these structs. A command reads
//! its ring through `source`. It prints through `output`, which handles terminals and JSON. It fails with a
//! `CliError`, which alone
//! decides the exit code.
//!
//! | file | purpose |
//! |---|---|
//! | `args`, `manual`, `man`, `completions` | the commands and their flags; the pages made from them |
//! | `ring`, `change`, `edit` | commands on ring files; a change of a ring; editing a file in place |
//! | `source`, `key` | the ring that a command works on; keys |
//! | `export`, `picture` | configurations of clients and proxies; a change as SVG |
//! | `fleet`, `top`, `up`, `bench` | commands that ask nodes; the live view; a local ring; benchmarks |
//! | `output`, `table`, `style`, `escape`, `shell` | text and JSON, tables, colours, escapes, commands to type |
//! | `error`, `exit`, `panicking` | errors and their exit codes; panics |

mod args;
mod bench;
mod change;
mod completions;
mod edit;
mod error;
mod escape;
mod exit;
mod export;
mod fleet;
mod key;
mod man;
mod output;
mod panicking;
mod picture;
mod ring;
mod shell;
mod source;
mod style;
mod table;
mod top;
mod up;

pub mod manual;

use std::ffi::OsString;
use std::process::ExitCode;

pub use args::command;

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
    let answer = answer?;
    flushed?;
    Ok(answer)
}
