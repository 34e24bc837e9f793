//! `flush_all` for every node: this node empties itself, asks all others at once, and knows which of
//! them did not obey.
//!
//! Each node empties itself at the moment when it is reached; nothing makes that one moment. The
//! promise is: when this succeeds, no client reads a value anywhere that was stored before the
//! request came. Three rules make it hold while rings replace each other:
//!
//! 1. All nodes of the ring in force are asked, and those that may serve by an older one.
//! 2. A node that holds a newer ring obeys and answers `MOVED`. Then the nodes which that ring adds
//!    are asked too, once the ring is here.
//! 3. A node that has not joined does not know which older rings are served by. It waits until it has.
//!
//! Why that is enough: a node that only a newer ring names serves a key after the key's owner by the
//! older ring has confirmed the newer one (see [`super::membership`]). If that owner is asked before
//! it confirms, the other node has served nothing yet; if after, the owner answers `MOVED`. As with
//! keys, this holds as long as no node is declared failed that still serves.
//!
//! Nodes are asked by a plain `flush_all` behind `ring forward`, which no node passes on, not even one
//! that is too old to know that `flush_all` can be for the ring.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::{Claim, FlushFailed, FlushFault};
use ringbinder_ring::{Point, RingId};
use tokio::time::Instant;

use super::Hint;
use super::exchange::{Destination, Foreign, Form, Hush, SharedExchange};
use super::gather::{RETRY, RETRY_LATEST, send};
use super::peer::Peer;
use crate::command;
use crate::local::Local;

/// What one node did.
#[derive(Debug)]
enum Outcome {
    /// It obeyed, by the ring in force here or an older one.
    Flushed,
    /// It obeyed, and holds a newer ring than this one, by which it was asked.
    Newer(RingId),
    /// It is not known to have obeyed.
    Failed(FlushFault),
}

/// Empties this node and every other one. `delay` is an exptime; not positive is now.
///
/// Takes `--peer-timeout` at most; while rings change, three times as long.
pub(crate) async fn flush_all(local: &Rc<Local>, delay: i64) -> Result<(), FlushFailed> {
    let Some(ring) = &local.shared.ring else {
        return Ok(());
    };
    command::flush_store(&local.shared, delay);
    let patience = ring.settings.peer_timeout;
    let mut outcomes: Vec<(Arc<Peer>, Outcome)> = Vec::new();
    let mut deadline = None;
    let mut pause = RETRY;
    let joined = loop {
        let news = local.news();
        tokio::pin!(news);
        news.as_mut().enable();
        let Some(view) = local.view().clone() else {
            break true;
        };
        let mut others = view.others();
        others.retain(|peer| outcomes.iter().all(|(asked, _)| asked.address != peer.address));
        let last = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if !others.is_empty() {
            let answers = if last {
                others.iter().map(|_| Outcome::Failed(FlushFault::NoAnswer)).collect()
            } else {
                ask(local, &others, (view.id(), delay), patience).await
            };
            outcomes.extend(others.into_iter().zip(answers));
            deadline.get_or_insert_with(|| Instant::now() + patience);
            continue;
        }
        let newer = outcomes.iter().filter(
            |(_, outcome)| matches!(outcome, Outcome::Newer(asked_by) if *asked_by >= view.id()),
        );
        let newer: Vec<_> = newer.map(|(peer, _)| Arc::clone(peer)).collect();
        if last || (view.joined && newer.is_empty()) {
            break view.joined;
        }
        for peer in newer {
            ring.hint(Hint::Moved { peer });
        }
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = tokio::time::timeout(pause.min(left), news).await;
        pause = (pause * 2).min(RETRY_LATEST);
    };
    let id = local.view().as_ref().map(|view| view.id());
    let failed = outcomes.into_iter().filter_map(|(peer, outcome)| match outcome {
        Outcome::Failed(fault) => Some((peer.to_string(), fault)),
        Outcome::Newer(asked_by) if Some(asked_by) >= id => {
            Some((peer.to_string(), FlushFault::NewerRing))
        }
        Outcome::Newer(_) | Outcome::Flushed => None,
    });
    let mut nodes: Vec<_> = failed.collect();
    if !joined {
        nodes.push((format!("{} (this node)", ring.name()), FlushFault::NotJoined));
    }
    if nodes.is_empty() { Ok(()) } else { Err(FlushFailed { nodes }) }
}

/// Asks these nodes, all at once, by the ring in force.
async fn ask(
    local: &Rc<Local>,
    peers: &[Arc<Peer>],
    (id, delay): (RingId, i64),
    patience: Duration,
) -> Vec<Outcome> {
    let exchange = SharedExchange::default();
    let line = format!("flush_all {delay}\r\n");
    for peer in peers {
        exchange.borrow_mut().push(
            0,
            Foreign {
                // About no key.
                point: Point(0),
                destination: Some(Destination { peer: Arc::clone(peer), claim: Claim::Owner }),
                form: Form::Line,
                hush: Hush::Nothing,
                request: line.as_bytes(),
                value: None,
                without_answer: Some(b""),
                instead: None,
            },
        );
    }
    send(local, &exchange, patience);
    poll_fn(|context| exchange.borrow_mut().poll_closed(context.waker())).await;
    let exchange = exchange.borrow();
    let outcome = |answer: Option<&[u8]>| match answer {
        None => Outcome::Newer(id),
        Some(b"OK\r\n") => Outcome::Flushed,
        Some(b"") => Outcome::Failed(FlushFault::NoAnswer),
        Some(line) => Outcome::Failed(FlushFault::Answered(line.trim_ascii_end().to_vec())),
    };
    exchange.answers().map(|(_, _, answer, _, _)| outcome(answer)).collect()
}
