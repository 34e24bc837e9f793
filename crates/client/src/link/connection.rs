//! One pipelined connection.
//!
//! Callers append their requests to an output buffer and wait for their answers. The connection's
//! own task writes, reads, and hands out the answers in the order of the requests. Progress never
//! depends on a caller: if a caller is dropped, the answer to its request is read and discarded.
//! While the output buffer is empty, a caller writes its request itself, which saves a task switch;
//! requests that arrive while the socket or the task is busy are sent in one write.
//!
//! A failed connection stays failed. Its socket is closed, and every waiting caller gets a
//! [`Fault`], which says whether a byte of the request may have reached the node. A connection
//! fails when the oldest request exceeds the time limit, when the node closes it, and when an
//! answer is malformed. Only the caller whose answer is malformed gets that cause: for the others
//! the connection has closed.

use bytes::BytesMut;
use parking_lot::Mutex;
use slab::Slab;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::link::socket::{Reader, Socket, Writer, Written};
use crate::link::watchdog::{Watchdog, Watched};
use crate::tls::{TlsFault, is_alert};
use crate::wire::{Answer, Decoder, Nonsense, Request};

/// Minimum space for one read, in bytes.
const READ_LEN: usize = 16 << 10;

/// Maximum space for one read, in bytes.
const MAX_READ_LEN: usize = 1 << 20;

/// Larger buffers are freed once they are empty.
const KEPT_LEN: usize = 64 << 10;

/// The reason why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No answer within the time limit.
    Silent,
    /// Closed by the node, or broken.
    Closed,
    /// A malformed answer.
    Nonsense(String),
    /// One side uses TLS and the other does not, or the node rejects this client's certificate.
    Tls(TlsFault),
    /// Closed on this side: the node is no longer used, or the runtime has ended.
    Unused,
}

impl Cause {
    /// The cause for the end of the input, by an error or without one; `rest` is not a complete
    /// answer.
    #[cold]
    fn of_end(error: Option<io::Error>, rest: &[u8]) -> Cause {
        match error.as_ref().and_then(TlsFault::of_stream) {
            Some(fault) => Cause::Tls(fault),
            None if is_alert(rest) => Cause::Tls(TlsFault::OnlyTls),
            None => Cause::Closed,
        }
    }

    #[cold]
    fn of_nonsense(got: String) -> Cause {
        match is_alert(got.as_bytes()) {
            true => Cause::Tls(TlsFault::OnlyTls),
            false => Cause::Nonsense(got),
        }
    }
}

/// The failure of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    /// Whether the node may have seen the request.
    pub(crate) sent: bool,
}

/// A connection, open until it fails or is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    watchdog: Arc<Watchdog>,
    max_value: usize,
}

#[derive(Debug)]
struct State {
    /// `None` once the connection has failed: then only the task keeps the socket open, and it
    /// ends.
    write: Option<Writer>,
    /// Bytes of requests, from the first unsent one.
    out: Vec<u8>,
    /// Number of sent bytes at the front of `out`.
    out_sent: usize,
    /// Total of bytes sent before `out`.
    sent_before: u64,
    slots: Slab<Slot>,
    /// Slots that wait for answers, oldest first.
    waiting: VecDeque<usize>,
    /// Wakes the connection's task.
    task: Waker,
    /// Whether the watchdog watches the connection.
    watched: bool,
    /// The cause of failure, set once.
    failed: Option<Cause>,
}

#[derive(Debug)]
struct Slot {
    decoder: Decoder,
    result: Option<Result<Answer, Fault>>,
    /// The caller; `None` before it has polled, and after it was dropped.
    caller: Option<Waker>,
    abandoned: bool,
    /// Offset of the request among all bytes ever sent.
    start: u64,
    since: Instant,
}

