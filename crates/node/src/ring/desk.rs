//! Who carries out a request: this node, or the one that owns its key.
//!
//! Every request about a key passes here before (or, for reads of a store that holds only this
//! node's own keys, after) the store is asked. What another node is to answer becomes a hole in the
//! output; see [`super::exchange`].
//!
//! A request that a peer forwarded is never forwarded to an owner again: where this node does not
//! serve the key it answers `MOVED`, and the peer looks for the owner by a newer ring. Only where
//! this node owns the key and the one before it may still serve does the request travel on, to that
//! one; each such step is by an older ring than the one before, so it ends.

use std::cell::Cell;

use ringbinder_protocol::{
    Claim, Forwarding, Keyed, MAX_KEY_LEN, MetaKey, Refusal, Storage, answer,
};
use ringbinder_ring::{Point, point};
use ringbinder_store::NewValue;

use super::exchange::{Destination, Foreign, Form, Hush};
use super::view::{Route, View};
use super::{ForeignKeys, line};
use crate::output::Output;
use crate::stats::Counters;

/// The view of one worker, and what this node does by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) view: &'a View,
    pub(crate) policy: ForeignKeys,
    /// On whose behalf the connection sends, where a peer said so.
    pub(crate) forwarding: Option<Forwarding>,
    /// Whether the last key of a retrieval on this connection was another node's.
    pub(crate) strays: &'a Cell<bool>,
    pub(crate) counters: &'a Counters,
}

/// What is to be done with a request that this node does not carry out.
enum Verdict {
    /// Ask this peer; `None` where it is not known yet who.
    Elsewhere(Option<Destination>),
    /// Say that this node does not serve the key.
    Moved,
    Refuse,
}

