//! A request that a link has sent, and the part of its answer that has arrived.
//!
//! Keys are answered in the order of the request, and missing keys get no answer: a value for a
//! later key means that the keys before it were missed. A line that answers no sent request breaks
//! the link, because no later answer could be trusted.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ringbinder_protocol::Tokens;
use tokio::time::Instant;

use crate::net::pending::{Form, SharedReplies};
use crate::ring::peer::Peer;
use crate::stats::Counters;

/// The counters for requests that a peer does not answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Losses<'a> {
    pub(crate) counters: &'a Counters,
    pub(crate) peer: &'a Peer,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) pending: SharedReplies,
    pub(crate) form: Form,
    pub(crate) replies: Vec<u32>,
    /// The number of pending replies that are answered.
    pub(crate) answered: usize,
    /// The line that ends an answer to keys has arrived.
    pub(crate) ended: bool,
    pub(crate) sent: Instant,
    pub(crate) timeout: Duration,
    /// No connection waits for the answer any more. It must still be read and dropped.
    pub(crate) is_late: bool,
}

impl Waiting {
    pub(crate) fn open(&self) -> &[u32] {
        &self.replies[self.answered..]
    }

    /// Answers the open pending replies without the peer.
    pub(crate) fn fail(&self, losses: Losses<'_>) {
        for &reply in self.open() {
            self.fail_one(reply, losses);
        }
    }

    /// Answers one of its pending replies without the peer. If it timed out before, it is already
    /// answered and counted.
    pub(crate) fn fail_one(&self, reply: u32, losses: Losses<'_>) {
        if !self.is_late {
            losses.peer.failed.fetch_add(1, Relaxed);
            self.pending.borrow_mut().fail(reply, losses.counters);
        }
    }

    /// Fails the open pending replies, but keeps the state needed to recognise the answer when it
    /// arrives. Returns the number of failed requests.
    pub(crate) fn give_up(&mut self, losses: Losses<'_>) -> usize {
        let late = self.pending.borrow().detached(self.open());
        self.fail(losses);
        let count = self.open().len();
        self.replies = (0..).take(count).collect();
        self.answered = 0;
        self.pending = Rc::new(RefCell::new(late));
        self.is_late = true;
        count
    }

    /// The pending reply that a value answers. Keys before it were not found. The pending reply
    /// stays the first open one.
    pub(crate) fn expect_value(&mut self, key: Option<&[u8]>) -> Option<u32> {
        let Some(key) = key else {
            // `VA`
            return (self.form == Form::Line).then(|| self.open().first().copied()).flatten();
        };
        self.skip_to(key)
    }

    /// Answers every open key before this one with a miss.
    fn skip_to(&mut self, key: &[u8]) -> Option<u32> {
        if self.form == Form::Line {
            return None;
        }
        let mut pending = self.pending.borrow_mut();
        let ahead = self.open().iter().position(|&reply| pending.request(reply) == key)?;
        for index in self.answered..self.answered + ahead {
            pending.answer(self.replies[index], b"");
        }
        self.answered += ahead;
        self.replies.get(self.answered).copied()
    }

    /// Processes a line that is not a header; returns `None` if it answers no sent request.
    pub(crate) fn take_line(
        &mut self,
        line: &[u8],
        whole: &[u8],
        losses: Losses<'_>,
    ) -> Option<()> {
        if self.form == Form::Line {
            let reply = *self.open().first()?;
            let mut pending = self.pending.borrow_mut();
            if line == b"MOVED" {
                pending.moved(reply);
            } else {
                pending.answer(reply, whole);
            }
            drop(pending);
            self.answered += 1;
            return Some(());
        }
        if line == b"END" {
            let mut pending = self.pending.borrow_mut();
            for &reply in self.open() {
                pending.answer(reply, b"");
            }
            drop(pending);
            self.end();
            return Some(());
        }
        if line.starts_with(b"SERVER_ERROR ") {
            self.fail(losses);
            self.end();
            return Some(());
        }
        let [b"MOVED", key] = Tokens::new(line).exactly()? else { return None };
        let reply = self.skip_to(key)?;
        self.pending.borrow_mut().moved(reply);
        self.answered += 1;
        Some(())
    }

    fn end(&mut self) {
        self.answered = self.replies.len();
        self.ended = true;
    }

    /// Whether no further data comes for it.
    pub(crate) fn is_done(&self) -> bool {
        self.ended || (self.form == Form::Line && self.open().is_empty())
    }
}
