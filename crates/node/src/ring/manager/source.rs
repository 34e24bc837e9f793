//! The ring manager's handling of its own source: updates, and the difference from the current
//! ring.

use std::cmp::Ordering;

use ringbinder_ring::RingId;
use ringbinder_ring::source::{SourceError, Update};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::RingManager;
use super::drift::Line;

impl RingManager {
    /// Processes an update of the source.
    pub(super) async fn updated(&mut self, update: Result<Update, SourceError>) {
        // SIGHUP makes the node read the source, and also look up its host names again.
        self.node.names().refresh();
        let ring = match update {
            Ok(Update::Ring(ring)) => ring,
            Ok(Update::Unchanged(id)) => return self.unchanged(id),
            Err(error) => {
                if !error.is_away() {
                    self.node.posted.write().status.file_fails = true;
                }
                return self.complain(error.to_string());
            }
        };
        let (ours, theirs) = (self.membership.id(), ring.id());
        let refusal = refusal(theirs, ours);
        if refusal.is_some() {
            self.drift.refuse(theirs);
        }
        self.complain(refusal.unwrap_or_default());
        if theirs.version > ours.version {
            let from = self.node.posted.read().status.source.clone();
            self.adopt(ring, from).await;
        }
        self.has_read(theirs);
    }

    /// Records that the source holds the same ring as before.
    fn unchanged(&mut self, id: RingId) {
        self.has_read(id);
        let ours = self.membership.id();
        if self.drift.has_refused(id)
            && let Some(refusal) = refusal(id, ours)
        {
            return self.complain(refusal);
        }
        if id == ours {
            info!("the ring file is unchanged: ring {}", ours.version);
        } else {
            let (file, ours) = (id.version, ours.version);
            info!("the ring file is unchanged: it has ring {file}; the current ring is {ours}");
        }
        self.complain(String::new());
    }

    /// Publishes which ring the source holds.
    fn has_read(&mut self, id: RingId) {
        self.drift.read(id);
        let status = &mut self.node.posted.write().status;
        status.file = Some(id);
        status.file_fails = false;
    }

    /// Compares the source with the current ring, and requests a copy of the current ring.
    pub(super) fn watch_drift(&mut self, now: Instant) {
        let ours = self.membership.id();
        match self.drift.look(ours, now) {
            Some(Line::Begun) => {
                let status = self.node.posted.read().status.clone();
                let risk = match status.cache.is_empty() {
                    true => "; without --ring-cache a restart may go back to that ring",
                    false => "",
                };
                warn!("{}{risk}", status.drift(ours));
            }
            Some(Line::Over) => {
                let source = self.node.posted.read().status.source.clone();
                info!("{source} has the current ring again: ring {}", ours.version);
            }
            None => {}
        }
        self.copies.keep(self.membership.ring(), self.drift.taken());
    }

    /// Records the reason why the newest text of the source was not adopted.
    fn complain(&self, reason: String) {
        let mut posted = self.node.posted.write();
        let status = &mut posted.status;
        if !reason.is_empty() {
            error!(
                "rejected the ring in {}: {reason}; keeping ring {}",
                status.source,
                self.membership.id().version
            );
        }
        status.last_error = reason;
    }
}

/// The reason why a ring of the source does not replace the current one; `None` if it does, or if
/// it is the same ring.
fn refusal(theirs: RingId, ours: RingId) -> Option<String> {
    match theirs.version.cmp(&ours.version) {
        Ordering::Equal if theirs == ours => None,
        Ordering::Equal => Some(format!(
            "it differs from the current ring but has the same version, {}: raise the version",
            ours.version
        )),
        Ordering::Less => Some(format!(
            "its version, {}, is lower than the current one, {}: raise it above that",
            theirs.version, ours.version
        )),
        Ordering::Greater => None,
    }
}
