//! The requests of a link: those to be written, and those that wait for an answer.

use std::collections::VecDeque;
use std::io::Write as _;
use std::rc::Rc;
use std::task::Waker;

use ringbinder_protocol::{Claim, Forwarding};

use super::in_flight::Waiting;
use crate::net::output::Output;
use crate::net::pending::{Form, PendingReplies};

/// The longest line of keys sent to a peer, in bytes.
const MAX_KEYS: usize = 64 * 1024;

/// The state of a link.
#[derive(Debug, Default)]
pub(super) struct LinkState {
    /// Requests that are not written yet.
    pub(super) out: Output,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) announced: Option<Forwarding>,
    pub(super) running: bool,
    pub(super) waker: Option<Waker>,
    pub(super) retired: bool,
}

impl LinkState {
    /// Announces the ring and claim of the next requests, unless they are the same as last time.
    pub(super) fn announce(&mut self, forwarding: Forwarding) {
        if self.announced != Some(forwarding) {
            self.announced = Some(forwarding);
            let claim = match forwarding.claim {
                Claim::Owner => "owner",
                Claim::Former => "former",
            };
            // Writing to a vector cannot fail.
            let _ = write!(self.out.bytes, "ring forward {} {claim}\r\n", forwarding.stamp);
        }
    }

    pub(super) fn write(&mut self, waiting: Waiting) {
        let Form::Key { exptime, with_cas } = waiting.form else { return self.write_line(waiting) };
        let mut rest = &waiting.replies[..];
        let pending = waiting.pending.borrow();
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let len = self.write_keys(exptime, with_cas, &pending, rest);
            let (part, others) = rest.split_at(len);
            parts.push(part.len());
            rest = others;
        }
        drop(pending);
        if parts.len() == 1 {
            self.waiting.push_back(waiting);
            return;
        }
        let mut replies = waiting.replies.into_iter();
        for len in parts {
            self.waiting.push_back(Waiting {
                pending: Rc::clone(&waiting.pending),
                replies: replies.by_ref().take(len).collect(),
                ..waiting
            });
        }
    }

    /// Writes one line with as many keys as fit, and returns how many.
    fn write_keys(
        &mut self,
        exptime: Option<i64>,
        with_cas: bool,
        pending: &PendingReplies,
        replies: &[u32],
    ) -> usize {
        let out = &mut self.out.bytes;
        let start = out.len();
        let plural = if with_cas { "s" } else { "" };
        // Writing to a vector cannot fail.
        let _ = match exptime {
            None => write!(out, "get{plural}"),
            Some(exptime) => write!(out, "gat{plural} {exptime}"),
        };
        let mut count = 0;
        for &reply in replies {
            let key = pending.request(reply);
            if count > 0 && out.len() - start + key.len() > MAX_KEYS {
                break;
            }
            out.push(b' ');
            out.extend_from_slice(key);
            count += 1;
        }
        out.extend_from_slice(b"\r\n");
        count
    }

    fn write_line(&mut self, waiting: Waiting) {
        let pending = waiting.pending.borrow();
        for &reply in &waiting.replies {
            self.out.bytes.extend_from_slice(pending.request(reply));
            if let Some(value) = pending.value(reply) {
                self.out.large(value);
                self.out.bytes.extend_from_slice(b"\r\n");
            }
        }
        drop(pending);
        self.waiting.push_back(waiting);
    }
}
