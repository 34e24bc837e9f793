//! Receives large data: a long line, a large value, or the value of a refused storage command.
//!
//! A line grows in place ([`super::carried`]). A value is read into memory of its own, which the
//! store then takes over. A refused value is dropped as it arrives.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, ready};

use ringbinder_protocol::{Parsed, Refusal, Request, RingRequest, Storage, parse};
use ringbinder_store::{Arriving, LargeValue, NewValue, Readiness};
use tokio::time::Instant;

use super::Connection;
use super::carried::Carried;
use super::dispatch::{refuse, router};
use crate::command::{self, Context};
use crate::memory::Arrival;
use crate::net::connections::{Activity, CloseReason};
use crate::net::input::{BUFFER_LEN, Input};
use crate::net::output::Output;

/// The most bytes that are read before other connections of the worker have their turn.
const TURN: usize = 512 * 1024;

/// A client that has sent this many bytes in the meantime is not stuck.
const MOVED: usize = 1024;

impl Connection {
    /// Keeps an unfinished request of `len` bytes until the rest is here.
    pub(super) fn carry(&mut self, len: usize, carried: Carried) {
        self.ticket.hold(len as u64, true, self.local.shared.clock.nanos());
        self.carried = Some(Box::new(carried));
    }

    /// Waits for connection memory.
    #[cold]
    pub(super) fn poll_memory(
        &mut self,
        context: &TaskContext<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        let memory = &self.local.shared.memory;
        self.in_line = memory.poll_turn(self.ticket.id, context).is_pending();
        if !self.in_line {
            return Poll::Ready(Ok(()));
        }
        self.ticket.start_timeout();
        let kicked = ready!(self.poll_kick(context));
        memory.leave(self.ticket.id);
        Poll::Ready(kicked)
    }

