//! `ringbinder man`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;

/// Man pages of the command line.
#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write a page for every command into this directory, rather than print the one of all
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    /// Prints or writes the man pages. `command` is the whole command line.
    pub(crate) fn run(self, command: Command, out: &mut Output) -> Result<Answer, CliError> {
        let Some(directory) = self.out else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            out.text(String::from_utf8_lossy(&page))?;
            return Ok(Answer::Yes);
        };
        let hint = "name a directory that you may write";
        let failed = |source| CliError::Write { path: directory.clone(), source, hint };
        fs::create_dir_all(&directory).map_err(failed)?;
        clap_mangen::generate_to(command, &directory).map_err(failed)?;
        Ok(Answer::Yes)
    }
}
