//! When a peer is greeted next.
//!
//! One that is in order is greeted now and then; one that is waited for, soon and ever less often;
//! one that does not answer is probed. At any moment at most one talk with a peer is under way.
//! There is no clock here: every method is told the time.

use std::time::Duration;

use tokio::time::Instant;

/// Between greetings of a peer that is in order.
pub(super) const CALM: Duration = Duration::from_secs(5);

/// Between probes of a peer that does not answer requests.
pub(super) const PROBE: Duration = Duration::from_secs(1);

/// Between probes of an address where nothing listens, which is told at once.
const REFUSED: Duration = Duration::from_millis(200);

/// Between greetings of a peer that is waited for: from, doubling, up to.
const SOON: Duration = Duration::from_millis(5);
const SOON_LATEST: Duration = Duration::from_millis(500);

/// Shortest time between two greetings that others ask for: strangers may hint as often as they like.
pub(super) const HINTED: Duration = Duration::from_millis(20);

/// What the keeper remembers of a peer.
#[derive(Debug)]
pub(super) struct Acquaintance {
    next: Instant,
    greeted: Option<Instant>,
    busy: bool,
    /// Greet once more when the present talk is over.
    again: bool,
    pause: Duration,
    away_since: Option<Instant>,
    awaited_since: Option<Instant>,
    /// No probe is to clear the peer before.
    shunned_until: Option<Instant>,
}

impl Acquaintance {
    /// A peer that was never talked to: it is due.
    pub(super) fn new(now: Instant) -> Acquaintance {
        Acquaintance {
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

    /// When the next talk is due; `None` while one is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.busy).then_some(self.next)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Begins a talk; false where none is due.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|next| next <= now);
        if due {
            self.busy = true;
            self.again = false;
            self.greeted = Some(now);
        }
        due
    }

    /// Whether the peer has been silent for so long while it was waited for. Silence from before does
    /// not count: what a node gets no answer to then, it has not asked.
    pub(super) fn is_silent(&self, now: Instant, patience: Duration) -> bool {
        let silent = self.away_since.zip(self.awaited_since);
        silent.is_some_and(|(away, awaited)| now >= away.max(awaited) + patience)
    }

    /// Records whether the peer is waited for.
    pub(super) fn awaited(&mut self, now: Instant, awaited: bool) {
        if awaited {
            self.awaited_since.get_or_insert(now);
        } else {
            self.awaited_since = None;
        }
    }

    /// The peer gave a sign of life in another way than by answering a greeting.
    pub(super) fn is_alive(&mut self) {
        self.away_since = None;
    }

    /// This node itself was silent: how long the peer was, nobody knows.
    pub(super) fn start_over(&mut self, now: Instant) {
        self.away_since = None;
        self.awaited_since = None;
        self.next = now;
    }

    /// There is something to tell or to hear: a talk is due at this time, or one more after the
    /// present one.
    pub(super) fn hasten(&mut self, at: Instant) {
        self.next = at;
        self.again = self.busy;
        self.pause = SOON;
    }

    /// As [`Acquaintance::hasten`], on a hint.
    pub(super) fn hinted(&mut self, now: Instant) {
        self.hasten(self.soonest(now));
    }

    /// When a hint may lead to the next greeting.
    fn soonest(&self, now: Instant) -> Instant {
        self.greeted.map_or(now, |greeted| now.max(greeted + HINTED))
    }

    /// The peer did not answer requests. Where it let them time out, that it answers greetings
    /// clears it only after a while.
    pub(super) fn failed(&mut self, now: Instant, timed_out: bool) {
        if timed_out {
            self.shunned_until = Some(now + PROBE);
        }
        self.next = self.next.min(now + if timed_out { PROBE } else { SOON });
    }

    /// It answered a greeting. False where that does not clear it yet, and the talk is over.
    pub(super) fn answered(&mut self, now: Instant) -> bool {
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

    /// A talk is over and nothing more is wanted of the peer, but for its next word where `waiting`.
    pub(super) fn rest(&mut self, now: Instant, waiting: bool) {
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

    /// It did not answer a greeting. One that is to be given up before long is probed in time for
    /// that.
    pub(super) fn unanswered(&mut self, now: Instant, refused: bool, give_up: Duration) {
        self.busy = false;
        self.again = false;
        self.away_since.get_or_insert(now);
        self.next = now + if refused { REFUSED } else { PROBE.min(give_up / 2) };
    }

    /// It answered over an old connection, and a new one could not be made.
    pub(super) fn unreached(&mut self, now: Instant, give_up: Duration) {
        self.busy = false;
        self.again = false;
        self.next = now + PROBE.min(give_up / 2);
    }

    /// It was asked for rings; greet it again at once, or later where it did not give them.
    pub(super) fn pulled(&mut self, now: Instant, given: bool) {
        self.busy = false;
        self.next = if given { now } else { now + PROBE };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins the next talk when it is due, and tells how long after `now` that is.
    fn begin(it: &mut Acquaintance, now: Instant) -> Duration {
        let due = it.due().unwrap();
        assert!(it.begin(due.max(now)) && it.is_busy() && it.due().is_none());
        due.saturating_duration_since(now)
    }

    #[test]
    fn one_in_order_is_greeted_now_and_then_and_one_waited_for_ever_less_often() {
        let now = Instant::now();
        let mut it = Acquaintance::new(now);
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
        let mut it = Acquaintance::new(now);
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
        let mut it = Acquaintance::new(now);
        begin(&mut it, now);
        it.failed(now, true);
        assert!(!it.answered(now));
        assert_eq!(begin(&mut it, now), PROBE);
        assert!(it.answered(now + PROBE));
    }

    #[test]
    fn silence_counts_from_the_first_greeting_without_an_answer() {
        let (now, patience) = (Instant::now(), PROBE);
        let mut it = Acquaintance::new(now);
        it.awaited(now, true);
        begin(&mut it, now);
        assert!(!it.is_silent(now + patience, patience));
        it.unanswered(now, false, patience);
        assert_eq!(begin(&mut it, now), patience / 2);
        it.unanswered(now + patience / 2, true, patience);
        assert!(it.is_silent(now + patience, patience));
        assert_eq!(begin(&mut it, now + patience / 2), REFUSED);
        it.answered(now + patience);
        assert!(!it.is_silent(now + patience, patience));
    }

    #[test]
    fn silence_counts_from_the_moment_that_the_peer_is_waited_for_at_the_earliest() {
        let (now, patience) = (Instant::now(), PROBE);
        let mut it = Acquaintance::new(now);
        begin(&mut it, now);
        it.unanswered(now, false, patience);
        let change = now + patience * 10;
        assert!(!it.is_silent(change, patience), "nobody waits");
        it.awaited(change, true);
        assert!(!it.is_silent(change, patience));
        it.awaited(change + patience / 2, true);
        assert!(it.is_silent(change + patience, patience));
        it.is_alive();
        assert!(!it.is_silent(change + patience, patience));
    }
}
