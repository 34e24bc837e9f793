//! The ring for programs: the content of its file, and values derived from it.

use ringbinder_ring::{NodeChange, Ring, compare};
use serde::Serialize;

use super::waiting::{RETRY_SECONDS, TIMEOUT_MS};

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
pub(super) fn render(ring: &Ring) -> String {
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
