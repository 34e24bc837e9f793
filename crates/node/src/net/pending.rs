//! The requests of one connection that other nodes answer, and their replies until they can be
//! written.
//!
//! While a connection carries out the requests it has read, each request for another node becomes a
//! *pending reply*: its position in the output, the request in a form that can be sent or carried
//! out here after all, and room for the answer. Links store answers in the order in which peers
//! send them. Once no reply is open, the connection inserts all of them into its output, so its
//! client reads them in the order of its requests.
//!
//! Each key of one `get`, and of consecutive `get`s, is a pending reply of its own: each may have
//! another owner, and each is found, missed or moved by itself.

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

/// The number of pending replies at which a connection waits for answers before it processes
/// further requests.
const MAX_REPLIES: usize = 256;

/// The bytes of requests at which it does so.
const MAX_REQUESTS: usize = 256 * 1024;

/// The bytes counted for an answer that has not arrived.
const USUAL_ANSWER: usize = 1024;

/// The destination of a pending reply.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) peer: Arc<Peer>,
    pub(crate) claim: Claim,
}

/// The kind of request sent for a pending reply, which decides how its answer ends.
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
pub(crate) enum Suppressed {
    /// No replies.
    Nothing,
    /// All replies: `noreply`.
    Everything,
    /// Replies that begin with one of these: the meta flag `q`.
    Status(&'static [&'static [u8]]),
}

impl Suppressed {
    fn hides(self, answer: &[u8]) -> bool {
        match self {
            Suppressed::Nothing => false,
            Suppressed::Everything => true,
            Suppressed::Status(starts) => starts.iter().any(|start| answer.starts_with(start)),
        }
    }
}

/// The state of a pending reply.
#[derive(Debug)]
enum ReplyState {
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
pub(crate) struct ForwardedRequest<'a> {
    pub(crate) point: Point,
    pub(crate) form: Form,
    /// Whether a miss counts in `get_misses` at its owner. A `gat` counts as a touch there.
    pub(crate) is_get: bool,
    pub(crate) suppressed: Suppressed,
    /// The key, or the line with its end, and with its value if that is small.
    pub(crate) request: &'a [u8],
    /// A large value, without its line end.
    pub(crate) value: Option<LargeValue>,
    /// The client's reply if no node answers; `None` for a server error.
    pub(crate) without_answer: Option<Vec<u8>>,
    /// The client's reply whatever the answer is.
    pub(crate) instead: Option<Refusal>,
}

impl<'a> ForwardedRequest<'a> {
    /// A request of one line without a large value and without suppressed replies.
    pub(crate) fn new(point: Point, request: &'a [u8]) -> ForwardedRequest<'a> {
        ForwardedRequest {
            point,
            form: Form::Line,
            is_get: false,
            suppressed: Suppressed::Nothing,
            request,
            value: None,
            without_answer: None,
            instead: None,
        }
    }
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
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
struct PendingReply {
    at: usize,
    point: Point,
    form: Form,
    is_get: bool,
    suppressed: Suppressed,
    request: Range<usize>,
    value: Option<LargeValue>,
    without_answer: Option<Range<usize>>,
    instead: Option<Refusal>,
    state: ReplyState,
}

/// Keys that wait to be sent as one request.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) destination: Destination,
    pub(crate) form: Form,
    pub(crate) replies: Vec<u32>,
}

/// The replies that a connection waits for. A reply is known by its index.
#[derive(Debug, Default)]
pub(crate) struct PendingReplies {
    replies: Vec<PendingReply>,
    requests: Vec<u8>,
    answers: Vec<u8>,
    /// Groups to send, in order.
    groups: Vec<Group>,
    open: usize,
    waker: Option<Waker>,
    /// The generation of the view by which its requests were routed.
    generation: u64,
}

/// The pending replies of a connection, as it shares them with the links.
pub(crate) type SharedReplies = Rc<RefCell<PendingReplies>>;

fn range(arena: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = arena.len();
    arena.extend_from_slice(bytes);
    start..arena.len()
}

impl PendingReplies {
    pub(crate) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// Whether a request may join the present ones. One view must route all of them; otherwise two
    /// requests about one key could take different ways and overtake each other.
    pub(crate) fn admits(&mut self, generation: u64) -> bool {
        if self.replies.is_empty() {
            self.generation = generation;
        }
        self.generation == generation
    }

    /// Whether the connection must wait for answers before it sends more.
    pub(crate) fn is_full(&self) -> bool {
        self.replies.len() >= MAX_REPLIES || self.requests.len() >= MAX_REQUESTS
    }

    /// The bytes in use, plus an estimate for answers that have not arrived. Large values are
    /// counted separately.
    pub(crate) fn memory(&self) -> usize {
        self.requests.capacity()
            + self.answers.capacity()
            + self.replies.capacity() * size_of::<PendingReply>()
            + self.open * USUAL_ANSWER
    }

    /// Drops all requests and answers.
    pub(crate) fn clear(&mut self) {
        self.replies.clear();
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
        forwarded: ForwardedRequest<'_>,
        destination: Option<Destination>,
    ) {
        let request = range(&mut self.requests, forwarded.request);
        let without_answer = forwarded.without_answer.map(|text| range(&mut self.requests, &text));
        let reply = u32::try_from(self.replies.len()).unwrap_or(u32::MAX);
        self.replies.push(PendingReply {
            at,
            point: forwarded.point,
            form: forwarded.form,
            is_get: forwarded.is_get,
            suppressed: forwarded.suppressed,
            request,
            value: forwarded.value,
            without_answer,
            instead: forwarded.instead,
            state: ReplyState::Moved,
        });
        if let Some(destination) = destination {
            self.send(reply, destination);
        }
    }

