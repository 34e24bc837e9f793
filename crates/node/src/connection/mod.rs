//! One connection: a state machine between a socket and the commands.
//!
//! It reads the available input into a borrowed buffer, carries out every complete request in it,
//! and writes all the answers at once. Then:
//!
//! - if no input is left, it returns the buffers and waits for more. It holds no more than the
//!   bytes of an unfinished request;
//! - if a large value is announced, it reads the value into memory of its own as the data arrives;
//! - if a refused value follows, it reads and drops the value;
//! - if the answers reach the high-water mark, it processes no further request until they are
//!   written, however slowly the client reads;
//! - after `-R` requests, the other connections of the worker get their turn;
//! - if connections hold all their memory, it begins no new request until there is room
//!   ([`crate::memory`]).
//!
//! It ends between answers, never within one, unless the client is gone.
//!
//! | file | purpose |
//! |---|---|
//! | `tls_handshake` | from an accepted socket to a connection, with whatever the client begins |
//! | `turn`, `carried` | what a turn leaves behind; the part of a request that waits for its rest |
//! | `requests`, `dispatch` | the requests in the input; one of them, by its kind |
//! | `arriving` | long lines and large values |
//! | `admission`, `login` | a connection before its login; proof that the other side is a node |
//! | `flush` | `flush_all` for the whole ring |
//! | `writing`, `streams` | writing answers; watchers and answers in pieces |

mod admission;
mod arriving;
mod carried;
mod dispatch;
mod flush;
mod login;
mod requests;
mod streams;
pub(crate) mod tls_handshake;
mod turn;
mod writing;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll, ready};

use ringbinder_protocol::WatchFlags;
use tracing::{debug, trace, warn};

use self::carried::Carried;
use self::login::Next;
use self::turn::{Buffers, Unfinished, unfinished};
use crate::command::ring::PeerSession;
use crate::command::step::Step;
use crate::net::connections::{Activity, CloseReason, Ticket};
use crate::net::input::Input;
use crate::net::socket::{Accepted, Socket};
use crate::security::tls::explain;
use crate::worker::state::Local;

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
            warn!("cannot watch the connection of {}: {error}; closed it", ticket.remote);
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
    /// Whether it waits for a slot and has not read since.
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
    held: Option<Buffers>,
}

impl Connection {
    fn opened(&self) {
        let (watch, ticket) = (&self.local.shared.watch, &self.ticket);
        if watch.wants(WatchFlags::CONNEVENTS) {
            watch.opened(&ticket.remote, ticket.id);
        }
        debug!("<{} new connection from {}", ticket.id, ticket.remote);
    }

    fn closed(&self, reason: CloseReason) {
        let (watch, ticket) = (&self.local.shared.watch, &self.ticket);
        debug!("<{} connection closed: {}", ticket.id, reason.as_str());
        if reason == CloseReason::Memory {
            self.local.shared.memory.has_closed();
        }
        if watch.wants(WatchFlags::CONNEVENTS) {
            watch.closed(&ticket.remote, ticket.id, reason);
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
                        Some(carried) if carried.has_line() => Activity::ReadValue,
                        _ => Activity::Read,
                    });
                    let input = ready!(self.poll_input(context))?;
                    self.ticket.commanded(self.local.shared.clock.now());
                    Buffers { input, output: self.local.take_output() }
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
        mut held: Buffers,
        context: &mut TaskContext<'_>,
    ) -> Poll<Result<ControlFlow<Box<Unfinished>>, CloseReason>> {
        let mut turns = self.local.shared.settings.max_reqs_per_event;
        let step = loop {
            let Buffers { input, output } = &mut held;
            let step = self.step(input, output, &mut turns);
            match step {
                Step::Starved | Step::Flush if !output.has_pending() => {
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
        unfinished(held, turns, step)
    }

    /// Keeps an unfinished request, and returns the buffers.
    #[inline]
    fn give_back(&mut self, held: Buffers) {
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
        if self.waited || !self.ticket.slot_state().has_slot() {
            match ready!(self.poll_slot(context))? {
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
                match self.ticket.slot_state().has_slot() {
                    true => self.poll_kick(context),
                    false => self.poll_without_slot(context),
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
    fn enter(&self, state: Activity) {
        trace!("{} {}", self.ticket.id, state.as_str());
        self.ticket.enter(state);
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
        let Unfinished { mut held, mut turns, step } = *unfinished;
        self.keep_little(&mut held, &step);
        let finished = self.work(&mut held, &mut turns, step).await;
        self.ticket.hold_nothing();
        self.give_back(held);
        finished
    }

    /// Returns the worker's buffer, which it need not hold while it waits.
    fn keep_little(&self, Buffers { input, output }: &mut Buffers, step: &Step) {
        // A request with a value takes the value out of the buffer next.
        let brings_value = matches!(step, Step::Value { .. } | Step::Swallow(_));
        if input.is_borrowed() && !brings_value {
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
        Buffers { input, output }: &mut Buffers,
        turns: &mut u32,
        mut step: Step,
    ) -> Result<(), CloseReason> {
        loop {
            match step {
                Step::Starved => return self.flush(output).await,
                Step::Flush => self.flush(output).await?,
                Step::Yield => {
                    *turns = self.local.shared.settings.max_reqs_per_event;
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
            step = self.step(input, output, turns);
        }
    }

    /// The reason for closing at the end of input.
    fn ended(&self, end: io::Result<usize>) -> CloseReason {
        let Err(error) = end else { return CloseReason::Normal };
        if let (Some(_), Some(tls)) = (explain::inner(&error), &self.local.shared.tls) {
            tls.proto_errors.fetch_add(1, Relaxed);
            debug!("<{} TLS: {}", self.ticket.id, explain::cause(&error));
        }
        CloseReason::Error
    }
}