impl Connection {
    /// Takes over a socket; its task runs on the current runtime.
    ///
    /// A request without an answer within `watchdog`'s limit ends the connection, as does a value
    /// of more than `max_value` bytes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(socket: Socket, watchdog: Arc<Watchdog>, max_value: usize) -> Connection {
        let (read, write) = socket.into_split();
        let state = State {
            write: Some(write),
            out: Vec::new(),
            out_sent: 0,
            sent_before: 0,
            slots: Slab::new(),
            waiting: VecDeque::new(),
            task: Waker::noop().clone(),
            watched: false,
            failed: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), watchdog, max_value });
        let task =
            Task { shared: Arc::clone(&shared), read, input: BytesMut::new(), woken: Vec::new() };
        tokio::spawn(task.run());
        Connection { shared }
    }

    /// Whether the connection takes no more requests.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.state.lock().failed.is_some()
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call(&self, request: &Request<'_>) -> Result<Answer, Fault> {
        let mut call = Call { shared: &self.shared, slot: self.begin(request)?, done: false };
        poll_fn(|cx| call.poll(cx)).await
    }

    fn begin(&self, request: &Request<'_>) -> Result<usize, Fault> {
        let decoder = request.decoder();
        let mut state = self.shared.state.lock();
        if let Some(cause) = &state.failed {
            return Err(Fault { cause: cause.clone(), sent: false });
        }
        let idle = state.out.is_empty();
        let start = state.sent_before + state.out.len() as u64;
        request.write(&mut state.out);
        let slot = state.slots.insert(Slot {
            decoder,
            result: None,
            caller: None,
            abandoned: false,
            start,
            since: Instant::now(),
        });
        state.waiting.push_back(slot);
        // With others in flight, the requests that arrive before the task runs go out in one write.
        if idle && state.waiting.len() == 1 {
            state.write_now();
        }
        if !state.out.is_empty() {
            state.task.wake_by_ref();
        }
        if !state.watched {
            state.watched = true;
            self.shared.watchdog.watch(Arc::clone(&self.shared) as Arc<dyn Watched>);
        }
        Ok(slot)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        {
            let mut state = self.shared.state.lock();
            state.fail(Cause::Unused, &mut woken);
            state.task.wake_by_ref();
        }
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Watched for Shared {
    /// Fails the connection if the oldest request has waited since before `too_long_ago`.
    fn is_idle(&self, too_long_ago: Instant) -> bool {
        let mut woken = Vec::new();
        let idle = {
            let mut state = self.state.lock();
            let oldest = state.waiting.front().map(|&id| state.slots[id].since);
            if oldest.is_some_and(|since| since <= too_long_ago) {
                state.fail(Cause::Silent, &mut woken);
                state.task.wake_by_ref();
            }
            state.watched = !state.waiting.is_empty();
            !state.watched
        };
        woken.into_iter().for_each(Waker::wake);
        idle
    }
}

/// A waiting caller.
struct Call<'c> {
    shared: &'c Shared,
    slot: usize,
    done: bool,
}

impl Call<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Fault>> {
        let mut state = self.shared.state.lock();
        let slot = &mut state.slots[self.slot];
        let Some(result) = slot.result.take() else {
            match &mut slot.caller {
                Some(waker) => waker.clone_from(cx.waker()),
                None => slot.caller = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        state.slots.remove(self.slot);
        self.done = true;
        Poll::Ready(result)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // A caller's waker may do anything when it is dropped, so drop it after the lock.
        let _waker = {
            let mut state = self.shared.state.lock();
            let slot = &mut state.slots[self.slot];
            if slot.result.is_some() {
                state.slots.remove(self.slot).caller
            } else {
                slot.abandoned = true;
                slot.caller.take()
            }
        };
    }
}

impl State {
    /// Sends as much as the socket takes without waiting. The task will find any error.
    fn write_now(&mut self) {
        let Some(write) = &mut self.write else { return };
        let Written { len, held } = write.try_write(&self.out);
        if held {
            self.task.wake_by_ref();
        }
        self.sent(len);
    }

