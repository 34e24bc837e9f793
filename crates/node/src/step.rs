//! One request at the front of a read buffer: carried out, left to another node, or put off until
//! what it waits for is here.

use std::cell::Cell;
use std::time::Duration;

use ringbinder_protocol::{Refusal, Request, RingOffer, WatchFlags, answer};
use ringbinder_store::NewValue;

use crate::command::{self, Context, FlushAll, Incoming, Next};
use crate::connections::CloseReason;
use crate::input::{Paused, SMALL_VALUE};
use crate::local::Local;
use crate::long::Long;
use crate::output::Output;
use crate::ring::{self, Desk, PeerSession, View};
use crate::shared::Shared;
use crate::stop::StopCause;

/// Why carrying out requests stopped.
#[derive(Debug)]
pub(crate) enum Step {
    /// There is no further whole request.
    Starved,
    /// It is the others' turn.
    Yield,
    /// The answers must be written first.
    Flush,
    /// The value announced in the first `line` unread bytes is still on its way.
    Value { line: usize, incoming: Incoming },
    /// So many bytes are to be dropped.
    Swallow(usize),
    /// A login is to be looked at, but only after so long.
    Slow(Duration),
    /// A wrong password is to be answered, but not at once.
    Penalty,
    /// Every node of the ring is to be emptied.
    FlushAll(FlushAll),
    /// The client wants the certificates read anew.
    Refresh,
    /// The client wants to watch.
    Watch(WatchFlags),
    /// The client wants an answer that may be long.
    Long(Long),
    /// The end.
    Close(CloseReason),
}

/// What became of the request at the front of the buffer.
#[derive(Debug)]
pub(crate) struct Handled {
    /// Bytes of it that are dealt with; 0 where it stays for later.
    pub(crate) consumed: usize,
    /// Why to stop here, if so.
    pub(crate) then: Option<Step>,
}

/// How far the requests in a buffer are carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Requests until it is the others' turn.
    pub(crate) turns: u32,
}

/// Answers that a request is not carried out, unless the client wants no answer.
pub(crate) fn refuse(output: &mut Output, quiet: bool, refusal: Refusal) {
    if !quiet {
        answer::refusal(&mut output.bytes, refusal);
    }
}

/// Carries out a request that brings no value.
#[inline]
pub(crate) fn execute(
    context: &Context<'_>,
    request: &Request<'_>,
    line: usize,
    output: &mut Output,
    (paused, progress): (&mut Option<Paused>, &mut Progress),
) -> Handled {
    let done = paused.take().map_or(0, |paused| paused.done);
    let then = match command::execute(context, request, done, output) {
        Next::Continue => None,
        Next::Pause { done } => {
            *paused = Some(Paused { line, done });
            // A piece of one answer is as much as many answers are.
            progress.turns = 0;
            let then = if output.is_full() { Step::Flush } else { Step::Yield };
            return Handled { consumed: 0, then: Some(then) };
        }
        Next::Close(reason) => Some(Step::Close(reason)),
        Next::Watch(flags) => Some(Step::Watch(flags)),
        Next::Long(long) => Some(Step::Long(long)),
        Next::FlushAll(flush) => Some(Step::FlushAll(flush)),
        Next::Refresh => Some(Step::Refresh),
        Next::Shutdown => {
            context.shared.stop.because(StopCause::Shutdown);
            Some(Step::Close(CloseReason::Shutdown))
        }
    };
    Handled { consumed: line, then }
}

/// Stores a value that is here, or says how to get it. `unread` begins with the request's line.
#[inline]
pub(crate) fn store(
    context: &Context<'_>,
    request: &Request<'_>,
    incoming: Incoming,
    line: usize,
    unread: &[u8],
    output: &mut Output,
) -> Handled {
    let Incoming { len, quiet } = incoming;
    let whole = line + len + 2;
    let value = unread.get(line..whole);
    let waits_here = len <= SMALL_VALUE;
    if let Err(refusal) = command::admit(context, request) {
        if !command::turned_away(context, request, refusal, output) {
            refuse(output, quiet, refusal);
        }
        return Handled { consumed: line, then: Some(Step::Swallow(len + 2)) };
    }
    let Some(value) = value else {
        let wait = if waits_here { Step::Starved } else { Step::Value { line, incoming } };
        return Handled { consumed: 0, then: Some(wait) };
    };
    match value.split_at(len) {
        (value, b"\r\n") => command::store(context, request, NewValue::Slice(value), output),
        _ => {
            context.counters.cmd_set.increment();
            refuse(output, quiet, Refusal::BadDataChunk);
        }
    }
    Handled { consumed: whole, then: None }
}

/// Who carries out requests, where there is a ring.
#[inline]
pub(crate) fn desk<'a>(
    local: &'a Local,
    view: Option<&'a View>,
    peer: Option<&PeerSession>,
    strays: &'a Cell<bool>,
) -> Option<Desk<'a>> {
    let policy = local.shared.ring.as_ref()?.settings.foreign_keys;
    let forwarding = peer.and_then(|peer| peer.forwarding);
    Some(Desk { view: view?, policy, forwarding, strays, counters: &local.counters })
}

/// Answers a request about the ring.
pub(crate) fn ring_request(
    context: &Context<'_>,
    request: &Request<'_>,
    line: usize,
    unread: &[u8],
    (peer, output): (&mut Option<Box<PeerSession>>, &mut Output),
) -> Handled {
    let done = Handled { consumed: line, then: None };
    let shared = context.shared;
    let Some(ring) = &shared.ring else {
        let (refusal, then) = match request {
            Request::RingOffer(offer) => (Refusal::NoRing, Some(Step::Swallow(offer.len + 2))),
            Request::ConfigGetCluster => (Refusal::Unknown, None),
            _ => (Refusal::NoRing, None),
        };
        refuse(output, false, refusal);
        return Handled { then, ..done };
    };
    match request {
        Request::Ring(command) => {
            let long = ring::command(context, ring, command, peer, output);
            return Handled { then: long.map(Step::Long), ..done };
        }
        Request::RingOffer(offer) => {
            return ring_offer(shared, offer, line, unread, (peer, output));
        }
        _ => ring::cluster(ring, output),
    }
    done
}

/// Takes an offered ring that is here, or says how to get it.
fn ring_offer(
    shared: &Shared,
    offer: &RingOffer,
    line: usize,
    unread: &[u8],
    (peer, output): (&mut Option<Box<PeerSession>>, &mut Output),
) -> Handled {
    let Some(ring) = &shared.ring else {
        return Handled { consumed: line, then: Some(Step::Swallow(offer.len + 2)) };
    };
    // Nobody who has not been given a nonce may make this node hold a ring's worth of bytes.
    if !peer.as_ref().is_some_and(|peer| peer.may_offer()) {
        refuse(output, false, Refusal::RingNotProved);
        return Handled { consumed: line, then: Some(Step::Swallow(offer.len + 2)) };
    }
    let whole = line + offer.len + 2;
    match unread.get(line..whole) {
        Some(text) => {
            match text.split_at(offer.len) {
                (text, b"\r\n") => ring::offer(ring, offer, text, peer, output),
                _ => refuse(output, false, Refusal::BadDataChunk),
            }
            Handled { consumed: whole, then: None }
        }
        None if offer.len <= SMALL_VALUE => Handled { consumed: 0, then: Some(Step::Starved) },
        None => {
            let incoming = Incoming { len: offer.len, quiet: false };
            Handled { consumed: 0, then: Some(Step::Value { line, incoming }) }
        }
    }
}
