//! A worker: one thread, one single-threaded runtime, its share of the connections, and the
//! buffers it lends to whichever of them has work.
//!
//! Tasks of one worker never run at the same time, so what is here needs no lock.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::warn;

use crate::connection;
use crate::connections::Ticket;
use crate::input::Input;
use crate::output::Output;
use crate::shared::Shared;
use crate::socket::Accepted;
use crate::stats::Counters;

/// Buffers kept for later; more than one is only in use while connections wait for slow readers.
const MAX_SPARE: usize = 16;

/// A connection on its way from the acceptor to a worker.
pub(crate) type Handover = (Accepted, Ticket);

/// What the connections of one worker have in common.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    spare_inputs: RefCell<Vec<Input>>,
    spare_outputs: RefCell<Vec<Output>>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        let counters = shared.counters.of_worker(index);
        Worker {
            shared,
            counters,
            spare_inputs: RefCell::default(),
            spare_outputs: RefCell::default(),
        }
    }

    /// Lends a read buffer.
    #[inline]
    pub(crate) fn take_input(&self) -> Input {
        self.spare_inputs.borrow_mut().pop().unwrap_or_else(Input::new)
    }

    /// Takes a read buffer back.
    #[inline]
    pub(crate) fn give_input(&self, mut input: Input) {
        let mut spare = self.spare_inputs.borrow_mut();
        if input.reset() && spare.len() < MAX_SPARE {
            spare.push(input);
        }
    }

    /// Lends an output buffer.
    #[inline]
    pub(crate) fn take_output(&self) -> Output {
        self.spare_outputs.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes an output buffer back; what is left in it is dropped.
    #[inline]
    pub(crate) fn give_output(&self, mut output: Output) {
        let mut spare = self.spare_outputs.borrow_mut();
        if spare.len() < MAX_SPARE {
            output.clear();
            spare.push(output);
        }
    }
}

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
            .spawn(move || run(Worker::new(shared, index), receiver))?;
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

fn run(worker: Worker, mut receiver: UnboundedReceiver<Handover>) {
    let worker = Rc::new(worker);
    let runtime =
        match Builder::new_current_thread().enable_io().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!("a worker cannot start: {error}; the node stops");
                worker.shared.stop.cancel();
                return;
            }
        };
    runtime.block_on(async {
        while let Some((accepted, ticket)) = receiver.recv().await {
            let worker = Rc::clone(&worker);
            tokio::task::spawn_local(connection::run(worker, accepted, ticket));
        }
        // Connections hold their places, so they are done when this returns.
    });
}
