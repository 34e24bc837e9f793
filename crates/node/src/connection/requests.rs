//! Carries out the requests in the input, one after another, until the connection has to wait.

use std::sync::atomic::Ordering::Relaxed;

use ringbinder_protocol::{
    Follows, Foreign, Parsed, Quick, Refusal, Request, RingRequest, Storage, answer, multi_get,
    parse, quick,
};
use tracing::{debug, warn};

use super::Connection;
use super::dispatch::{self, refuse, router};
use crate::command::step::{Handled, Step};
use crate::command::{self, Context};
use crate::net::connections::CloseReason;
use crate::net::input::{Input, Paused};
use crate::net::output::Output;

/// The most bytes of a command or an answer in the log.
const MAX_LOGGED: usize = 1024;

impl Connection {
    /// Carries out requests until it has to wait.
    pub(super) fn step(&mut self, input: &mut Input, output: &mut Output, turns: &mut u32) -> Step {
        self.local.check_for_pause();
        if !output.pending_replies().borrow_mut().admits(self.local.generation()) {
            return Step::Flush;
        }
        if self.locked {
            return self.admit(input, output, turns);
        }
        if !self.ticket.slot_state().has_slot() {
            return self.present(input, output, turns);
        }
        let shared = &*self.local.shared;
        output.high_water = shared.memory.high_water();
        let view = self.local.view();
        let routes = router(&self.local, view.as_deref(), self.peer.as_deref(), &self.strays);
        let mut context = Context::new(&self.local, self.ticket.id, input.read_at, routes);
        loop {
            let unread = input.unread();
            if unread.is_empty() {
                return Step::Starved;
            }
            if output.is_full() {
                return Step::Flush;
            }
            if *turns == 0 {
                return Step::Yield;
            }
            let before = output.bytes.len();
            let mut paused = input.paused;
            let Handled { consumed, then } = match quick(unread) {
                Some(Quick::Get { key, consumed }) => {
                    debug_assert!(paused.is_none(), "one key is never put off");
                    command::get_one(&context, key, output);
                    Handled::done(consumed)
                }
                Some(Quick::Set { store, consumed }) => {
                    let storage = Storage::Classic(store);
                    dispatch::store(&context, &storage, consumed, unread, output)
                }
                None => match again(paused, unread) {
                    Parsed::Incomplete => Handled::wait(Step::Starved),
                    Parsed::Foreign(foreign) => Handled::wait(self.foreign(foreign, output)),
                    Parsed::Refused { refusal, quiet, consumed, follows } => {
                        refuse(output, quiet, refusal);
                        let then = match follows {
                            Follows::Request => None,
                            Follows::Value(len) => Some(Step::Swallow(len)),
                            Follows::Unknown => Some(Step::Close(CloseReason::Error)),
                        };
                        Handled { consumed, then }
                    }
                    Parsed::Request { request, consumed: line } => match &request {
                        Request::Get(get) => {
                            dispatch::get(&context, get, line, &mut paused, turns, output)
                        }
                        Request::Keyed(keyed) => {
                            command::keyed(&context, keyed, output);
                            Handled::done(line)
                        }
                        Request::Storage(storage) => {
                            dispatch::store(&context, storage, line, unread, output)
                        }
                        Request::Admin(admin) => {
                            let then = command::admin(&context, admin, output);
                            Handled { consumed: line, then }
                        }
                        Request::Ring(request) => {
                            let peer = &mut self.peer;
                            let handled =
                                dispatch::ring(&context, request, line, unread, peer, output);
                            if let RingRequest::Command(command) = request {
                                self.note_proof(command);
                            }
                            let (view, peer) = (view.as_deref(), self.peer.as_deref());
                            context.router = router(&self.local, view, peer, &self.strays);
                            handled
                        }
                    },
                },
            };
            if shared.logs_commands() && consumed > 0 {
                self.log(unread, &output.bytes[before..]);
            }
            if consumed > 0 {
                if context.router.is_some_and(|router| router.forwarding.is_some()) {
                    self.local.counters.foreign_received.increment();
                }
                input.consume(consumed);
                *turns -= 1;
            } else {
                input.paused = paused;
            }
            if let Some(step) = then {
                return step;
            }
        }
    }

    /// Handles input that is not memcached text: sends the client one line, logs one line, and
    /// closes.
    pub(super) fn foreign(&self, foreign: Foreign, output: &mut Output) -> Step {
        let peer = &self.ticket.remote;
        let line = foreign.refusal().map_or("an HTTP request", Refusal::line);
        match foreign {
            Foreign::Http => {}
            Foreign::Binary(request) => {
                let text = line.strip_prefix("CLIENT_ERROR ").unwrap_or(line);
                answer::binary_error(&mut output.bytes, request, text);
            }
            Foreign::Tls | Foreign::EndlessLine => answer::line(&mut output.bytes, line),
        }
        // At most one log line a second, because such a client must not fill the log either.
        let now = self.local.shared.clock.now();
        if self.local.shared.foreign_logged.swap(now, Relaxed) != now {
            warn!(
                "closed the connection of {peer}, which did not send memcached's text protocol: {line}"
            );
        }
        Step::Close(CloseReason::Error)
    }

    /// Logs a command and the first line of its answer.
    #[cold]
    fn log(&self, command: &[u8], answer: &[u8]) {
        let first = |text: &[u8]| {
            let text = &text[..text.len().min(MAX_LOGGED)];
            let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
            line.trim_ascii_end().escape_ascii().to_string()
        };
        debug!("<{} {}", self.ticket.id, first(command));
        if !answer.is_empty() {
            debug!(">{} {}", self.ticket.id, first(answer));
        }
    }
}

/// Parses the request at the front of the buffer. A line that is answered in pieces is not parsed
/// again.
#[inline]
fn again(paused: Option<Paused>, unread: &[u8]) -> Parsed<'_> {
    let known = paused.and_then(|paused| {
        let get = multi_get(&unread[..paused.line])?;
        Some(Parsed::Request { request: Request::Get(get), consumed: paused.line })
    });
    known.unwrap_or_else(|| parse(unread))
}
