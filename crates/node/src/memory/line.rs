//! Who waits for memory, and in which order it goes out.
//!
//! What arrives is served in the order in which it began: who is first takes all that it needs until it
//! is complete, so there is never a crowd of which each holds a part and none finishes. Where the first
//! cannot go on within the bound, it alone may go beyond. If it stalls there, the next one may.
//!
//! Requests that were not begun hold nothing: all of them go on as soon as there is room.
//!
//! No I/O and no clock here: every method is told the time.

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// How long one that may go beyond the bound may take no more memory before another one may.
pub(super) const STALLED: Duration = Duration::from_millis(500);

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// To begin something new.
    Turn {
        /// The number of the connection.
        connection: u32,
    },
    /// So many bytes for what is arriving.
    Bytes {
        /// When it began, among all that arrive.
        number: u64,
        /// How many.
        bytes: u64,
    },
}

impl Want {
    fn is_of(self, other: Want) -> bool {
        match (self, other) {
            (Want::Turn { connection }, Want::Turn { connection: other }) => connection == other,
            (Want::Bytes { number, .. }, Want::Bytes { number: other, .. }) => number == other,
            _ => false,
        }
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Line {
    turns: Vec<(Want, Waker)>,
    /// In the order of their numbers.
    arriving: Vec<(Want, Waker)>,
    beyond: Option<Beyond>,
}

/// One that may go beyond the bound.
#[derive(Clone, Copy, Debug)]
struct Beyond {
    number: u64,
    /// When it last took memory.
    since: Instant,
}

impl Line {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.turns.len() + self.arriving.len()
    }

    /// Whether anybody waits to begin something new.
    pub(super) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// What the first of those that arrive waits for.
    pub(super) fn first(&self) -> Option<u64> {
        match self.arriving.first()? {
            (Want::Bytes { bytes, .. }, _) => Some(*bytes),
            (Want::Turn { .. }, _) => None,
        }
    }

    /// Waits, or goes on waiting for something else. True where it did not wait before.
    pub(super) fn wait(&mut self, want: Want, waker: &Waker) -> bool {
        let places = self.places(want);
        match places.iter_mut().find(|(other, _)| other.is_of(want)) {
            Some(place) => {
                place.0 = want;
                place.1.clone_from(waker);
                false
            }
            None => {
                places.push((want, waker.clone()));
                places.sort_by_key(|(want, _)| match *want {
                    Want::Turn { .. } => 0,
                    Want::Bytes { number, .. } => number,
                });
                true
            }
        }
    }

    /// Waits no more.
    pub(super) fn remove(&mut self, want: Want) {
        self.places(want).retain(|(other, _)| !other.is_of(want));
    }

    fn places(&mut self, want: Want) -> &mut Vec<(Want, Waker)> {
        match want {
            Want::Turn { .. } => &mut self.turns,
            Want::Bytes { .. } => &mut self.arriving,
        }
    }

    /// Whether nobody who began earlier waits.
    pub(super) fn is_next(&self, number: u64) -> bool {
        !self.arriving.iter().any(|(want, _)| match *want {
            Want::Bytes { number: other, .. } => other < number,
            Want::Turn { .. } => false,
        })
    }

    /// Whether this one may go beyond the bound, and does so now.
    pub(super) fn is_beyond(&mut self, number: u64, now: Instant) -> bool {
        match &mut self.beyond {
            Some(beyond) if beyond.number == number => {
                beyond.since = now;
                true
            }
            _ => false,
        }
    }

    /// It arrives no more. True where it was the one that may go beyond the bound.
    pub(super) fn end(&mut self, number: u64) -> bool {
        self.remove(Want::Bytes { number, bytes: 0 });
        let was_beyond = self.beyond.is_some_and(|beyond| beyond.number == number);
        if was_beyond {
            self.beyond = None;
        }
        was_beyond
    }

    /// Wakes all who wait to begin something new.
    pub(super) fn wake_turns(&mut self) {
        self.turns.drain(..).for_each(|(_, waker)| waker.wake());
    }

    /// Wakes those that arrive for which there is room, the first ones first. True if some still wait.
    pub(super) fn wake_arriving(&mut self, mut room: u64) -> bool {
        for (want, waker) in &self.arriving {
            let Want::Bytes { bytes, .. } = *want else { continue };
            if bytes > room {
                return true;
            }
            room -= bytes;
            waker.wake_by_ref();
        }
        false
    }

    /// Lets the first go beyond the bound, if no other one does, or one that has stalled and whose memory
    /// may count (`has_room`). True if it took the place of such a one.
    pub(super) fn let_beyond(&mut self, has_room: bool, now: Instant) -> bool {
        let stalled = match self.beyond {
            Some(beyond) if !has_room || now < beyond.since + STALLED => return false,
            other => other,
        };
        let Some((Want::Bytes { number, .. }, waker)) = self.arriving.first() else {
            return false;
        };
        self.beyond = Some(Beyond { number: *number, since: now });
        waker.wake_by_ref();
        stalled.is_some_and(|beyond| beyond.number != *number)
    }
}
