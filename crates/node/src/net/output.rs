//! Answers that wait to be written: small bytes in one buffer, large values by reference between
//! them, and one vectored write for as much as the socket accepts.
//!
//! Answers that other nodes owe stand in [`super::pending`]. They are inserted before anything is
//! written.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use ringbinder_store::{LargeValue, Piece, ValueRef};

use super::pending::{Destination, ForwardedRequest, Reply, SharedReplies};
use crate::memory::{Charge, ConnectionMemory, HIGH_WATER};
use crate::net::socket::Socket;
use crate::sampling::Timed;

/// The bytes of a buffer that are kept for the next answers. Answers up to [`HIGH_WATER`] and one
/// more fit.
const KEPT: usize = 64 * 1024;

/// The approximate size in bytes of a piece of a long answer.
pub(crate) const PIECE: usize = 32 * 1024;

/// The number of slices passed to one write.
const MAX_SLICES: usize = 64;

/// Texts of at least this many bytes are counted and not copied.
const LARGE_TEXT: usize = 4 * 1024;

/// A text that many answers share.
struct Text(Arc<str>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Bytes that are sent from where they are stored.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// A text, or a value from a peer.
    Bytes(Bytes),
    /// A piece of a value.
    Piece(Piece),
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match self {
            Chunk::Bytes(bytes) => bytes,
            Chunk::Piece(piece) => piece,
        }
    }
}

/// A chunk that goes out after `at` bytes of the buffer.
#[derive(Debug)]
struct Insert {
    at: usize,
    chunk: Chunk,
}

/// The answers of one connection that are not written yet.
#[derive(Debug)]
pub(crate) struct Output {
    /// Answers without the large values.
    pub(crate) bytes: Vec<u8>,
    /// The sampled requests among those answered here.
    pub(crate) timed: Vec<Timed>,
    inserts: Vec<Insert>,
    inserted: usize,
    written: usize,
    pending: SharedReplies,
    /// Whether a reply was pending since `pending` was last emptied. Most outputs never have one.
    had_pending: bool,
    /// When more than this many bytes of answers wait, they are written before more requests are
    /// carried out, so that a client that does not read cannot make the node buffer without bound.
    /// The buffer doubles as it grows: between this mark and twice as much there is room for the
    /// answer that exceeds the mark.
    pub(crate) high_water: usize,
    /// The charge for its memory, while its connection waits.
    charge: Option<Charge>,
    /// The other bytes that its connection holds.
    besides: usize,
}

impl Default for Output {
    fn default() -> Output {
        Output {
            bytes: Vec::new(),
            timed: Vec::new(),
            inserts: Vec::new(),
            inserted: 0,
            written: 0,
            pending: SharedReplies::default(),
            had_pending: false,
            high_water: HIGH_WATER,
            charge: None,
            besides: 0,
        }
    }
}

impl Output {
    /// Reserves this position for the answer of another node; `destination` is as for
    /// `PendingReplies::push`.
    pub(crate) fn add_pending(
        &mut self,
        request: ForwardedRequest<'_>,
        destination: Option<Destination>,
    ) {
        self.pending.borrow_mut().push(self.bytes.len(), request, destination);
        self.had_pending = true;
    }

    /// Whether there are pending replies.
    #[inline]
    pub(crate) fn has_pending(&self) -> bool {
        self.had_pending && !self.pending.borrow().is_empty()
    }

    /// The replies that other nodes owe.
    pub(crate) fn pending_replies(&self) -> &SharedReplies {
        &self.pending
    }

