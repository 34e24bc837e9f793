//! `ringbinder ring`: commands for a ring file that ask no node.
//!
//! | file | purpose |
//! |---|---|
//! | `show`, `owner` | `ring show` and `ring check`; `ring owner` |
//! | `change`, `plan` | a change of a ring; `ring plan`, and the effect of a change |
//! | `edit` | `ring add`, `remove` and `weight`: a ring file changed in place |
//! | `export`, `picture` | configurations of clients and proxies; a change as SVG |

mod change;
mod edit;
mod export;
mod owner;
mod picture;
mod plan;
mod show;

use clap::Subcommand;

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;

/// What to do with a ring.
#[derive(Subcommand, Debug)]
pub(crate) enum RingCommand {
    /// Show the nodes of a ring and each node's share of the keys
    Show(show::Show),
    /// Print the owner of each key
    Owner(owner::Owner),
    /// Validate a ring and warn about likely mistakes
    Check(show::Check),
    /// Show which keys a change would move, without making it
    Plan(plan::Plan),
    /// Add a node to a ring file
    Add(edit::Add),
    /// Remove a node from a ring file
    Remove(edit::Remove),
    /// Change the weight of a node in a ring file
    Weight(edit::Weight),
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
