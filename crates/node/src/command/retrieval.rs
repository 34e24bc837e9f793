//! `get`, `gets`, `gat`, `gats`.

use ringbinder_protocol::{Get, GetAndTouch, Refusal, Tokens, answer};
use ringbinder_store::{ItemRef, Miss, Store};

use super::{Context, Next};
use crate::output::Output;
use crate::ring::{self, Form};
use crate::sampling::Class;

#[inline]
pub(super) fn get(context: &Context<'_>, get: &Get<'_>, done: usize, out: &mut Output) -> Next {
    // The list of nodes is every node's to give.
    let owned = get.keys.filter(|key| !ring::is_legacy_key(key));
    if done == 0 && refused(context, owned, out) {
        return Next::Continue;
    }
    each(get.keys, done, out, |key, leads, out| one(context, key, get.with_cas, leads, out))
}

/// A `get` of one key, from its key on.
#[inline]
pub(crate) fn get_one(context: &Context<'_>, key: &[u8], out: &mut Output) {
    let owned = std::iter::once(key).filter(|key| !ring::is_legacy_key(key));
    if refused(context, owned, out) {
        return;
    }
    one(context, key, false, true, out);
    answer::line(&mut out.bytes, "END");
}

/// One key of a `get` or `gets`.
#[inline]
fn one(context: &Context<'_>, key: &[u8], with_cas: bool, leads: bool, out: &mut Output) {
    if answers_for_the_ring(context, key, with_cas, out) {
        return;
    }
    let read = |out: &mut Output| {
        let write = |item: &dyn ItemRef| write(context, key, item, with_cas, out);
        context.shared.store.get(key, context.now, write)
    };
    let Some(written) = read_here(context, key, Form::Get { with_cas }, out, read) else {
        return context.offer(Class::Get, None, leads, out);
    };
    context.offer(Class::Get, Some(key), leads, out);
    context.counters.cmd_get.increment();
    match written {
        Ok(_) => context.counters.get_hits.increment(),
        Err(_) => context.counters.get_misses.increment(),
    }
    context.shared.prefixes.get(key, written.is_ok());
    context.fetched(key, written);
}

pub(super) fn get_and_touch(
    context: &Context<'_>,
    get: &GetAndTouch<'_>,
    done: usize,
    out: &mut Output,
) -> Next {
    if done == 0 && refused(context, get.keys, out) {
        return Next::Continue;
    }
    let expiry = context.expiry(get.exptime);
    let form = Form::GetAndTouch { exptime: get.exptime, with_cas: get.with_cas };
    each(get.keys, done, out, |key, leads, out| {
        let read = |out: &mut Output| {
            let write = |item: &dyn ItemRef| write(context, key, item, get.with_cas, out);
            context.shared.store.get_and_touch(key, expiry, context.now, write)
        };
        let Some(written) = read_here(context, key, form, out, read) else {
            return context.offer(Class::GetAndTouch, None, leads, out);
        };
        context.offer(Class::GetAndTouch, Some(key), leads, out);
        context.counters.cmd_touch.increment();
        match written {
            Ok(_) => context.counters.touch_hits.increment(),
            Err(_) => context.counters.touch_misses.increment(),
        }
        context.shared.prefixes.get(key, written.is_ok());
        context.fetched(key, written);
    })
}

/// Refuses a retrieval as a whole where one of its keys is another node's and that is the policy.
#[inline]
fn refused<'k>(
    context: &Context<'_>,
    keys: impl Iterator<Item = &'k [u8]>,
    out: &mut Output,
) -> bool {
    let refused = context.desk.is_some_and(|desk| desk.refuses(keys));
    if refused {
        context.counters.foreign_refused.increment();
        answer::refusal(&mut out.bytes, Refusal::ForeignKey);
    }
    refused
}

/// Reads a key from the store with `read`; `None` where it is left to another node, before that or
/// after a miss.
#[inline]
fn read_here(
    context: &Context<'_>,
    key: &[u8],
    form: Form,
    out: &mut Output,
    read: impl FnOnce(&mut Output) -> Result<usize, Miss>,
) -> Option<Result<usize, Miss>> {
    let Some(desk) = context.desk else {
        return Some(read(out));
    };
    let ring_first = desk.ring_comes_first();
    if ring_first && desk.divert_key(key, form, out) {
        return None;
    }
    let written = read(out);
    if written.is_err() && !ring_first && desk.divert_key(key, form, out) {
        return None;
    }
    Some(written)
}

/// Answers the key under which older clients ask for the list of nodes.
#[inline]
fn answers_for_the_ring(
    context: &Context<'_>,
    key: &[u8],
    with_cas: bool,
    out: &mut Output,
) -> bool {
    match &context.shared.ring {
        Some(ring) if ring::is_legacy_key(key) => {
            let payload = ring.cluster();
            let cas = with_cas.then_some(0);
            answer::value_header(&mut out.bytes, key, 0, payload.len(), cas);
            out.text(payload);
            answer::line(&mut out.bytes, "");
            true
        }
        _ => false,
    }
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

/// Keys of one line that are looked up before other connections get their turn.
const KEYS_AT_ONCE: usize = 1024;

/// Does one key after the other until too much waits to be written, or others are to have their turn.
/// `one` is told whether it is the first of all.
#[inline]
fn each(
    keys: Tokens<'_>,
    done: usize,
    out: &mut Output,
    mut one: impl FnMut(&[u8], bool, &mut Output),
) -> Next {
    let line = keys.remainder();
    let mut keys = Tokens::new(line.get(done..).unwrap_or_default());
    let mut leads = done == 0;
    let mut left = KEYS_AT_ONCE;
    while let Some(key) = keys.next() {
        one(key, leads, out);
        leads = false;
        left -= 1;
        if out.is_full() || left == 0 {
            return Next::Pause { done: line.len() - keys.remainder().len() };
        }
    }
    answer::line(&mut out.bytes, "END");
    Next::Continue
}
