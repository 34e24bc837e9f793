//! The part of an unfinished request that a connection keeps while it waits for the rest.
//!
//! Usually it is a few bytes, which the next read puts before its own. A line of many keys may have
//! mebibytes: it grows in place, and only the new bytes are examined, so that a line costs the same
//! in however many pieces it arrives. All of it counts as connection memory.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BufMut;
use bytes::buf::Limit;
use ringbinder_protocol::longest_line;
use tokio::time::Instant;

use crate::memory::{Arrival, Charge, ConnectionMemory};
use crate::net::input::{BUFFER_LEN, Input, SMALL_VALUE};

/// An unfinished request.
#[derive(Debug)]
pub(crate) enum Carried {
    /// A few bytes, or a line and the beginning of a small value.
    Begun(Counted),
    /// The beginning of a long line.
    Line(Counted, Arrival),
}

/// Bytes and their charge.
#[derive(Debug)]
pub(crate) struct Counted {
    bytes: Vec<u8>,
    charge: Charge,
    /// Whether the last read found no more data.
    pub(crate) drained: bool,
}

impl Carried {
    /// Keeps bytes.
    pub(crate) fn keep(bytes: &[u8], memory: &Arc<ConnectionMemory>) -> Carried {
        let charge = Charge::of(bytes.len(), memory);
        let kept = Counted { bytes: bytes.to_vec(), charge, drained: false };
        if bytes.len() > SMALL_VALUE && memchr::memchr(b'\n', bytes).is_none() {
            Carried::Line(kept, Arrival::begin(memory))
        } else {
            Carried::Begun(kept)
        }
    }

    /// Whether the request's line is complete, so that it waits for a value.
    pub(crate) fn has_line(&self) -> bool {
        match self {
            Carried::Begun(kept) => memchr::memchr(b'\n', &kept.bytes).is_some(),
            Carried::Line(..) => false,
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Carried::Begun(kept) | Carried::Line(kept, _) => &kept.bytes,
        }
    }
}

impl Counted {
    /// The bytes that it occupies.
    pub(crate) fn held(&self) -> u64 {
        self.charge.bytes()
    }

    /// Waits for the memory to read more of a line.
    pub(crate) fn poll_room(
        &mut self,
        arrival: &mut Arrival,
        now: Instant,
        context: &Context<'_>,
    ) -> Poll<()> {
        if self.bytes.len() < self.bytes.capacity() {
            return Poll::Ready(());
        }
        // Twice as much each time, so that a line is not copied again and again, but no more than
        // the longest line.
        let most = longest_line(&self.bytes) + BUFFER_LEN;
        let wanted = (2 * self.bytes.len()).max(BUFFER_LEN).min(most);
        let more = wanted.saturating_sub(self.bytes.len()).max(SMALL_VALUE);
        std::task::ready!(arrival.poll_grow(self.held(), more as u64, now, context));
        self.bytes.reserve_exact(more);
        self.charge.set(self.bytes.capacity() as u64);
        Poll::Ready(())
    }

    /// The room to read more of a line, once there is some.
    pub(crate) fn room(&mut self) -> Limit<&mut Vec<u8>> {
        let room = self.bytes.capacity() - self.bytes.len();
        (&mut self.bytes).limit(room)
    }

    /// Whether the line is complete or too long, after `new` more bytes were read.
    pub(crate) fn is_done(&self, new: usize) -> bool {
        let known = self.bytes.len() - new;
        memchr::memchr(b'\n', &self.bytes[known..]).is_some()
            || self.bytes.len() > longest_line(&self.bytes) + 1
    }

    /// The whole line and the data after it, as read.
    pub(crate) fn into_input(self) -> Input {
        Input::holding(self.bytes, self.charge)
    }
}
