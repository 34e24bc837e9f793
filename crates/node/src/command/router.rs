//! Routes each request to this node's store or to the node that serves its key.
//!
//! Every request about a key passes through here before the store is asked. Reads are the exception
//! if the store holds only this node's own keys: they ask the store first. A request for another
//! node leaves a pending reply in the output; see [`crate::net::pending`].
//!
//! A request that a peer forwarded is never forwarded to an owner again. If this node does not
//! serve the key, it answers `MOVED`, and the peer looks for the owner by a newer ring. The request
//! is passed on only if this node owns the key and the previous owner may still serve it: then it
//! goes to that previous owner. Each such step uses an older ring than the step before, so the
//! chain ends.

use std::cell::Cell;

use ringbinder_protocol::{
    Claim, Forwarding, Keyed, MAX_KEY_LEN, MetaKey, Refusal, Storage, answer,
};
use ringbinder_ring::{Point, point};
use ringbinder_store::NewValue;

use super::forward_line;
use crate::net::output::Output;
use crate::net::pending::{Destination, Form, ForwardedRequest, Suppressed};
use crate::ring::ForeignKeys;
use crate::ring::view::{Route, View};
use crate::stats::Counters;

/// The view of one worker, and the node's policy for keys of other nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Router<'a> {
    pub(crate) view: &'a View,
    pub(crate) policy: ForeignKeys,
    /// The sender and the ring of forwarded requests, if the connection is a peer's.
    pub(crate) forwarding: Option<Forwarding>,
    /// Whether the last key of a retrieval on this connection belonged to another node.
    pub(crate) strays: &'a Cell<bool>,
    pub(crate) counters: &'a Counters,
}

/// The decision about a request that this node does not carry out.
enum Verdict {
    /// Ask this peer; `None` if the right peer is not known yet.
    Elsewhere(Option<Destination>),
    /// Answer `MOVED`: this node does not serve the key.
    Moved,
    Refuse,
}

