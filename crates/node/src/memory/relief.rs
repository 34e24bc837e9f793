//! Making room where connections hold all their memory and others wait for some.
//!
//! A look every few milliseconds, for as long as somebody waits. It wakes those for which there is room
//! by now, and closes connections that have been stuck for longest: they hold memory and neither read
//! what they asked for nor send what they announced.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::ConnectionMemory;
use crate::connections::{Entry, State};
use crate::shared::Shared;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// How long a connection must have been stuck before it is closed for the sake of what is arriving,
/// which goes on meanwhile, one at a time.
const PATIENT: Duration = Duration::from_secs(2);

/// The same where nothing new can be begun: one that does not read, and one that does not send.
const UNREAD: Duration = Duration::from_millis(20);
const UNSENT: Duration = Duration::from_millis(500);

/// Between two lines of the log.
const QUIET: Duration = Duration::from_secs(60);

/// Makes room until the node stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let memory = &shared.memory;
    let mut report = Report::default();
    loop {
        tokio::select! {
            () = memory.pressed.notified() => {}
            () = shared.stop.cancelled() => return,
        }
        while memory.waiting.load(Relaxed) > 0 {
            let now = Instant::now();
            if let Some(shortage) = memory.look(now) {
                let stuck = stuck(&shared, shortage.is_urgent);
                close_longest(&stuck, shortage.bytes);
                report.tell(memory, now);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shared.stop.cancelled() => return,
            }
        }
    }
}

/// Memory that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shortage {
    pub(super) bytes: u64,
    /// Nothing new can be begun.
    pub(super) is_urgent: bool,
}

impl ConnectionMemory {
    /// Wakes those for which there is room, and says what is missing for the others.
    pub(super) fn look(&self, now: Instant) -> Option<Shortage> {
        let (is_full, room) = (self.is_full(), self.arriving_room());
        let (needs_turn, first) = self.change(|line| {
            if !is_full {
                line.wake_turns();
            }
            let some_wait = line.wake_arriving(room);
            if some_wait {
                // What one that has stalled took counts again once another goes beyond.
                let counted = self.counted() + self.beyond.load(Relaxed);
                if line.let_beyond(counted < self.tight(), now) {
                    self.beyond.store(0, Relaxed);
                }
            }
            (line.has_turns(), line.first().filter(|_| some_wait))
        });
        if needs_turn {
            // A part of it at once: one look for each connection would be many.
            let bytes = self.counted().saturating_sub(self.full) + self.limit / 16;
            return Some(Shortage { bytes, is_urgent: true });
        }
        let bytes = first?.saturating_sub(room);
        Some(Shortage { bytes, is_urgent: false })
    }
}

/// The connections that hold memory and have been stuck for too long, those stuck for longest first.
fn stuck(shared: &Shared, is_urgent: bool) -> Vec<Arc<Entry>> {
    let now = shared.clock.nanos();
    let entries = shared.connections.list();
    let mut stuck: Vec<(Duration, Arc<Entry>)> = entries
        .into_iter()
        .filter_map(|entry| {
            let since = entry.stuck_for(now)?;
            let patience = match entry.state() {
                _ if !is_urgent => PATIENT,
                State::Write => UNREAD,
                State::Read | State::ReadValue | State::Swallow | State::Watch => UNSENT,
            };
            (since >= patience).then_some((since, entry))
        })
        .collect();
    stuck.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
    stuck.into_iter().map(|(_, entry)| entry).collect()
}

/// Has connections close until that gives so many bytes. One that moves before its worker comes to it
/// stays.
fn close_longest(stuck: &[Arc<Entry>], bytes: u64) {
    let mut given = 0;
    for entry in stuck {
        if given >= bytes {
            break;
        }
        given += entry.holds();
        entry.close_for_memory();
    }
}

/// Tells the operator, but not for each connection.
#[derive(Debug, Default)]
struct Report {
    /// How many it told of.
    closed: u64,
    told: Option<Instant>,
}

impl Report {
    fn tell(&mut self, memory: &ConnectionMemory, now: Instant) {
        let closed = memory.closed();
        let is_quiet = self.told.is_some_and(|told| now < told + QUIET);
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
        *self = Report { closed, told: Some(now) };
    }
}