    /// Reads more of a long line, until it is complete or turns out to be invalid.
    #[cold]
    pub(super) fn poll_line(
        &mut self,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<Box<Input>, CloseReason>> {
        let shared = &self.local.shared;
        let mut moved = 0;
        while let Some(Carried::Line(line, arrival)) = self.carried.as_deref_mut() {
            // A connection does not wait for memory to read data that the client has not sent.
            if line.drained && self.socket.poll_read_ready(context).is_pending() {
                self.ticket.hold(line.held(), moved >= MOVED, shared.clock.nanos());
                return self.poll_kick(context);
            }
            line.drained = false;
            if line.poll_room(arrival, Instant::now(), context).is_pending() {
                self.ticket.hold_nothing();
                return self.poll_kick(context);
            }
            match self.socket.poll_read_into(context, &mut line.room()) {
                Poll::Pending => line.drained = true,
                Poll::Ready(Ok(len)) if len > 0 => {
                    moved += len;
                    let is_done = line.is_done(len);
                    self.has_read(len);
                    if is_done {
                        break;
                    }
                    if moved >= TURN {
                        self.ticket.hold_nothing();
                        let_others(context);
                        return Poll::Pending;
                    }
                }
                Poll::Ready(end) => return Poll::Ready(Err(self.ended(end))),
            }
        }
        self.ticket.hold_nothing();
        let mut input = match self.carried.take().map(|carried| *carried) {
            Some(Carried::Line(line, _)) => Box::new(line.into_input()),
            _ => Box::new(Input::empty()),
        };
        self.local.note_read(&mut input);
        Poll::Ready(Ok(input))
    }

    /// Receives a large value and stores it. The input holds its line and the part that has
    /// arrived.
    pub(super) async fn value(
        &mut self,
        line: usize,
        len: usize,
        input: &mut Box<Input>,
        output: &mut Box<Output>,
    ) -> Result<(), CloseReason> {
        self.enter(Activity::ReadValue);
        let request = input.unread()[..line].to_vec();
        input.consume(line);
        let mut value = self.local.shared.store.receive(len);
        let mut end = Vec::with_capacity(2);
        let taken = value.fill(input.unread());
        input.consume(taken);
        end.extend_from_slice(input.unread());
        input.consume(end.len());
        // No answer is due before the value has arrived.
        self.local.give_input(std::mem::replace(input, Box::new(Input::empty())));
        self.local.give_output(std::mem::take(output));
        // It lasts until the value is stored. From then on the memory is not the connections' any
        // more.
        let mut arrival = Arrival::begin(&self.local.shared.memory);
        self.receive(&mut value, &mut end, &mut arrival).await?;
        self.ticket.hold_nothing();
        let (value, is_whole) = (value.finish(), end == b"\r\n");
        match parse(&request) {
            Parsed::Request { request: Request::Storage(storage), .. } => {
                self.store(&storage, value, is_whole, output).await;
                Ok(())
            }
            Parsed::Request { request: Request::Ring(RingRequest::Offer(offer)), .. } => {
                self.ticket.commanded(self.local.shared.clock.now());
                match &self.local.shared.ring {
                    Some(ring) if is_whole => {
                        let text = NewValue::Large(value).to_vec();
                        command::ring::offer(ring, &offer, &text, &mut self.peer, output);
                    }
                    _ => refuse(output, false, Refusal::BadDataChunk),
                }
                Ok(())
            }
            // No other line announces a value.
            Parsed::Request {
                request:
                    Request::Get(_)
                    | Request::Keyed(_)
                    | Request::Admin(_)
                    | Request::Ring(RingRequest::Command(_) | RingRequest::Cluster),
                ..
            }
            | Parsed::Incomplete
            | Parsed::Refused { .. }
            | Parsed::Foreign(_) => Err(CloseReason::Error),
        }
    }

    /// Carries out a storage request whose value has arrived.
    async fn store(
        &mut self,
        storage: &Storage<'_>,
        mut value: LargeValue,
        is_whole: bool,
        output: &mut Output,
    ) {
        // Other connections have their turns while the store makes room.
        while is_whole && self.make_ready(storage, &mut value) == Readiness::Unfinished {
            tokio::task::yield_now().await;
        }
        let shared = &*self.local.shared;
        self.ticket.commanded(shared.clock.now());
        if !is_whole {
            self.local.counters.cmd_set.increment();
            return refuse(output, storage.noreply(), Refusal::BadDataChunk);
        }
        let view = self.local.view();
        let router = router(&self.local, view.as_deref(), self.peer.as_deref(), &self.strays);
        let read_at = if self.local.sampler.is_near(2) { shared.clock.nanos() } else { 0 };
        let context = Context::new(&self.local, self.ticket.id, read_at, router);
        command::store(&context, storage, NewValue::Large(value), output);
    }

    fn make_ready(&self, storage: &Storage<'_>, value: &mut LargeValue) -> Readiness {
        let view = self.local.view();
        let router = router(&self.local, view.as_deref(), self.peer.as_deref(), &self.strays);
        command::make_ready(&self.local.shared, router, storage, value)
    }

    /// Reads a value and its line end, taking memory as they arrive.
    async fn receive(
        &mut self,
        value: &mut Arriving,
        end: &mut Vec<u8>,
        arrival: &mut Arrival,
    ) -> Result<(), CloseReason> {
        let mut moved = MOVED;
        let mut drained = false;
        poll_fn(|context| {
            let mut turn = 0;
            while value.missing() > 0 || end.len() < 2 {
                if turn >= TURN {
                    self.ticket.hold_nothing();
                    let_others(context);
                    return Poll::Pending;
                }
                // A connection does not wait for memory to read data that the client has not sent.
                if drained && self.socket.poll_read_ready(context).is_pending() {
                    let now = self.local.shared.clock.nanos();
                    self.ticket.hold(value.held(), moved >= MOVED, now);
                    moved = if moved >= MOVED { 0 } else { moved };
                    return self.poll_kick(context);
                }
                drained = false;
                let (held, bytes) = (value.held(), value.missing().min(BUFFER_LEN) as u64);
                if bytes > 0 && arrival.poll_grow(held, bytes, Instant::now(), context).is_pending()
                {
                    // The connection does not wait for its client here.
                    self.ticket.hold_nothing();
                    return self.poll_kick(context);
                }
                let read = match value.missing() {
                    0 => self.poll_read_part(context, 2 - end.len(), |bytes| {
                        end.extend_from_slice(bytes);
                    }),
                    _ if value.is_open() && value.is_huge() => {
                        self.socket.poll_read_into(context, &mut value.room())
                    }
                    missing => self.poll_read_part(context, missing, |bytes| {
                        value.fill(bytes);
                    }),
                };
                match read {
                    Poll::Pending => drained = true,
                    Poll::Ready(Ok(len)) if len > 0 => {
                        moved += len;
                        turn += len;
                        self.has_read(len);
                    }
                    Poll::Ready(end) => return Poll::Ready(Err(self.ended(end))),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Counts the bytes read. A connection that still receives data is not idle.
    fn has_read(&self, len: usize) {
        self.local.counters.bytes_read.add(len as u64);
        self.ticket.commanded(self.local.shared.clock.now());
    }

    /// Reads at most this many bytes through the worker's buffer.
    fn poll_read_part(
        &mut self,
        context: &mut TaskContext<'_>,
        most: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<std::io::Result<usize>> {
        let mut input = self.local.take_input();
        input.load(&[]);
        let room = most.min(input.room().len());
        let read = self.socket.poll_read(context, &mut input.room()[..room]);
        if let Poll::Ready(Ok(len)) = read {
            input.filled(len);
            take(input.unread());
            input.consume(len);
        }
        self.local.give_input(input);
        read
    }

    /// Reads and drops `len` bytes.
    pub(super) async fn swallow(
        &mut self,
        len: usize,
        input: &mut Box<Input>,
        output: &mut Box<Output>,
    ) -> Result<(), CloseReason> {
        self.enter(Activity::Swallow);
        let here = len.min(input.unread().len());
        input.consume(here);
        let mut left = len - here;
        if left == 0 {
            return Ok(());
        }
        self.local.give_input(std::mem::replace(input, Box::new(Input::empty())));
        self.local.give_output(std::mem::take(output));
        poll_fn(|context| {
            let mut turn = 0;
            while left > 0 {
                if turn >= TURN {
                    let_others(context);
                    return Poll::Pending;
                }
                match self.poll_read_part(context, left, |_| ()) {
                    Poll::Pending => return self.poll_kick(context),
                    Poll::Ready(Ok(len)) if len > 0 => {
                        left -= len;
                        turn += len;
                        self.has_read(len);
                    }
                    Poll::Ready(end) => return Poll::Ready(Err(self.ended(end))),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// Makes the runtime poll this task again after a check of all sockets. If the task only woke
/// itself, it would be polled dozens of times before the next check.
fn let_others(context: &mut TaskContext<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(context);
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.local.has_freed();
        if self.in_line {
            self.local.shared.memory.leave(self.ticket.id);
        }
        if let Some(held) = &self.held {
            self.local.resumes(held.bytes());
        }
    }
}
