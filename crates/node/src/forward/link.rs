//! One worker's connection to one peer. It carries every forwarded request of the worker's clients
//! in a pipeline, and answers come back in order.
//!
//! A link opens when a request is to be sent, and stays open. Before any request the peer must name
//! itself as the ring names it, so that no data goes to an untrusted process at an old address. A
//! peer that rejects the connection is dialled again while the time for an answer lasts.
//!
//! A request that is not answered in time fails alone: the link still waits for its answer and
//! drops it. A peer that sends no answer for twice that time is unreachable: the connection is
//! closed, and every waiting request fails. The timeout does not run while a large value moves in
//! either direction.
//!
//! The memory that a peer can occupy is bounded: lines and small values by the read buffer, large
//! values by the memory of connections, and unwritten requests by [`MAX_UNWRITTEN`].

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use ringbinder_protocol::{Forwarding, Reply, Stamp, reply};
use tokio::time::{Instant, Sleep};
use tracing::{debug, warn};

use super::in_flight::{Losses, Waiting};
use super::large::{Held, Large};
use super::link_state::LinkState;
use super::open;
use crate::net::input::{Input, SMALL_VALUE};
use crate::net::pending::{Group, SharedReplies};
use crate::net::socket::Socket;
use crate::ring::manager::Hint;
use crate::ring::peer::Peer;
use crate::ring::peer::dial::DialError;
use crate::worker::state::Local;

/// The most bytes of requests held while a peer does not accept them.
const MAX_UNWRITTEN: usize = 16 << 20;
const MAX_UNWRITTEN_TIGHT: usize = 64 << 10;

/// The reason why a link broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("it closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("it is not a node of this ring: it answered the handshake with {0:?}")]
    NoPeer(String),
    #[error("it has the name {0}")]
    OtherName(String),
    #[error("it sent an answer without a request: {0:?}")]
    Nonsense(String),
}

impl LinkError {
    /// Whether requests fail at once until a probe reaches the peer.
    fn is_away(&self) -> bool {
        // The end of one connection says nothing about the next one. A failure to open any
        // connection, with several attempts in the time available, does.
        !matches!(self, LinkError::Closed | LinkError::Io(_))
    }
}

/// The link, as connections see it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: Arc<Peer>,
    state: RefCell<LinkState>,
}

impl Link {
    pub(crate) fn new(peer: Arc<Peer>) -> Rc<Link> {
        Rc::new(Link { peer, state: RefCell::default() })
    }

