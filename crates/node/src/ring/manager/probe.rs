//! The time of a peer's next handshake.
//!
//! A healthy peer is greeted now and then. A peer that this node waits for is greeted soon, and
//! then less and less often. A peer that does not answer is probed. At most one talk with a peer is
//! under way at any moment. This module reads no clock: every method takes the time.

use std::time::Duration;

use tokio::time::Instant;

/// The interval between handshakes of a healthy peer.
pub(crate) const CALM: Duration = Duration::from_secs(5);

/// The interval between probes of a peer that does not answer requests.
pub(crate) const PROBE: Duration = Duration::from_secs(1);

/// The interval between probes of an address that refuses connections, which such an address
/// reports at once.
const REFUSED: Duration = Duration::from_millis(200);

/// The interval between handshakes of a peer that this node waits for: the first, and the bound up
/// to which it doubles.
const SOON: Duration = Duration::from_millis(5);
const SOON_LATEST: Duration = Duration::from_millis(500);

/// The shortest time between two handshakes that others ask for. Untrusted clients may send hints
/// as often as they like.
pub(crate) const HINTED: Duration = Duration::from_millis(20);

/// The ring manager's state of one peer.
#[derive(Debug)]
pub(crate) struct ProbeSchedule {
    next: Instant,
    greeted: Option<Instant>,
    busy: bool,
    /// Greet again when the present talk is over.
    again: bool,
    pause: Duration,
    away_since: Option<Instant>,
    awaited_since: Option<Instant>,
    /// The earliest time at which a probe may clear the peer.
    shunned_until: Option<Instant>,
}

impl ProbeSchedule {
    /// A peer that has not been contacted yet. It is due at once.
    pub(crate) fn new(now: Instant) -> ProbeSchedule {
        ProbeSchedule {
            next: now,
            greeted: None,
            busy: false,
            again: false,
            pause: SOON,
            away_since: None,
            awaited_since: None,
            shunned_until: None,
        }
    }

