//! `ringbinder refresh-certs`.

use clap::Args;
use futures_util::future::join_all;
use ringbinder_client::NodeHandle;
use serde::Serialize;

use super::FleetOptions;
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::style::GOOD;

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

/// What became of a node, as JSON.
#[derive(Serialize)]
struct Refreshed<'a> {
    node: &'a str,
    address: String,
    refreshed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
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
        if out.is_json() {
            let mut list = out.json_list();
            for (node, done) in nodes.iter().zip(&done) {
                list.push(&Refreshed {
                    node: &node.node().name,
                    address: node.node().to_string(),
                    refreshed: done.is_ok(),
                    error: done.as_ref().err().map(ToString::to_string),
                })?;
            }
            list.end()?;
        } else {
            for (node, _) in nodes.iter().zip(&done).filter(|(_, done)| done.is_ok()) {
                let node = &node.node().name;
                out.line(format_args!("{GOOD}certificates read again{GOOD:#} on {node}"))?;
            }
        }
        fleet.failed(done.into_iter().filter_map(Result::err).collect(), nodes.len())?;
        Ok(Answer::Yes)
    }
}
