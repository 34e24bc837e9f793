//! The proof by which a connection gets a slot of the nodes: that its other side is a node.
//!
//! Any of these is a proof:
//!
//! - it comes from an address of a node of the ring, and greets by the name of such a node;
//! - it showed a certificate that is valid for a host of the node by whose name it greets;
//! - it sent a proof by the peer secret.
//!
//! A connection that came while clients held all `-c` slots must prove this within a second, and
//! before anything but a login. Until then it holds at most [`MAX_UNPROVED`] bytes, and the
//! requests open to it reveal no stored data. Any other request makes it a client's. A client gets
//! a slot if there is one by then; otherwise it waits for one if clients may wait, or is rejected.
//!
//! A busy worker does not cost a node its connection. The second begins when the worker first reads
//! the socket, and the worker reads the data that has arrived before it rejects a connection. With
//! `no_maxconns_fast` the connection waits among the clients after that second, and a proof still
//! counts.

use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use ringbinder_protocol::{Parsed, Refusal, Request, RingCommand, RingRequest, answer, parse};

use super::Connection;
use crate::command::step::Step;
use crate::command::{self, Context};
use crate::net::connections::{CloseReason, SlotState};
use crate::net::input::Input;
use crate::net::output::Output;
use crate::ring::RingNode;
use crate::security::tls;

/// Bytes read from a connection that has proved nothing yet: enough for a login of one node to
/// another, and a handshake or a proof.
const MAX_UNPROVED: usize = 1024;

/// The beginning of every request with which a node proves itself.
const BEGINNING: &[u8] = b"ring ";

/// The next action of a connection.
pub(super) enum Next {
    /// Carry out the input that was read before it waited for a slot.
    Carried(Box<Input>),
    /// Read at most this much.
    Read { at_most: usize },
}

