//! What a connection does while something large is still arriving: a long line, a large value, or the
//! value of a storage command that was refused.
//!
//! A line grows where it is ([`crate::carried`]); a value is read into memory of its own, and the store
//! takes that over; what was refused is dropped as it comes.

use std::future::poll_fn;
use std::task::{Context as TaskContext, Poll};

use bytes::{BufMut, BytesMut};
use ringbinder_protocol::{Parsed, Refusal, Request, parse};
use ringbinder_store::NewValue;

use super::Connection;
use crate::carried::Carried;
use crate::command::{self, Context, Incoming};
use crate::connections::{CloseReason, State};
use crate::input::{BUFFER_LEN, Input};
use crate::output::Output;
use crate::ring;
use crate::step::{desk, refuse};

impl Connection {
    /// Reads more of a long line, until it is whole or can never be.
    #[cold]
    pub(super) fn poll_line(
        &mut self,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<Box<Input>, CloseReason>> {
        while let Some(Carried::Line(line)) = self.carried.as_deref_mut() {
            let Some(mut room) = line.room() else {
                return Poll::Ready(Err(self.overdrawn(context)));
            };
            match self.socket.poll_read_into(context, &mut room) {
                Poll::Pending => return self.poll_kick(context),
                Poll::Ready(Ok(len)) if len > 0 => {
                    self.local.counters.bytes_read.add(len as u64);
                    self.ticket.commanded(self.local.shared.clock.now());
                    if line.is_done(len) {
                        break;
                    }
                }
                Poll::Ready(end) => return Poll::Ready(Err(self.ended(end))),
            }
        }
        let mut input = match self.carried.take().map(|carried| *carried) {
            Some(Carried::Line(line)) => Box::new(line.into_input()),
            _ => Box::new(Input::empty()),
        };
        self.local.note_read(&mut input);
        Poll::Ready(Ok(input))
    }

    /// Receives a large value and stores it. The input holds its line and what has arrived of it.
    pub(super) async fn value(
        &mut self,
        line: usize,
        incoming: Incoming,
        input: &mut Box<Input>,
        output: &mut Output,
    ) -> Result<(), CloseReason> {
        self.enter(State::ReadValue);
        let request = input.unread()[..line].to_vec();
        // Few sizes, whatever the values': the store copies, and the next value gets this memory.
        let mut value = BytesMut::with_capacity((incoming.len + 2).next_multiple_of(BUFFER_LEN));
        value.extend_from_slice(&input.unread()[line..]);
        input.consume(input.unread().len());
        self.local.give_input(std::mem::replace(input, Box::new(Input::empty())));
        while value.len() < incoming.len + 2 {
            self.read_into(&mut value, incoming.len + 2).await?;
        }
        let Parsed::Request { request, .. } = parse(&request) else {
            debug_assert!(false, "the line was a request before");
            return Err(CloseReason::Error);
        };
        let shared = &*self.local.shared;
        let now = shared.clock.now();
        self.ticket.commanded(now);
        let counters = &self.local.counters;
        let view = self.local.view();
        let desk = desk(&self.local, view.as_deref(), self.peer.as_deref(), &self.strays);
        let sampler = &self.local.sampler;
        let read_at = if sampler.is_near(2) { shared.clock.nanos() } else { 0 };
        let connection = self.ticket.id;
        let context = Context { shared, counters, connection, now, sampler, read_at, desk };
        let end = value.split_off(incoming.len);
        if &end[..] == b"\r\n" {
            // The line end shares the value's memory: it goes before the store takes that over.
            drop(end);
            match &request {
                Request::RingOffer(offer) => {
                    if let Some(ring) = &shared.ring {
                        ring::offer(ring, offer, &value, &mut self.peer, output);
                    }
                }
                request => {
                    command::store(&context, request, NewValue::Shared(value.freeze()), output);
                }
            }
        } else {
            if !matches!(request, Request::RingOffer(_)) {
                context.counters.cmd_set.increment();
            }
            refuse(output, incoming.quiet, Refusal::BadDataChunk);
        }
        Ok(())
    }

    /// Reads more of a value, never beyond `limit` bytes in all.
    async fn read_into(&mut self, value: &mut BytesMut, limit: usize) -> Result<(), CloseReason> {
        poll_fn(|context| {
            let mut room = value.limit(limit - value.len());
            match self.socket.poll_read_into(context, &mut room) {
                Poll::Pending => self.poll_kick(context),
                Poll::Ready(Ok(len)) if len > 0 => {
                    self.local.counters.bytes_read.add(len as u64);
                    // A value that is still coming in is no idling.
                    self.ticket.commanded(self.local.shared.clock.now());
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(end) => Poll::Ready(Err(self.ended(end))),
            }
        })
        .await
    }

    /// Reads and drops `len` bytes.
    pub(super) async fn swallow(
        &mut self,
        len: usize,
        input: &mut Box<Input>,
    ) -> Result<(), CloseReason> {
        self.enter(State::Swallow);
        let here = len.min(input.unread().len());
        input.consume(here);
        let mut left = len - here;
        while left > 0 {
            let mut more = self.read().await?;
            self.ticket.commanded(self.local.shared.clock.now());
            let some = left.min(more.unread().len());
            more.consume(some);
            left -= some;
            self.local.give_input(std::mem::replace(input, more));
        }
        Ok(())
    }
}
