//! The waiters for memory, and the order in which they get it.
//!
//! Arriving data is served in the order in which it began. The first takes all that it needs until
//! it is complete, so it cannot happen that many hold a part each and none finishes. If the first
//! cannot continue within the bound, it alone may exceed the bound. If it stalls there, the next
//! one may.
//!
//! Requests that were not begun hold no memory: all of them continue as soon as there is room.
//!
//! This module does no I/O and reads no clock: every method takes the time.

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// The time without taking memory after which the one that may exceed the bound has stalled, so
/// that another one may exceed it.
pub(super) const STALLED: Duration = Duration::from_millis(500);

/// The object of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// The start of a new request.
    Turn {
        /// The number of the connection.
        connection: u32,
    },
    /// Memory for arriving data.
    Bytes {
        /// Its number in the order of beginning, among all arriving data.
        number: u64,
        /// The number of bytes.
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

/// Arriving data that may exceed the bound.
#[derive(Clone, Copy, Debug)]
struct Beyond {
    number: u64,
    /// The time at which it last took memory.
    since: Instant,
}

impl Line {
    /// The number of waiters.
    pub(super) fn len(&self) -> usize {
        self.turns.len() + self.arriving.len()
    }

    /// Whether a connection waits to begin a new request.
    pub(super) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The bytes that the first of the arriving waits for.
    pub(super) fn first(&self) -> Option<u64> {
        match self.arriving.first()? {
            (Want::Bytes { bytes, .. }, _) => Some(*bytes),
            (Want::Turn { .. }, _) => None,
        }
    }

    /// Adds a waiter or changes what it waits for. Returns true if it did not wait before.
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

    /// Removes a waiter.
    pub(super) fn remove(&mut self, want: Want) {
        self.places(want).retain(|(other, _)| !other.is_of(want));
    }

    fn places(&mut self, want: Want) -> &mut Vec<(Want, Waker)> {
        match want {
            Want::Turn { .. } => &mut self.turns,
            Want::Bytes { .. } => &mut self.arriving,
        }
    }

    /// Whether no waiter began earlier.
    pub(super) fn is_next(&self, number: u64) -> bool {
        !self.arriving.iter().any(|(want, _)| match *want {
            Want::Bytes { number: other, .. } => other < number,
            Want::Turn { .. } => false,
        })
    }

    /// Whether this one may exceed the bound. If so, records that it is not stalled.
    pub(super) fn is_beyond(&mut self, number: u64, now: Instant) -> bool {
        match &mut self.beyond {
            Some(beyond) if beyond.number == number => {
                beyond.since = now;
                true
            }
            _ => false,
        }
    }

    /// Records that it no longer arrives. Returns true if it was the one that may exceed the bound.
    pub(super) fn end(&mut self, number: u64) -> bool {
        self.remove(Want::Bytes { number, bytes: 0 });
        let was_beyond = self.beyond.is_some_and(|beyond| beyond.number == number);
        if was_beyond {
            self.beyond = None;
        }
        was_beyond
    }

    /// Wakes all that wait to begin a new request.
    pub(super) fn wake_turns(&mut self) {
        self.turns.drain(..).for_each(|(_, waker)| waker.wake());
    }

    /// Wakes arriving data for which there is room, in order. Returns true if some still wait.
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

    /// Lets the first exceed the bound if no other one does, or if the other one has stalled and
    /// its memory may count (`has_room`). Returns true if it replaced such a one.
    pub(super) fn let_beyond(&mut self, has_room: bool, now: Instant) -> bool {
        let stalled = match self.beyond {
            Some(beyond) if !has_room || now < beyond.since + STALLED => return false,
            other => other,
        };
        let Some((Want::Bytes { number, .. }, waker)) = self.arriving.first() else { return false };
        self.beyond = Some(Beyond { number: *number, since: now });
        waker.wake_by_ref();
        stalled.is_some_and(|beyond| beyond.number != *number)
    }
}