impl Connection {
    /// Waits for a slot, if it is a client's.
    #[cold]
    pub(super) fn poll_slot(
        &mut self,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<Next, CloseReason>> {
        if self.waited || self.ticket.slot_state() == SlotState::Queued {
            self.waited = true;
            if let Poll::Ready(kicked) = self.poll_kick(context) {
                return Poll::Ready(kicked);
            }
            // Checked only after the wake-up is registered, so that no change is missed.
            if self.ticket.slot_state() == SlotState::Queued {
                return Poll::Pending;
            }
            self.waited = false;
            if let Some(carried) = self.carried.take() {
                let mut input = self.local.take_input();
                input.load(carried.bytes());
                return Poll::Ready(Ok(Next::Carried(input)));
            }
        }
        if self.ticket.slot_state().has_slot() {
            return Poll::Ready(Ok(Next::Read { at_most: usize::MAX }));
        }
        let held = self.carried.as_ref().map_or(0, |it| it.bytes().len());
        Poll::Ready(match MAX_UNPROVED.saturating_sub(held) {
            0 => Err(CloseReason::Full),
            at_most => Ok(Next::Read { at_most }),
        })
    }

    /// Waits for input without a slot. If it must be rejected, the data that has arrived is read
    /// first.
    #[cold]
    pub(super) fn poll_without_slot<T>(
        &self,
        context: &TaskContext<'_>,
    ) -> Poll<Result<T, CloseReason>> {
        let kicked = self.poll_kick(context);
        let has_arrived = self.socket.has_arrived();
        if !has_arrived {
            self.ticket.start_timeout();
        }
        match kicked {
            // The runtime has not noticed yet. It wakes this task when it does.
            Poll::Ready(Err(CloseReason::Full)) if has_arrived => Poll::Pending,
            kicked => kicked,
        }
    }

    /// Looks for a proof in the input, and continues with the requests after it.
    #[cold]
    pub(super) fn present(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        turns: &mut u32,
    ) -> Step {
        self.ticket.start_timeout();
        let local = Rc::clone(&self.local);
        let Some(ring) = &local.shared.ring else {
            return self.present_as_client(input, output, turns);
        };
        let context = Context::new(&local, self.ticket.id, 0, None);
        loop {
            let unread = input.unread();
            if unread.is_empty() {
                return Step::Starved;
            }
            if *turns == 0 {
                return Step::Yield;
            }
            let begun = unread.len().min(BEGINNING.len());
            if unread[..begun] != BEGINNING[..begun] {
                return self.present_as_client(input, output, turns);
            }
            let (command, consumed) = match parse(unread) {
                Parsed::Incomplete => return Step::Starved,
                Parsed::Request {
                    request: Request::Ring(RingRequest::Command(command)),
                    consumed,
                } => (command, consumed),
                Parsed::Request {
                    request:
                        Request::Get(_)
                        | Request::Keyed(_)
                        | Request::Storage(_)
                        | Request::Admin(_)
                        | Request::Ring(RingRequest::Offer(_) | RingRequest::Cluster),
                    ..
                }
                | Parsed::Refused { .. }
                | Parsed::Foreign(_) => return self.present_as_client(input, output, turns),
            };
            match command {
                // Its time is over. Only a proof counts now; otherwise it could ask for nonces for
                // ever.
                RingCommand::Nonce if self.ticket.slot_state() == SlotState::Leaving => {
                    return self.present_as_client(input, output, turns);
                }
                RingCommand::Nonce => {
                    self.ticket.begin_proof();
                    command::ring::execute(&context, ring, &command, &mut self.peer, output);
                }
                RingCommand::Prove(_) => {
                    // The answer follows once there is a slot.
                    let mut reply = Output::default();
                    command::ring::execute(&context, ring, &command, &mut self.peer, &mut reply);
                    self.note_proof(&command);
                    if !self.ticket.slot_state().has_slot() {
                        return self.present_as_client(input, output, turns);
                    }
                    output.bytes.extend_from_slice(&reply.bytes);
                }
                RingCommand::Greet { .. } => {
                    // Carried out like any other request, by a connection with a slot.
                    self.note_proof(&command);
                    return self.present_as_client(input, output, turns);
                }
                RingCommand::Version
                | RingCommand::Get(_)
                | RingCommand::Owner(_)
                | RingCommand::Flush { .. }
                | RingCommand::Forward(_) => return self.present_as_client(input, output, turns),
            }
            input.consume(consumed);
            *turns -= 1;
            if self.ticket.slot_state().has_slot() {
                return self.step(input, output, turns);
            }
        }
    }

    /// Continues with a slot, waits for one, or answers that there is none.
    fn present_as_client(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        turns: &mut u32,
    ) -> Step {
        match self.ticket.claim() {
            SlotState::Client | SlotState::Peer => self.step(input, output, turns),
            SlotState::Queued => Step::Starved,
            SlotState::Unproved | SlotState::Waiting | SlotState::Leaving => {
                answer::refusal(&mut output.bytes, Refusal::TooManyConnections);
                Step::Close(CloseReason::Error)
            }
        }
    }

    /// Gives it a slot of the nodes, if this request proves that its other side is one.
    pub(super) fn note_proof(&self, command: &RingCommand<'_>) {
        let Some(ring) = &self.local.shared.ring else { return };
        let proved = self.peer.as_ref().is_some_and(|peer| peer.is_proved());
        let nodes = match command {
            RingCommand::Prove(_) if proved => Some(usize::MAX),
            RingCommand::Prove(_) => {
                ring.unproved(&self.ticket.remote, self.local.shared.clock.now());
                None
            }
            RingCommand::Greet { name, process, .. } => {
                let shown = if proved { None } else { self.shows(ring, name) };
                if proved || shown.is_some() {
                    ring.is_heard(name, *process);
                }
                shown
            }
            RingCommand::Version
            | RingCommand::Get(_)
            | RingCommand::Owner(_)
            | RingCommand::Flush { .. }
            | RingCommand::Nonce
            | RingCommand::Forward(_) => None,
        };
        if let Some(nodes) = nodes {
            self.ticket.prove(nodes);
        }
    }

    /// The number of nodes whose slots its other side may have, if it has proved to be the node of
    /// this name; otherwise `None`.
    fn shows(&self, ring: &RingNode, name: &str) -> Option<usize> {
        if !ring.names_node(name) {
            return None;
        }
        let here = self.ticket.remote.ip().map_or(0, |address| ring.nodes_at(address));
        if here > 0 {
            return Some(here);
        }
        let certificate = self.socket.certificate()?;
        let hosts = ring.hosts_of(name);
        hosts.iter().any(|host| tls::is_for(certificate, host)).then_some(1)
    }

    /// Answers, as far as the socket accepts it at once, that there is no slot for it.
    #[cold]
    pub(super) fn turn_away(&mut self) {
        let mut line = Vec::new();
        answer::refusal(&mut line, Refusal::TooManyConnections);
        let mut context = TaskContext::from_waker(Waker::noop());
        let _ = self.socket.poll_write(&mut context, &line);
        let _ = self.socket.poll_flush(&mut context);
    }
}

#[cfg(test)]
mod tests;
