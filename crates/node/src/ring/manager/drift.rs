//! Detects whether the node's own source (its ring file, or the key in etcd) differs from the
//! current ring.
//!
//! They differ when a ring comes from a peer, when a file is rejected, and when a start uses a copy
//! instead of an older file. That alone is no fault: a new file usually reaches all hosts within
//! moments, and one node is enough to bring it. So the difference is logged once, after [`GRACE`],
//! and once more when it is over. [`crate::ring::status::Status::drift`] writes the text, which
//! `stats` shows without a delay.
//!
//! This module does no I/O and reads no clock.

use std::time::Duration;

use ringbinder_ring::RingId;
use tokio::time::Instant;

/// The time for which the source may differ from the current ring before that is logged.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The event to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The source holds another ring than the current one.
    Begun,
    /// The source holds the current ring again.
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Agrees,
    /// The source has held another ring since then, and that was not logged.
    Apart { since: Instant },
    /// The source holds another ring, and that was logged.
    Logged,
}

/// The state of the comparison.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// The newest valid ring read from the source.
    file: Option<RingId>,
    /// The last ring of the source that was the current one.
    taken: Option<RingId>,
    /// The ring of the source that was rejected last.
    refused: Option<RingId>,
    phase: Phase,
}

impl Drift {
    /// The state at the start, with the ring read from the source. `logged` says that a difference
    /// was logged.
    pub(crate) fn at_start(file: Option<RingId>, logged: bool) -> Drift {
        let phase = if logged { Phase::Logged } else { Phase::Agrees };
        Drift { file, taken: None, refused: None, phase }
    }

    /// Records that the source was read and holds this ring.
    pub(super) fn read(&mut self, ring: RingId) {
        self.file = Some(ring);
    }

    /// Records that the source's ring is not adopted, because it is older than the current one.
    pub(super) fn refuse(&mut self, ring: RingId) {
        self.refused = Some(ring);
    }

    /// Whether this ring was rejected when it was read.
    pub(super) fn has_refused(&self, ring: RingId) -> bool {
        self.refused == Some(ring)
    }

    /// The last ring of the source that was the current one; `None` if there was none since the
    /// start.
    pub(super) fn taken(&self) -> Option<RingId> {
        self.taken
    }

    /// Compares the source with the current ring.
    pub(super) fn look(&mut self, in_force: RingId, now: Instant) -> Option<Line> {
        let file = self.file?;
        if file == in_force {
            self.taken = Some(file);
            self.refused = None;
            let logged = self.phase == Phase::Logged;
            self.phase = Phase::Agrees;
            return logged.then_some(Line::Over);
        }
        match self.phase {
            Phase::Agrees => {
                self.phase = Phase::Apart { since: now };
                None
            }
            Phase::Apart { since } if now.saturating_duration_since(since) >= GRACE => {
                self.phase = Phase::Logged;
                Some(Line::Begun)
            }
            Phase::Apart { .. } | Phase::Logged => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(version: u64) -> RingId {
        RingId { version, digest: version }
    }

    #[test]
    fn a_drift_is_logged_once_after_the_grace_and_once_when_it_is_over() {
        let start = Instant::now();
        let mut drift = Drift::at_start(Some(id(1)), false);
        assert_eq!(drift.look(id(1), start), None);
        assert_eq!(drift.look(id(2), start + SECOND), None);
        assert_eq!(drift.look(id(2), start + GRACE), None, "it began a second later");
        assert_eq!(drift.look(id(2), start + SECOND + GRACE), Some(Line::Begun));
        // The difference continues, with another ring: nothing to log.
        assert_eq!(drift.look(id(2), start + 3 * GRACE), None);
        assert_eq!(drift.look(id(3), start + 4 * GRACE), None);
        drift.read(id(2));
        assert_eq!(drift.look(id(3), start + 6 * GRACE), None);
        drift.read(id(3));
        assert_eq!(drift.look(id(3), start + 6 * GRACE), Some(Line::Over));
        assert_eq!(drift.look(id(3), start + 7 * GRACE), None);
    }

    #[test]
    fn a_file_that_arrives_within_the_grace_is_no_drift() {
        let start = Instant::now();
        let mut drift = Drift::at_start(Some(id(1)), false);
        assert_eq!(drift.look(id(2), start), None);
        drift.read(id(2));
        assert_eq!(drift.look(id(2), start + SECOND), None);
        // The next difference has a grace period of its own.
        assert_eq!(drift.look(id(3), start + GRACE), None);
        assert_eq!(drift.look(id(3), start + GRACE + SECOND), None);
        assert_eq!(drift.look(id(3), start + GRACE + GRACE), Some(Line::Begun));
    }

    #[test]
    fn a_drift_that_the_start_told_is_not_told_again() {
        let start = Instant::now();
        let mut drift = Drift::at_start(Some(id(1)), true);
        assert_eq!(drift.look(id(2), start), None);
        assert_eq!(drift.look(id(2), start + 2 * GRACE), None);
        assert_eq!(drift.taken(), None, "ring 1 was not in force");
        drift.read(id(2));
        assert_eq!(drift.look(id(2), start + 2 * GRACE), Some(Line::Over));
        assert_eq!(drift.taken(), Some(id(2)));
    }

    #[test]
    fn a_source_that_was_never_read_does_not_drift() {
        let start = Instant::now();
        let mut drift = Drift::at_start(None, false);
        assert_eq!(drift.look(id(2), start), None);
        assert_eq!(drift.look(id(2), start + 2 * GRACE), None);
        drift.read(id(2));
        assert_eq!(drift.look(id(2), start + 2 * GRACE), None);
    }

    #[test]
    fn a_ring_of_one_version_and_another_content_drifts_and_a_refusal_is_remembered() {
        let start = Instant::now();
        let other = RingId { version: 2, digest: 9 };
        let mut drift = Drift::at_start(Some(id(2)), false);
        assert_eq!(drift.look(id(2), start), None);
        drift.read(other);
        drift.refuse(other);
        assert!(drift.has_refused(other) && !drift.has_refused(id(2)));
        assert_eq!(drift.look(id(2), start), None);
        assert_eq!(drift.look(id(2), start + GRACE), Some(Line::Begun));
        assert_eq!(drift.taken(), Some(id(2)), "it was never in force");
        // A peer brings that same ring.
        assert_eq!(drift.look(other, start + GRACE), Some(Line::Over));
        assert_eq!(drift.taken(), Some(other));
        assert!(!drift.has_refused(other));
    }
}
