//! `delete`, `touch` and `md`.

use ringbinder_protocol::{Delete as Line, MAX_KEY_LEN, Meta, Touch, WatchFlags};
use ringbinder_store::{Delete, DeleteResult, Mode, Store};

use super::{Context, arithmetic, reply, storage};
use crate::net::output::Output;

pub(super) fn delete(context: &Context<'_>, line: &Line<'_>, out: &mut Output) {
    match carry_out(context, line.key, Delete::PLAIN, "delete") {
        DeleteResult::Deleted { .. } => reply(out, line.noreply, "DELETED"),
        DeleteResult::NotFound | DeleteResult::Exists => reply(out, line.noreply, "NOT_FOUND"),
    }
}

pub(super) fn meta_delete(context: &Context<'_>, meta: &Meta<'_>, out: &mut Output) {
    let mut room = [0; MAX_KEY_LEN];
    let key = meta.key.bytes(&mut room);
    let how = Delete {
        compare: meta.compare_cas,
        mark_stale: meta.has(b'I'),
        expiry: meta.exptime.map(|exptime| context.expiry(exptime)),
        drop_value: meta.has(b'x').then_some(meta.client_flags),
        new_cas: meta.new_cas,
    };
    let status = match carry_out(context, key, how, "md") {
        DeleteResult::Deleted { .. } if meta.quiet() => return,
        DeleteResult::Deleted { .. } => "HD",
        DeleteResult::NotFound => "NF",
        DeleteResult::Exists => "EX",
    };
    let out = &mut out.bytes;
    out.extend_from_slice(status.as_bytes());
    arithmetic::echo(meta, key, out);
    out.extend_from_slice(b"\r\n");
}

/// Deletes from the store, and counts it.
fn carry_out(
    context: &Context<'_>,
    key: &[u8],
    how: Delete,
    command: &'static str,
) -> DeleteResult {
    let Context { shared, counters, now, .. } = *context;
    shared.prefixes.delete(key);
    context.looks_up(key);
    let result = shared.store.delete(key, how, now);
    // The rest of an item whose value was dropped.
    let mut emptied = None;
    if let (DeleteResult::Deleted { len }, Some(_)) = (result, how.drop_value) {
        storage::tell_second(context, key, Ok(len), Mode::Set, 0);
        emptied = Some(0);
    }
    match result {
        // An item that stays and is marked stale was not deleted.
        DeleteResult::Deleted { .. } if how.mark_stale => {}
        DeleteResult::Deleted { len } => {
            counters.delete_hits.increment();
            if shared.watch.wants(WatchFlags::DELETIONS) {
                shared.watch.deleted(key, command, emptied.unwrap_or(len));
            }
        }
        DeleteResult::NotFound | DeleteResult::Exists => counters.delete_misses.increment(),
    }
    result
}

pub(super) fn touch(context: &Context<'_>, line: &Touch<'_>, out: &mut Output) {
    let Context { shared, counters, now, .. } = *context;
    let expiry = context.expiry(line.exptime);
    counters.cmd_touch.increment();
    context.looks_up(line.key);
    if shared.store.touch(line.key, expiry, now) {
        counters.touch_hits.increment();
        reply(out, line.noreply, "TOUCHED");
    } else {
        counters.touch_misses.increment();
        reply(out, line.noreply, "NOT_FOUND");
    }
}
