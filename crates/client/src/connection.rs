//! One pipelined connection.
//!
//! Callers append their requests to what is to be sent and wait for their answers; a task of the
//! connection's own writes, reads and hands the answers out in the order of the requests. Progress
//! never depends on a caller: one that gives up leaves a request whose answer is read and dropped.
//! While nothing waits to be sent, a caller writes its request itself, which saves the way over the
//! task; what comes while the socket or the task is busy is sent in one write.
//!
//! A connection that fails stays failed, its socket is closed, and everybody who waits on it hears of
//! it: a [`Fault`] says whether a byte of the request may have reached the node. It fails when the
//! oldest request has had no answer for the time allowed, when the node closes it, and when what comes
//! is no answer. Of the last only the one whose answer it should have been is told: for the others the
//! connection has closed.

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

use crate::socket::{Reader, Socket, Writer, Written};
use crate::tls::{TlsFault, is_alert};
use crate::watchdog::{Watchdog, Watched};
use crate::wire::{Answer, Decoder, Nonsense, Request};

/// Room for what one read may bring.
const READ_LEN: usize = 16 << 10;

/// Most room for one read.
const MAX_READ_LEN: usize = 1 << 20;

/// Buffers larger than this are given back once they are empty.
const KEPT_LEN: usize = 64 << 10;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No answer for the time allowed.
    Silent,
    /// Closed by the node, or broken on the way.
    Closed,
    /// What came was no answer.
    Nonsense(String),
    /// Plain and TLS do not meet, or the node ended it for what it thinks of this client's certificate.
    Tls(TlsFault),
    /// Closed on this side: the node is no longer used, or the runtime is gone.
    Unused,
}

impl Cause {
    /// Of the end of what comes, by an error or without one; `rest` is no whole answer.
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

/// A request without an answer.
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
    /// `None` once it has failed: nothing keeps the socket open then but the task, which ends.
    write: Option<Writer>,
    /// Requests, from the first byte that has not been sent.
    out: Vec<u8>,
    /// Bytes at the front of `out` that have been sent.
    out_sent: usize,
    /// Bytes ever sent before `out`.
    sent_before: u64,
    slots: Slab<Slot>,
    /// Slots whose answers have not come, oldest first.
    waiting: VecDeque<usize>,
    /// Wakes the connection's task.
    task: Waker,
    /// Whether the watchdog looks after it.
    watched: bool,
    /// Set once, when it ends.
    failed: Option<Cause>,
}

#[derive(Debug)]
struct Slot {
    decoder: Decoder,
    result: Option<Result<Answer, Fault>>,
    /// The caller; `None` before it has looked, and once it has given up.
    caller: Option<Waker>,
    abandoned: bool,
    /// Offset of the request among all bytes ever sent.
    start: u64,
    since: Instant,
}

impl Connection {
    /// Takes over a socket; its task runs on the current runtime.
    ///
    /// A request that has no answer for as long as `watchdog` allows ends the connection, as does a
    /// value of more than `max_value` bytes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
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

    /// Whether it can take no more requests.
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
        // With others in flight, what comes until the task runs goes along in one write.
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
    /// Fails where the oldest request has been waiting since before `too_long_ago`.
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

/// A caller that waits.
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
        // Somebody else's waker may do anything when it is dropped, so that comes after the lock.
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
    /// Sends what the socket takes without waiting. An error shows itself to the task.
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
            // Callers that are always quicker than the socket must not make it grow for ever.
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

    /// Hands out the answers that `input` holds.
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

    /// Ends it: whoever waits is told why.
    fn fail(&mut self, cause: Cause, woken: &mut Vec<Waker>) {
        if self.failed.is_some() {
            return;
        }
        self.failed = Some(cause.clone());
        self.write = None;
        let sent = self.sent_before + self.out_sent as u64;
        let mut told = cause;
        while let Some(id) = self.waiting.pop_front() {
            let sent = self.slots[id].start < sent;
            self.finish(id, Err(Fault { cause: told.clone(), sent }), woken);
            if matches!(told, Cause::Nonsense(_)) {
                told = Cause::Closed;
            }
        }
        self.out = Vec::new();
        self.out_sent = 0;
    }
}

/// What writes and reads.
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

    /// Reads and writes until both have to wait; ready with the reason to end.
    fn work(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        let shared = Arc::clone(&self.shared);
        let mut broken = false;
        loop {
            // A value's length is not believed: room grows with what has come.
            self.input.reserve(self.input.len().clamp(READ_LEN, MAX_READ_LEN));
            let read = poll_read_buf(Pin::new(&mut self.read), cx, &mut self.input);
            let mut state = shared.state.lock();
            if !state.task.will_wake(cx.waker()) {
                state.task = cx.waker().clone();
            }
            if let Some(cause) = &state.failed {
                return Poll::Ready(cause.clone());
            }
            // What came before the end is still good.
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
                // The node's last words may have come in between.
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
