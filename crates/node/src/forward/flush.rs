//! `flush_all` for every node: this node empties itself, asks all others at once, and records which
//! of them failed to do so.
//!
//! Each node empties itself when the request reaches it; these moments differ. The promise is: when
//! the command succeeds, no client reads a value anywhere that was stored before the request came.
//! Three rules keep it while rings and processes replace each other:
//!
//! 1. All nodes of the current ring are asked, and all nodes that may serve by an older one.
//! 2. A node that is asked always empties itself. It answers `MOVED` if it holds a newer ring than
//!    the asking node, has not joined, or has been replaced by another process: then another node
//!    may have to be asked too. The asking node asks again, by the ring and at the process that it
//!    knows then.
//! 3. A node that has not joined does not know by which older rings nodes may serve. It waits until
//!    it has joined.
//!
//! These rules suffice. A node that only a newer ring lists serves a key after the key's owner by
//! the older ring has confirmed the newer one (see [`crate::ring::membership`]). If the owner is
//! asked before it confirms, the other node has not served the key yet. If it is asked after that,
//! it answers `MOVED`. The same holds for two processes under one name: only a confirmed one
//! serves, and the other answers `MOVED`. As with keys, this holds as long as no node that still
//! serves is declared failed.
//!
//! Nodes are asked by a plain `flush_all` after `ring forward`. No node passes that on, not even a
//! node of a version that does not know that `flush_all` can be for the ring.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::{Claim, FlushFailed, FlushFault};
use ringbinder_ring::Point;
use tokio::time::Instant;

use super::gather::{RETRY, RETRY_LATEST, send};
use crate::command;
use crate::net::pending::{Destination, ForwardedRequest, SharedReplies};
use crate::ring::Hint;
use crate::ring::peer::Peer;
use crate::worker::state::Local;

/// The result of one node.
#[derive(Debug)]
enum Outcome {
    /// It emptied itself, and serves by no newer ring.
    Flushed,
    /// It emptied itself, and another node may have to be asked.
    Moved,
    /// It may not have emptied itself.
    Failed(FlushFault),
}

/// Empties this node and every other one. `delay` is an exptime; zero or less means at once.
///
/// Takes at most `--peer-timeout`; while rings change, up to three times as long.
pub(crate) async fn flush_all(local: &Rc<Local>, delay: i64) -> Result<(), FlushFailed> {
    let Some(ring) = &local.shared.ring else { return Ok(()) };
    command::flush_store(&local.shared, delay);
    let timeout = ring.settings.peer_timeout;
    // Nodes that need not be asked again, with their fault if they have one.
    let mut done: Vec<(Arc<Peer>, Option<FlushFault>)> = Vec::new();
    let mut moved: Vec<Arc<Peer>> = Vec::new();
    let mut deadline = None;
    let mut pause = RETRY;
    let joined = loop {
        let news = local.news();
        tokio::pin!(news);
        news.as_mut().enable();
        let Some(view) = local.view().clone() else { break true };
        let mut others = view.others();
        others.retain(|peer| !done.iter().any(|(asked, _)| Arc::ptr_eq(asked, peer)));
        if others.is_empty() && view.joined {
            break true;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let fault = |peer| {
                let moved = moved.iter().any(|it| Arc::ptr_eq(it, peer));
                if moved { FlushFault::Unsettled } else { FlushFault::NoAnswer }
            };
            done.extend(others.iter().map(|peer| (Arc::clone(peer), Some(fault(peer)))));
            break view.joined;
        }
        moved.clear();
        let outcomes = ask(local, &others, delay, timeout).await;
        for (peer, outcome) in others.iter().map(Arc::clone).zip(outcomes) {
            match outcome {
                Outcome::Flushed => done.push((peer, None)),
                Outcome::Failed(fault) => done.push((peer, Some(fault))),
                Outcome::Moved => {
                    ring.hint(Hint::Moved { peer: Arc::clone(&peer) });
                    moved.push(peer);
                }
            }
        }
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + timeout);
        if others.is_empty() || !moved.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = tokio::time::timeout(pause.min(left), news).await;
            pause = (pause * 2).min(RETRY_LATEST);
        }
    };
    let failed = done.into_iter().filter_map(|(peer, fault)| Some((peer.to_string(), fault?)));
    let mut nodes: Vec<_> = failed.collect();
    if !joined {
        nodes.push((format!("{} (this node)", ring.name()), FlushFault::NotJoined));
    }
    if nodes.is_empty() { Ok(()) } else { Err(FlushFailed { nodes }) }
}

/// Asks these nodes, all at once, by the current ring.
async fn ask(
    local: &Rc<Local>,
    peers: &[Arc<Peer>],
    delay: i64,
    timeout: Duration,
) -> Vec<Outcome> {
    let pending = SharedReplies::default();
    let line = format!("flush_all {delay}\r\n");
    for peer in peers {
        // The request is not about a key.
        let forwarded = ForwardedRequest {
            without_answer: Some(Vec::new()),
            ..ForwardedRequest::new(Point(0), line.as_bytes())
        };
        let destination = Destination { peer: Arc::clone(peer), claim: Claim::Owner };
        pending.borrow_mut().push(0, forwarded, Some(destination));
    }
    send(local, &pending, timeout);
    poll_fn(|context| pending.borrow_mut().poll_closed(context.waker())).await;
    let pending = pending.borrow();
    let outcome = |answer: Option<&[u8]>| match answer {
        None => Outcome::Moved,
        Some(b"OK\r\n") => Outcome::Flushed,
        Some(b"") => Outcome::Failed(FlushFault::NoAnswer),
        Some(line) => Outcome::Failed(FlushFault::Answered(line.trim_ascii_end().to_vec())),
    };
    pending.answers().map(|answered| outcome(answered.text)).collect()
}
