//! `ringbinder ring remove`.

use clap::Args;

use super::edit::EditOptions;
use crate::change::Change;
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;

/// A node less.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// The node
    name: String,

    #[command(flatten)]
    options: EditOptions,
}

impl Remove {
    pub(crate) fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        self.options.make(&Change::Remove { name: self.name }, out)
    }
}
