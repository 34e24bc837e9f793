//! Dispatches the request at the front of a read buffer, by its kind.

use std::cell::Cell;

use ringbinder_protocol::{Get, Refusal, RingOffer, RingRequest, Storage, answer};
use ringbinder_store::NewValue;

use crate::command::Router;
use crate::command::ring::PeerSession;
use crate::command::step::{Handled, Step};
use crate::command::{self, Context};
use crate::net::input::{Paused, SMALL_VALUE};
use crate::net::output::Output;
use crate::ring::{RingNode, View};
use crate::worker::state::Local;

/// The router of requests, if there is a ring.
#[inline]
pub(super) fn router<'a>(
    local: &'a Local,
    view: Option<&'a View>,
    peer: Option<&PeerSession>,
    strays: &'a Cell<bool>,
) -> Option<Router<'a>> {
    let policy = local.shared.ring.as_ref()?.settings.foreign_keys;
    let forwarding = peer.and_then(|peer| peer.forwarding);
    Some(Router { view: view?, policy, forwarding, strays, counters: &local.counters })
}

/// Answers that a request is not carried out, unless the client suppresses replies.
pub(super) fn refuse(output: &mut Output, quiet: bool, refusal: Refusal) {
    if !quiet {
        answer::refusal(&mut output.bytes, refusal);
    }
}

/// Reads the keys of a line of this many bytes, or continues a line that is answered in pieces.
#[inline]
pub(super) fn get(
    context: &Context<'_>,
    get: &Get<'_>,
    line: usize,
    paused: &mut Option<Paused>,
    turns: &mut u32,
    output: &mut Output,
) -> Handled {
    let done = paused.take().map_or(0, |paused| paused.done);
    let Some(done) = command::get(context, get, done, output) else { return Handled::done(line) };
    *paused = Some(Paused { line, done });
    // A piece of one answer counts as much as many answers.
    *turns = 0;
    Handled::wait(if output.is_full() { Step::Flush } else { Step::Yield })
}

/// Stores a value that has arrived, or returns how to receive it. `unread` begins with the
/// request's line.
#[inline]
pub(super) fn store(
    context: &Context<'_>,
    storage: &Storage<'_>,
    line: usize,
    unread: &[u8],
    output: &mut Output,
) -> Handled {
    let len = storage.value_len();
    if let Err(refusal) = command::admit(context, storage) {
        if !command::turned_away(context, storage, refusal, output) {
            refuse(output, storage.noreply(), refusal);
        }
        return Handled { consumed: line, then: Some(Step::Swallow(len + 2)) };
    }
    let whole = line + len + 2;
    let Some(value) = unread.get(line..whole) else { return Handled::wait(arrival(line, len)) };
    match value.split_at(len) {
        (value, b"\r\n") => command::store(context, storage, NewValue::Slice(value), output),
        _ => {
            context.counters.cmd_set.increment();
            refuse(output, storage.noreply(), Refusal::BadDataChunk);
        }
    }
    Handled::done(whole)
}

/// The step that receives a value which has not arrived. A small value comes through the buffer,
/// after its line.
fn arrival(line: usize, len: usize) -> Step {
    if len <= SMALL_VALUE { Step::Starved } else { Step::Value { line, len } }
}

/// Answers a request about the ring. `unread` begins with its line.
pub(super) fn ring(
    context: &Context<'_>,
    request: &RingRequest<'_>,
    line: usize,
    unread: &[u8],
    peer: &mut Option<Box<PeerSession>>,
    output: &mut Output,
) -> Handled {
    let Some(ring) = &context.shared.ring else {
        let (refusal, then) = match request {
            RingRequest::Command(_) => (Refusal::NoRing, None),
            RingRequest::Offer(offer) => (Refusal::NoRing, Some(Step::Swallow(offer.len + 2))),
            RingRequest::Cluster => (Refusal::Unknown, None),
        };
        refuse(output, false, refusal);
        return Handled { consumed: line, then };
    };
    match request {
        RingRequest::Command(command) => {
            let long = command::ring::execute(context, ring, command, peer, output);
            Handled { consumed: line, then: long.map(Step::Long) }
        }
        RingRequest::Offer(offer) => ring_offer(ring, offer, line, unread, peer, output),
        RingRequest::Cluster => {
            command::ring::cluster(ring, output);
            Handled::done(line)
        }
    }
}

/// Accepts an offered ring that has arrived, or returns how to receive it.
fn ring_offer(
    ring: &RingNode,
    offer: &RingOffer,
    line: usize,
    unread: &[u8],
    peer: &mut Option<Box<PeerSession>>,
    output: &mut Output,
) -> Handled {
    // A client without a nonce must not make this node hold a ring's worth of bytes.
    if !peer.as_ref().is_some_and(|peer| peer.may_offer()) {
        refuse(output, false, Refusal::RingNotProved);
        return Handled { consumed: line, then: Some(Step::Swallow(offer.len + 2)) };
    }
    let whole = line + offer.len + 2;
    let Some(text) = unread.get(line..whole) else {
        return Handled::wait(arrival(line, offer.len));
    };
    match text.split_at(offer.len) {
        (text, b"\r\n") => command::ring::offer(ring, offer, text, peer, output),
        _ => refuse(output, false, Refusal::BadDataChunk),
    }
    Handled::done(whole)
}
