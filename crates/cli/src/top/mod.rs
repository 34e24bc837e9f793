//! `ringbinder top`: the nodes of a ring at work.
//!
//! | file | what it is |
//! |---|---|
//! | `model` | rates between two reports of a node, the ring's sums, problems |
//! | `ui` | what the user has chosen |
//! | `columns`, `view` | the picture |
//! | `poll` | asking nodes, each by itself |
//! | `keys` | the keys that have a function |
//! | `live`, `plain` | all of it as a view, or one look |
//!
//! Invariants:
//! - A node that is away, slow or talks nonsense never delays or hides another.
//! - Nothing that a node says reaches the terminal but printable characters.
//! - The terminal is given back as it was, whatever ends this that can be caught.

mod columns;
mod keys;
mod live;
mod model;
mod plain;
mod poll;
mod ui;
mod view;

use std::time::Duration;

use clap::Args;
use ringbinder_protocol::Stamp;
use ringbinder_ring::Ring;

use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet::span::seconds;
use crate::fleet::{Fleet, FleetOptions};
use crate::output::Output;
use crate::terminal::Screen;

use model::{Entry, Model};

/// Watch a ring.
#[derive(Args, Debug)]
#[command(after_help = "\
Nodes of the ring with their state, rates, hit ratio, memory, latencies and hot keys, asked anew \
every second. The ring is read again while it runs, so nodes come and go with it. A node that is \
away is shown as that; an older one, or memcached, shows less.

Keys: q quits, up, down and Tab select a node, s sorts, p pauses, + and - change the pace, ? \
explains the columns. docs/top.md says what is measured.

Without a terminal: --once prints a table, and --json a document, of the rates between two looks \
that are --interval apart.")]
pub(crate) struct Top {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Seconds from one look at the nodes to the next
    #[arg(long, short, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,

    /// Print one table and end
    #[arg(long)]
    once: bool,
}

impl Top {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let single = self.once || out.is_json();
        if !single && !Screen::is_possible() {
            let message = "cannot draw the live view: standard output is not a terminal, or TERM \
                           says that it cannot be drawn on; use --once for one table, or --json";
            return Err(CliError::Usage(message.to_owned()));
        }
        let fleet = self.fleet.connect().await?;
        if !single {
            live::run(&self.fleet, fleet, self.interval).await?;
            return Ok(Answer::Yes);
        }
        let (model, failures) = plain::look(&fleet, self.fleet.timeout, self.interval).await;
        if out.is_json() {
            out.json(&plain::as_json(&model))?;
        } else {
            out.table(&plain::table(&model))?;
            out.text(plain::below(&model))?;
        }
        let up = model.nodes.iter().any(Entry::is_up);
        if !up {
            let asked = failures.len();
            fleet.failed(failures, asked)?;
        }
        Ok(if up { Answer::Yes } else { Answer::No })
    }
}

/// A model of nodes that have not answered yet.
fn model_of(fleet: &Fleet) -> Model {
    Model::new(fleet.origin.clone(), id(&fleet.ring), fleet.ring.nodes())
}

/// A ring's id as nodes report it in `stats ring`.
fn id(ring: &Ring) -> Stamp {
    let id = ring.id();
    Stamp { version: id.version, digest: id.digest }
}
