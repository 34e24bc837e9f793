//! The read buffer a connection holds while it works, and what it keeps of it while it waits.
//!
//! Buffers belong to the worker and are lent to whichever connection has something to read. Of an
//! unfinished request only its bytes stay with the connection.

use crate::memory::Charge;
use crate::sampling::Nanos;

/// Bytes of a lent buffer. One read takes at most this much.
pub(crate) const BUFFER_LEN: usize = 64 * 1024;

/// Values up to this many bytes pass through buffers together with their lines; larger ones go
/// between socket and memory of their own.
pub(crate) const SMALL_VALUE: usize = 4 * 1024;

/// A read buffer: bytes `start..end` are read and not consumed.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// When the last read ended; 0 where nobody looked.
    pub(crate) read_at: Nanos,
    /// How far the request at the front is answered, if it is answered in pieces.
    pub(crate) paused: Option<Paused>,
    /// What the bytes take, where they are a connection's own.
    charge: Option<Charge>,
}

/// A request that is answered in pieces, between two of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paused {
    /// Bytes of its line, line end included.
    pub(crate) line: usize,
    /// Bytes of its keys that are dealt with.
    pub(crate) done: usize,
}

impl Input {
    pub(crate) fn new() -> Self {
        Input::of(vec![0; BUFFER_LEN], 0)
    }

    /// A buffer without memory, in place of one given back.
    pub(crate) fn empty() -> Self {
        Input::of(Vec::new(), 0)
    }

    /// A buffer full of bytes that were read elsewhere.
    pub(crate) fn holding(bytes: Vec<u8>, charge: Charge) -> Self {
        let end = bytes.len();
        Input { charge: Some(charge), ..Input::of(bytes, end) }
    }

    fn of(bytes: Vec<u8>, end: usize) -> Self {
        Input { bytes, start: 0, end, read_at: 0, paused: None, charge: None }
    }

    /// What was read and not consumed.
    #[inline]
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    #[inline]
    pub(crate) fn consume(&mut self, len: usize) {
        self.start += len;
        self.paused = None;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Puts bytes into the empty buffer, growing it where they and one more read would not fit.
    #[inline]
    pub(crate) fn load(&mut self, carried: &[u8]) {
        debug_assert!(self.unread().is_empty());
        self.read_at = 0;
        if carried.is_empty() && self.bytes.len() == BUFFER_LEN {
            self.start = 0;
            self.end = 0;
        } else {
            self.load_slowly(carried);
        }
    }

    fn load_slowly(&mut self, carried: &[u8]) {
        let wanted = carried.len() + BUFFER_LEN / 2;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
        self.bytes[..carried.len()].copy_from_slice(carried);
        self.start = 0;
        self.end = carried.len();
    }

    /// Room to read into; never empty after [`Input::load`].
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Records that `len` bytes were read into the room.
    pub(crate) fn filled(&mut self, len: usize) {
        self.end += len;
    }

    /// Whether it is one of the worker's buffers.
    pub(crate) fn is_lent(&self) -> bool {
        self.bytes.len() == BUFFER_LEN && self.charge.is_none()
    }

    /// Bytes that it takes in memory and that are not counted yet.
    pub(crate) fn uncounted(&self) -> usize {
        if self.charge.is_some() { 0 } else { self.bytes.capacity() }
    }

    /// What was read and not consumed, in a buffer of its own that is no longer than that. `self` is
    /// empty afterwards.
    pub(crate) fn move_out(&mut self) -> Input {
        let unread = self.unread().to_vec();
        let end = unread.len();
        let moved = Input { read_at: self.read_at, paused: self.paused, ..Input::of(unread, end) };
        self.consume(end);
        moved
    }

    /// Forgets everything; false where the buffer grew beyond what is worth keeping.
    pub(crate) fn reset(&mut self) -> bool {
        self.start = 0;
        self.end = 0;
        self.paused = None;
        self.is_lent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carried_bytes_come_first_and_reads_behind_them() {
        let mut input = Input::new();
        input.load(b"get ");
        input.room()[..3].copy_from_slice(b"a\r\n");
        input.filled(3);
        assert_eq!(input.unread(), b"get a\r\n");
        input.consume(4);
        assert_eq!(input.unread(), b"a\r\n");
        input.consume(3);
        assert!(input.unread().is_empty());
        assert!(input.reset());
    }

    #[test]
    fn a_long_carry_grows_the_buffer_which_is_then_not_kept() {
        let mut input = Input::new();
        input.load(&vec![b'x'; BUFFER_LEN]);
        assert!(input.room().len() >= BUFFER_LEN / 2);
        assert!(!input.reset());
    }
}
