//! `get`, `gets`, `gat`, `gats`.

use ringbinder_protocol::{Get, Refusal, Tokens, answer};
use ringbinder_store::{ItemRef, Miss, Store};

use super::Context;
use crate::net::output::Output;
use crate::net::pending::Form;
use crate::ring::{self, RingNode};
use crate::sampling::Class;

/// Reads the keys of a line. `done` is 0, or the value that the previous call returned for this
/// line: the bytes of the keys that have been processed, if other work comes before the rest.
#[inline]
pub(crate) fn get(
    context: &Context<'_>,
    get: &Get<'_>,
    done: usize,
    out: &mut Output,
) -> Option<usize> {
    let Get { keys, exptime, with_cas } = *get;
    // Every node can give the list of nodes.
    let owned = keys.filter(|key| exptime.is_some() || !ring::is_legacy_key(key));
    if done == 0 && refused(context, owned, out) {
        return None;
    }
    match exptime {
        None => each(keys, done, out, |key, leads, out| {
            get_key(context, key, || None, with_cas, leads, out);
        }),
        touch => each(keys, done, out, |key, leads, out| {
            get_key(context, key, || touch, with_cas, leads, out);
        }),
    }
}

/// A `get` of one key, from its key on.
#[inline]
pub(crate) fn get_one(context: &Context<'_>, key: &[u8], out: &mut Output) {
    let owned = std::iter::once(key).filter(|key| !ring::is_legacy_key(key));
    if refused(context, owned, out) {
        return;
    }
    get_key(context, key, || None, false, true, out);
    answer::line(&mut out.bytes, "END");
}

/// Reads one key of a line, without the line that ends the values. `leads` says that it is the
/// first one. `exptime` is a function, so that a `get` passes nothing and checks nothing.
#[inline]
pub(crate) fn get_key(
    context: &Context<'_>,
    key: &[u8],
    exptime: impl FnOnce() -> Option<i64>,
    with_cas: bool,
    leads: bool,
    out: &mut Output,
) {
    let exptime = exptime();
    if exptime.is_none()
        && let Some(ring) = &context.shared.ring
        && ring::is_legacy_key(key)
    {
        return list_of_nodes(ring, key, with_cas, out);
    }
    let look = |out: &mut Output| {
        let write = |item: &dyn ItemRef| write(context, key, item, with_cas, out);
        match exptime {
            None => context.shared.store.get(key, context.now, write),
            Some(exptime) => {
                let expiry = context.expiry(exptime);
                context.shared.store.get_and_touch(key, expiry, context.now, write)
            }
        }
    };
    let class = if exptime.is_none() { Class::Get } else { Class::GetAndTouch };
    let Some(written) = look_here(context, key, Form::Key { exptime, with_cas }, out, look) else {
        return context.offer(class, None, leads, out);
    };
    context.offer(class, Some(key), leads, out);
    let counters = context.counters;
    let (all, hits, misses) = match exptime {
        None => (&counters.cmd_get, &counters.get_hits, &counters.get_misses),
        Some(_) => (&counters.cmd_touch, &counters.touch_hits, &counters.touch_misses),
    };
    all.increment();
    if written.is_ok() {
        hits.increment()
    } else {
        misses.increment()
    }
    context.shared.prefixes.get(key, written.is_ok());
    context.fetched(key, written);
}

/// Refuses a retrieval as a whole if one of its keys is another node's and the policy is to refuse.
#[inline]
fn refused<'k>(
    context: &Context<'_>,
    keys: impl Iterator<Item = &'k [u8]>,
    out: &mut Output,
) -> bool {
    let refused = context.router.is_some_and(|router| router.refuses(keys));
    if refused {
        context.counters.foreign_refused.increment();
        answer::refusal(&mut out.bytes, Refusal::ForeignKey);
    }
    refused
}

/// Looks for a key in the store with `look`. Returns `None` if it is left to another node, before
/// the look-up or after a miss.
#[inline]
fn look_here(
    context: &Context<'_>,
    key: &[u8],
    form: Form,
    out: &mut Output,
    look: impl FnOnce(&mut Output) -> Result<usize, Miss>,
) -> Option<Result<usize, Miss>> {
    let Some(router) = context.router else { return Some(look(out)) };
    let ring_first = router.ring_comes_first();
    if ring_first && router.divert_key(key, form, out) {
        return None;
    }
    let written = look(out);
    if written.is_err() && !ring_first && router.divert_key(key, form, out) {
        return None;
    }
    Some(written)
}

/// Answers the key under which older clients ask for the list of nodes.
#[cold]
fn list_of_nodes(ring: &RingNode, key: &[u8], with_cas: bool, out: &mut Output) {
    let payload = ring.cluster();
    let cas = with_cas.then_some(0);
    answer::value_header(&mut out.bytes, key, 0, payload.len(), cas);
    out.text(payload);
    answer::line(&mut out.bytes, "");
}

/// Appends one item and returns the length of its value.
#[inline]
fn write(
    context: &Context<'_>,
    key: &[u8],
    item: &dyn ItemRef,
    with_cas: bool,
    out: &mut Output,
) -> usize {
    let meta = item.meta();
    let value = item.value();
    let cas = with_cas.then(|| context.visible_cas(meta.cas));
    answer::value_header(&mut out.bytes, key, meta.flags, value.len(), cas);
    out.value(value);
    value.len()
}

/// The number of keys of one line that are looked up before other connections get their turn.
const KEYS_AT_ONCE: usize = 1024;

/// Processes one key after another until too much output waits, or until others must have their
/// turn. In these cases, returns the bytes of the keys that have been processed. `one` gets whether
/// its key is the first one.
#[inline]
fn each(
    keys: Tokens<'_>,
    done: usize,
    out: &mut Output,
    mut one: impl FnMut(&[u8], bool, &mut Output),
) -> Option<usize> {
    let line = keys.remainder();
    let mut keys = Tokens::new(line.get(done..).unwrap_or_default());
    let mut leads = done == 0;
    let mut left = KEYS_AT_ONCE;
    while let Some(key) = keys.next() {
        one(key, leads, out);
        leads = false;
        left -= 1;
        if out.is_full() || left == 0 {
            return Some(line.len() - keys.remainder().len());
        }
    }
    answer::line(&mut out.bytes, "END");
    None
}
