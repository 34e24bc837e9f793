//! `get`, `gets`, `gat`, `gats`.

use ringbinder_protocol::{Get, GetAndTouch, Refusal, Tokens, answer};
use ringbinder_store::{Expiry, ItemRef, Store};

use super::{Context, Next};
use crate::output::Output;
use crate::ring::{self, Form};

#[inline]
pub(super) fn get(context: Context<'_>, get: &Get<'_>, done: usize, out: &mut Output) -> Next {
    let form = Form::Get { with_cas: get.with_cas };
    each(context, get.keys, done, out, |key, out| {
        let ring_first = context.desk.is_some_and(|desk| desk.ring_comes_first());
        if (ring_first && left_to_another(context, key, form, out))
            || answers_for_the_ring(context, key, get.with_cas, out)
        {
            return;
        }
        let written = context
            .shared
            .store
            .get(key, context.now, |item| write(context, key, item, get.with_cas, out));
        if written.is_err() && !ring_first && left_to_another(context, key, form, out) {
            return;
        }
        context.counters.cmd_get.increment();
        match written {
            Ok(_) => context.counters.get_hits.increment(),
            Err(miss) => context.missed(miss),
        }
        context.shared.prefixes.get(key, written.is_ok());
        context.fetched(key, written);
    })
}

pub(super) fn get_and_touch(
    context: Context<'_>,
    get: &GetAndTouch<'_>,
    done: usize,
    out: &mut Output,
) -> Next {
    let expiry = Expiry::from_exptime(get.exptime, context.now);
    let form = Form::GetAndTouch { exptime: get.exptime, with_cas: get.with_cas };
    each(context, get.keys, done, out, |key, out| {
        let ring_first = context.desk.is_some_and(|desk| desk.ring_comes_first());
        if ring_first && left_to_another(context, key, form, out) {
            return;
        }
        let written = context.shared.store.get_and_touch(key, expiry, context.now, |item| {
            write(context, key, item, get.with_cas, out)
        });
        if written.is_err() && !ring_first && left_to_another(context, key, form, out) {
            return;
        }
        context.counters.cmd_touch.increment();
        match written {
            Ok(_) => context.counters.touch_hits.increment(),
            Err(_) => context.counters.touch_misses.increment(),
        }
        context.shared.prefixes.get(key, written.is_ok());
        context.fetched(key, written);
    })
}

/// Leaves a key to its owner, where that is another node.
#[inline]
fn left_to_another(context: Context<'_>, key: &[u8], form: Form, out: &mut Output) -> bool {
    context.desk.is_some_and(|desk| desk.divert_key(key, form, out))
}

/// Answers the key under which older clients ask for the list of nodes.
#[inline]
fn answers_for_the_ring(
    context: Context<'_>,
    key: &[u8],
    with_cas: bool,
    out: &mut Output,
) -> bool {
    match &context.shared.ring {
        Some(ring) if ring::is_legacy_key(key) => {
            let payload = ring.cluster();
            let cas = with_cas.then_some(0);
            answer::value_header(&mut out.bytes, key, 0, payload.len(), cas);
            answer::line(&mut out.bytes, &payload);
            true
        }
        _ => false,
    }
}

/// Appends one item and returns the length of its value.
#[inline]
fn write(
    context: Context<'_>,
    key: &[u8],
    item: &dyn ItemRef,
    with_cas: bool,
    out: &mut Output,
) -> usize {
    let meta = item.meta();
    let len = item.value().len();
    let cas = with_cas.then(|| context.visible_cas(meta.cas));
    answer::value_header(&mut out.bytes, key, meta.flags, len, cas);
    out.value(item);
    len
}

/// Does one key after the other until too much waits to be written.
#[inline]
fn each(
    context: Context<'_>,
    keys: Tokens<'_>,
    done: usize,
    out: &mut Output,
    mut one: impl FnMut(&[u8], &mut Output),
) -> Next {
    if done == 0 && context.desk.is_some_and(|desk| desk.refuses(keys)) {
        context.counters.foreign_refused.increment();
        answer::refusal(&mut out.bytes, Refusal::ForeignKey);
        return Next::Continue;
    }
    let line = keys.remainder();
    let mut keys = Tokens::new(line.get(done..).unwrap_or_default());
    while let Some(key) = keys.next() {
        one(key, out);
        if out.is_full() {
            return Next::Pause { done: line.len() - keys.remainder().len() };
        }
    }
    answer::line(&mut out.bytes, "END");
    Next::Continue
}
