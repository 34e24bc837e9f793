//! `ringbinder completions`.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;

/// Completions of the command line for a shell.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the completions. `command` is the whole command line.
    pub(crate) fn run(self, command: Command, out: &mut Output) -> Result<Answer, CliError> {
        let mut command = command.mut_subcommand(BENCH, without_hidden);
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        out.text(String::from_utf8_lossy(&script))?;
        Ok(Answer::Yes)
    }
}

/// The command with a hidden subcommand.
const BENCH: &str = "bench";

/// Removes hidden subcommands, which clap would complete too.
fn without_hidden(bench: Command) -> Command {
    let shown = bench.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let about = bench.get_about().cloned().unwrap_or_default();
    Command::new(BENCH).about(about).args(bench.get_arguments().cloned()).subcommands(shown)
}
