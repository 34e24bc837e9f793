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
    /// `command` is the whole command line.
    pub(crate) fn run(self, mut command: Command, out: &mut Output) -> Result<Answer, CliError> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        out.text(String::from_utf8_lossy(&script))?;
        Ok(Answer::Yes)
    }
}
