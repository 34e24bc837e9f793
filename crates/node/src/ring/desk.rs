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
    Arithmetic, Claim, Delete, Forwarding, MAX_KEY_LEN, Meta, MetaKey, MetaStore, Refusal, Request,
    Store, Touch, Verb, answer,
};
use ringbinder_ring::{Point, point};
use ringbinder_store::{LargeValue, NewValue};

use super::ForeignKeys;
use super::exchange::{Destination, Foreign, Form, Hush};
use super::view::{Route, View};
use crate::input::SMALL_VALUE;
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
        out.leave_hole(Foreign {
            point,
            destination,
            form,
            hush: Hush::Nothing,
            request: key,
            value: None,
            without_answer: None,
            instead: None,
        });
        true
    }

    /// Leaves a request to another node; false where this node carries it out.
    pub(crate) fn divert(
        &self,
        request: &Request<'_>,
        value: Option<&NewValue<'_>>,
        out: &mut Output,
    ) -> bool {
        let point = match request {
            Request::Store(Store { key, .. })
            | Request::Delete(Delete { key, .. })
            | Request::Arithmetic(Arithmetic { key, .. })
            | Request::Touch(Touch { key, .. }) => point(key),
            Request::MetaStore(MetaStore { meta, .. })
            | Request::MetaGet(meta)
            | Request::MetaDelete(meta)
            | Request::MetaArithmetic(meta) => meta_point(&meta.key),
            Request::MetaDebug(key) => meta_point(key),
            _ => return false,
        };
        let Some(verdict) = self.judge(point) else {
            return false;
        };
        self.pass_on(request, (point, verdict), value, out);
        true
    }

    /// Leaves it to the owner to drop what a refused value was meant to replace; false where that
    /// is this node.
    pub(crate) fn divert_refused(
        &self,
        request: &Request<'_>,
        refusal: Refusal,
        out: &mut Output,
    ) -> bool {
        let mut room = [0; MAX_KEY_LEN];
        let (key, delete, hush) = match request {
            Request::Store(Store { key, verb: Verb::Set, noreply, .. }) => {
                (*key, [b"delete ", *key, b"\r\n"].concat(), hush(*noreply))
            }
            Request::MetaStore(MetaStore { meta: Meta { key, .. }, .. }) => {
                (key.bytes(&mut room), meta_delete(key), Hush::Nothing)
            }
            _ => return false,
        };
        let point = point(key);
        let Some(verdict) = self.judge(point) else {
            return false;
        };
        self.leave((point, verdict), &delete, None, (hush, None, Some(refusal)), out);
        true
    }

    /// Leaves a request to whoever serves it.
    #[inline(never)]
    fn pass_on(
        &self,
        request: &Request<'_>,
        judged: (Point, Verdict),
        value: Option<&NewValue<'_>>,
        out: &mut Output,
    ) {
        let mut line = Vec::with_capacity(128);
        let hush = write(request, &mut line);
        let mut large = None;
        if let Some(value) = value {
            match value {
                NewValue::Large(value) if value.len() > SMALL_VALUE => {
                    large = Some(value.clone());
                }
                value => {
                    value.copy_to(&mut line);
                    line.extend_from_slice(b"\r\n");
                }
            }
        }
        let mut miss = Vec::new();
        let without_answer = match request {
            Request::MetaGet(meta) => {
                let mut room = [0; MAX_KEY_LEN];
                miss.extend_from_slice(b"EN");
                crate::command::echo(meta, meta.key.bytes(&mut room), &mut miss);
                miss.extend_from_slice(b"\r\n");
                Some(&miss[..])
            }
            Request::MetaDebug(_) => Some(&b"EN\r\n"[..]),
            _ => None,
        };
        self.leave(judged, &line, large, (hush, without_answer, None), out);
    }

    /// Leaves a line to whoever serves it.
    fn leave(
        &self,
        (point, verdict): (Point, Verdict),
        line: &[u8],
        value: Option<LargeValue>,
        (hush, without_answer, instead): (Hush, Option<&[u8]>, Option<Refusal>),
        out: &mut Output,
    ) {
        let destination = match verdict {
            Verdict::Elsewhere(destination) => destination,
            Verdict::Moved => {
                self.counters.foreign_moved.increment();
                answer::line(&mut out.bytes, "MOVED");
                return;
            }
            Verdict::Refuse => {
                self.counters.foreign_refused.increment();
                if hush != Hush::Everything {
                    answer::refusal(&mut out.bytes, Refusal::ForeignKey);
                }
                return;
            }
        };
        self.counters.foreign_requests.increment();
        out.leave_hole(Foreign {
            point,
            destination,
            form: Form::Line,
            hush,
            request: line,
            value,
            without_answer,
            instead,
        });
    }
}

