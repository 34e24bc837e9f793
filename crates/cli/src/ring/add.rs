//! `ringbinder ring add`.

use clap::Args;

use super::edit::EditOptions;
use crate::change::{Change, NewNode};
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;

/// A node more.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// The node
    #[arg(value_name = "NAME=HOST:PORT[*WEIGHT]")]
    node: NewNode,

    #[command(flatten)]
    options: EditOptions,
}

impl Add {
    pub(crate) fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        self.options.make(&Change::Add(self.node.0), out)
    }
}
