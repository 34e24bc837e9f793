//! What one node is asked.

use std::time::{Duration, Instant};

use ringbinder_client::{Error, NodeHandle};
use ringbinder_ring::RingId;

/// What it says.
pub(super) struct Told {
    /// The ring it holds.
    pub(super) ring: Result<RingId, Error>,
    /// How long one question and its answer took.
    pub(super) took: Option<Duration>,
    /// The version of its program.
    pub(super) program: Option<String>,
    /// Nodes that it waits for before it serves all that it owns.
    pub(super) awaited: Option<String>,
    /// Why the newest ring it was given is not in force.
    pub(super) last_error: Option<String>,
}

/// Asks a node everything. The first question makes the connection; where it fails, the others are
/// not asked.
pub(super) async fn ask(node: &NodeHandle) -> Told {
    let mut told = Told {
        ring: node.ring_id().await,
        took: None,
        program: None,
        awaited: None,
        last_error: None,
    };
    if matches!(
        told.ring,
        Err(Error::Away { .. } | Error::Nonsense { .. } | Error::Unauthenticated { .. })
    ) {
        return told;
    }
    let start = Instant::now();
    if node.version().await.is_ok() {
        told.took = Some(start.elapsed());
    }
    let (general, ring) = (node.stats("").await, node.stats("ring").await);
    told.program = value(&general, "ringbinder_version").or_else(|| value(&general, "version"));
    if value(&ring, "ring_settled").is_some_and(|settled| settled != "yes") {
        told.awaited = value(&ring, "ring_awaited");
    }
    told.last_error = value(&ring, "ring_last_error").filter(|error| error != "-");
    told
}

fn value(stats: &Result<Vec<(String, String)>, Error>, name: &str) -> Option<String> {
    let stats = stats.as_ref().ok()?;
    stats.iter().find(|(there, _)| there == name).map(|(_, value)| value.clone())
}
