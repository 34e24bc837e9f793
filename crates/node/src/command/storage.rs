//! `set`, `add`, `replace`, `append`, `prepend`, `cas`; and the steps that every storage request
//! takes before its value arrives.

use ringbinder_protocol::{
    MAX_KEY_LEN, MetaStore, Refusal, Storage, Store as StoreLine, Verb, WatchFlags,
};
use ringbinder_store::{
    Delete, Miss, Mode, NewValue, Store, Write, WriteResult, memcached_item_size,
};

use super::{Context, refuse, reply};
use crate::net::output::Output;
use crate::observe::watch::Stored;

/// Whether the announced value may be stored at all.
#[inline]
pub(crate) fn admit(context: &Context<'_>, storage: &Storage<'_>) -> Result<(), Refusal> {
    let (key_len, flags) = match storage {
        Storage::Classic(store) => (store.key.len(), store.flags),
        Storage::Meta(MetaStore { meta, .. }) => {
            (meta.key.bytes(&mut [0; MAX_KEY_LEN]).len(), meta.client_flags)
        }
    };
    let size = memcached_item_size(key_len, flags, storage.value_len()) as u64;
    if size > context.shared.settings.max_item_size {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// Counts a refused value, and drops the key's previous item if a reader would otherwise take it
/// for the refused one. Returns true if the owner of the key drops it and sends the answer.
pub(crate) fn turned_away(
    context: &Context<'_>,
    storage: &Storage<'_>,
    refusal: Refusal,
    out: &mut Output,
) -> bool {
    let (verb, drops_old) = match storage {
        Storage::Classic(store) => (store.verb, store.verb == Verb::Set),
        // As in memcached, whatever the mode.
        Storage::Meta(_) => (Verb::Set, true),
    };
    if let Some(router) = context.router
        && drops_old
        && router.divert_refused(storage, refusal, out)
    {
        count_refused(context, refusal);
        context.offer_storage(storage, false, out);
        return true;
    }
    context.offer_storage(storage, true, out);
    let mut room = [0; MAX_KEY_LEN];
    let key = storage.key().bytes(&mut room);
    let status = count_refused(context, refusal);
    context.shared.prefixes.set(key);
    let (command, connection) = (name(mode(verb)), context.connection);
    notify_watchers(context, Stored { key, status, command, ttl: 0, connection, len: 0 });
    if drops_old {
        context.looks_up(key);
        context.shared.store.delete(key, Delete::PLAIN, context.now);
    }
    false
}

/// Counts a refusal, and returns its name in memcached's log.
fn count_refused(context: &Context<'_>, refusal: Refusal) -> &'static str {
    if refusal == Refusal::TooLarge {
        context.counters.store_too_large.increment();
        "too_large"
    } else {
        context.counters.store_no_memory.increment();
        "no_memory"
    }
}

#[inline]
pub(super) fn store(
    context: &Context<'_>,
    store: &StoreLine<'_>,
    value: NewValue<'_>,
    out: &mut Output,
) {
    let write = Write {
        flags: store.flags,
        expiry: context.expiry(store.exptime),
        compare: store.cas,
        ..Write::plain(mode(store.verb), store.key, value)
    };
    match carry_out(context, write) {
        Ok(WriteResult::Stored { .. }) => reply(out, store.noreply, "STORED"),
        Ok(WriteResult::Exists) => reply(out, store.noreply, "EXISTS"),
        Ok(WriteResult::NotFound) => reply(out, store.noreply, "NOT_FOUND"),
        Ok(_) => reply(out, store.noreply, "NOT_STORED"),
        Err(refusal) => refuse(out, store.noreply, refusal),
    }
}

/// Writes to the store, and counts it.
#[inline]
pub(super) fn carry_out(context: &Context<'_>, write: Write<'_>) -> Result<WriteResult, Refusal> {
    let Context { shared, counters, now, connection, .. } = *context;
    let (key, mode, expiry) = (write.key, write.mode, write.expiry);
    let len = write.value.len();
    shared.prefixes.set(key);
    context.looks_up(key);
    let result = shared.store.write(write, now);
    // As in memcached, a value that a full store refuses counts only as refused.
    if !matches!(result, WriteResult::NoMemory) {
        counters.cmd_set.increment();
    }
    if mode == Mode::Cas {
        match result {
            WriteResult::Stored { .. } => counters.cas_hits.increment(),
            WriteResult::Exists => counters.cas_badval.increment(),
            WriteResult::NotFound => counters.cas_misses.increment(),
            _ => {}
        }
    }
    let (status, refused) = match result {
        WriteResult::Stored { .. } => ("stored", None),
        WriteResult::NotStored => ("not_stored", None),
        WriteResult::Exists => ("exists", None),
        WriteResult::NotFound => ("not_found", None),
        WriteResult::TooLarge => {
            (count_refused(context, Refusal::TooLarge), Some(Refusal::TooLarge))
        }
        WriteResult::NoMemory => {
            (count_refused(context, Refusal::OutOfMemory), Some(Refusal::OutOfMemory))
        }
    };
    if shared.watch.wants(WatchFlags::MUTATIONS) {
        let mut stored = Stored {
            key,
            status,
            command: name(mode),
            ttl: expiry.remaining(now).unwrap_or(0),
            connection,
            len,
        };
        if let (WriteResult::Stored { len, .. }, Mode::Append | Mode::Prepend) = (result, mode) {
            // The item consists of both parts, with its existing expiry.
            let kept = shared.store.peek(key, now, |item| item.meta().expiry);
            stored.ttl = kept.ok().and_then(|expiry| expiry.remaining(now)).unwrap_or(0);
            stored.len = len;
        }
        shared.watch.stored(stored);
    }
    refused.map_or(Ok(result), Err)
}

/// Reports to watchers that a command, as its second step, stored an item in place of `before`.
pub(super) fn tell_second(
    context: &Context<'_>,
    key: &[u8],
    before: Result<usize, Miss>,
    mode: Mode,
    len: usize,
) {
    context.fetched(key, before);
    let connection = context.connection;
    notify_watchers(
        context,
        Stored { key, status: "stored", command: name(mode), ttl: 0, connection, len },
    );
}

#[inline]
fn notify_watchers(context: &Context<'_>, stored: Stored<'_>) {
    if context.shared.watch.wants(WatchFlags::MUTATIONS) {
        context.shared.watch.stored(stored);
    }
}

pub(super) fn mode(verb: Verb) -> Mode {
    match verb {
        Verb::Set => Mode::Set,
        Verb::Add => Mode::Add,
        Verb::Replace => Mode::Replace,
        Verb::Append => Mode::Append,
        Verb::Prepend => Mode::Prepend,
        Verb::Cas => Mode::Cas,
    }
}

/// The name of a store in logs.
fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Set => "set",
        Mode::Add => "add",
        Mode::Replace => "replace",
        Mode::Append => "append",
        Mode::Prepend => "prepend",
        Mode::Cas => "cas",
    }
}