    /// Closes the connection once no request waits, because no ring names the peer any more.
    pub(crate) fn retire(&self) {
        let mut state = self.state.borrow_mut();
        state.retired = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(crate) fn is_retired(&self) -> bool {
        self.state.borrow().retired
    }

    /// Sends a group of pending replies under the ring `stamp`, or fails them at once if the peer
    /// is unreachable.
    pub(crate) fn send(
        self: &Rc<Self>,
        local: &Rc<Local>,
        pending: &SharedReplies,
        stamp: Stamp,
        group: Group,
        timeout: Duration,
    ) {
        let Group { destination, form, replies } = group;
        let mut state = self.state.borrow_mut();
        let waiting = Waiting {
            pending: Rc::clone(pending),
            form,
            replies,
            answered: 0,
            ended: false,
            sent: Instant::now(),
            timeout,
            is_late: false,
        };
        self.peer.forwarded.fetch_add(waiting.replies.len() as u64, Relaxed);
        // If connection memory is short, requests that a slow peer does not accept are the first to
        // fail.
        let most = match local.shared.memory.is_tight() {
            true => MAX_UNWRITTEN_TIGHT,
            false => MAX_UNWRITTEN,
        };
        if self.peer.is_unreachable() || state.out.unwritten() > most {
            waiting.fail(self.losses(local));
            return;
        }
        state.announce(Forwarding { stamp, claim: destination.claim });
        state.write(waiting);
        if !state.running {
            state.running = true;
            tokio::task::spawn_local(run(Rc::clone(local), Rc::clone(self)));
        } else if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn losses<'a>(&'a self, local: &'a Local) -> Losses<'a> {
        Losses { counters: &local.counters, peer: &self.peer }
    }

    /// Ends the connection: every waiting request fails.
    fn fall(&self, local: &Local, error: &LinkError) {
        let mut state = self.state.borrow_mut();
        let in_time = state.waiting.iter().filter(|waiting| !waiting.is_late);
        let failed: usize = in_time.map(|waiting| waiting.open().len()).sum();
        let waiting = std::mem::take(&mut state.waiting);
        *state = LinkState { retired: state.retired, ..LinkState::default() };
        drop(state);
        if error.is_away() {
            let hint = Hint::Away {
                peer: Arc::clone(&self.peer),
                timed_out: matches!(error, LinkError::Timeout(_)),
            };
            let mut news = self.peer.set_unreachable(true);
            if news && let Some(ring) = &local.shared.ring {
                ring.hint(hint);
            }
            let is_misfit = matches!(error, LinkError::Dial(error) if error.is_misfit());
            if news || is_misfit {
                news |= self.peer.set_reason(&error.to_string());
            }
            if news {
                warn!(
                    "the node {} is unreachable: {error}; its keys miss until it answers",
                    self.peer
                );
            }
        } else if failed > 0 {
            warn!("the node {} did not answer {failed} requests: {error}", self.peer);
        } else {
            debug!("the connection to the node {} ended: {error}", self.peer);
        }
        for waiting in waiting {
            waiting.fail(self.losses(local));
        }
    }
}

/// Runs a link until it breaks, or until it is retired and idle.
async fn run(local: Rc<Local>, link: Rc<Link>) {
    let Some(ring) = &local.shared.ring else { return };
    let timeout = ring.settings.peer_timeout;
    let ended = match open::within(timeout, &local, &link).await {
        Err(error) => Err(error),
        Ok(socket) => {
            let mut running = Running {
                local: &local,
                link: &link,
                socket,
                carried: Vec::new(),
                large: None,
                moved_at: Instant::now(),
                alarm: None,
            };
            let ended = poll_fn(|context| running.poll(context)).await;
            if ended.is_err() {
                // Its requests are answered with errors, so the peer must not carry them out later.
                running.socket.drop_unsent();
            }
            ended
        }
    };
    match ended {
        Err(error) => link.fall(&local, &error),
        Ok(()) => link.state.borrow_mut().running = false,
    }
}

/// An open link.
struct Running<'a> {
    local: &'a Rc<Local>,
    link: &'a Rc<Link>,
    socket: Socket,
    /// Bytes of an unfinished answer.
    carried: Vec<u8>,
    large: Option<Large>,
    /// The time at which a large value last moved.
    moved_at: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Running<'_> {
    /// Reads, writes and checks the clock, in this order, so that an answer that has arrived is
    /// never late.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while self.poll_read(context)?.is_ready() {}
        self.poll_write(context)?;
        let mut state = self.link.state.borrow_mut();
        if state.retired && state.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        drop(state);
        self.poll_alarm(context)
    }

    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            let Some(due) = self.next_due() else {
                self.alarm = None;
                return Poll::Pending;
            };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if now >= due {
                self.expire(now)?;
            }
            // The timer was set for a request that has been answered or has failed.
            if let Some(due) = self.next_due()
                && let Some(alarm) = &mut self.alarm
            {
                alarm.as_mut().reset(due);
            }
        }
    }

    /// The time at which the next request fails, or at which the peer counts as unreachable.
    fn next_due(&self) -> Option<Instant> {
        let state = self.link.state.borrow();
        let first = state.waiting.front()?;
        let away = first.is_late.then(|| self.sent(first) + 2 * first.timeout);
        let next = state.waiting.iter().find(|waiting| !waiting.is_late);
        let late = next.map(|waiting| self.sent(waiting) + waiting.timeout);
        away.into_iter().chain(late).min()
    }

    fn sent(&self, waiting: &Waiting) -> Instant {
        waiting.sent.max(self.moved_at)
    }

    /// Fails requests that were not answered in time; returns an error if the peer was silent too
    /// long.
    fn expire(&mut self, now: Instant) -> Result<(), LinkError> {
        let moved_at = self.moved_at;
        let mut state = self.link.state.borrow_mut();
        let overdue = |waiting: &Waiting| now >= waiting.sent.max(moved_at) + waiting.timeout;
        if let Some(first) = state.waiting.front()
            && first.is_late
            && now >= first.sent.max(moved_at) + 2 * first.timeout
        {
            return Err(LinkError::Timeout(first.timeout));
        }
        let losses = self.link.losses(self.local);
        for waiting in state.waiting.iter_mut().filter(|it| !it.is_late && overdue(it)) {
            let count = waiting.give_up(losses) as u64;
            losses.peer.slow.fetch_add(count, Relaxed);
        }
        Ok(())
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), LinkError> {
        let mut state = self.link.state.borrow_mut();
        while !state.out.is_empty() {
            let large = state.out.has_large();
            let Poll::Ready(len) = state.out.poll_write_to(&mut self.socket, context)? else {
                break;
            };
            if len == 0 {
                return Err(LinkError::Closed);
            }
            if large {
                self.moved_at = Instant::now();
            }
            state.out.advance(len);
        }
        if !state.out.is_empty() {
            state.out.settle(self.carried.capacity(), &self.local.shared.memory);
        }
        // If this call waits, the task is woken to continue.
        let _ = self.socket.poll_flush(context)?;
        Ok(())
    }

    /// Reads once; ready if there may be more to read.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, LinkError> {
        if let Some(large) = &mut self.large {
            if large.keep.is_none() {
                large.value.reserve(SMALL_VALUE);
            }
            let mut room = (&mut large.value).limit(large.left);
            return match self.socket.poll_read_into(context, &mut room)? {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(0) => Err(LinkError::Closed),
                Poll::Ready(len) => {
                    self.moved_at = Instant::now();
                    large.arrived(len);
                    if large.left == 0 {
                        self.finish_large()?;
                    }
                    Ok(Poll::Ready(()))
                }
            };
        }
        let mut input = self.local.take_input();
        input.load(&self.carried);
        let read = self.socket.poll_read(context, input.room());
        let outcome = match read {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Ready(Ok(0)) => Err(LinkError::Closed),
            Poll::Ready(Ok(len)) => {
                input.filled(len);
                self.link.peer.is_heard();
                self.take_all(&mut input).map(|()| {
                    self.carried.clear();
                    self.carried.extend_from_slice(input.unread());
                    Poll::Ready(())
                })
            }
        };
        self.local.give_input(input);
        outcome
    }

    /// Takes every complete answer out of the buffer.
    fn take_all(&mut self, input: &mut Input) -> Result<(), LinkError> {
        while !input.unread().is_empty() && self.large.is_none() {
            let consumed = self.take(input.unread())?;
            if consumed == 0 {
                break;
            }
            input.consume(consumed);
        }
        if let Some(large) = &mut self.large {
            let here = input.unread().len().min(large.left);
            large.value.extend_from_slice(&input.unread()[..here]);
            input.consume(here);
            large.arrived(here);
            if large.left == 0 {
                self.finish_large()?;
                return self.take_all(input);
            }
        }
        Ok(())
    }

    /// Takes one answer, or the header of a large one. Returns 0 if it has not arrived completely.
    fn take(&mut self, unread: &[u8]) -> Result<usize, LinkError> {
        let nonsense = |text: &[u8]| {
            LinkError::Nonsense(String::from_utf8_lossy(text).chars().take(80).collect())
        };
        let mut state = self.link.state.borrow_mut();
        let Some(waiting) = state.waiting.front_mut() else { return Err(nonsense(unread)) };
        let consumed = match reply(unread) {
            Reply::Incomplete => return Ok(0),
            Reply::Malformed => return Err(nonsense(unread)),
            Reply::Value { line, key, len, consumed, .. } => {
                let reply = waiting.expect_value(key).ok_or_else(|| nonsense(line))?;
                let whole = consumed + len + 2;
                if len > SMALL_VALUE {
                    let keep = self.local.shared.memory.take_for_peer(len as u64);
                    let room = if keep.is_some() { len + 2 } else { 0 };
                    self.large = Some(Large {
                        header: unread[..consumed].to_vec(),
                        value: BytesMut::with_capacity(room),
                        left: len + 2,
                        keep,
                    });
                    return Ok(consumed);
                }
                let Some(answer) = unread.get(..whole) else { return Ok(0) };
                if !answer.ends_with(b"\r\n") {
                    return Err(nonsense(line));
                }
                waiting.answered += 1;
                waiting.pending.borrow_mut().answer(reply, answer);
                whole
            }
            Reply::Line { line, consumed } => {
                let losses = self.link.losses(self.local);
                let taken = waiting.take_line(line, &unread[..consumed], losses);
                taken.ok_or_else(|| nonsense(line))?;
                consumed
            }
        };
        if waiting.is_done() {
            state.waiting.pop_front();
        }
        Ok(consumed)
    }

    fn finish_large(&mut self) -> Result<(), LinkError> {
        let Some(large) = self.large.take() else { return Ok(()) };
        if large.keep.is_some() && !large.value.ends_with(b"\r\n") {
            let header = String::from_utf8_lossy(&large.header).into_owned();
            return Err(LinkError::Nonsense(header));
        }
        let mut state = self.link.state.borrow_mut();
        let Some(waiting) = state.waiting.front_mut() else { return Ok(()) };
        // The request announced by the header. Its pending reply has another number if it timed out
        // meanwhile.
        let Some(&reply) = waiting.open().first() else { return Ok(()) };
        match large.keep {
            Some(charge) => {
                let held = Held { value: large.value, _charge: charge };
                let value = Bytes::from_owner(held);
                waiting.pending.borrow_mut().answer_large(reply, &large.header, value);
            }
            None => waiting.fail_one(reply, self.link.losses(self.local)),
        }
        waiting.answered += 1;
        if waiting.is_done() {
            state.waiting.pop_front();
        }
        Ok(())
    }
}
