//! The admin port: metrics, health checks, and a page that shows the whole ring, over HTTP.
//!
//! It is off by default. It runs on a thread and a runtime of its own, so that no worker waits for
//! its requests. It reads counters, and the only question that it asks workers is whether they run.
//! It has no authentication: see [`guard`] for the rules that keep web pages out.
//!
//! | file | what it is |
//! |---|---|
//! | `http`, `slots` | connections and their bounds |
//! | `guard` | permitted host names, POSTs, and the headers that restrict browsers |
//! | `routes` | what is at which path |
//! | `metrics/`, `exposition` | `/metrics` and its two formats |
//! | `health` | `/healthz`, `/readyz` |
//! | `share` | the share of all keys that each node owns |
//! | `poll`, `own` | asking every node for its report; this node's own |
//! | `fleet` | the last report of each node, and the history of the last minutes |
//! | `api`, `advice` | what the page shows, as JSON, and what is to be looked at |
//! | `page/` | the page itself |

mod advice;
mod api;
mod exposition;
mod fleet;
mod guard;
mod health;
mod http;
mod metrics;
mod own;
mod poll;
mod routes;
mod share;
mod slots;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::settings::AdminSettings;
use crate::worker::Workers;
use crate::worker::shared::Shared;

/// The number of files that the admin port may hold open.
#[expect(clippy::cast_possible_truncation, reason = "a small constant")]
pub(crate) const FILES: u32 = (slots::MAX_CONNECTIONS + poll::MAX_KEPT) as u32 + 16;

/// A bound admin port that does not serve yet.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Its settings.
    pub(crate) settings: AdminSettings,
    /// Its sockets.
    pub(crate) listeners: Vec<TcpListener>,
    /// The address where the node itself listens, for people.
    pub(crate) serves: String,
}

impl Bound {
    /// Its addresses, with the ports that the system chose.
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok())
    }

    /// Whether only this machine can reach it.
    fn is_loopback(&self) -> bool {
        self.addresses().all(|address| address.ip().to_canonical().is_loopback())
    }

    /// Its address, for people.
    pub(crate) fn banner(&self) -> String {
        let places: Vec<String> =
            self.addresses().map(|address| format!("http://{address}/")).collect();
        format!("the admin port is {}", places.join(", "))
    }

    /// A warning for the operator.
    pub(crate) fn warning(&self) -> Option<String> {
        (!self.is_loopback()).then(|| {
            format!(
                "the admin port listens on {} without authentication: every client that reaches it \
                 can read the statistics and the names of the hottest keys; open it only to a \
                 trusted network",
                self.settings.address
            )
        })
    }
}

/// The running admin port.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Admin {
    /// Starts serving.
    pub(crate) fn start(
        bound: Bound,
        shared: &Arc<Shared>,
        workers: &Arc<Workers>,
    ) -> io::Result<Admin> {
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = routes::AdminState::new(
            Arc::clone(shared),
            Arc::clone(workers),
            bound.is_loopback(),
            bound.settings.hosts.clone().unwrap_or_default(),
            bound.serves.clone(),
        );
        let token = stop.clone();
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(run(bound, state, token)) {
                warn!("cannot serve the admin port: {error}");
            }
        })?;
        Ok(Admin { stop, thread })
    }

    /// Stops once the unfinished answers are sent, and waits for that.
    pub(crate) fn stop(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            warn!("the admin port's thread panicked");
        }
    }
}

async fn run(bound: Bound, state: routes::AdminState, stop: CancellationToken) -> io::Result<()> {
    let tasks = TaskTracker::new();
    tasks.spawn(poll::run(state.shared(), state.fleet(), stop.clone()));
    let router = routes::router(Arc::new(state));
    let slots = slots::Slots::default();
    for listener in bound.listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tasks.spawn(http::serve(listener, router.clone(), slots.clone(), stop.clone()));
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}
