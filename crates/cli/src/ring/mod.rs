//! `ringbinder ring`: commands for a ring file that ask no node.

mod add;
mod check;
mod edit;
mod effect;
mod export;
mod owner;
mod plan;
mod remove;
pub(crate) mod share;
mod show;
mod weight;

use clap::Subcommand;

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;

/// What to do with a ring.
#[derive(Subcommand, Debug)]
pub(crate) enum RingCommand {
    /// Show the nodes of a ring, and how much of the keys each owns
    Show(show::Show),
    /// Tell which node owns each of some keys
    Owner(owner::Owner),
    /// Check that a ring is one, and say what is hardly meant
    Check(check::Check),
    /// Show what a change would move, and change nothing
    Plan(plan::Plan),
    /// Add a node to a ring file
    Add(add::Add),
    /// Remove a node from a ring file
    Remove(remove::Remove),
    /// Change the weight of a node in a ring file
    Weight(weight::Weight),
    /// Print a client's or proxy's configuration for a ring
    Export(export::Export),
}

impl RingCommand {
    /// Runs the command.
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        match self {
            RingCommand::Show(command) => command.run(out).await,
            RingCommand::Owner(command) => command.run(out).await,
            RingCommand::Check(command) => command.run(out).await,
            RingCommand::Plan(command) => command.run(out).await,
            RingCommand::Add(command) => command.run(out),
            RingCommand::Remove(command) => command.run(out),
            RingCommand::Weight(command) => command.run(out),
            RingCommand::Export(command) => command.run(out).await,
        }
    }
}
