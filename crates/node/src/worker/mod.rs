//! A worker: one thread, one single-threaded runtime and its share of the connections.
//!
//! | file | purpose |
//! |---|---|
//! | `shared` | the state that all workers share |
//! | `state` | the state that one worker's connections share |
//! | `heartbeat` | whether a thread still runs |

pub(crate) mod heartbeat;
pub(crate) mod shared;
pub(crate) mod state;

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

use self::heartbeat::Heartbeat;
use self::shared::Shared;
use self::state::Local;
use crate::connection;
use crate::connection::tls_handshake;
use crate::net::connections::Ticket;
use crate::net::socket::Accepted;
use crate::process::resident;
use crate::process::stop::StopCause;
use crate::ring::View;
use crate::settings::Guard;

/// A connection on its way from the acceptor to a worker.
#[derive(Debug)]
pub(crate) struct NewConnection {
    pub(crate) accepted: Accepted,
    /// The protocol of the listener that accepted it.
    pub(crate) guard: Guard,
    pub(crate) ticket: Ticket,
}

/// An order to a worker. The worker handles it between two requests, so no request spans an order.
#[derive(Debug)]
enum Order {
    Serve(NewConnection),
    /// Use this view of the ring, and report when that is done.
    Hold(Arc<View>, Option<oneshot::Sender<()>>),
    /// Report that the worker runs.
    Beat(Arc<Heartbeat>),
    /// Release memory that is not needed.
    Tidy,
    /// Block until another thread comes to the barrier.
    #[cfg(test)]
    Occupy(Arc<std::sync::Barrier>),
}

/// A running worker.
#[derive(Debug)]
struct Handle {
    sender: UnboundedSender<Order>,
    thread: JoinHandle<()>,
    heartbeat: Arc<Heartbeat>,
}

/// All workers of a node.
#[derive(Debug)]
pub(crate) struct Workers {
    handles: Vec<Handle>,
    turn: AtomicUsize,
}

impl Workers {
    /// Starts all workers.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Workers> {
        let count = usize::from(shared.settings.threads);
        let handles = (0..count).map(|index| Handle::start(shared, index));
        Ok(Workers { handles: handles.collect::<io::Result<_>>()?, turn: AtomicUsize::new(0) })
    }

    /// Passes a connection to the next worker in turn.
    pub(crate) fn adopt(&self, connection: NewConnection) {
        let turn = self.turn.fetch_add(1, Relaxed) % self.handles.len();
        if self.handles[turn].sender.send(Order::Serve(connection)).is_err() {
            warn!("a worker has stopped; closed the new connection");
        }
    }

    /// Gives all workers a view of the ring, and returns once all use it.
    pub(crate) async fn hold_all(&self, view: &Arc<View>) {
        let mut held = Vec::new();
        for handle in &self.handles {
            let (done, is_done) = oneshot::channel();
            if handle.sender.send(Order::Hold(Arc::clone(view), Some(done))).is_ok() {
                held.push(is_done);
            }
        }
        for is_done in held {
            // A worker that has ended serves no request.
            let _ = is_done.await;
        }
    }

    /// Gives all workers a view of the ring.
    pub(crate) fn send_view(&self, view: &Arc<View>) {
        for handle in &self.handles {
            // A worker that has ended needs no view.
            let _ = handle.sender.send(Order::Hold(Arc::clone(view), None));
        }
    }

    /// Makes all workers release memory that they do not need.
    pub(crate) fn tidy(&self) {
        for handle in &self.handles {
            // A worker that has ended holds no memory.
            let _ = handle.sender.send(Order::Tidy);
        }
    }

    /// The numbers of the workers that do not report within `timeout` that they run.
    pub(crate) async fn silent(&self, timeout: Duration) -> Vec<usize> {
        let deadline = Instant::now() + timeout;
        let mut silent = Vec::new();
        // One after another but with one deadline: workers that run have answered by then.
        for (index, handle) in self.handles.iter().enumerate() {
            let ask = |heartbeat| handle.sender.send(Order::Beat(heartbeat)).is_ok();
            if !matches!(
                tokio::time::timeout_at(deadline, handle.heartbeat.confirmed(ask)).await,
                Ok(true)
            ) {
                silent.push(index);
            }
        }
        silent
    }

    /// Blocks a worker until another thread comes to the barrier.
    #[cfg(test)]
    pub(crate) fn occupy(&self, index: usize, barrier: Arc<std::sync::Barrier>) {
        self.handles[index].sender.send(Order::Occupy(barrier)).expect("a worker that runs");
    }

    /// Lets the workers end once their connections have ended, and waits for that.
    pub(crate) fn join(self) {
        for Handle { sender, thread, .. } in self.handles {
            drop(sender);
            if thread.join().is_err() {
                warn!("a worker panicked");
            }
        }
    }
}

impl Handle {
    fn start(shared: &Arc<Shared>, index: usize) -> io::Result<Handle> {
        // The slots bound the number of connections in the channel.
        let (sender, receiver) = unbounded_channel();
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || run(Local::new(shared, index), receiver))?;
        Ok(Handle { sender, thread, heartbeat: Arc::default() })
    }
}

fn run(local: Local, mut receiver: UnboundedReceiver<Order>) {
    let local = Rc::new(local);
    let mut builder = Builder::new_current_thread();
    builder.enable_io();
    let Shared { ring, tls, auth, .. } = &*local.shared;
    if ring.is_some() || tls.is_some() || auth.is_some() {
        // Only requests to other nodes, handshakes and wrong passwords use timers.
        builder.enable_time();
    }
    let runtime = match builder.build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start a worker: {error}; the node stops");
            local.shared.stop.because(StopCause::WorkerFailed);
            return;
        }
    };
    runtime.block_on(async {
        while let Some(order) = receiver.recv().await {
            match order {
                Order::Serve(NewConnection { accepted, guard, ticket }) => {
                    let local = Rc::clone(&local);
                    if guard == Guard::Plain {
                        tokio::task::spawn_local(connection::run(local, accepted, ticket));
                    } else {
                        tokio::task::spawn_local(tls_handshake::serve(
                            local, accepted, guard, ticket,
                        ));
                    }
                }
                Order::Beat(heartbeat) => heartbeat.answer(),
                Order::Tidy => {
                    local.tidy();
                    let shared = &local.shared;
                    let accounted = || shared.store.held() + shared.memory.held();
                    if local.is_to_give_back() || resident::is_much_beside(accounted()) {
                        resident::give_back();
                    }
                }
                #[cfg(test)]
                Order::Occupy(barrier) => {
                    barrier.wait();
                }
                Order::Hold(view, done) => {
                    local.hold(view);
                    if let Some(done) = done {
                        // The ring manager is gone only when the node stops.
                        let _ = done.send(());
                    }
                }
            }
        }
        // Connections hold their slots, so all have ended when this returns.
    });
}
