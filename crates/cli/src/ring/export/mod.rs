//! A ring as the configuration of the clients and proxies that use it.
//!
//! Every text works as printed. Its comments say where it goes and what the user must know about the client.
//! There are two kinds of client:
//!
//! - Clients with libmemcached's weighted ketama find the owner of every key. Their configuration spells
//!   hosts and orders nodes as the ring file does, because both affect the hashing.
//! - Other clients may use any node, since nodes forward. The comments say so. The configuration spreads
//!   connections or keys by weight, and keeps working if a node is unreachable.
//!
//! Every configuration limits the cost of a lost node: a request to a node that is frozen or refuses
//! connections takes less than a second, and the client tries the node again soon ([`TIMEOUT_MS`],
//! [`RETRY_SECONDS`]). Some clients give a lost node's keys to other nodes. That is safe as long as nodes
//! forward (`--foreign-keys forward`), since the owner still answers for its keys.
//!
//! Names and hosts of a ring match `[A-Za-z0-9._:-]`, so most targets take them unchanged. [`text`] quotes
//! them for targets that need strings.

mod clients;
mod proxies;
mod text;

use clap::Args;
use ringbinder_ring::{NodeChange, Ring, compare};
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::ring::export::text::{RETRY_SECONDS, TIMEOUT_MS};
use crate::source::RingOption;

/// What the configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Python: a pylibmc client
    Pylibmc,
    /// Python: a pymemcache client, with a hasher that finds owners
    Pymemcache,
    /// Python: the CACHES of Django's settings, by pylibmc
    Django,
    /// PHP: the memcached extension
    Php,
    /// Ruby: dalli 3.2 or later; nodes forward what it sends elsewhere
    Ruby,
    /// twemproxy (nutcracker): a pool
    Twemproxy,
    /// mcrouter: a configuration file; nodes forward what it sends elsewhere
    Mcrouter,
    /// HAProxy: one address in front of all nodes, for any client
    Haproxy,
    /// JSON with every node and its share, for programs
    Json,
}

/// The configuration for `target`, ready to be pasted. It ends with a line break.
///
/// # Errors
/// If the target cannot express this ring. The error says why, and what to do instead.
pub(crate) fn render(ring: &Ring, target: Target) -> Result<String, CliError> {
    Ok(match target {
        Target::Pylibmc => clients::pylibmc(ring),
        Target::Pymemcache => clients::pymemcache(ring),
        Target::Django => clients::django(ring),
        Target::Php => clients::php(ring)?,
        Target::Ruby => clients::ruby(ring),
        Target::Twemproxy => proxies::twemproxy(ring),
        Target::Mcrouter => proxies::mcrouter(ring),
        Target::Haproxy => proxies::haproxy(ring),
        Target::Json => json(ring),
    })
}

/// The configuration of a client or proxy.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// What it is for
    #[arg(long = "for", value_name = "TARGET")]
    target: Target,

    #[command(flatten)]
    ring: RingOption,
}

impl Export {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        // With --json, the user wants a configuration in JSON.
        let ring = self.ring.load().await?;
        let text = render(&ring, self.target)?;
        if out.is_json() && self.target != Target::Json {
            out.json(&serde_json::json!({ "configuration": text }))?;
        } else {
            out.text(text)?;
        }
        Ok(Answer::Yes)
    }
}

/// The form described in `docs/ring.md`. Fields may be added; none changes its meaning.
#[derive(Serialize)]
struct Document {
    version: u64,
    /// Sixteen hexadecimal digits, as the command `ring version` prints them. The digest is text, since many
    /// JSON readers cannot hold a number of that size.
    digest: String,
    hash: &'static str,
    client: Client,
    nodes: Vec<Entry>,
}

/// Settings for a client of the ring; the other targets print the same ones.
#[derive(Serialize)]
struct Client {
    /// Milliseconds to connect to a node.
    connect_timeout_ms: u64,
    /// Milliseconds to wait for an answer.
    timeout_ms: u64,
    /// Milliseconds until a failed node is tried again. Other nodes forward to it meanwhile.
    retry_ms: u64,
    /// Whether to set TCP_NODELAY.
    no_delay: bool,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    address: String,
    host: String,
    port: u16,
    weight: u32,
    /// The node's share of all keys, from 0 to 1.
    share: f64,
}

/// Renders one JSON object.
fn json(ring: &Ring) -> String {
    // The comparison of a ring with itself shows the share of each node.
    let nodes = compare(ring, ring).nodes().iter().map(entry).collect();
    let id = ring.id();
    let digest = format!("{:016x}", id.digest);
    let client = Client {
        connect_timeout_ms: TIMEOUT_MS,
        timeout_ms: TIMEOUT_MS,
        retry_ms: RETRY_SECONDS * 1000,
        no_delay: true,
    };
    let document = Document { version: id.version, digest, hash: "ketama", client, nodes };
    let mut text = serde_json::to_string_pretty(&document).expect("text and numbers are JSON");
    text.push('\n');
    text
}

fn entry(change: &NodeChange) -> Entry {
    let node = &change.node;
    Entry {
        name: node.name.clone(),
        address: node.to_string(),
        host: node.host.clone(),
        port: node.port,
        weight: node.weight,
        share: change.after.fraction(),
    }
}

#[cfg(test)]
mod tests;
