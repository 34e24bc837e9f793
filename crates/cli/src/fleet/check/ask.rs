//! The questions to one node.
//!
//! All nodes are asked at once which ring they hold. Answers to `stats` may be long, so at most
//! [`LONG_ANSWERS`] of them are read at a time, and each is reduced to a [`Said`] before the next question.
//! This bound holds for the largest possible ring too.

use std::time::{Duration, Instant};

use ringbinder_client::{Error, NodeHandle};
use ringbinder_ring::{Ring, RingId};

use super::said::Said;
use crate::escape::words;

/// Most answers to `stats` that are read at a time. The client limits each to 16 MiB.
pub(super) const LONG_ANSWERS: usize = 16;

/// The first answers of a node.
pub(super) struct Told {
    /// The ring it holds.
    pub(super) ring: Result<RingId, Error>,
    /// Time from one question to its answer.
    pub(super) took: Option<Duration>,
}

/// Asks a node for its ring. The first question opens the connection; if it fails, the others are not asked.
pub(super) async fn ask(node: &NodeHandle) -> Told {
    let mut told = Told { ring: node.ring_id().await, took: None };
    if told.is_there() {
        let start = Instant::now();
        if node.version().await.is_ok() {
            told.took = Some(start.elapsed());
        }
    }
    told
}

impl Told {
    /// Whether the node answers questions.
    pub(super) fn is_there(&self) -> bool {
        !matches!(
            self.ring,
            Err(Error::Away { .. } | Error::Nonsense { .. } | Error::Unauthenticated { .. })
        )
    }
}

/// The longer answers of a node.
pub(super) struct Report {
    /// The version of its program, escaped.
    pub(super) program: Option<String>,
    /// Its report about itself and its peers.
    pub(super) said: Result<Said, Error>,
}

/// Asks a node about itself and its peers. `ring` is the ring of the file.
pub(super) async fn report(node: &NodeHandle, ring: &Ring) -> Report {
    let program = match node.stats("").await {
        Ok(stats) => {
            let value = |name| stats.iter().find(|(there, _)| there == name);
            let program = value("ringbinder_version").or_else(|| value("version"));
            program.map(|(_, value)| words(value))
        }
        Err(_) => None,
    };
    let said = node.stats("ring").await.map(|stats| Said::parse(&stats, ring));
    Report { program, said }
}
