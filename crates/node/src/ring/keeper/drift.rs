//! Whether the node's own source (its ring file, or the key in etcd) holds the ring in force.
//!
//! They drift apart when a ring comes from a peer, when a file is refused, and when a start takes a
//! copy instead of an older file. That is no fault by itself: a new file usually reaches all hosts
//! within moments, and one node is enough to bring it. So it is logged once, after [`GRACE`], and once
//! more when it is over. The words are [`super::super::status::Status::drift`]'s, which `stats` shows
//! without a delay.
//!
//! Nothing here does I/O or reads a clock.

use std::time::Duration;

use ringbinder_ring::RingId;
use tokio::time::Instant;

/// How long the source may hold another ring than the one in force before it is logged.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// What is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The source holds another ring than the one in force.
    Begun,
    /// It holds the ring in force again.
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Agrees,
    /// It holds another ring since then, and nothing was logged.
    Apart { since: Instant },
    /// It holds another ring, and that was logged.
    Told,
}

/// The state.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// The newest valid ring that was read from the source.
    file: Option<RingId>,
    /// The last ring of the source that was in force.
    taken: Option<RingId>,
    /// The ring of the source that was refused last.
    refused: Option<RingId>,
    phase: Phase,
}

impl Drift {
    /// At the start, with what was read from the source; `told` says that a difference was logged.
    pub(crate) fn at_start(file: Option<RingId>, told: bool) -> Drift {
        let phase = if told { Phase::Told } else { Phase::Agrees };
        Drift { file, taken: None, refused: None, phase }
    }

    /// The source was read, and holds this ring.
    pub(super) fn read(&mut self, ring: RingId) {
        self.file = Some(ring);
    }

    /// The ring of the source is not put in force, since that would be a step back.
    pub(super) fn refuse(&mut self, ring: RingId) {
        self.refused = Some(ring);
    }

    /// Whether this ring was refused when it was read.
    pub(super) fn has_refused(&self, ring: RingId) -> bool {
        self.refused == Some(ring)
    }

    /// The last ring of the source that was in force; `None` if none was since the start.
    pub(super) fn taken(&self) -> Option<RingId> {
        self.taken
    }

    /// Compares the source with the ring in force.
    pub(super) fn look(&mut self, in_force: RingId, now: Instant) -> Option<Line> {
        let file = self.file?;
        if file == in_force {
            self.taken = Some(file);
            self.refused = None;
            let told = self.phase == Phase::Told;
            self.phase = Phase::Agrees;
            return told.then_some(Line::Over);
        }
        match self.phase {
            Phase::Agrees => {
                self.phase = Phase::Apart { since: now };
                None
            }
            Phase::Apart { since } if now.saturating_duration_since(since) >= GRACE => {
                self.phase = Phase::Told;
                Some(Line::Begun)
            }
            Phase::Apart { .. } | Phase::Told => None,
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
        // It goes on, by another ring too: no news.
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
        // The next one has a grace of its own.
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
        // A peer brings that very ring.
        assert_eq!(drift.look(other, start + GRACE), Some(Line::Over));
        assert_eq!(drift.taken(), Some(other));
        assert!(!drift.has_refused(other));
    }
}
