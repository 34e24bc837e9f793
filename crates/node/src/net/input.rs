//! The read buffer that a connection holds while it works, and the part that it keeps while it
//! waits.
//!
//! Buffers belong to the worker, which lends them to connections that have input. Only the bytes of
//! an unfinished request stay with the connection.

use crate::memory::Charge;
use crate::process::clock::Nanos;

/// The size of a borrowed buffer in bytes. One read takes at most this much.
pub(crate) const BUFFER_LEN: usize = 64 * 1024;

/// Values up to this many bytes pass through buffers together with their lines. Larger values go
/// directly between the socket and memory of their own.
pub(crate) const SMALL_VALUE: usize = 4 * 1024;

/// A read buffer: bytes `start..end` are read and not consumed.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The time at which the last read ended; 0 if it was not measured.
    pub(crate) read_at: Nanos,
    /// The progress of the request at the front, if it is answered in pieces.
    pub(crate) paused: Option<Paused>,
    /// The charge for the bytes, if they are the connection's own.
    charge: Option<Charge>,
}

/// A request that is answered in pieces, between two pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paused {
    /// The length of its line in bytes, line end included.
    pub(crate) line: usize,
    /// The bytes of its keys that have been processed.
    pub(crate) done: usize,
}

impl Input {
    pub(crate) fn new() -> Self {
        Input::of(vec![0; BUFFER_LEN], 0)
    }

    /// A buffer without memory, in place of one that was returned.
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

    /// The bytes that were read and not consumed.
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

    /// Puts bytes into the empty buffer, and grows it if they and one more read would not fit.
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
    pub(crate) fn is_borrowed(&self) -> bool {
        self.bytes.len() == BUFFER_LEN && self.charge.is_none()
    }

    /// Bytes of memory that it takes and that are not counted yet.
    pub(crate) fn uncounted(&self) -> usize {
        if self.charge.is_some() { 0 } else { self.bytes.capacity() }
    }

    /// Moves the bytes that were read and not consumed into a buffer of exactly that size. `self`
    /// is empty afterwards.
    pub(crate) fn move_out(&mut self) -> Input {
        let unread = self.unread().to_vec();
        let end = unread.len();
        let moved = Input { read_at: self.read_at, paused: self.paused, ..Input::of(unread, end) };
        self.consume(end);
        moved
    }

    /// Drops all bytes. Returns false if the buffer has grown beyond the size worth keeping.
    pub(crate) fn reset(&mut self) -> bool {
        self.start = 0;
        self.end = 0;
        self.paused = None;
        self.is_borrowed()
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