    fn sent(&mut self, len: usize) {
        self.out_sent += len;
        if self.out_sent < self.out.len() {
            // Callers that are always faster than the socket must not make the buffer grow for
            // ever.
            if self.out_sent > KEPT_LEN && self.out_sent > self.out.len() / 2 {
                self.out.drain(..self.out_sent);
                self.sent_before += self.out_sent as u64;
                self.out_sent = 0;
            }
            return;
        }
        self.sent_before += self.out.len() as u64;
        self.out_sent = 0;
        if self.out.capacity() > KEPT_LEN {
            self.out = Vec::new();
        } else {
            self.out.clear();
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(write) = self.write.as_mut().filter(|_| !self.out.is_empty()) {
            let rest = &self.out[self.out_sent..];
            match write.poll_write(cx, rest) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(len)) => self.sent(len),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        match self.write.as_mut().map(|write| write.poll_flush(cx)) {
            Some(Poll::Ready(flushed)) => flushed,
            Some(Poll::Pending) | None => Ok(()),
        }
    }

    /// Hands out the complete answers in `input`.
    fn take_answers(
        &mut self,
        input: &mut BytesMut,
        max_value: usize,
        woken: &mut Vec<Waker>,
    ) -> Result<(), Nonsense> {
        while !input.is_empty() {
            let Some(&id) = self.waiting.front() else {
                return Err(Nonsense::of(input));
            };
            let slot = &mut self.slots[id];
            let Some(answer) = slot.decoder.read(input, max_value)? else {
                return Ok(());
            };
            self.waiting.pop_front();
            self.finish(id, Ok(answer), woken);
        }
        Ok(())
    }

    fn finish(&mut self, id: usize, result: Result<Answer, Fault>, woken: &mut Vec<Waker>) {
        let slot = &mut self.slots[id];
        if slot.abandoned {
            self.slots.remove(id);
            return;
        }
        slot.result = Some(result);
        woken.extend(slot.caller.take());
    }

    /// Ends the connection, and gives every waiting caller the cause.
    fn fail(&mut self, cause: Cause, woken: &mut Vec<Waker>) {
        if self.failed.is_some() {
            return;
        }
        self.failed = Some(cause.clone());
        self.write = None;
        let sent = self.sent_before + self.out_sent as u64;
        let mut reported = cause;
        while let Some(id) = self.waiting.pop_front() {
            let sent = self.slots[id].start < sent;
            self.finish(id, Err(Fault { cause: reported.clone(), sent }), woken);
            if matches!(reported, Cause::Nonsense(_)) {
                reported = Cause::Closed;
            }
        }
        self.out = Vec::new();
        self.out_sent = 0;
    }
}

/// The task that writes and reads.
struct Task {
    shared: Arc<Shared>,
    read: Reader,
    input: BytesMut,
    woken: Vec<Waker>,
}

impl Task {
    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.work(cx);
        if let Poll::Ready(cause) = &polled {
            self.shared.state.lock().fail(cause.clone(), &mut self.woken);
        }
        self.woken.drain(..).for_each(Waker::wake);
        polled.map(drop)
    }

    /// Reads and writes until both must wait; ready with the cause when the connection ends.
    fn work(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let shared = Arc::clone(&self.shared);
        let mut broken = false;
        loop {
            // A value's announced length is not trusted: space grows with the bytes that have
            // arrived.
            self.input.reserve(self.input.len().clamp(READ_LEN, MAX_READ_LEN));
            let read = poll_read_buf(Pin::new(&mut self.read), cx, &mut self.input);
            let mut state = shared.state.lock();
            if !state.task.will_wake(cx.waker()) {
                state.task = cx.waker().clone();
            }
            if let Some(cause) = &state.failed {
                return Poll::Ready(cause.clone());
            }
            // Answers that arrived before the end are still good.
            let taken = state.take_answers(&mut self.input, shared.max_value, &mut self.woken);
            if let Err(Nonsense(got)) = taken {
                return Poll::Ready(Cause::of_nonsense(got));
            }
            match read {
                Poll::Ready(Ok(len)) if len > 0 => continue,
                Poll::Ready(end) => return Poll::Ready(Cause::of_end(end.err(), &self.input)),
                Poll::Pending => {}
            }
            if state.poll_write(cx).is_err() {
                if broken {
                    return Poll::Ready(Cause::Closed);
                }
                // The node's last answer may have arrived in between.
                broken = true;
                continue;
            }
            if self.input.is_empty() && self.input.capacity() > KEPT_LEN {
                self.input = BytesMut::new();
            }
            return Poll::Pending;
        }
    }
}

impl Drop for Task {
    /// The runtime may end before the connection does.
    fn drop(&mut self) {
        self.shared.state.lock().fail(Cause::Unused, &mut self.woken);
        self.woken.drain(..).for_each(Waker::wake);
    }
}