    /// Opens a pending reply and adds it to the last group for its peer if the group allows that.
    fn send(&mut self, reply: u32, destination: Destination) {
        let form = self.replies[reply as usize].form;
        self.replies[reply as usize].state = ReplyState::Open;
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
                group.replies.push(reply);
            }
            _ => self.groups.push(Group { destination, form, replies: vec![reply] }),
        }
    }

    /// Sends a moved pending reply once more, alone.
    pub(crate) fn resend(&mut self, reply: u32, destination: Destination) {
        debug_assert!(matches!(self.replies[reply as usize].state, ReplyState::Moved));
        self.send(reply, destination);
    }

    /// A copy of these pending replies alone, for answers that no connection waits for.
    pub(crate) fn detached(&self, replies: &[u32]) -> PendingReplies {
        let mut late = PendingReplies::default();
        for &reply in replies {
            let entry = &self.replies[reply as usize];
            // The next answer belongs to a line, whatever it is. A key is matched by its text.
            let request = match entry.form {
                Form::Line => &b""[..],
                Form::Key { .. } => self.request(reply),
            };
            let suppressed = Suppressed::Everything;
            let forwarded = ForwardedRequest {
                form: entry.form,
                suppressed,
                ..ForwardedRequest::new(entry.point, request)
            };
            late.push(0, forwarded, None);
        }
        late
    }

    /// Takes the groups that wait to be sent, in order.
    pub(crate) fn take_groups(&mut self) -> Vec<Group> {
        std::mem::take(&mut self.groups)
    }

    /// A pending reply's key or line.
    pub(crate) fn request(&self, reply: u32) -> &[u8] {
        &self.requests[self.replies[reply as usize].request.clone()]
    }

    /// A pending reply's large value.
    pub(crate) fn value(&self, reply: u32) -> Option<&LargeValue> {
        self.replies[reply as usize].value.as_ref()
    }

    pub(crate) fn form(&self, reply: u32) -> Form {
        self.replies[reply as usize].form
    }

    pub(crate) fn point(&self, reply: u32) -> Point {
        self.replies[reply as usize].point
    }

    /// The first pending reply that no peer has finally answered.
    pub(crate) fn next_moved(&self) -> Option<u32> {
        let moved = |reply: &PendingReply| matches!(reply.state, ReplyState::Moved);
        self.replies.iter().position(moved).and_then(|reply| u32::try_from(reply).ok())
    }

    /// Answers a pending reply. An empty answer is a miss of a key.
    pub(crate) fn answer(&mut self, reply: u32, answer: &[u8]) {
        let entry = &self.replies[reply as usize];
        let text = match entry.instead {
            _ if entry.suppressed.hides(answer) => self.answers.len()..self.answers.len(),
            Some(refusal) => {
                let start = range(&mut self.answers, refusal.line().as_bytes()).start;
                start..range(&mut self.answers, b"\r\n").end
            }
            None => range(&mut self.answers, answer),
        };
        self.close(reply, ReplyState::Text(text));
    }

    /// Answers a pending reply with a large value. `value` ends with its line end.
    pub(crate) fn answer_large(&mut self, reply: u32, header: &[u8], value: Bytes) {
        if self.replies[reply as usize].suppressed.hides(header) {
            return self.answer(reply, header);
        }
        let header = range(&mut self.answers, header);
        self.close(reply, ReplyState::Large(header, value));
    }

    /// Records that the peer does not serve the key of a pending reply.
    pub(crate) fn moved(&mut self, reply: u32) {
        self.close(reply, ReplyState::Moved);
    }

    /// Answers a pending reply that got no answer, with a miss or a server error, and counts that.
    ///
    /// Only this function counts these, and no pending reply comes here twice. The owner never saw
    /// the request, or its answer is lost, so no other counter covers the loss.
    pub(crate) fn fail(&mut self, reply: u32, counters: &Counters) {
        let entry = &self.replies[reply as usize];
        debug_assert!(matches!(entry.state, ReplyState::Open | ReplyState::Moved));
        if entry.is_get {
            counters.foreign_get_failed.increment();
        } else {
            counters.foreign_request_failed.increment();
        }
        match (entry.form, entry.without_answer.clone()) {
            (Form::Line, None) => {
                let line = format!("{}\r\n", Refusal::OwnerAway.line());
                self.answer(reply, line.as_bytes());
            }
            (Form::Line, Some(text)) => {
                let text = self.requests[text].to_vec();
                self.answer(reply, &text);
            }
            (Form::Key { .. }, _) => self.answer(reply, b""),
        }
    }

    fn close(&mut self, reply: u32, state: ReplyState) {
        let entry = &mut self.replies[reply as usize];
        if matches!(entry.state, ReplyState::Open) {
            self.open -= 1;
        }
        entry.state = state;
        if self.open == 0
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    /// Ready once no pending reply is open.
    pub(crate) fn poll_closed(&mut self, waker: &Waker) -> Poll<()> {
        if self.open == 0 {
            return Poll::Ready(());
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    /// The outcomes of all pending replies, in order.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Reply<'_>> {
        self.replies.iter().map(|reply| {
            let (text, value) = match &reply.state {
                ReplyState::Text(text) => (Some(text), None),
                ReplyState::Large(header, value) => (Some(header), Some(value)),
                ReplyState::Open | ReplyState::Moved => (None, None),
            };
            let key = match reply.form {
                Form::Key { .. } => Some(&self.requests[reply.request.clone()]),
                Form::Line => None,
            };
            Reply { at: reply.at, key, text: text.map(|text| &self.answers[text.clone()]), value }
        })
    }
}
