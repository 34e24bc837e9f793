//! The watchdog: detects requests that wait too long.
//!
//! It runs on a thread that all clients of a process share. A timer in the callers' runtime would
//! add a deadline to each wait for the sockets, which costs the system more than everything else
//! that this client adds to a small get (docs/decisions/0009-client-timers.md). There is no timer
//! for each request either: checking all connections with pending requests eight times per time
//! limit is enough.

use std::fmt;
use std::future::pending;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Number of checks per time limit: a request may wait up to an eighth longer.
const LOOKS: u32 = 8;

/// A connection that the watchdog checks.
pub(crate) trait Watched: fmt::Debug + Send + Sync {
    /// Ends requests that have waited since `too_long_ago` or longer. Returns true if nothing waits
    /// any more: the next request must then register it with the watchdog again.
    fn is_idle(&self, too_long_ago: Instant) -> bool;
}

/// Watches the connections of a client, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// The longest time that a request may wait.
    pub(crate) allowed: Duration,
    watch: Arc<Watch>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Watch {
    all: Mutex<Vec<Arc<dyn Watched>>>,
    /// Wakes the watchdog when there is something to watch.
    awake: Notify,
}

impl Watchdog {
    /// A watchdog that runs on `aside`.
    pub(crate) fn new(allowed: Duration, aside: &Handle) -> Watchdog {
        let (watch, stop) = (Arc::<Watch>::default(), CancellationToken::new());
        aside.spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&watch).run(allowed)));
        Watchdog { allowed, watch, _stop: stop.drop_guard() }
    }

    /// Watches one more connection, until it is idle.
    pub(crate) fn watch(&self, watched: Arc<dyn Watched>) {
        let mut all = self.watch.all.lock();
        if all.is_empty() {
            self.watch.awake.notify_one();
        }
        all.push(watched);
    }
}

impl Watch {
    async fn run(self: Arc<Self>, allowed: Duration) {
        let pause = (allowed / LOOKS).max(Duration::from_millis(1));
        loop {
            self.awake.notified().await;
            loop {
                sleep(pause).await;
                // If the clock began less than that ago, no request has waited so long.
                let too_long_ago = Instant::now().checked_sub(allowed);
                if too_long_ago.is_some_and(|since| self.look(since)) {
                    break;
                }
            }
        }
    }

    /// Checks all connections once; returns true if none is left to watch.
    fn look(&self, too_long_ago: Instant) -> bool {
        // Outside the lock: a connection holds its own lock while it asks to be watched.
        let mut all = std::mem::take(&mut *self.all.lock());
        all.retain(|watched| !watched.is_idle(too_long_ago));
        let mut now = self.all.lock();
        now.append(&mut all);
        now.is_empty()
    }
}

/// The runtime for background work: a thread that lives as long as the process. `None` if the
/// system cannot start a thread.
pub(crate) fn aside() -> Option<&'static Handle> {
    static ASIDE: OnceLock<Option<Handle>> = OnceLock::new();
    ASIDE.get_or_init(|| begin_thread().ok()).as_ref()
}

fn begin_thread() -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let name = "ringbinder-client".to_owned();
    thread::Builder::new().name(name).spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(handle)
}
