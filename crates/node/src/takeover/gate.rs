//! The gate: whether connections are accepted. While it is closed, they wait in the sockets'
//! queues.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Gate {
    open: watch::Sender<bool>,
    given: AtomicBool,
}

/// An accept loop's handle on the gate.
#[derive(Debug)]
pub(crate) struct Watcher {
    open: watch::Receiver<bool>,
}

impl Gate {
    /// An open gate.
    pub(crate) fn new() -> Gate {
        Gate { open: watch::Sender::new(true), given: AtomicBool::new(false) }
    }

    pub(crate) fn watch(&self) -> Watcher {
        Watcher { open: self.open.subscribe() }
    }

    /// Closes it. Accept loops on the calling thread's runtime that check it first in every poll
    /// accept no connection from this point on.
    pub(super) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Records that another process serves: the gate stays closed.
    pub(super) fn give(&self) {
        self.given.store(true, Ordering::Release);
    }

    /// Whether another process serves in place of this one.
    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }
}

impl Watcher {
    /// Ready when the gate is closed.
    pub(crate) async fn closed(&mut self) {
        self.becomes(false).await;
    }

    /// Ready when the gate is open.
    pub(crate) async fn opened(&mut self) {
        self.becomes(true).await;
    }

    async fn becomes(&mut self, open: bool) {
        if self.open.wait_for(|is_open| *is_open == open).await.is_err() {
            // The gate is gone only when the node is gone.
            std::future::pending::<()>().await;
        }
    }
}
