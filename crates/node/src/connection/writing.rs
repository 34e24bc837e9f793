//! Writes a connection's answers: waits for the answers of other nodes and for the client to read,
//! and drains the socket at the end.

use std::future::poll_fn;
use std::task::{Context as TaskContext, Poll, ready};

use super::Connection;
use crate::forward;
use crate::net::connections::{Activity, CloseReason};
use crate::net::output::Output;

/// The most bytes drained after the last answer. Closing must not reset the connection before the
/// client has read it.
const MAX_DRAIN: usize = 1 << 20;

impl Connection {
    /// Writes all answers.
    pub(super) async fn flush(&mut self, output: &mut Output) -> Result<(), CloseReason> {
        if output.has_pending() {
            self.gather(output).await;
        }
        poll_fn(|context| self.poll_flush(context, output)).await?;
        self.ticket.hold_nothing();
        Ok(())
    }

    /// Waits for the answers of other nodes.
    #[cold]
    pub(super) async fn gather(&mut self, output: &mut Output) {
        let forwarded = self.peer.as_ref().is_some_and(|peer| peer.forwarding.is_some());
        if let Some(ring) = &self.local.shared.ring
            && !forwarded
        {
            ring.misrouted(&self.ticket.remote, self.local.shared.clock.now());
        }
        Box::pin(forward::gather(&self.local, self.ticket.id, forwarded, output)).await;
    }

    pub(super) fn poll_flush(
        &mut self,
        context: &mut TaskContext<'_>,
        output: &mut Output,
    ) -> Poll<Result<(), CloseReason>> {
        let before = output.unwritten();
        while !output.is_empty() {
            match output.poll_write_to(&mut self.socket, context) {
                Poll::Ready(Ok(len)) if len > 0 => {
                    self.local.counters.bytes_written.add(len as u64);
                    // A client that still reads its answers is not idle either.
                    self.ticket.commanded(self.local.shared.clock.now());
                    output.advance(len);
                }
                Poll::Ready(_) => return Poll::Ready(Err(CloseReason::Error)),
                Poll::Pending => {
                    let moved = output.unwritten() < before;
                    return self.poll_unwritten(context, output, moved);
                }
            }
        }
        if !output.timed.is_empty() {
            self.local.answered(output);
        }
        match self.socket.poll_flush(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(CloseReason::Error)),
            Poll::Pending => self.poll_unwritten(context, output, before > 0),
        }
    }

    /// Waits for a client that does not read.
    fn poll_unwritten(
        &self,
        context: &TaskContext<'_>,
        output: &mut Output,
        moved: bool,
    ) -> Poll<Result<(), CloseReason>> {
        self.enter(Activity::Write);
        let shared = &self.local.shared;
        let held = output.settle_again(&shared.memory);
        self.ticket.hold(held, moved, shared.clock.nanos());
        // A stopping node lets the client read its answers to the end.
        match ready!(self.poll_kick::<()>(context)) {
            Err(CloseReason::Shutdown) => Poll::Pending,
            other => Poll::Ready(other),
        }
    }

    /// Drains the data that has arrived. Closing with unread bytes would reset the connection and
    /// could cost the client its last answer.
    pub(super) fn drain(&mut self) {
        self.socket.farewell();
        let mut input = self.local.take_input();
        let mut drained = 0;
        while drained < MAX_DRAIN {
            match self.socket.discard(input.room()) {
                0 => break,
                len => drained += len,
            }
        }
        self.local.give_input(input);
    }
}