/// The point of a key that may be in base64.
fn meta_point(key: &MetaKey<'_>) -> Point {
    let mut room = [0; MAX_KEY_LEN];
    point(key.bytes(&mut room))
}

/// Writes the line of a request so that it is answered in any case, and returns which answers its
/// client does not want.
fn write(request: &Request<'_>, line: &mut Vec<u8>) -> Hush {
    use std::io::Write;

    const GET: &[&[u8]] = &[b"EN"];
    const STORE: &[&[u8]] = &[b"HD"];
    const ARITHMETIC: &[&[u8]] = &[b"HD", b"VA"];
    let quiet = |meta: &Meta<'_>, starts| match meta.quiet() {
        true => Hush::Status(starts),
        false => Hush::Nothing,
    };
    // Writing to a vector cannot fail.
    let (hush, _) = match request {
        Request::Store(store) => {
            line.extend_from_slice(verb(store.verb));
            line.push(b' ');
            line.extend_from_slice(store.key);
            let written = write!(line, " {} {} {}", store.flags, store.exptime, store.len);
            let cas = (store.verb == Verb::Cas).then(|| write!(line, " {}", store.cas));
            (hush(store.noreply), cas.unwrap_or(written))
        }
        Request::Delete(delete) => {
            line.extend_from_slice(b"delete ");
            line.extend_from_slice(delete.key);
            (hush(delete.noreply), Ok(()))
        }
        Request::Arithmetic(arithmetic) => {
            line.extend_from_slice(if arithmetic.increment { b"incr " } else { b"decr " });
            line.extend_from_slice(arithmetic.key);
            (hush(arithmetic.noreply), write!(line, " {}", arithmetic.delta))
        }
        Request::Touch(touch) => {
            line.extend_from_slice(b"touch ");
            line.extend_from_slice(touch.key);
            (hush(touch.noreply), write!(line, " {}", touch.exptime))
        }
        Request::MetaStore(store) => {
            line.extend_from_slice(b"ms ");
            line.extend_from_slice(store.meta.key.word);
            let written = write!(line, " {}", store.len);
            flags(&store.meta, line);
            (quiet(&store.meta, STORE), written)
        }
        Request::MetaGet(meta) => {
            meta_line(b"mg ", meta, line);
            (quiet(meta, GET), Ok(()))
        }
        Request::MetaDelete(meta) => {
            meta_line(b"md ", meta, line);
            (quiet(meta, STORE), Ok(()))
        }
        Request::MetaArithmetic(meta) => {
            meta_line(b"ma ", meta, line);
            (quiet(meta, ARITHMETIC), Ok(()))
        }
        Request::MetaDebug(key) => {
            line.extend_from_slice(b"me ");
            line.extend_from_slice(key.word);
            line.extend_from_slice(if key.binary { b" b" } else { b"" });
            (Hush::Nothing, Ok(()))
        }
        _ => (Hush::Nothing, Ok(())),
    };
    line.extend_from_slice(b"\r\n");
    hush
}

fn hush(noreply: bool) -> Hush {
    if noreply { Hush::Everything } else { Hush::Nothing }
}

fn verb(verb: Verb) -> &'static [u8] {
    match verb {
        Verb::Set => b"set",
        Verb::Add => b"add",
        Verb::Replace => b"replace",
        Verb::Append => b"append",
        Verb::Prepend => b"prepend",
        Verb::Cas => b"cas",
    }
}

fn meta_line(command: &[u8], meta: &Meta<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(command);
    line.extend_from_slice(meta.key.word);
    flags(meta, line);
}

/// The flags in the order given, but for `q`.
fn flags(meta: &Meta<'_>, line: &mut Vec<u8>) {
    for (letter, argument) in meta.flags().filter(|&(letter, _)| letter != b'q') {
        line.extend_from_slice(&[b' ', letter]);
        line.extend_from_slice(argument);
    }
}

fn meta_delete(key: &MetaKey<'_>) -> Vec<u8> {
    let binary: &[u8] = if key.binary { b" b" } else { b"" };
    [b"md ", key.word, binary, b"\r\n"].concat()
}
