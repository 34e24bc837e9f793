//! `get`, `gets`, `gat`, `gats`.

use ringbinder_protocol::{Get, GetAndTouch, Tokens, answer};
use ringbinder_store::{Expiry, ItemRef, Store};

use super::{Context, Next};
use crate::output::{HIGH_WATER, Output};

#[inline]
pub(super) fn get(context: Context<'_>, get: &Get<'_>, done: usize, out: &mut Output) -> Next {
    each(get.keys, done, out, |key, out| {
        let written = context
            .shared
            .store
            .get(key, context.now, |item| write(context, key, item, get.with_cas, out));
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
    each(get.keys, done, out, |key, out| {
        let written = context.shared.store.get_and_touch(key, expiry, context.now, |item| {
            write(context, key, item, get.with_cas, out)
        });
        context.counters.cmd_touch.increment();
        match written {
            Ok(_) => context.counters.touch_hits.increment(),
            Err(_) => context.counters.touch_misses.increment(),
        }
        context.shared.prefixes.get(key, written.is_ok());
        context.fetched(key, written);
    })
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
    keys: Tokens<'_>,
    done: usize,
    out: &mut Output,
    mut one: impl FnMut(&[u8], &mut Output),
) -> Next {
    let line = keys.remainder();
    let mut keys = Tokens::new(line.get(done..).unwrap_or_default());
    while let Some(key) = keys.next() {
        one(key, out);
        if out.pending() > HIGH_WATER {
            return Next::Pause { done: line.len() - keys.remainder().len() };
        }
    }
    answer::line(&mut out.bytes, "END");
    Next::Continue
}
