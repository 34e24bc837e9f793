//! Waits for the answers that other nodes owe a connection.
//!
//! Usually one round suffices: everything is sent, and every answer comes. If a peer answers that
//! it does not serve a key, or if the right peer was not known, this node tries the request again
//! when it has a new view or after a short pause. Such requests are tried one at a time and in
//! order, until the timeout of the peers is over. A request that a peer forwarded here gets one
//! round only: the peer is told that the key moved, and makes the next attempt itself.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use ringbinder_protocol::{Claim, Parsed, Request, parse};
use ringbinder_store::{LargeValue, NewValue};
use tokio::time::Instant;

use crate::command::{self, Context};
use crate::net::output::Output;
use crate::net::pending::{Destination, Form, SharedReplies};
use crate::ring::Hint;
use crate::ring::membership::stamp;
use crate::ring::view::Route;
use crate::worker::state::Local;

/// The shortest wait for a new view before a moved request is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(2);

/// The longest wait. A peer may adopt the ring that this node waits for without any sign of it
/// here.
pub(crate) const RETRY_LATEST: Duration = Duration::from_millis(64);

/// Waits for all answers and fills the pending replies of `output`.
pub(crate) async fn gather(
    local: &Rc<Local>,
    connection: u32,
    forwarded: bool,
    output: &mut Output,
) {
    let Some(ring) = &local.shared.ring else { return };
    let pending = Rc::clone(output.pending_replies());
    let whole = ring.settings.peer_timeout;
    // The forwarding peer waits for the request too, so the timeout here must be shorter.
    let timeout = if forwarded { whole / 2 } else { whole };
    send(local, &pending, timeout);
    poll_fn(|context| pending.borrow_mut().poll_closed(context.waker())).await;
    if !forwarded {
        let deadline = Instant::now() + timeout;
        loop {
            let Some(reply) = pending.borrow().next_moved() else { break };
            settle(local, connection, &pending, reply, deadline).await;
        }
    }
    drop(pending);
    output.insert_replies();
}

/// Gives the waiting groups to the links.
pub(crate) fn send(local: &Rc<Local>, pending: &SharedReplies, timeout: Duration) {
    let groups = pending.borrow_mut().take_groups();
    let Some(stamp) = local.view().as_ref().map(|view| stamp(view.id())) else { return };
    for group in groups {
        let link = local.link(&group.destination.peer);
        link.send(local, pending, stamp, group, timeout);
    }
}

/// Finds the node that serves a moved request, and has the request carried out.
async fn settle(
    local: &Rc<Local>,
    connection: u32,
    pending: &SharedReplies,
    reply: u32,
    deadline: Instant,
) {
    let Some(ring) = &local.shared.ring else { return };
    let mut pause = RETRY;
    loop {
        let news = local.news();
        tokio::pin!(news);
        news.as_mut().enable();
        let point = pending.borrow().point(reply);
        let (peer, here) = {
            let view = local.view();
            let Some(view) = &*view else { return };
            match view.route(point) {
                Route::Local => (None, true),
                Route::Owner(peer) => (Some((peer.clone(), Claim::Owner)), false),
                Route::Former(peer) => (Some((peer.clone(), Claim::Former)), false),
                Route::Unknown => (None, false),
            }
        };
        if here {
            return carry_out(local, connection, pending, reply);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return pending.borrow_mut().fail(reply, &local.counters);
        }
        if let Some((peer, claim)) = peer {
            pending.borrow_mut().resend(reply, Destination { peer: peer.clone(), claim });
            send(local, pending, left);
            poll_fn(|context| pending.borrow_mut().poll_closed(context.waker())).await;
            if pending.borrow().next_moved() != Some(reply) {
                return;
            }
            ring.hint(Hint::Moved { peer });
        }
        let _ = tokio::time::timeout(pause.min(left), news).await;
        // News may come in any number. Without a bound, doubling the pause would overflow.
        pause = (pause * 2).min(RETRY_LATEST);
    }
}

/// Carries out a request in this node after all.
fn carry_out(local: &Rc<Local>, connection: u32, pending: &SharedReplies, reply: u32) {
    let context = Context::new(local, connection, 0, None);
    let mut output = local.take_output();
    let is_known = {
        let pending = pending.borrow();
        let request = pending.request(reply);
        match pending.form(reply) {
            Form::Key { exptime, with_cas } => {
                command::get_key(&context, request, || exptime, with_cas, true, &mut output);
                true
            }
            Form::Line => carry_out_line(&context, request, pending.value(reply), &mut output),
        }
    };
    let answer = output.to_bytes();
    local.give_output(output);
    let mut pending = pending.borrow_mut();
    if is_known { pending.answer(reply, &answer) } else { pending.fail(reply, &local.counters) }
}

/// Carries out a line in the form written for a peer, because the original request is gone with the
/// client's buffer. Returns false if the line is not about one key.
fn carry_out_line(
    context: &Context<'_>,
    line: &[u8],
    large: Option<&LargeValue>,
    output: &mut Output,
) -> bool {
    let Parsed::Request { request, consumed } = parse(line) else { return false };
    match &request {
        Request::Keyed(keyed) => command::keyed(context, keyed, output),
        Request::Storage(storage) => {
            let value = match large {
                Some(value) => NewValue::Large(value.clone()),
                None => NewValue::Slice(&line[consumed..line.len() - 2]),
            };
            command::store(context, storage, value, output);
        }
        Request::Get(_) | Request::Admin(_) | Request::Ring(_) => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use ringbinder_ring::Point;

    use super::*;
    use crate::net::pending::ForwardedRequest;
    use crate::server;
    use crate::settings::of_flags;

    /// The client's reply for a moved request that is carried out here.
    fn carried_out(local: &Rc<Local>, form: Form, request: &[u8]) -> Vec<u8> {
        let pending = SharedReplies::default();
        pending.borrow_mut().push(
            0,
            ForwardedRequest { form, ..ForwardedRequest::new(Point(0), request) },
            None,
        );
        carry_out(local, 1, &pending, 0);
        let pending = pending.borrow();
        pending.answers().next().unwrap().text.unwrap().to_vec()
    }

    #[test]
    fn a_moved_request_is_answered_whole_however_large_the_answer() {
        let local = Rc::new(Local::new(server::prepare_as_guest(of_flags(&["-m", "8"])), 0));
        let (get, gat) = (None, Some(0));
        let key = |exptime| Form::Key { exptime, with_cas: false };
        for len in [3, 3_000, 300_000] {
            let value = "v".repeat(len);
            let set = format!("set k 7 0 {len}\r\n{value}\r\n");
            assert_eq!(carried_out(&local, Form::Line, set.as_bytes()), b"STORED\r\n");
            let expected = format!("VALUE k 7 {len}\r\n{value}\r\n");
            assert_eq!(carried_out(&local, key(get), b"k"), expected.as_bytes());
            assert_eq!(carried_out(&local, key(gat), b"k"), expected.as_bytes());
        }
        assert_eq!(carried_out(&local, Form::Line, b"delete k\r\n"), b"DELETED\r\n");
        assert_eq!(carried_out(&local, key(get), b"k"), b"");
        let refused = carried_out(&local, Form::Line, b"flush_all\r\n");
        assert!(refused.starts_with(b"SERVER_ERROR "), "{}", refused.escape_ascii());
    }
}
