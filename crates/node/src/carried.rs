//! What a connection keeps of an unfinished request while it waits for the rest.
//!
//! Most of it is a few bytes, which the next read finds in front of its own. A line of many keys may have
//! mebibytes: it grows where it is, and only what is new is looked at, so that a line costs the same in
//! however many pieces it arrives. What is large is taken from the allowance that arriving values share,
//! and given back when it goes.

use std::sync::Arc;

use bytes::BufMut;
use bytes::buf::Limit;
use ringbinder_protocol::longest_line;

use crate::input::{BUFFER_LEN, Input, SMALL_VALUE};
use crate::shared::{Reservation, Shared};

/// An unfinished request.
#[derive(Debug)]
pub(crate) enum Carried {
    /// A few bytes.
    Short(Vec<u8>),
    /// A line and the beginning of a small value.
    Begun(Reserved),
    /// The beginning of a long line.
    Line(Reserved),
    /// There was no room for it.
    NoRoom,
}

/// Bytes that are taken from the common allowance.
#[derive(Debug)]
pub(crate) struct Reserved {
    bytes: Vec<u8>,
    reservation: Reservation,
}

impl Carried {
    /// Keeps bytes, if there is room for them.
    pub(crate) fn keep(bytes: &[u8], shared: &Arc<Shared>) -> Carried {
        if bytes.len() <= SMALL_VALUE {
            return Carried::Short(bytes.to_vec());
        }
        let Some(reservation) = Reservation::take(shared, bytes.len()) else {
            return Carried::NoRoom;
        };
        let kept = Reserved { bytes: bytes.to_vec(), reservation };
        if memchr::memchr(b'\n', bytes).is_none() {
            Carried::Line(kept)
        } else {
            Carried::Begun(kept)
        }
    }

    /// Whether the request's line is whole: then it is a value that is waited for.
    pub(crate) fn has_line(&self) -> bool {
        match self {
            Carried::Short(bytes) => memchr::memchr(b'\n', bytes).is_some(),
            Carried::Begun(_) => true,
            Carried::Line(_) | Carried::NoRoom => false,
        }
    }

    /// The bytes; `None` where there was no room.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Carried::Short(bytes) => Some(bytes),
            Carried::Begun(kept) | Carried::Line(kept) => Some(&kept.bytes),
            Carried::NoRoom => None,
        }
    }
}

impl Reserved {
    /// Room to read more of a line into; `None` where the allowance has none.
    pub(crate) fn room(&mut self) -> Option<Limit<&mut Vec<u8>>> {
        let room = self.bytes.capacity() - self.bytes.len();
        if room > 0 {
            return Some((&mut self.bytes).limit(room));
        }
        // Twice as much each time, so that a line is not copied again and again, but no more than it may
        // have.
        let most = longest_line(&self.bytes) + BUFFER_LEN;
        let wanted = (2 * self.bytes.len()).max(BUFFER_LEN).min(most);
        let more = wanted.saturating_sub(self.bytes.len()).max(SMALL_VALUE);
        if !self.reservation.grow(more) {
            return None;
        }
        self.bytes.reserve_exact(more);
        Some((&mut self.bytes).limit(more))
    }

    /// Whether there is more to it than to wait for its end, now that `new` bytes were read.
    pub(crate) fn is_done(&self, new: usize) -> bool {
        let known = self.bytes.len() - new;
        memchr::memchr(b'\n', &self.bytes[known..]).is_some()
            || self.bytes.len() > longest_line(&self.bytes) + 1
    }

    /// The whole line, and what follows it, as read.
    pub(crate) fn into_input(self) -> Input {
        Input::holding(self.bytes, self.reservation)
    }
}