    /// The time at which the next talk is due; `None` while one is under way.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.busy).then_some(self.next)
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Begins a talk; returns false if none is due.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|next| next <= now);
        if due {
            self.busy = true;
            self.again = false;
            self.greeted = Some(now);
        }
        due
    }

    /// Whether this node has waited for the peer for `timeout`, and the peer was silent all that
    /// time. Earlier silence does not count, because the node was not asking then.
    pub(crate) fn is_silent(&self, now: Instant, timeout: Duration) -> bool {
        let silent = self.away_since.zip(self.awaited_since);
        silent.is_some_and(|(away, awaited)| now >= away.max(awaited) + timeout)
    }

    /// Records whether this node waits for the peer.
    pub(crate) fn awaited(&mut self, now: Instant, awaited: bool) {
        if awaited {
            self.awaited_since.get_or_insert(now);
        } else {
            self.awaited_since = None;
        }
    }

    /// Records a heartbeat other than an answer to a handshake.
    pub(crate) fn is_alive(&mut self) {
        self.away_since = None;
    }

    /// Starts the measurement again after this node itself was paused: it cannot know how long the
    /// peer was silent.
    pub(crate) fn start_over(&mut self, now: Instant) {
        self.away_since = None;
        self.awaited_since = None;
        self.next = now;
    }

    /// Schedules a talk for this time, because there is something to send or to learn. If a talk is
    /// under way, schedules another after it.
    pub(crate) fn hasten(&mut self, at: Instant) {
        self.next = at;
        self.again = self.busy;
        self.pause = SOON;
    }

    /// Does the same as [`ProbeSchedule::hasten`], on a hint.
    pub(crate) fn hinted(&mut self, now: Instant) {
        self.hasten(self.soonest(now));
    }

    /// The earliest time at which a hint may lead to the next handshake.
    fn soonest(&self, now: Instant) -> Instant {
        self.greeted.map_or(now, |greeted| now.max(greeted + HINTED))
    }

    /// Records that the peer did not answer requests. If requests timed out, an answer to a
    /// handshake clears the peer only after a while.
    pub(crate) fn failed(&mut self, now: Instant, timed_out: bool) {
        if timed_out {
            self.shunned_until = Some(now + PROBE);
        }
        self.next = self.next.min(now + if timed_out { PROBE } else { SOON });
    }

    /// Records an answer to a handshake. Returns false if that does not clear the peer yet; the
    /// talk is then over.
    pub(crate) fn answered(&mut self, now: Instant) -> bool {
        self.away_since = None;
        match self.shunned_until.filter(|until| now < *until) {
            Some(until) => {
                self.next = until;
                self.busy = false;
                false
            }
            None => {
                self.shunned_until = None;
                true
            }
        }
    }

    /// Ends a talk when nothing more is wanted of the peer, except its next answer if `waiting`.
    pub(crate) fn rest(&mut self, now: Instant, waiting: bool) {
        self.busy = false;
        if self.again {
            self.again = false;
            self.next = self.soonest(now);
        } else if waiting {
            self.next = now + self.pause;
            self.pause = (self.pause * 2).min(SOON_LATEST);
        } else {
            self.pause = SOON;
            self.next = now + CALM;
        }
    }

    /// Records that the peer did not answer a handshake. A peer that will soon be declared failed
    /// is probed before that.
    pub(crate) fn unanswered(&mut self, now: Instant, refused: bool, give_up: Duration) {
        self.busy = false;
        self.again = false;
        self.away_since.get_or_insert(now);
        self.next = now + if refused { REFUSED } else { PROBE.min(give_up / 2) };
    }

    /// Records that the peer answered over an old connection, but that a new connection failed.
    pub(crate) fn unreached(&mut self, now: Instant, give_up: Duration) {
        self.busy = false;
        self.again = false;
        self.next = now + PROBE.min(give_up / 2);
    }

    /// Records that the peer was asked for rings. It is greeted again at once, or later if it did
    /// not send them.
    pub(crate) fn pulled(&mut self, now: Instant, given: bool) {
        self.busy = false;
        self.next = if given { now } else { now + PROBE };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins the next talk when it is due, and returns how long after `now` that is.
    fn begin(it: &mut ProbeSchedule, now: Instant) -> Duration {
        let due = it.due().unwrap();
        assert!(it.begin(due.max(now)) && it.is_busy() && it.due().is_none());
        due.saturating_duration_since(now)
    }

    #[test]
    fn one_in_order_is_greeted_now_and_then_and_one_waited_for_ever_less_often() {
        let now = Instant::now();
        let mut it = ProbeSchedule::new(now);
        assert_eq!(begin(&mut it, now), Duration::ZERO);
        assert!(!it.begin(now + CALM), "one talk at a time");
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert!(it.answered(now));
            it.rest(now, true);
            pauses.push(begin(&mut it, now));
        }
        assert_eq!(pauses[..3], [SOON, SOON * 2, SOON * 4]);
        assert_eq!(pauses[7..], [SOON_LATEST; 2]);
        it.rest(now, false);
        assert_eq!(begin(&mut it, now), CALM);
        it.rest(now, true);
        assert_eq!(begin(&mut it, now), SOON, "what is waited for anew is greeted soon");
    }

    #[test]
    fn a_hint_during_a_talk_leads_to_one_more() {
        let now = Instant::now();
        let mut it = ProbeSchedule::new(now);
        begin(&mut it, now);
        it.hinted(now);
        it.rest(now, false);
        assert_eq!(begin(&mut it, now), HINTED, "hints do not make a node greet without end");
        it.rest(now, false);
        assert_eq!(begin(&mut it, now), CALM);
    }

    #[test]
    fn one_that_let_requests_time_out_is_not_cleared_by_an_answer_at_once() {
        let now = Instant::now();
        let mut it = ProbeSchedule::new(now);
        begin(&mut it, now);
        it.failed(now, true);
        assert!(!it.answered(now));
        assert_eq!(begin(&mut it, now), PROBE);
        assert!(it.answered(now + PROBE));
    }

    #[test]
    fn silence_counts_from_the_first_greeting_without_an_answer() {
        let (now, timeout) = (Instant::now(), PROBE);
        let mut it = ProbeSchedule::new(now);
        it.awaited(now, true);
        begin(&mut it, now);
        assert!(!it.is_silent(now + timeout, timeout));
        it.unanswered(now, false, timeout);
        assert_eq!(begin(&mut it, now), timeout / 2);
        it.unanswered(now + timeout / 2, true, timeout);
        assert!(it.is_silent(now + timeout, timeout));
        assert_eq!(begin(&mut it, now + timeout / 2), REFUSED);
        it.answered(now + timeout);
        assert!(!it.is_silent(now + timeout, timeout));
    }

    #[test]
    fn silence_counts_from_the_moment_that_the_peer_is_waited_for_at_the_earliest() {
        let (now, timeout) = (Instant::now(), PROBE);
        let mut it = ProbeSchedule::new(now);
        begin(&mut it, now);
        it.unanswered(now, false, timeout);
        let change = now + timeout * 10;
        assert!(!it.is_silent(change, timeout), "nobody waits");
        it.awaited(change, true);
        assert!(!it.is_silent(change, timeout));
        it.awaited(change + timeout / 2, true);
        assert!(it.is_silent(change + timeout, timeout));
        it.is_alive();
        assert!(!it.is_silent(change + timeout, timeout));
    }
}
