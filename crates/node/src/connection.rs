//! One connection: a state machine between a socket and the commands.
//!
//! It reads the available input into a borrowed buffer, carries out every complete request in it,
//! and writes all the answers at once. Then:
//!
//! - if no input is left, it returns the buffers and waits for more. It holds no more than the bytes of
//!   an unfinished request;
//! - if a large value is announced, it reads the value into memory of its own as the data arrives;
//! - if a refused value follows, it reads and drops the value;
//! - if the answers reach the high-water mark, it processes no further request until they are written,
//!   however slowly the client reads;
//! - after `-R` requests, the other connections of the worker get their turn;
//! - if connections hold all their memory, it begins no new request until there is room
//!   ([`crate::memory`]).
//!
//! It ends between answers, never within one, unless the client is gone.
//!
//! | file | purpose |
//! |---|---|
//! | `dispatch` | from a request to the code that carries it out |
//! | `arriving` | long lines and large values, while they arrive |
//! | `writing`, `streams` | writing answers; answers of any length, and `watch` |
//! | `admission`, `proving` | logins and `refresh_certs`; how a connection shows that it is another node's |
//! | `flush` | `flush_all` for the whole ring |

mod admission;
mod arriving;
mod dispatch;
mod flush;
mod proving;
mod streams;
mod writing;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll, ready};

use ringbinder_protocol::{
    Follows, Foreign, Parsed, Quick, Refusal, Request, RingRequest, Storage, WatchFlags, answer,
    multi_get, parse, quick,
};
use tracing::{debug, trace, warn};

use crate::carried::Carried;
use crate::command::{self, Context};
use crate::connections::{CloseReason, State, Ticket};
use crate::input::{Input, Paused};
use crate::local::Local;
use crate::output::Output;
use crate::ring::PeerSession;
use crate::socket::{Accepted, Socket};
use crate::step::{Handled, Progress, Step};
use crate::tls::explain;
use crate::turn::{Held, Unfinished, unfinished};

use self::dispatch::{desk, refuse};
use self::proving::Next;

/// The most bytes of a command or an answer in the log.
const MAX_LOGGED: usize = 1024;

/// Serves a connection until it ends. Must be called within the worker's runtime.
///
/// It is not an `async fn`, which would keep room for its arguments as long as the connection
/// lives.
pub(crate) fn run(
    local: Rc<Local>,
    accepted: Accepted,
    ticket: Ticket,
) -> impl Future<Output = ()> {
    serve(local, Socket::register(accepted), ticket)
}

/// Does the same as [`run`], with a socket that is registered with the runtime.
pub(crate) fn serve(
    local: Rc<Local>,
    socket: io::Result<Socket>,
    ticket: Ticket,
) -> impl Future<Output = ()> {
    let locked = local.shared.auth.is_some();
    let mut connection = match socket {
        Ok(socket) => Some(Connection {
            local,
            socket,
            ticket,
            carried: None,
            peer: None,
            strays: Cell::new(false),
            waited: false,
            locked,
            failures: 0,
            slowed: false,
            in_line: false,
            held: None,
        }),
        Err(error) => {
            warn!("cannot watch the connection of {}: {error}; closed it", ticket.peer);
            None
        }
    };
    async move {
        // By reference, because a value moved within a future takes its room twice.
        if let Some(connection) = &mut connection {
            connection.opened();
            // This loop is not a function of its own, which would cost 24 bytes of every
            // connection.
            let reason = loop {
                let unfinished = match poll_fn(|context| connection.poll_turns(context)).await {
                    Ok(unfinished) => unfinished,
                    Err(reason) => break reason,
                };
                if let Err(reason) = Box::pin(connection.finish(unfinished)).await {
                    break reason;
                }
            };
            if reason == CloseReason::Full {
                connection.turn_away();
            }
            connection.drain();
            connection.closed(reason);
        }
    }
}

#[derive(Debug)]
struct Connection {
    local: Rc<Local>,
    socket: Socket,
    ticket: Ticket,
    /// An unfinished request, while waiting for its rest. Boxed, because most connections wait for
    /// a whole request.
    carried: Option<Box<Carried>>,
    /// The facts that it has presented about itself, if it is a peer.
    peer: Option<Box<PeerSession>>,
    /// Whether the last key of a retrieval on it belonged to another node.
    strays: Cell<bool>,
    /// Whether it waits for a place and has not read since.
    waited: bool,
    /// Whether its client must authenticate before anything else.
    locked: bool,
    /// Wrong passwords so far.
    failures: u8,
    /// Whether the next login has already been delayed.
    slowed: bool,
    /// Whether it waits for connection memory.
    in_line: bool,
    /// Its buffers, while it lets others have their turn.
    held: Option<Held>,
}

impl Connection {
    fn opened(&self) {
        let (watch, ticket) = (&self.local.shared.watch, &self.ticket);
        if watch.wants(WatchFlags::CONNEVENTS) {
            watch.opened(&ticket.peer, ticket.id);
        }
        debug!("<{} new connection from {}", ticket.id, ticket.peer);
    }