impl Router<'_> {
    /// Whether this node may serve every item in the store, so that a hit needs no further check.
    #[inline]
    pub(crate) fn hits_are_ours(&self) -> bool {
        (self.policy == ForeignKeys::Serve || self.view.hits_are_ours())
            && !self.may_have_missed_a_ring()
    }

    /// Whether the sending peer knows rings in between that this node does not know. By one of
    /// those rings, another node may have served keys that this node still holds. Without a ring in
    /// between, no other node can have served them.
    #[inline]
    fn may_have_missed_a_ring(&self) -> bool {
        self.forwarding.is_some_and(|forwarding| {
            forwarding.claim == Claim::Owner
                && forwarding.stamp.version > self.view.id().version.saturating_add(1)
        })
    }

    /// Whether a `flush_all` is for every node of the ring. A client's is, if this node forwards.
    /// One that another node sends is for this node alone, so no `flush_all` goes in circles.
    pub(crate) fn flushes_everywhere(&self) -> bool {
        self.policy == ForeignKeys::Forward && self.forwarding.is_none()
    }

    /// Whether a node that forwards to this one may have to ask another node or process too:
    /// because this node has a newer ring or has not joined, or because another process replaced
    /// this one. `name` is this node's name.
    pub(crate) fn is_not_the_last_word(&self, name: &str) -> bool {
        self.forwarding.is_some_and(|forwarding| {
            let replaced = self.view.me.is_none() && self.view.ring.index_of_name(name).is_some();
            replaced
                || !self.view.joined
                || self.view.id() > crate::ring::membership::ring_id(forwarding.stamp)
        })
    }

    /// Whether a retrieval checks the ring before it looks into the store. Usually the store comes
    /// first: hits are this node's own, and clients that know the ring ask the right node. If the
    /// client has just asked for another node's key, the store would most likely not have the next
    /// one either.
    #[inline]
    pub(crate) fn ring_comes_first(&self) -> bool {
        !self.hits_are_ours() || self.strays.get()
    }

    /// Decides about a request; `None` if this node carries it out.
    fn judge(&self, point: Point) -> Option<Verdict> {
        if self.policy == ForeignKeys::Serve && self.forwarding.is_none() {
            return None;
        }
        let route = self.view.route(point);
        let to = |peer, claim| {
            Verdict::Elsewhere(Some(Destination { peer: std::sync::Arc::clone(peer), claim }))
        };
        let verdict = match (route, self.forwarding) {
            (Route::Local, _) if self.may_have_missed_a_ring() => Verdict::Moved,
            (Route::Local, _) => return None,
            (Route::Former(former), None) => to(former, Claim::Former),
            (Route::Former(former), Some(forwarding)) => {
                let theirs = crate::ring::membership::ring_id(forwarding.stamp);
                if forwarding.claim == Claim::Former && self.view.id() >= theirs {
                    Verdict::Moved
                } else {
                    to(former, Claim::Former)
                }
            }
            (Route::Owner(_) | Route::Unknown, Some(_)) => Verdict::Moved,
            (Route::Owner(_), None) if self.policy == ForeignKeys::Refuse => Verdict::Refuse,
            (Route::Owner(owner), None) => to(owner, Claim::Owner),
            (Route::Unknown, None) => Verdict::Elsewhere(None),
        };
        Some(verdict)
    }

    /// Whether this node carries out requests about a key.
    pub(crate) fn serves(&self, key: &[u8]) -> bool {
        self.judge(point(key)).is_none()
    }

    /// Whether this node refuses one of these keys.
    pub(crate) fn refuses<'k>(&self, mut keys: impl Iterator<Item = &'k [u8]>) -> bool {
        self.policy == ForeignKeys::Refuse
            && self.forwarding.is_none()
            && keys.any(|key| matches!(self.view.route(point(key)), Route::Owner(_)))
    }

    /// Leaves a key of a retrieval to another node; returns false if the key is this node's.
    pub(crate) fn divert_key(&self, key: &[u8], form: Form, out: &mut Output) -> bool {
        let point = point(key);
        let verdict = self.judge(point);
        self.strays.set(verdict.is_some());
        let Some(verdict) = verdict else { return false };
        let destination = match verdict {
            Verdict::Elsewhere(destination) => destination,
            Verdict::Moved => {
                self.counters.foreign_moved.increment();
                out.bytes.extend_from_slice(b"MOVED ");
                out.bytes.extend_from_slice(key);
                out.bytes.extend_from_slice(b"\r\n");
                return true;
            }
            // The whole retrieval was accepted before its first key, by a view that has changed
            // since.
            Verdict::Refuse => return true,
        };
        self.counters.foreign_gets.increment();
        let is_get = matches!(form, Form::Key { exptime: None, .. });
        out.add_pending(
            ForwardedRequest { form, is_get, ..ForwardedRequest::new(point, key) },
            destination,
        );
        true
    }

    /// Leaves a request to another node; returns false if this node carries it out.
    pub(crate) fn divert(&self, keyed: &Keyed<'_>, out: &mut Output) -> bool {
        self.divert_line(keyed.key(), out, |point, line| forward_line::keyed(keyed, point, line))
    }

    /// Leaves a request and its value to another node; returns false if this node carries it out.
    pub(crate) fn divert_storage(
        &self,
        storage: &Storage<'_>,
        value: &NewValue<'_>,
        out: &mut Output,
    ) -> bool {
        self.divert_line(storage.key(), out, |point, line| {
            forward_line::storage(storage, value, point, line)
        })
    }

    /// Asks the owner to delete the item that a refused value was meant to replace; returns false
    /// if this node is the owner.
    pub(crate) fn divert_refused(
        &self,
        storage: &Storage<'_>,
        refusal: Refusal,
        out: &mut Output,
    ) -> bool {
        self.divert_line(storage.key(), out, |point, line| {
            forward_line::deletion(storage, refusal, point, line)
        })
    }

    /// Leaves the line that `write` writes to the node that serves the key; returns false if that
    /// is this node.
    fn divert_line(
        &self,
        key: MetaKey<'_>,
        out: &mut Output,
        write: impl for<'l> FnOnce(Point, &'l mut Vec<u8>) -> ForwardedRequest<'l>,
    ) -> bool {
        let point = point_of(key);
        let Some(verdict) = self.judge(point) else { return false };
        let mut line = Vec::with_capacity(128);
        self.leave(write(point, &mut line), verdict, out);
        true
    }

    /// Carries out a verdict: leaves a pending reply for another node, or answers `MOVED` or the
    /// refusal.
    #[inline(never)]
    fn leave(&self, forwarded: ForwardedRequest<'_>, verdict: Verdict, out: &mut Output) {
        match verdict {
            Verdict::Elsewhere(destination) => {
                self.counters.foreign_requests.increment();
                out.add_pending(forwarded, destination);
            }
            Verdict::Moved => {
                self.counters.foreign_moved.increment();
                answer::line(&mut out.bytes, "MOVED");
            }
            Verdict::Refuse => {
                self.counters.foreign_refused.increment();
                if forwarded.suppressed != Suppressed::Everything {
                    answer::refusal(&mut out.bytes, Refusal::ForeignKey);
                }
            }
        }
    }
}

/// The point of a key, which may be in base64.
fn point_of(key: MetaKey<'_>) -> Point {
    if key.binary { point(key.bytes(&mut [0; MAX_KEY_LEN])) } else { point(key.word) }
}