impl Desk<'_> {
    /// Whether what is in the store is this node's to serve, so that a hit needs no further look.
    #[inline]
    pub(crate) fn hits_are_ours(&self) -> bool {
        (self.policy == ForeignKeys::Serve || self.view.hits_are_ours())
            && !self.may_have_missed_a_ring()
    }

    /// Whether the peer that sends has seen rings come and go that this node has not: by one of them
    /// others may have served what this node still holds. With no ring in between, nobody can have.
    #[inline]
    fn may_have_missed_a_ring(&self) -> bool {
        self.forwarding.is_some_and(|forwarding| {
            forwarding.claim == Claim::Owner
                && forwarding.stamp.version > self.view.id().version.saturating_add(1)
        })
    }

    /// Whether a `flush_all` is for every node of the ring: a client's is, if this node forwards. What
    /// another node passes on is for this node alone, so nothing goes in circles.
    pub(crate) fn flushes_everywhere(&self) -> bool {
        self.policy == ForeignKeys::Forward && self.forwarding.is_none()
    }

    /// Whether a node that forwards to this one may have to ask somebody else too: by a newer ring than
    /// its own, or another process in the place of this one. `name` is this node's.
    pub(crate) fn is_not_the_last_word(&self, name: &str) -> bool {
        self.forwarding.is_some_and(|forwarding| {
            let replaced = self.view.me.is_none() && self.view.ring.index_of_name(name).is_some();
            replaced
                || !self.view.joined
                || self.view.id() > super::membership::ring_id(forwarding.stamp)
        })
    }

    /// Whether a retrieval looks at the ring before it looks into the store. Where hits are this
    /// node's own it need not, and for clients that know the ring the store comes first; for one
    /// that has just asked for another node's key, that look would most likely be in vain.
    #[inline]
    pub(crate) fn ring_comes_first(&self) -> bool {
        !self.hits_are_ours() || self.strays.get()
    }

    /// What is to be done with a request; `None` where this node carries it out.
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
                let theirs = super::membership::ring_id(forwarding.stamp);
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

    /// Whether this node carries out what is asked of a key.
    pub(crate) fn serves(&self, key: &[u8]) -> bool {
        self.judge(point(key)).is_none()
    }

    /// Whether one of these keys is among those that this node refuses.
    pub(crate) fn refuses<'k>(&self, mut keys: impl Iterator<Item = &'k [u8]>) -> bool {
        self.policy == ForeignKeys::Refuse
            && self.forwarding.is_none()
            && keys.any(|key| matches!(self.view.route(point(key)), Route::Owner(_)))
    }

    /// Leaves a key of a retrieval to another node; false where it is this node's.
    pub(crate) fn divert_key(&self, key: &[u8], form: Form, out: &mut Output) -> bool {
        let point = point(key);
        let verdict = self.judge(point);
        self.strays.set(verdict.is_some());
        let Some(verdict) = verdict else {
            return false;
        };
        let destination = match verdict {
            Verdict::Elsewhere(destination) => destination,
            Verdict::Moved => {
                self.counters.foreign_moved.increment();
                out.bytes.extend_from_slice(b"MOVED ");
                out.bytes.extend_from_slice(key);
                out.bytes.extend_from_slice(b"\r\n");
                return true;
            }
            // Refused as a whole before the first key was looked at, by a view that has changed.
            Verdict::Refuse => return true,
        };
        self.counters.foreign_gets.increment();
        let is_get = matches!(form, Form::Key { exptime: None, .. });
        out.leave_hole(Foreign { form, is_get, ..Foreign::new(point, key) }, destination);
        true
    }

    /// Leaves a request to another node; false where this node carries it out.
    pub(crate) fn divert(&self, keyed: &Keyed<'_>, out: &mut Output) -> bool {
        self.divert_line(keyed.key(), out, |point, line| line::keyed(keyed, point, line))
    }

    /// Leaves a request and its value to another node; false where this node carries it out.
    pub(crate) fn divert_storage(
        &self,
        storage: &Storage<'_>,
        value: &NewValue<'_>,
        out: &mut Output,
    ) -> bool {
        self.divert_line(storage.key(), out, |point, line| {
            line::storage(storage, value, point, line)
        })
    }

    /// Leaves it to the owner to drop what a refused value was meant to replace; false where that
    /// is this node.
    pub(crate) fn divert_refused(
        &self,
        storage: &Storage<'_>,
        refusal: Refusal,
        out: &mut Output,
    ) -> bool {
        self.divert_line(storage.key(), out, |point, line| {
            line::deletion(storage, refusal, point, line)
        })
    }

    /// Leaves what `write` writes to whoever serves the key; false where that is this node.
    fn divert_line(
        &self,
        key: MetaKey<'_>,
        out: &mut Output,
        write: impl for<'l> FnOnce(Point, &'l mut Vec<u8>) -> Foreign<'l>,
    ) -> bool {
        let point = point_of(key);
        let Some(verdict) = self.judge(point) else {
            return false;
        };
        let mut line = Vec::with_capacity(128);
        self.leave(write(point, &mut line), verdict, out);
        true
    }

    /// Leaves a line to whoever serves it.
    #[inline(never)]
    fn leave(&self, foreign: Foreign<'_>, verdict: Verdict, out: &mut Output) {
        match verdict {
            Verdict::Elsewhere(destination) => {
                self.counters.foreign_requests.increment();
                out.leave_hole(foreign, destination);
            }
            Verdict::Moved => {
                self.counters.foreign_moved.increment();
                answer::line(&mut out.bytes, "MOVED");
            }
            Verdict::Refuse => {
                self.counters.foreign_refused.increment();
                if foreign.hush != Hush::Everything {
                    answer::refusal(&mut out.bytes, Refusal::ForeignKey);
                }
            }
        }
    }
}

/// The point of a key that may be in base64.
fn point_of(key: MetaKey<'_>) -> Point {
    if key.binary { point(key.bytes(&mut [0; MAX_KEY_LEN])) } else { point(key.word) }
}
