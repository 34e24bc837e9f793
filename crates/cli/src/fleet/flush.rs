//! `ringbinder flush`.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use ringbinder_client::{Error, NodeHandle};
use serde::Serialize;

use super::{FleetOptions, span};
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::style::GOOD;

/// A ring that is to be emptied.
#[derive(Args, Debug)]
#[command(after_help = "\
It asks before it does so; where nobody can be asked, --yes is needed. A `no` is exit code 1.")]
pub(crate) struct Flush {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Empty this node and no other
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// When: in this many seconds, or as 10m, 2h; until then everything can be read
    #[arg(long, value_name = "TIME", value_parser = span::ttl)]
    delay: Option<u64>,
}

/// What became of a node, as JSON.
#[derive(Serialize)]
struct Flushed<'a> {
    node: &'a str,
    address: String,
    flushed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Flush {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let fleet = self.fleet.connect().await?;
        let nodes = fleet.nodes(self.node.as_deref())?;
        if !self.yes && !confirmed(&nodes, &fleet.origin, out)? {
            out.note("nothing was emptied")?;
            return Ok(Answer::No);
        }
        let done = join_all(nodes.iter().map(|node| flush(node, self.delay))).await;
        if out.is_json() {
            let mut list = out.json_list();
            for (node, done) in nodes.iter().zip(&done) {
                list.push(&Flushed {
                    node: &node.node().name,
                    address: node.node().to_string(),
                    flushed: done.is_ok(),
                    error: done.as_ref().err().map(ToString::to_string),
                })?;
            }
            list.end()?;
        } else {
            for (node, _) in nodes.iter().zip(&done).filter(|(_, done)| done.is_ok()) {
                let node = &node.node().name;
                match self.delay {
                    Some(delay) if delay > 0 => out.line(format_args!(
                        "{GOOD}will be empty{GOOD:#} in {delay} seconds: {node}"
                    ))?,
                    _ => out.line(format_args!("{GOOD}emptied{GOOD:#} {node}"))?,
                }
            }
        }
        fleet.failed(done.into_iter().filter_map(Result::err).collect(), nodes.len())?;
        Ok(Answer::Yes)
    }
}

async fn flush(node: &NodeHandle, delay: Option<u64>) -> Result<(), Error> {
    node.flush_after(Duration::from_secs(delay.unwrap_or(0))).await
}

fn confirmed(nodes: &[NodeHandle], origin: &str, out: &mut Output) -> Result<bool, CliError> {
    let what = match nodes {
        [node] => format!("node {}", node.node().name),
        nodes => format!("all {} nodes", nodes.len()),
    };
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::Usage(format!(
            "flush would empty {what} of {origin}, and there is no terminal to ask; say --yes"
        )));
    }
    out.ask(format_args!("Empty {what} of {origin}? [y/N] "))?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(CliError::Input)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
