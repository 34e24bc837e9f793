//! The process that a node accepts at the address of a peer.
//!
//! The first process that answers there is accepted. Another process is accepted only after the
//! first is *gone*: it closed its connection, reported that it stood down, or was silent for as
//! long as peers are waited for. Until then the other process is a *rival*. A node reports the
//! accepted process to every process that greets under that name, and no process serves under a
//! name for which a peer accepts another process. So two processes under one name never both have
//! the consent of all peers ([`super::identity`]).
//!
//! This module does no I/O and reads no clock: every method takes the time.

use std::time::Duration;

use ringbinder_protocol::{Instance, Standing};
use tokio::time::Instant;

/// The change that an answer from an address made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// No change.
    Nothing,
    /// The first process is accepted.
    Accepted,
    /// Another process is accepted, in place of one that is gone.
    Replaced,
    /// A process answers there while another one is accepted.
    Rivalled,
}

/// The processes at one address.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    process: Option<Instance>,
    /// The accepted process has stopped serving under this name, or has ended.
    gone: bool,
    /// The time since which the accepted process does not answer.
    silent_since: Option<Instant>,
    /// Another process that answers at the address, or claims its name.
    rival: Option<Instance>,
}

impl Accepted {
    /// The accepted process, unless it is gone.
    pub(crate) fn process(&self) -> Option<Instance> {
        self.process.filter(|_| !self.gone)
    }

    /// Whether the accepted process gave no answer when it was last asked.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent_since.is_some()
    }

    /// Another process that answers at the address.
    pub(crate) fn rival(&self) -> Option<Instance> {
        self.rival
    }

    /// Records that a new connection reached this process.
    pub(crate) fn reached(&mut self, instance: Instance) -> Change {
        let before = self.process;
        if before.is_none_or(|before| before == instance || self.gone) {
            *self = Accepted { process: Some(instance), ..Accepted::default() };
            return match before {
                None => Change::Accepted,
                Some(before) if before == instance => Change::Nothing,
                Some(_) => Change::Replaced,
            };
        }
        let news = self.rival != Some(instance);
        self.rival = Some(instance);
        if news { Change::Rivalled } else { Change::Nothing }
    }

    /// Records that the accepted process answered over the connection that it has kept.
    pub(crate) fn answered(&mut self, standing: Option<Standing>) {
        self.silent_since = None;
        if standing == Some(Standing::Replaced) {
            self.gone = true;
        }
    }

    /// Records that the accepted process closed its connection.
    pub(crate) fn closed(&mut self) {
        self.gone = true;
    }

    /// Records that the accepted process did not answer and gave no heartbeat either.
    pub(crate) fn unanswered(&mut self, now: Instant) {
        self.silent_since.get_or_insert(now);
    }

    /// Records a heartbeat of the accepted process.
    pub(crate) fn is_alive(&mut self) {
        self.silent_since = None;
    }

    /// Checks the time limit. Returns true if this call declared the accepted process failed,
    /// because another process answers in its place.
    pub(crate) fn turn(&mut self, now: Instant, give_up: Duration) -> bool {
        let silent = self.silent_since.is_some_and(|since| now >= since + give_up);
        let failed = silent && self.rival.is_some() && !self.gone;
        self.gone |= failed;
        failed
    }

    /// Whether the accepted process has ended, or has stopped serving under this name.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Instance = Instance(1);
    const NEW: Instance = Instance(2);

    fn with_rival() -> Accepted {
        let mut accepted = Accepted::default();
        assert_eq!(accepted.reached(OLD), Change::Accepted);
        assert_eq!(accepted.reached(OLD), Change::Nothing);
        assert_eq!(accepted.reached(NEW), Change::Rivalled);
        assert_eq!(accepted.reached(NEW), Change::Nothing);
        assert_eq!((accepted.process(), accepted.rival()), (Some(OLD), Some(NEW)));
        accepted
    }

    #[test]
    fn a_rival_is_accepted_once_the_old_process_is_gone() {
        let now = Instant::now();
        let timeout = Duration::from_secs(2);
        let ways: [fn(&mut Accepted, Instant); 3] = [
            |accepted, _| accepted.closed(),
            |accepted, _| accepted.answered(Some(Standing::Replaced)),
            |accepted, now| accepted.unanswered(now),
        ];
        for (number, way) in ways.into_iter().enumerate() {
            let mut accepted = with_rival();
            way(&mut accepted, now);
            assert_eq!(accepted.turn(now + timeout, timeout), number == 2);
            assert_eq!(accepted.process(), None, "way {number}");
            assert_eq!(accepted.reached(NEW), Change::Replaced);
            assert_eq!((accepted.process(), accepted.rival()), (Some(NEW), None));
        }
    }

    #[test]
    fn a_process_that_lives_keeps_its_place() {
        let now = Instant::now();
        let timeout = Duration::from_secs(2);
        let mut accepted = with_rival();
        accepted.unanswered(now);
        accepted.is_alive();
        accepted.unanswered(now + timeout / 2);
        assert!(!accepted.turn(now + timeout, timeout));
        accepted.answered(Some(Standing::Confirmed));
        assert!(!accepted.turn(now + timeout * 9, timeout));
        assert_eq!(accepted.reached(NEW), Change::Nothing);
        assert_eq!(accepted.process(), Some(OLD));
        assert_eq!(accepted.reached(OLD), Change::Nothing);
        assert_eq!(accepted.rival(), None, "the address leads to it again");
    }
}
