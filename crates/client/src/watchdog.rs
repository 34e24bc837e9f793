//! Requests that wait too long, noticed.
//!
//! It runs beside the callers, on a thread that all clients of a process share. A timer in the callers'
//! runtime would give each of its waits for the sockets a deadline, which costs the system more than
//! everything else that this client adds to a small get (docs/decisions/0009-client-timers.md). And
//! there is none for each request: one look at all connections with requests on them, eight times in
//! the time allowed, does as well.

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

/// Looks in the time allowed: a request waits for up to an eighth longer.
const LOOKS: u32 = 8;

/// What the watchdog looks after.
pub(crate) trait Watched: fmt::Debug + Send + Sync {
    /// Ends what has waited since `too_long_ago` or longer. True where nothing waits any more: it is
    /// then to be handed to the watchdog again with the next request.
    fn is_idle(&self, too_long_ago: Instant) -> bool;
}

/// Looks after the connections of a client, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// How long a request may wait.
    pub(crate) allowed: Duration,
    watch: Arc<Watch>,
    _stop: DropGuard,
}

#[derive(Debug, Default)]
struct Watch {
    all: Mutex<Vec<Arc<dyn Watched>>>,
    /// There is something to look after.
    awake: Notify,
}

impl Watchdog {
    /// One that runs `aside`.
    pub(crate) fn new(allowed: Duration, aside: &Handle) -> Watchdog {
        let (watch, stop) = (Arc::<Watch>::default(), CancellationToken::new());
        aside.spawn(stop.clone().run_until_cancelled_owned(Arc::clone(&watch).run(allowed)));
        Watchdog { allowed, watch, _stop: stop.drop_guard() }
    }

    /// Looks after one more, until it is idle.
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
                // A clock that began less than that ago has seen nobody wait so long.
                let too_long_ago = Instant::now().checked_sub(allowed);
                if too_long_ago.is_some_and(|since| self.look(since)) {
                    break;
                }
            }
        }
    }

    /// Looks at all once; true where nothing is left to look after.
    fn look(&self, too_long_ago: Instant) -> bool {
        // Outside of the lock: a connection holds its own while it asks to be watched.
        let mut all = std::mem::take(&mut *self.all.lock());
        all.retain(|watched| !watched.is_idle(too_long_ago));
        let mut now = self.all.lock();
        now.append(&mut all);
        now.is_empty()
    }
}

/// Where to run what goes on beside the callers: a thread that lives as long as the process. `None`
/// where the system gives no thread.
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
