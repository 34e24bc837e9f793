//! `ringbinder ring weight`.

use clap::Args;

use super::edit::EditOptions;
use crate::change::{Change, NewWeight, number};
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;

/// Another weight.
#[derive(Args, Debug)]
pub(crate) struct Weight {
    /// The node
    name: String,

    /// Its share of the keys relative to the other nodes, 1 to 65535
    #[arg(value_parser = number, allow_negative_numbers = true)]
    weight: i128,

    #[command(flatten)]
    options: EditOptions,
}

impl Weight {
    pub(crate) fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let weight = NewWeight::new(&self.name, self.weight).map_err(CliError::Usage)?;
        self.options.make(&Change::Weight(weight), out)
    }
}
