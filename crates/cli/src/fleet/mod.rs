//! Commands that use a ring's nodes as one cache, and commands that ask every node.
//!
//! They all read the ring themselves and ask the owner of each key directly. An unreachable node never hides
//! the answers of the others: these are printed first, and the failure comes after them, with an exit
//! code of its own.
//!
//! | file | purpose |
//! |---|---|
//! | `get`, `set`, `delete` | commands on keys |
//! | `check`, `hot`, `nodes`, `stats` | commands on nodes; `nodes` has `flush` and `refresh-certs` |
//! | `security`, `error` | how nodes are dialled; what can fail, and the remedy |
//! | `numbers`, `span` | numbers for people; durations on the command line |

pub(crate) mod check;
pub(crate) mod delete;
pub(crate) mod error;
pub(crate) mod get;
pub(crate) mod hot;
pub(crate) mod nodes;
pub(crate) mod numbers;
pub(crate) mod security;
pub(crate) mod set;
pub(crate) mod span;
pub(crate) mod stats;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ringbinder_client::{Client, ConnectError, NodeHandle, OnAway};
use ringbinder_ring::Ring;

use crate::error::CliError;
use crate::source::RingOption;

use error::FleetError;
use security::{Security, SecurityOptions};
use span::seconds;

/// Longest value accepted from a node, in bytes. It exceeds the limit of every node.
const MAX_VALUE: usize = 1 << 30;

/// Which nodes, and how long they are waited for.
#[derive(Args, Clone, Debug)]
pub(crate) struct FleetOptions {
    #[command(flatten)]
    pub(crate) ring: RingOption,

    /// Seconds to wait for a node's answer, such as 0.5
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) security: SecurityOptions,
}

/// The nodes of a ring.
pub(crate) struct Fleet {
    /// Where the ring is kept.
    pub(crate) origin: String,
    /// As it was read.
    pub(crate) ring: Arc<Ring>,
    /// Asks them; a node that is away is an error.
    pub(crate) client: Client,
}

impl FleetOptions {
    /// Reads the ring. Nodes are dialled when they are asked.
    ///
    /// # Errors
    /// If there is no ring, or a file named by the flags is invalid.
    pub(crate) async fn connect(&self) -> Result<Fleet, CliError> {
        let origin = self.ring.origin()?.to_string();
        let client = client(self.ring.load().await?, self.timeout, &self.security.read()?).await?;
        Ok(Fleet { origin, ring: client.ring(), client })
    }
}

/// Creates a client whose ring never changes. It opens one connection to each node, and never answers for an
/// unreachable node.
///
/// # Errors
/// If a file for TLS is invalid.
pub(crate) async fn client(
    ring: Ring,
    timeout: Duration,
    security: &Security,
) -> Result<Client, CliError> {
    let mut builder = Client::with_fixed_ring(ring)
        .timeout(timeout)
        .connections(1)
        .max_value(MAX_VALUE)
        .on_away(OnAway::Error);
    if let Some(tls) = &security.tls {
        builder = builder.tls(tls.clone());
    }
    if let Some(login) = &security.login {
        builder = builder.login(login.clone());
    }
    builder.connect().await.map_err(|error| match error {
        ConnectError::Source(error) => CliError::Source(error),
        ConnectError::Origin(error) => CliError::Origin(error),
        ConnectError::Tls(error) => CliError::Tls(error),
        error => FleetError::NoClient(error.to_string()).into(),
    })
}

impl Fleet {
    /// The nodes that a command addresses: the node with this name, or all nodes.
    ///
    /// # Errors
    /// If the ring has no such node.
    pub(crate) fn nodes(&self, name: Option<&str>) -> Result<Vec<NodeHandle>, CliError> {
        let nodes = self.client.nodes();
        let Some(name) = name else { return Ok(nodes) };
        let index = self.ring.index_of_name(name).ok_or_else(|| FleetError::NoSuchNode {
            name: name.to_owned(),
            origin: self.origin.clone(),
            names: self.ring.nodes().iter().map(|node| node.name.clone()).collect(),
        })?;
        Ok(nodes.into_iter().skip(index as usize).take(1).collect())
    }

    /// The name of the node that owns a key.
    pub(crate) fn owner(&self, key: &[u8]) -> &str {
        &self.ring.nodes()[self.ring.owner(key) as usize].name
    }

    /// Sums up the failures of nodes in one error.
    ///
    /// # Errors
    /// If there is at least one failure.
    pub(crate) fn failed(
        &self,
        failures: Vec<ringbinder_client::Error>,
        asked: usize,
    ) -> Result<(), CliError> {
        if failures.is_empty() {
            return Ok(());
        }
        let nodes = self.ring.nodes().len();
        Err(FleetError::Nodes { failures, asked, nodes, origin: self.origin.clone() }.into())
    }
}
