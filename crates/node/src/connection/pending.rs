//! The requests of one connection that other nodes answer, and their answers until they can be
//! written.
//!
//! While a connection carries out the requests it has read, each foreign request becomes a *slot*:
//! a hole in the output, the request in a form that can be sent or carried out here after all, and
//! room for the answer. Links fill slots in the order in which peers answer. The connection fills
//! the holes once no slot is open, so its client reads the answers in the order of its requests.
//!
//! Each key of one `get`, and of consecutive `get`s, is a slot of its own: each may have another
//! owner, and each is found, missed or moved by itself.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use ringbinder_protocol::{Claim, Refusal};
use ringbinder_ring::Point;
use ringbinder_store::LargeValue;

use crate::ring::peer::Peer;
use crate::stats::Counters;

/// The number of slots at which a connection waits for answers before it processes further
/// requests.
const MAX_SLOTS: usize = 256;

/// The bytes of requests at which it does so.
const MAX_REQUESTS: usize = 256 * 1024;

/// The bytes counted for an answer that has not arrived.
const USUAL_ANSWER: usize = 1024;

/// The destination of a slot.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) peer: Arc<Peer>,
    pub(crate) claim: Claim,
}

/// The kind of request sent for a slot, which decides how its answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A key of `get`, `gets`, `gat` or `gats`. The answer is a value, or empty.
    Key {
        /// For `gat` and `gats`: the exptime as the client wrote it.
        exptime: Option<i64>,
        /// True for `gets` and `gats`.
        with_cas: bool,
    },
    /// A whole request: one line, or one value.
    Line,
}

/// Replies the client asked to suppress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hush {
    /// No replies.
    Nothing,
    /// All replies: `noreply`.
    Everything,
    /// Replies that begin with one of these: the meta flag `q`.
    Status(&'static [&'static [u8]]),
}

impl Hush {
    fn hides(self, answer: &[u8]) -> bool {
        match self {
            Hush::Nothing => false,
            Hush::Everything => true,
            Hush::Status(starts) => starts.iter().any(|start| answer.starts_with(start)),
        }
    }
}

/// The outcome of a slot.
#[derive(Debug)]
enum Answer {
    Open,
    /// A range of bytes in the arena; empty for a miss.
    Text(Range<usize>),
    /// A header in the arena, followed by a large value with its line end.
    Large(Range<usize>, Bytes),
    /// The peer does not serve the key.
    Moved,
}

/// A request as a connection submits it.
#[derive(Debug)]
pub(crate) struct Foreign<'a> {
    pub(crate) point: Point,
    pub(crate) form: Form,
    /// Whether a miss counts in `get_misses` at its owner. A `gat` counts as a touch there.
    pub(crate) is_get: bool,
    pub(crate) hush: Hush,
    /// The key, or the line with its end, and with its value if that is small.
    pub(crate) request: &'a [u8],
    /// A large value, without its line end.
    pub(crate) value: Option<LargeValue>,
    /// The client's reply if no node answers; `None` for a server error.
    pub(crate) without_answer: Option<Vec<u8>>,
    /// The client's reply whatever the answer is.
    pub(crate) instead: Option<Refusal>,
}

impl<'a> Foreign<'a> {
    /// A request of one line without a large value and without suppressed replies.
    pub(crate) fn new(point: Point, request: &'a [u8]) -> Foreign<'a> {
        Foreign {
            point,
            form: Form::Line,
            is_get: false,
            hush: Hush::Nothing,
            request,
            value: None,
            without_answer: None,
            instead: None,
        }
    }
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    /// The position of the answer in the output.
    pub(crate) at: usize,
    /// The key, if the request is for one key of a retrieval.
    pub(crate) key: Option<&'a [u8]>,
    /// The answer; `None` if the peer does not serve the key.
    pub(crate) text: Option<&'a [u8]>,
    /// A large value that follows the text, with its line end.
    pub(crate) value: Option<&'a Bytes>,
}

#[derive(Debug)]
struct Slot {
    at: usize,
    point: Point,
    form: Form,
    is_get: bool,
    hush: Hush,
    request: Range<usize>,
    value: Option<LargeValue>,
    without_answer: Option<Range<usize>>,
    instead: Option<Refusal>,
    answer: Answer,
}

/// Keys that wait to be sent as one request.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) destination: Destination,
    pub(crate) form: Form,
    pub(crate) slots: Vec<u32>,
}

