//! A worker: one thread, one single-threaded runtime and its share of the connections.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use crate::connection;
use crate::connections::Ticket;
use crate::local::Local;
use crate::process::resident;
use crate::pulse::Pulse;
use crate::ring::View;
use crate::settings::Guard;
use crate::shared::Shared;
use crate::socket::Accepted;
use crate::stop::StopCause;
use crate::tls;

/// A connection on its way from the acceptor to a worker.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) accepted: Accepted,
    /// What is spoken where it was accepted.
    pub(crate) guard: Guard,
    pub(crate) ticket: Ticket,
}

/// What a worker is told. Between two of its requests: nothing that it does spans an order.
#[derive(Debug)]
enum Order {
    Serve(Handover),
    /// Act by this view of the ring from now on, and say when.
    Hold(Arc<View>, Option<oneshot::Sender<()>>),
    /// Say that it runs.
    Answer(Arc<Pulse>),
    /// Give back memory that is not needed.
    Tidy,
    /// Stand still until somebody else comes to the barrier.
    #[cfg(test)]
    Occupy(Arc<std::sync::Barrier>),
}

/// A running worker.
#[derive(Debug)]
struct Handle {
    sender: UnboundedSender<Order>,
    thread: JoinHandle<()>,
    pulse: Arc<Pulse>,
}

/// All workers of a node.
#[derive(Debug)]
pub(crate) struct Workers {
    handles: Vec<Handle>,
    turn: AtomicUsize,
}

impl Workers {
    /// Starts them.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Workers> {
        let count = usize::from(shared.settings.threads);
        let handles = (0..count).map(|index| Handle::start(shared, index));
        Ok(Workers { handles: handles.collect::<io::Result<_>>()?, turn: AtomicUsize::new(0) })
    }

    /// Hands a connection to the worker whose turn it is.
    pub(crate) fn adopt(&self, handover: Handover) {
        let turn = self.turn.fetch_add(1, Relaxed) % self.handles.len();
        if self.handles[turn].sender.send(Order::Serve(handover)).is_err() {
            warn!("a worker has stopped; the new connection is closed");
        }
    }

    /// Gives all workers a view of the ring, and returns once they act by it.
    pub(crate) async fn hold_all(&self, view: &Arc<View>) {
        let mut held = Vec::new();
        for handle in &self.handles {
            let (done, is_done) = oneshot::channel();
            if handle.sender.send(Order::Hold(Arc::clone(view), Some(done))).is_ok() {
                held.push(is_done);
            }
        }
        for is_done in held {
            // A worker that has ended serves nothing.
            let _ = is_done.await;
        }
    }

    /// Gives all workers a view of the ring.
    pub(crate) fn tell(&self, view: &Arc<View>) {
        for handle in &self.handles {
            // A worker that has ended needs none.
            let _ = handle.sender.send(Order::Hold(Arc::clone(view), None));
        }
    }

    /// Has all workers give back memory that they do not need.
    pub(crate) fn tidy(&self) {
        for handle in &self.handles {
            // A worker that has ended holds nothing.
            let _ = handle.sender.send(Order::Tidy);
        }
    }

    /// The numbers of the workers that do not say within `patience` that they take their turns.
    pub(crate) async fn silent(&self, patience: Duration) -> Vec<usize> {
        let deadline = Instant::now() + patience;
        let mut silent = Vec::new();
        // One after the other, but by one deadline: those that run have answered by then.
        for (index, handle) in self.handles.iter().enumerate() {
            let ask = |pulse| handle.sender.send(Order::Answer(pulse)).is_ok();
            if !matches!(tokio::time::timeout_at(deadline, handle.pulse.felt(ask)).await, Ok(true))
            {
                silent.push(index);
            }
        }
        silent
    }

    /// Keeps a worker from its turns until somebody else comes to the barrier.
    #[cfg(test)]
    pub(crate) fn occupy(&self, index: usize, barrier: Arc<std::sync::Barrier>) {
        self.handles[index].sender.send(Order::Occupy(barrier)).expect("a worker that runs");
    }

    /// Lets the workers end once their connections have, and waits for that.
    pub(crate) fn join(self) {
        for Handle { sender, thread, .. } in self.handles {
            drop(sender);
            if thread.join().is_err() {
                warn!("a worker ended by a panic");
            }
        }
    }
}

impl Handle {
    fn start(shared: &Arc<Shared>, index: usize) -> io::Result<Handle> {
        // The number of connections in the channel is bounded by the places among them.
        let (sender, receiver) = unbounded_channel();
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || run(Local::new(shared, index), receiver))?;
        Ok(Handle { sender, thread, pulse: Arc::default() })
    }
}

fn run(local: Local, mut receiver: UnboundedReceiver<Order>) {
    let local = Rc::new(local);
    let mut builder = Builder::new_current_thread();
    builder.enable_io();
    let Shared { ring, tls, auth, .. } = &*local.shared;
    if ring.is_some() || tls.is_some() || auth.is_some() {
        // Only requests to other nodes are timed, handshakes, and wrong passwords.
        builder.enable_time();
    }
    let runtime = match builder.build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("a worker cannot start: {error}; the node stops");
            local.shared.stop.because(StopCause::WorkerFailed);
            return;
        }
    };
    runtime.block_on(async {
        while let Some(order) = receiver.recv().await {
            match order {
                Order::Serve(Handover { accepted, guard, ticket }) => {
                    let local = Rc::clone(&local);
                    if guard == Guard::Plain {
                        tokio::task::spawn_local(connection::run(local, accepted, ticket));
                    } else {
                        tokio::task::spawn_local(tls::serve(local, accepted, guard, ticket));
                    }
                }
                Order::Answer(pulse) => pulse.answer(),
                Order::Tidy => {
                    local.tidy();
                    if local.is_to_give_back() {
                        resident::give_back();
                    } else {
                        let shared = &local.shared;
                        resident::settle(shared.store.held() + shared.memory.held());
                    }
                }
                #[cfg(test)]
                Order::Occupy(barrier) => {
                    barrier.wait();
                }
                Order::Hold(view, done) => {
                    local.hold(view);
                    if let Some(done) = done {
                        // The keeper is gone only when the node stops.
                        let _ = done.send(());
                    }
                }
            }
        }
        // Connections hold their places, so they are done when this returns.
    });
}
