//! Whether this node has stood still: stopped by a signal, a debugger or a hypervisor, starved, or
//! suspended with its machine.
//!
//! Peers that wait for such a node give it up, and serve its keys by a newer ring. When it goes on,
//! it still acts by the older one, until the keeper has greeted the peers. Requests are not to be
//! carried out in between. So the keeper leaves a sign of life many times a second, and a worker
//! looks at it *after* it has read requests and before it carries them out. Whatever was read before
//! the node stood still was sent before, too, and may count as carried out then; whatever is read
//! afterwards meets an old sign and has to wait for the peers.
//!
//! A peer gives a node up when a greeting was not answered for a second or more, and the node stayed
//! silent for `peer_give_up` after that. Signs older than that time and half a second come sooner.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use crate::clock::passed;

/// Longest time between two signs of life while the keeper runs.
pub(super) const BEAT: Duration = Duration::from_millis(250);

/// How much older than `peer_give_up` a sign may be.
const SLACK: Duration = Duration::from_millis(500);

/// The keeper's sign of life.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// Milliseconds.
    beat: AtomicU64,
    /// A worker has seen an old sign.
    noticed: AtomicBool,
    patience: Duration,
}

impl Pulse {
    /// A node that its peers give up after `give_up`.
    pub(super) fn new(give_up: Duration) -> Pulse {
        let beat = AtomicU64::new(milliseconds(passed()));
        Pulse { beat, noticed: AtomicBool::new(false), patience: give_up + SLACK }
    }

    /// Leaves a sign of life, as of `now`: a moment before the keeper asked
    /// [`Pulse::stood_still`] and did what follows from that.
    pub(super) fn beat(&self, now: Duration) {
        self.beat.store(milliseconds(now), SeqCst);
    }

    /// How long the node stood still up to `now`, if it did so since the last sign, or a worker says
    /// so.
    pub(super) fn stood_still(&self, now: Duration) -> Option<Duration> {
        let noticed = self.noticed.swap(false, SeqCst);
        let since = milliseconds(now).saturating_sub(self.beat.load(SeqCst));
        let since = Duration::from_millis(since);
        (noticed || since > self.patience).then_some(since)
    }

    /// Whether the node has stood still and the keeper has not seen to it since. Where that is so,
    /// the keeper learns of it.
    #[inline]
    pub(crate) fn is_old(&self) -> bool {
        self.is_old_at(passed())
    }

    #[inline]
    fn is_old_at(&self, now: Duration) -> bool {
        let since = milliseconds(now).saturating_sub(self.beat.load(SeqCst));
        let old = Duration::from_millis(since) > self.patience;
        if old {
            self.noticed.store(true, SeqCst);
        }
        old
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sign_is_noticed_by_workers_and_by_the_keeper() {
        let pulse = Pulse::new(Duration::from_secs(2));
        let start = Duration::from_secs(1000);
        pulse.beat(start);
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!pulse.is_old_at(at(2500)));
        assert_eq!(pulse.stood_still(at(2500)), None);
        assert_eq!(pulse.stood_still(at(2501)), Some(Duration::from_millis(2501)));
        assert!(pulse.is_old_at(at(2501)), "until the keeper has seen to it");
        pulse.beat(at(2501));
        assert!(!pulse.is_old_at(at(2502)));
    }

    #[test]
    fn what_only_a_worker_saw_reaches_the_keeper_all_the_same() {
        let pulse = Pulse::new(Duration::from_secs(2));
        let start = Duration::from_secs(1000);
        pulse.beat(start);
        assert!(pulse.is_old_at(start + Duration::from_millis(2501)));
        let since = Duration::from_millis(2500);
        assert_eq!(pulse.stood_still(start + since), Some(since), "the keeper looked just before");
        pulse.beat(start + since);
        assert_eq!(pulse.stood_still(start + since), None);
    }
}