    /// Whether waiting answers must be written, or must arrive, before more requests are carried
    /// out.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.unwritten() > self.high_water || (self.had_pending && self.pending.borrow().is_full())
    }

    /// Inserts the answers of other nodes. Nothing may have been written since the first of them
    /// was pending.
    pub(crate) fn insert_replies(&mut self) {
        debug_assert_eq!(self.written, 0);
        let pending = std::mem::take(&mut self.pending);
        let ours = Output {
            bytes: std::mem::take(&mut self.bytes),
            inserts: std::mem::take(&mut self.inserts),
            ..Output::default()
        };
        self.inserted = 0;
        let mut large = ours.inserts.into_iter().peekable();
        let mut from = 0;
        let mut copy_to = |output: &mut Output, to: usize| {
            while let Some(insert) = large.next_if(|insert| insert.at <= to) {
                output.bytes.extend_from_slice(&ours.bytes[from..insert.at]);
                from = insert.at;
                output.inserted += insert.chunk.as_ref().len();
                output.inserts.push(Insert { at: output.bytes.len(), chunk: insert.chunk });
            }
            output.bytes.extend_from_slice(&ours.bytes[from..to]);
            from = to;
        };
        for Reply { at, key, text, value } in pending.borrow().answers() {
            copy_to(self, at);
            match text {
                Some(text) => self.bytes.extend_from_slice(text),
                None => {
                    self.bytes.extend_from_slice(b"MOVED");
                    if let Some(key) = key {
                        self.bytes.push(b' ');
                        self.bytes.extend_from_slice(key);
                    }
                    self.bytes.extend_from_slice(b"\r\n");
                }
            }
            if let Some(value) = value {
                self.insert(value.clone());
            }
        }
        copy_to(self, ours.bytes.len());
        self.keep_pending(pending);
    }

    /// Appends bytes by reference.
    pub(crate) fn insert(&mut self, bytes: Bytes) {
        self.insert_chunk(Chunk::Bytes(bytes));
    }

    fn insert_chunk(&mut self, chunk: Chunk) {
        self.inserted += chunk.as_ref().len();
        self.inserts.push(Insert { at: self.bytes.len(), chunk });
    }

    /// Appends a large value by reference.
    pub(crate) fn large(&mut self, value: &LargeValue) {
        for piece in value.pieces() {
            self.insert_chunk(Chunk::Piece(piece.clone()));
        }
        self.bytes.extend_from_slice(value.rest());
    }

    /// Counts its memory, and `besides` more bytes, while its connection waits. Pieces of values
    /// are counted separately. Returns all the memory that its connection holds.
    #[cold]
    pub(crate) fn settle(&mut self, besides: usize, memory: &Arc<ConnectionMemory>) -> u64 {
        self.besides = besides;
        self.settle_again(memory)
    }

    /// Does the same as [`Output::settle`], with the same extra bytes as in the last call.
    #[cold]
    pub(crate) fn settle_again(&mut self, memory: &Arc<ConnectionMemory>) -> u64 {
        let inserts = self.inserts.capacity() * size_of::<Insert>();
        let pending = if self.had_pending { self.pending.borrow().memory() } else { 0 };
        let own = (self.bytes.capacity() + inserts + pending + self.besides) as u64;
        self.charge.get_or_insert_with(|| Charge::new(memory)).set(own);
        own + self.inserted as u64
    }

    /// Appends a text, by reference if that costs less than a copy: all clients that ask for it and
    /// do not read then share the same bytes.
    pub(crate) fn text(&mut self, text: Arc<str>) {
        if text.len() < LARGE_TEXT {
            self.bytes.extend_from_slice(text.as_bytes());
        } else {
            self.insert(Bytes::from_owner(Text(text)));
        }
    }

    /// Whether a large value is among the waiting answers.
    pub(crate) fn has_large(&self) -> bool {
        !self.inserts.is_empty()
    }

    /// Empties the pending replies, or leaves them to the links that still answer them.
    fn keep_pending(&mut self, pending: SharedReplies) {
        self.had_pending = false;
        self.pending = match std::rc::Rc::strong_count(&pending) {
            1 => {
                pending.borrow_mut().clear();
                pending
            }
            _ => SharedReplies::default(),
        };
    }

    /// Bytes not written yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.bytes.len() + self.inserted - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unwritten() == 0
    }

    /// Appends an item's value, which the caller has already looked up, and a line end.
    #[inline]
    pub(crate) fn value(&mut self, value: ValueRef<'_>) {
        for piece in value.pieces() {
            self.insert_chunk(Chunk::Piece(piece.clone()));
        }
        self.bytes.extend_from_slice(value.rest());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Fills `room` with the slices for one vectored write, in order.
    pub(crate) fn slices<'a>(&'a self, room: &mut Vec<IoSlice<'a>>) {
        let mut skip = self.written;
        let mut from = 0;
        let mut push = |slice: &'a [u8]| {
            if skip >= slice.len() {
                skip -= slice.len();
            } else {
                room.push(IoSlice::new(&slice[skip..]));
                skip = 0;
            }
            room.len() < MAX_SLICES
        };
        for Insert { at, chunk } in &self.inserts {
            if !push(&self.bytes[from..*at]) || !push(chunk.as_ref()) {
                return;
            }
            from = *at;
        }
        push(&self.bytes[from..]);
    }

    /// The unwritten bytes, if no large value is among them.
    #[inline]
    pub(crate) fn plain(&self) -> Option<&[u8]> {
        self.inserts.is_empty().then(|| &self.bytes[self.written..])
    }

    /// Writes as much of `self`, which must not be empty, as the socket accepts.
    pub(crate) fn poll_write_to(
        &self,
        socket: &mut Socket,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.plain() {
            Some(bytes) => socket.poll_write(context, bytes),
            None => {
                let mut slices = Vec::new();
                self.slices(&mut slices);
                socket.poll_write_vectored(context, &slices)
            }
        }
    }

    /// Records that the socket accepted `len` more bytes. When all are written, the buffer is empty
    /// again.
    pub(crate) fn advance(&mut self, len: usize) {
        self.written += len;
        debug_assert!(self.written <= self.bytes.len() + self.inserted);
        if self.is_empty() {
            self.clear();
        }
    }

    /// All bytes in one piece.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut slices = Vec::new();
        let mut from = 0;
        for Insert { at, chunk } in &self.inserts {
            slices.extend_from_slice(&self.bytes[from..*at]);
            slices.extend_from_slice(chunk.as_ref());
            from = *at;
        }
        slices.extend_from_slice(&self.bytes[from..]);
        slices
    }

    /// Drops everything, and releases memory that one large answer took.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
        if self.bytes.capacity() > KEPT
            || !self.inserts.is_empty()
            || self.had_pending
            || self.charge.is_some()
        {
            self.let_go();
        }
    }

    #[cold]
    fn let_go(&mut self) {
        self.bytes.shrink_to(KEPT);
        self.inserts = Vec::new();
        self.inserted = 0;
        self.charge = None;
        if self.had_pending {
            let pending = std::mem::take(&mut self.pending);
            self.keep_pending(pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(output: &Output) -> Vec<u8> {
        let mut slices = Vec::new();
        output.slices(&mut slices);
        slices.iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    fn sample() -> Output {
        let mut output = Output::default();
        output.bytes.extend_from_slice(b"ab");
        output.insert(Bytes::from_static(b"LARGE"));
        output.bytes.extend_from_slice(b"cd");
        output.insert(Bytes::from_static(b"MORE"));
        output
    }

    #[test]
    fn large_values_stand_where_they_were_put_from_every_point_on() {
        let whole = b"abLARGEcdMORE";
        for written in 0..whole.len() {
            let mut output = sample();
            output.advance(written);
            assert_eq!(gathered(&output), whole[written..], "{written} written");
            assert_eq!(output.unwritten(), whole.len() - written);
        }
        let mut output = sample();
        output.advance(whole.len());
        assert!(output.is_empty());
        assert_eq!(output.plain(), Some(&b""[..]));
    }

    #[test]
    fn one_write_takes_a_bounded_number_of_slices() {
        let mut output = Output::default();
        for _ in 0..1000 {
            output.insert(Bytes::from_static(b"x"));
            output.bytes.push(b'.');
        }
        let mut all = Vec::new();
        while !output.is_empty() {
            let some = gathered(&output);
            assert!(!some.is_empty());
            output.advance(some.len());
            all.extend(some);
        }
        assert_eq!(all, b"x.".repeat(1000));
    }
}