/// The foreign requests that a connection waits for.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    slots: Vec<Slot>,
    requests: Vec<u8>,
    answers: Vec<u8>,
    /// Groups to send, in order.
    groups: Vec<Group>,
    open: usize,
    waker: Option<Waker>,
    /// The generation of the view by which its requests were routed.
    generation: u64,
}

/// An exchange, as the connection and the links share it.
pub(crate) type SharedExchange = Rc<RefCell<Exchange>>;

fn range(arena: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = arena.len();
    arena.extend_from_slice(bytes);
    start..arena.len()
}

impl Exchange {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a request may join the present ones. One view must route all of them; otherwise two
    /// requests about one key could take different ways and overtake each other.
    pub(crate) fn admits(&mut self, generation: u64) -> bool {
        if self.slots.is_empty() {
            self.generation = generation;
        }
        self.generation == generation
    }

    /// Whether the connection must wait for answers before it sends more.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= MAX_SLOTS || self.requests.len() >= MAX_REQUESTS
    }

    /// The bytes in use, plus an estimate for answers that have not arrived. Large values are
    /// counted separately.
    pub(crate) fn memory(&self) -> usize {
        self.requests.capacity()
            + self.answers.capacity()
            + self.slots.capacity() * size_of::<Slot>()
            + self.open * USUAL_ANSWER
    }

    /// Drops all requests and answers.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.requests.clear();
        self.requests.shrink_to(MAX_REQUESTS);
        self.answers.clear();
        self.answers.shrink_to(MAX_REQUESTS);
        self.groups.clear();
        self.open = 0;
        self.waker = None;
    }

    /// Adds a request whose answer belongs at `at` bytes of the output. `destination` is `None` if
    /// the right peer is not known yet.
    pub(crate) fn push(
        &mut self,
        at: usize,
        foreign: Foreign<'_>,
        destination: Option<Destination>,
    ) {
        let request = range(&mut self.requests, foreign.request);
        let without_answer = foreign.without_answer.map(|text| range(&mut self.requests, &text));
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            at,
            point: foreign.point,
            form: foreign.form,
            is_get: foreign.is_get,
            hush: foreign.hush,
            request,
            value: foreign.value,
            without_answer,
            instead: foreign.instead,
            answer: Answer::Moved,
        });
        if let Some(destination) = destination {
            self.send(slot, destination);
        }
    }

    /// Opens a slot and adds it to the last group for its peer if the group allows that.
    fn send(&mut self, slot: u32, destination: Destination) {
        let form = self.slots[slot as usize].form;
        self.slots[slot as usize].answer = Answer::Open;
        self.open += 1;
        let last = self
            .groups
            .iter_mut()
            .rev()
            .find(|group| Arc::ptr_eq(&group.destination.peer, &destination.peer));
        match last {
            Some(group)
                if form != Form::Line
                    && group.form == form
                    && group.destination.claim == destination.claim =>
            {
                group.slots.push(slot);
            }
            _ => self.groups.push(Group { destination, form, slots: vec![slot] }),
        }
    }

    /// Sends a moved slot once more, alone.
    pub(crate) fn resend(&mut self, slot: u32, destination: Destination) {
        debug_assert!(matches!(self.slots[slot as usize].answer, Answer::Moved));
        self.send(slot, destination);
    }

    /// A copy of these slots alone, for answers that no connection waits for.
    pub(crate) fn detached(&self, slots: &[u32]) -> Exchange {
        let mut late = Exchange::default();
        for &slot in slots {
            let entry = &self.slots[slot as usize];
            // The next answer belongs to a line, whatever it is. A key is matched by its text.
            let request = match entry.form {
                Form::Line => &b""[..],
                Form::Key { .. } => self.request(slot),
            };
            let hush = Hush::Everything;
            let foreign = Foreign { form: entry.form, hush, ..Foreign::new(entry.point, request) };
            late.push(0, foreign, None);
        }
        late
    }

    /// Takes the groups that wait to be sent, in order.
    pub(crate) fn take_groups(&mut self) -> Vec<Group> {
        std::mem::take(&mut self.groups)
    }

    /// A slot's key or line.
    pub(crate) fn request(&self, slot: u32) -> &[u8] {
        &self.requests[self.slots[slot as usize].request.clone()]
    }

    /// A slot's large value.
    pub(crate) fn value(&self, slot: u32) -> Option<&LargeValue> {
        self.slots[slot as usize].value.as_ref()
    }

    pub(crate) fn form(&self, slot: u32) -> Form {
        self.slots[slot as usize].form
    }

    pub(crate) fn point(&self, slot: u32) -> Point {
        self.slots[slot as usize].point
    }

    /// The first slot that no peer has finally answered.
    pub(crate) fn next_moved(&self) -> Option<u32> {
        let moved = |slot: &Slot| matches!(slot.answer, Answer::Moved);
        self.slots.iter().position(moved).and_then(|slot| u32::try_from(slot).ok())
    }

    /// Answers a slot. An empty answer is a miss of a key.
    pub(crate) fn answer(&mut self, slot: u32, answer: &[u8]) {
        let entry = &self.slots[slot as usize];
        let text = match entry.instead {
            _ if entry.hush.hides(answer) => self.answers.len()..self.answers.len(),
            Some(refusal) => {
                let start = range(&mut self.answers, refusal.line().as_bytes()).start;
                start..range(&mut self.answers, b"\r\n").end
            }
            None => range(&mut self.answers, answer),
        };
        self.close(slot, Answer::Text(text));
    }

    /// Answers a slot with a large value. `value` ends with its line end.
    pub(crate) fn answer_large(&mut self, slot: u32, header: &[u8], value: Bytes) {
        if self.slots[slot as usize].hush.hides(header) {
            return self.answer(slot, header);
        }
        let header = range(&mut self.answers, header);
        self.close(slot, Answer::Large(header, value));
    }

    /// Records that the peer does not serve the key of a slot.
    pub(crate) fn moved(&mut self, slot: u32) {
        self.close(slot, Answer::Moved);
    }

    /// Answers a slot that got no answer, with a miss or a server error, and counts that.
    ///
    /// Only this function counts these, and no slot comes here twice. The owner never saw the
    /// request, or its answer is lost, so no other counter covers the loss.
    pub(crate) fn fail(&mut self, slot: u32, counters: &Counters) {
        let entry = &self.slots[slot as usize];
        debug_assert!(matches!(entry.answer, Answer::Open | Answer::Moved));
        if entry.is_get {
            counters.foreign_get_failed.increment();
        } else {
            counters.foreign_request_failed.increment();
        }
        match (entry.form, entry.without_answer.clone()) {
            (Form::Line, None) => {
                let line = format!("{}\r\n", Refusal::OwnerAway.line());
                self.answer(slot, line.as_bytes());
            }
            (Form::Line, Some(text)) => {
                let text = self.requests[text].to_vec();
                self.answer(slot, &text);
            }
            (Form::Key { .. }, _) => self.answer(slot, b""),
        }
    }

    fn close(&mut self, slot: u32, answer: Answer) {
        let entry = &mut self.slots[slot as usize];
        if matches!(entry.answer, Answer::Open) {
            self.open -= 1;
        }
        entry.answer = answer;
        if self.open == 0
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Ready once no slot is open.
    pub(crate) fn poll_closed(&mut self, waker: &Waker) -> Poll<()> {
        if self.open == 0 {
            return Poll::Ready(());
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    /// The outcomes of all slots, in order.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Answered<'_>> {
        self.slots.iter().map(|slot| {
            let (text, value) = match &slot.answer {
                Answer::Text(text) => (Some(text), None),
                Answer::Large(header, value) => (Some(header), Some(value)),
                Answer::Open | Answer::Moved => (None, None),
            };
            let key = match slot.form {
                Form::Key { .. } => Some(&self.requests[slot.request.clone()]),
                Form::Line => None,
            };
            Answered { at: slot.at, key, text: text.map(|text| &self.answers[text.clone()]), value }
        })
    }
}
