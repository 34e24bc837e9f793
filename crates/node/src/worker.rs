//! A worker: one thread, one single-threaded runtime and its share of the connections.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::warn;

use crate::connection;
use crate::connections::Ticket;
use crate::local::Local;
use crate::shared::Shared;
use crate::socket::Accepted;

/// A connection on its way from the acceptor to a worker.
pub(crate) type Handover = (Accepted, Ticket);

/// A running worker, as the acceptor sees it.
#[derive(Debug)]
pub(crate) struct Handle {
    sender: UnboundedSender<Handover>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Starts the worker's thread.
    pub(crate) fn start(shared: &Arc<Shared>, index: usize) -> io::Result<Handle> {
        // The number of connections in the channel is bounded by the places among them.
        let (sender, receiver) = unbounded_channel();
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || run(Local::new(shared, index), receiver))?;
        Ok(Handle { sender, thread })
    }

    /// Hands a connection over.
    pub(crate) fn adopt(&self, handover: Handover) {
        if self.sender.send(handover).is_err() {
            warn!("a worker has stopped; the new connection is closed");
        }
    }

    /// Lets the worker end once its connections have, and waits for that.
    pub(crate) fn join(self) {
        drop(self.sender);
        if self.thread.join().is_err() {
            warn!("a worker ended by a panic");
        }
    }
}

fn run(local: Local, mut receiver: UnboundedReceiver<Handover>) {
    let local = Rc::new(local);
    let runtime =
        match Builder::new_current_thread().enable_io().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!("a worker cannot start: {error}; the node stops");
                local.shared.stop.cancel();
                return;
            }
        };
    runtime.block_on(async {
        while let Some((accepted, ticket)) = receiver.recv().await {
            let local = Rc::clone(&local);
            tokio::task::spawn_local(connection::run(local, accepted, ticket));
        }
        // Connections hold their places, so they are done when this returns.
    });
}
