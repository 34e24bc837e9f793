//! `ringbinder flush` and `ringbinder refresh-certs`: commands that each node carries out.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use ringbinder_client::{Error, NodeHandle};
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet::{Fleet, FleetOptions, span};
use crate::output::Output;
use crate::style::GOOD;

/// A ring that is to be emptied.
#[derive(Args, Debug)]
#[command(after_help = "\
It asks for confirmation; without a terminal, --yes is required. The answer no gives exit code \
1.")]
pub(crate) struct Flush {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Empty only this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,

    /// Empty them after this many seconds, or as 10m, 2h; until then, all items can be read
    #[arg(long, value_name = "TIME", value_parser = span::ttl)]
    delay: Option<u64>,
}

impl Flush {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let fleet = self.fleet.connect().await?;
        let nodes = fleet.nodes(self.node.as_deref())?;
        if !self.yes && !confirmed(&nodes, &fleet.origin, out)? {
            out.note("nothing was emptied")?;
            return Ok(Answer::No);
        }
        let delay = self.delay.unwrap_or(0);
        let wait = Duration::from_secs(delay);
        let done = join_all(nodes.iter().map(|node| node.flush_after(wait))).await;
        let words = match delay {
            0 => format!("{GOOD}emptied{GOOD:#} "),
            _ => format!("{GOOD}will be empty{GOOD:#} in {delay} seconds: "),
        };
        report(&fleet, &nodes, done, "flushed", &words, out)
    }
}

fn confirmed(nodes: &[NodeHandle], origin: &str, out: &mut Output) -> Result<bool, CliError> {
    let what = match nodes {
        [node] => format!("node {}", node.node().name),
        nodes => format!("all {} nodes", nodes.len()),
    };
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(CliError::Usage(format!(
            "cannot ask whether to empty {what} of {origin}: there is no terminal; use --yes"
        )));
    }
    out.ask(format_args!("Empty {what} of {origin}? [y/N] "))?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(CliError::Input)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A ring whose nodes have new certificate files.
#[derive(Args, Debug)]
#[command(after_help = "\
Each node reads its certificate, its key and its CAs from the files that it was started with. New \
connections use them; existing ones stay. A node that cannot use its files keeps the certificates it \
has and says why, and the exit code is 1. A node whose certificate has expired accepts no TLS \
connection from this command: send SIGHUP to its process instead.")]
pub(crate) struct RefreshCerts {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Only this node; may be repeated
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
}

impl RefreshCerts {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let fleet = self.fleet.connect().await?;
        let mut nodes: Vec<NodeHandle> = Vec::new();
        for name in &self.node {
            for node in fleet.nodes(Some(name))? {
                if nodes.iter().all(|other| other.node() != node.node()) {
                    nodes.push(node);
                }
            }
        }
        if self.node.is_empty() {
            nodes = fleet.nodes(None)?;
        }
        let done = join_all(nodes.iter().map(NodeHandle::refresh_certs)).await;
        let words = format!("{GOOD}certificates reloaded{GOOD:#} on ");
        report(&fleet, &nodes, done, "refreshed", &words, out)
    }
}

/// Prints what each node did: in JSON under the name `did`, for people after `words`.
fn report(
    fleet: &Fleet,
    nodes: &[NodeHandle],
    done: Vec<Result<(), Error>>,
    did: &'static str,
    words: &str,
    out: &mut Output,
) -> Result<Answer, CliError> {
    if out.is_json() {
        let mut list = out.json_list();
        for (node, done) in nodes.iter().zip(&done) {
            list.push(&Done {
                node: &node.node().name,
                address: node.node().to_string(),
                did: [(did, done.is_ok())].into(),
                error: done.as_ref().err().map(ToString::to_string),
            })?;
        }
        list.end()?;
    } else {
        for (node, _) in nodes.iter().zip(&done).filter(|(_, done)| done.is_ok()) {
            out.line(format_args!("{words}{}", node.node().name))?;
        }
    }
    fleet.failed(done.into_iter().filter_map(Result::err).collect(), nodes.len())?;
    Ok(Answer::Yes)
}

/// What one node did, as JSON.
#[derive(Serialize)]
struct Done<'a> {
    node: &'a str,
    address: String,
    #[serde(flatten)]
    did: BTreeMap<&'static str, bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}
