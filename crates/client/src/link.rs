//! A node, and this client's connections to it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringbinder_protocol::Refusal;
use ringbinder_ring::Node;

use crate::connection::Cause;
use crate::error::{Absence, Error};
use crate::health::Health;
use crate::lane::{Lane, Limits};
use crate::wire::{Answer, Line, Request};

/// One node as its callers reach it: a pipelined connection for each worker, and its health.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) node: Node,
    /// `name (host:port)`, for messages.
    pub(crate) title: Arc<str>,
    lanes: Box<[Lane]>,
    health: Health,
    limits: Limits,
    retries: u32,
}

impl Link {
    pub(crate) fn new(node: Node, lanes: usize, limits: Limits, retries: u32) -> Link {
        let title = format!("{} ({node})", node.name).into();
        let lanes = (0..lanes.max(1)).map(|_| Lane::default()).collect();
        Link { node, title, lanes, health: Health::new(), limits, retries }
    }

    /// Sends a request and gives its answer, or the node's refusal as an error.
    ///
    /// What the node has certainly not seen is sent once more, and so is what only reads: each at
    /// most as often as the settings allow.
    #[inline]
    pub(crate) async fn call(&self, request: &Request<'_>) -> Result<Answer, Error> {
        // One for the connection, one for the answer.
        if !self.health.may_ask(2 * self.limits.timeout) {
            return Err(self.away(Absence::Resting));
        }
        let lane = &self.lanes[worker() % self.lanes.len()];
        let mut left = self.retries;
        loop {
            let connection = match lane.connection(&self.node, self.limits).await {
                Ok(connection) => connection,
                Err(why) => return Err(self.failed(why)),
            };
            let fault = match connection.call(request).await {
                Ok(answer) => {
                    self.health.answered();
                    return self.judged(answer);
                }
                Err(fault) => fault,
            };
            // A node that is silent is not made to answer by asking it again.
            let again = matches!(fault.cause, Cause::Closed | Cause::Unused)
                && (!fault.sent || request.is_read());
            if !again || left == 0 {
                return Err(self.error_of(fault.cause));
            }
            left -= 1;
        }
    }

    fn judged(&self, answer: Answer) -> Result<Answer, Error> {
        let node = Arc::clone(&self.title);
        match answer {
            Answer::Line(Line::ClientError(says)) => Err(Error::Refused { node, says }),
            Answer::Line(Line::ServerError(says)) if says == Refusal::OwnerAway.line() => {
                Err(Error::Away { node, why: Absence::ByProxy })
            }
            Answer::Line(Line::ServerError(says)) => Err(Error::Failed { node, says }),
            answer => Ok(answer),
        }
    }

    fn error_of(&self, cause: Cause) -> Error {
        match cause {
            Cause::Silent => self.failed(Absence::Silent(self.limits.timeout)),
            Cause::Closed | Cause::Unused => self.failed(Absence::Closed),
            Cause::Nonsense(got) => {
                self.health.failed();
                Error::Nonsense { node: Arc::clone(&self.title), got }
            }
        }
    }

    fn failed(&self, why: Absence) -> Error {
        tracing::debug!(node = %self.title, %why, "away");
        self.health.failed();
        self.away(why)
    }

    fn away(&self, why: Absence) -> Error {
        Error::Away { node: Arc::clone(&self.title), why }
    }

    /// An answer that fits the protocol and not the request.
    pub(crate) fn unexpected(&self, answer: &Answer) -> Error {
        let got = match answer {
            Answer::Line(Line::Other(line)) => line.clone(),
            answer => format!("{answer:?}").chars().take(60).collect(),
        };
        Error::Nonsense { node: Arc::clone(&self.title), got }
    }
}

/// A number of the thread this runs on: threads do not share a connection while there are enough.
#[inline]
fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static WORKER: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    WORKER.get()
}
