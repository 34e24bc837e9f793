//! Frees memory when connections hold all of it and others wait.
//!
//! The task checks every few milliseconds, as long as a connection waits. It wakes the waiters for
//! which there is room, and closes the connections that have been stuck longest: they hold memory
//! and neither read the answers they asked for nor send the data they announced.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::memory::ConnectionMemory;
use crate::net::connections::{Activity, OpenConnection};
use crate::worker::shared::Shared;

/// The interval between two checks.
const LOOK: Duration = Duration::from_millis(5);

/// The time for which a connection must have been stuck before it is closed in favour of arriving
/// data. Meanwhile arriving data still proceeds, one at a time.
const PATIENT: Duration = Duration::from_secs(2);

/// The same if no new request can be begun: for a connection that does not read, and for one that
/// does not send.
const UNREAD: Duration = Duration::from_millis(20);
const UNSENT: Duration = Duration::from_millis(500);

/// The shortest time between two log lines.
const QUIET: Duration = Duration::from_secs(60);

/// Frees memory until the node stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let memory = &shared.memory;
    let mut report = Report::default();
    loop {
        tokio::select! {
            () = memory.pressed.notified() => {}
            () = shared.stop.cancelled() => return,
        }
        while memory.is_waited_for() {
            let now = Instant::now();
            if let Some(shortage) = memory.look(now) {
                let stuck = stuck(&shared, shortage.is_urgent);
                close_longest(&stuck, shortage.bytes);
                report.log(memory, now);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shared.stop.cancelled() => return,
            }
        }
    }
}

/// The connections that hold memory and have been stuck too long, longest first.
fn stuck(shared: &Shared, is_urgent: bool) -> Vec<Arc<OpenConnection>> {
    let now = shared.clock.nanos();
    let entries = shared.connections.list();
    let mut stuck: Vec<(Duration, Arc<OpenConnection>)> = entries
        .into_iter()
        .filter_map(|entry| {
            let since = entry.stuck_for(now)?;
            let timeout = match entry.state() {
                _ if !is_urgent => PATIENT,
                Activity::Write => UNREAD,
                Activity::Read | Activity::ReadValue | Activity::Swallow | Activity::Watch => {
                    UNSENT
                }
            };
            (since >= timeout).then_some((since, entry))
        })
        .collect();
    stuck.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
    stuck.into_iter().map(|(_, entry)| entry).collect()
}

/// Asks connections to close until that frees this many bytes. A connection stays if it moves
/// before its worker gets to it.
fn close_longest(stuck: &[Arc<OpenConnection>], bytes: u64) {
    let mut given = 0;
    for entry in stuck {
        if given >= bytes {
            break;
        }
        given += entry.holds();
        entry.close_for_memory();
    }
}

/// Informs the operator, but not about each connection.
#[derive(Debug, Default)]
struct Report {
    /// The number of connections reported.
    closed: u64,
    logged: Option<Instant>,
}

impl Report {
    fn log(&mut self, memory: &ConnectionMemory, now: Instant) {
        let closed = memory.closed();
        let is_quiet = self.logged.is_some_and(|logged| now < logged + QUIET);
        if closed == self.closed || is_quiet {
            return;
        }
        warn!(
            "closed {} connections that neither read nor sent: connections hold {} of {} MiB and others \
             wait (see --connection-memory; logged once a minute)",
            closed - self.closed,
            memory.held() >> 20,
            memory.limit() >> 20
        );
        *self = Report { closed, logged: Some(now) };
    }
}