    fn closed(&self, reason: CloseReason) {
        let (watch, ticket) = (&self.local.shared.watch, &self.ticket);
        debug!("<{} connection closed: {}", ticket.id, reason.as_str());
        if reason == CloseReason::Memory {
            self.local.shared.memory.has_closed();
        }
        if watch.wants(WatchFlags::CONNEVENTS) {
            watch.closed(&ticket.peer, ticket.id, reason);
        }
    }

    /// Reads, carries out and answers within this poll, as long as it need not wait for anything
    /// but input. The return value says what else it has to wait for.
    fn poll_turns(
        &mut self,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<Box<Unfinished>, CloseReason>> {
        loop {
            let held = match self.held.take() {
                // It gave way to others, and has its turn again.
                Some(held) => {
                    self.local.resumes(held.bytes());
                    held
                }
                None if self.ticket.is_stopping() => {
                    return Poll::Ready(Err(CloseReason::Shutdown));
                }
                None => {
                    // A request that has begun continues, or its client is found to be stuck.
                    if self.carried.is_none()
                        && (self.in_line || self.local.shared.memory.is_full())
                    {
                        ready!(self.poll_memory(context))?;
                    }
                    self.enter(match &self.carried {
                        Some(carried) if carried.has_line() => State::ReadValue,
                        _ => State::Read,
                    });
                    let input = ready!(self.poll_input(context))?;
                    self.ticket.commanded(self.local.shared.clock.now());
                    Held { input, output: self.local.take_output() }
                }
            };
            if let ControlFlow::Break(unfinished) = ready!(self.poll_turn(held, context))? {
                return Poll::Ready(Ok(unfinished));
            }
        }
    }

    /// Carries out the requests that were read and writes the answers.
    fn poll_turn(
        &mut self,
        mut held: Held,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<ControlFlow<Box<Unfinished>>, CloseReason>> {
        let turns = self.local.shared.settings.max_reqs_per_event;
        let mut progress = Progress { turns };
        let step = loop {
            let Held { input, output } = &mut held;
            let step = self.step(input, output, &mut progress);
            match step {
                Step::Starved | Step::Flush if !output.has_holes() => {
                    match self.poll_flush(context, output) {
                        Poll::Ready(Ok(())) if matches!(step, Step::Flush) => {}
                        Poll::Ready(Ok(())) => {
                            self.give_back(held);
                            return Poll::Ready(Ok(ControlFlow::Continue(())));
                        }
                        Poll::Ready(Err(reason)) => {
                            self.give_back(held);
                            return Poll::Ready(Err(reason));
                        }
                        Poll::Pending => break step,
                    }
                }
                Step::Yield => {
                    self.local.counters.conn_yields.increment();
                    self.local.note_late(input);
                    self.local.yields(held.bytes());
                    self.held = Some(held);
                    // This puts it after the tasks that are ready, without a check of the sockets
                    // in between.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                step => break step,
            }
        };
        self.local.note_late(&mut held.input);
        unfinished(held, progress, step)
    }

    /// Keeps an unfinished request, and returns the buffers.
    #[inline]
    fn give_back(&mut self, held: Held) {
        let unread = held.input.unread();
        if !unread.is_empty() {
            self.carry(unread.len(), Carried::keep(unread, &self.local.shared.memory));
        }
        self.local.give_input(held.input);
        self.local.give_output(held.output);
    }

    /// Waits for input, and takes a buffer only when input has arrived.
    async fn read(&mut self) -> Result<Box<Input>, CloseReason> {
        poll_fn(|context| self.poll_input(context)).await
    }

    fn poll_input(
        &mut self,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<Box<Input>, CloseReason>> {
        let mut most = self.local.shared.memory.read_at_once();
        if self.waited || !self.ticket.standing().has_place() {
            match ready!(self.poll_place(context))? {
                Next::Carried(input) => return Poll::Ready(Ok(input)),
                Next::Read { at_most } => most = most.min(at_most),
            }
        }
        if let Some(Carried::Line(..)) = self.carried.as_deref() {
            return self.poll_line(context);
        }
        let carried = self.carried.as_ref().map_or(&[][..], |it| it.bytes());
        let mut input = self.local.take_input();
        input.load(carried);
        let room = most.min(input.room().len());
        match self.socket.poll_read(context, &mut input.room()[..room]) {
            Poll::Pending => {
                self.local.give_input(input);
                match self.ticket.standing().has_place() {
                    true => self.poll_kick(context),
                    false => self.poll_unplaced(context),
                }
            }
            Poll::Ready(Ok(len)) if len > 0 => {
                self.local.counters.bytes_read.add(len as u64);
                if self.carried.take().is_some() {
                    self.ticket.hold_nothing();
                }
                input.filled(len);
                self.local.note_read(&mut input);
                Poll::Ready(Ok(input))
            }
            Poll::Ready(end) => {
                self.local.give_input(input);
                Poll::Ready(Err(self.ended(end)))
            }
        }
    }

    #[inline]
    fn enter(&self, state: State) {
        trace!("{} {}", self.ticket.id, state.as_str());
        self.ticket.enter(state);
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

    fn poll_kick<T>(&self, context: &TaskContext<'_>) -> Poll<Result<T, CloseReason>> {
        match self.ticket.poll_kick(context) {
            Some(reason) => {
                if reason == CloseReason::IdleTimeout {
                    self.local.counters.idle_kicks.increment();
                }
                Poll::Ready(Err(reason))
            }
            None => Poll::Pending,
        }
    }

    /// Does the work that a turn has to wait for, and carries out the other requests read with it.
    async fn finish(&mut self, unfinished: Box<Unfinished>) -> Result<(), CloseReason> {
        let Unfinished { mut held, mut progress, step } = *unfinished;
        self.keep_little(&mut held, &step);
        let finished = self.work(&mut held, &mut progress, step).await;
        self.ticket.hold_nothing();
        self.give_back(held);
        finished
    }

    /// Returns the worker's buffer, which it need not hold while it waits.
    fn keep_little(&self, Held { input, output }: &mut Held, step: &Step) {
        // A request with a value takes the value out of the buffer next.
        let brings_value = matches!(step, Step::Value { .. } | Step::Swallow(_));
        if input.is_lent() && !brings_value {
            let own = match input.unread().len() {
                0 => Input::empty(),
                _ => input.move_out(),
            };
            self.local.give_input(std::mem::replace(input, Box::new(own)));
        }
        output.settle(input.uncounted(), &self.local.shared.memory);
    }

    async fn work(
        &mut self,
        Held { input, output }: &mut Held,
        progress: &mut Progress,
        mut step: Step,
    ) -> Result<(), CloseReason> {
        loop {
            match step {
                Step::Starved => return self.flush(output).await,
                Step::Flush => self.flush(output).await?,
                Step::Yield => {
                    progress.turns = self.local.shared.settings.max_reqs_per_event;
                    self.local.counters.conn_yields.increment();
                    tokio::task::yield_now().await;
                }
                Step::Value { line, len } => {
                    self.flush(output).await?;
                    self.value(line, len, input, output).await?;
                }
                Step::Swallow(len) => {
                    self.flush(output).await?;
                    self.swallow(len, input, output).await?;
                }
                Step::Slow(wait) => self.slow(wait, output).await?,
                Step::Penalty => self.penalty(output).await?,
                Step::FlushAll { delay, noreply } => self.flush_all(delay, noreply, output).await,
                Step::Refresh => self.refresh(output).await,
                Step::Watch(flags) => return Err(self.watch(flags, output).await),
                Step::Long(long) => self.long(long, output).await?,
                Step::Close(reason) => {
                    self.flush(output).await?;
                    return Err(reason);
                }
            }
            step = self.step(input, output, progress);
        }
    }

    /// Carries out requests until it has to wait.
    fn step(&mut self, input: &mut Input, output: &mut Output, progress: &mut Progress) -> Step {
        self.local.look_up();
        if !output.foreign().borrow_mut().admits(self.local.generation()) {
            return Step::Flush;
        }
        if self.locked {
            return self.admit(input, output, progress);
        }
        if !self.ticket.standing().has_place() {
            return self.present(input, output, progress);
        }
        let shared = &*self.local.shared;
        output.high_water = shared.memory.high_water();
        let view = self.local.view();
        let mut context = Context {
            shared,
            counters: &self.local.counters,
            connection: self.ticket.id,
            now: shared.clock.now(),
            sampler: &self.local.sampler,
            read_at: input.read_at,
            desk: desk(&self.local, view.as_deref(), self.peer.as_deref(), &self.strays),
        };
        loop {
            let unread = input.unread();
            if unread.is_empty() {
                return Step::Starved;
            }
            if output.is_full() {
                return Step::Flush;
            }
            if progress.turns == 0 {
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
                            dispatch::get(&context, get, line, &mut paused, progress, output)
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
                                self.acquaint(command);
                            }
                            let (view, peer) = (view.as_deref(), self.peer.as_deref());
                            context.desk = desk(&self.local, view, peer, &self.strays);
                            handled
                        }
                    },
                },
            };
            if shared.logs_commands() && consumed > 0 {
                self.log(unread, &output.bytes[before..]);
            }
            if consumed > 0 {
                if context.desk.is_some_and(|desk| desk.forwarding.is_some()) {
                    self.local.counters.foreign_received.increment();
                }
                input.consume(consumed);
                progress.turns -= 1;
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
    fn foreign(&self, foreign: Foreign, output: &mut Output) -> Step {
        let peer = &self.ticket.peer;
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
                "closed the connection of {peer}, which did not send memcached's text protocol: \
                 {line}"
            );
        }
        Step::Close(CloseReason::Error)
    }

    /// The reason for closing at the end of input.
    fn ended(&self, end: io::Result<usize>) -> CloseReason {
        let Err(error) = end else {
            return CloseReason::Normal;
        };
        if let (Some(_), Some(tls)) = (explain::inner(&error), &self.local.shared.tls) {
            tls.proto_errors.fetch_add(1, Relaxed);
            debug!("<{} TLS: {}", self.ticket.id, explain::cause(&error));
        }
        CloseReason::Error
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
