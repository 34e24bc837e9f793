//! `set`, `add`, `replace`, `append`, `prepend`, `cas`; and what every storage request has in
//! common before its value arrives.

use ringbinder_protocol::{MAX_KEY_LEN, Refusal, Request, Store as StoreLine, Verb, WatchFlags};
use ringbinder_store::{
    Delete, Expiry, Mode, NewValue, Store, Write, WriteResult, memcached_item_size,
};

use super::{Context, refuse, reply};
use crate::output::Output;
use crate::watch::Stored;

/// A storage request as the connection sees it while the value is still on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    /// Bytes of the value, without its line end.
    pub(crate) len: usize,
    /// Whether a refusal is kept from the client.
    pub(crate) quiet: bool,
}

impl Incoming {
    /// Of a request, if it is one with a value.
    #[inline]
    pub(crate) fn of(request: &Request<'_>) -> Option<Incoming> {
        match request {
            Request::Store(store) => Some(Incoming { len: store.len, quiet: store.noreply }),
            Request::MetaStore(store) => Some(Incoming { len: store.len, quiet: false }),
            Request::RingOffer(offer) => Some(Incoming { len: offer.len, quiet: false }),
            _ => None,
        }
    }
}

/// Whether the value a request announces may be stored at all.
#[inline]
pub(crate) fn admit(context: &Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    let (key_len, flags, len) = match request {
        Request::Store(store) => (store.key.len(), store.flags, store.len),
        Request::MetaStore(store) => {
            let mut room = [0; MAX_KEY_LEN];
            (store.meta.key.bytes(&mut room).len(), store.meta.client_flags, store.len)
        }
        _ => return Ok(()),
    };
    let size = memcached_item_size(key_len, flags, len) as u64;
    if size > context.shared.settings.max_item_size {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// Books a refused value, and drops what the key held before where a reader would otherwise take
/// it for the refused one. True where the owner of the key does the latter, and the answer comes
/// with it.
pub(crate) fn turned_away(
    context: &Context<'_>,
    request: &Request<'_>,
    refusal: Refusal,
    out: &mut Output,
) -> bool {
    if let Some(desk) = context.desk
        && desk.divert_refused(request, refusal, out)
    {
        count_refused(context, refusal);
        context.offer_request(request, false, out);
        return true;
    }
    context.offer_request(request, true, out);
    let mut room = [0; MAX_KEY_LEN];
    let (key, command, drops_old) = match request {
        Request::Store(store) => (store.key, name(mode(store.verb)), store.verb == Verb::Set),
        Request::MetaStore(store) => (store.meta.key.bytes(&mut room), "set", true),
        _ => return false,
    };
    let status = count_refused(context, refusal);
    if drops_old {
        context.shared.store.delete(key, Delete::PLAIN, context.now);
    }
    tell(context, Stored { key, status, command, ttl: 0, connection: context.connection, len: 0 });
    false
}

/// Counts a refusal and names it as memcached's log does.
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
        key: store.key,
        value,
        flags: store.flags,
        expiry: Expiry::from_exptime(store.exptime, context.now),
        mode: mode(store.verb),
        compare: store.cas,
        new_cas: None,
        accept_stale: false,
        vivify: None,
        binary_key: false,
    };
    match carry_out(context, write) {
        Ok(WriteResult::Stored { .. }) => reply(out, store.noreply, "STORED"),
        Ok(WriteResult::Exists) => reply(out, store.noreply, "EXISTS"),
        Ok(WriteResult::NotFound) => reply(out, store.noreply, "NOT_FOUND"),
        Ok(_) => reply(out, store.noreply, "NOT_STORED"),
        Err(refusal) => refuse(out, store.noreply, refusal),
    }
}

/// Writes to the store, and to the books.
#[inline]
pub(super) fn carry_out(context: &Context<'_>, write: Write<'_>) -> Result<WriteResult, Refusal> {
    let Context { shared, counters, now, connection, .. } = *context;
    let (key, mode, expiry) = (write.key, write.mode, write.expiry);
    let len = write.value.as_slice().len();
    counters.cmd_set.increment();
    shared.prefixes.set(key);
    let result = shared.store.write(write, now);
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
    let ttl = expiry.remaining(now).unwrap_or(0);
    tell(context, Stored { key, status, command: name(mode), ttl, connection, len });
    refused.map_or(Ok(result), Err)
}

#[inline]
fn tell(context: &Context<'_>, stored: Stored<'_>) {
    if context.shared.watch.wants(WatchFlags::MUTATIONS) {
        context.shared.watch.stored(stored);
    }
}

fn mode(verb: Verb) -> Mode {
    match verb {
        Verb::Set => Mode::Set,
        Verb::Add => Mode::Add,
        Verb::Replace => Mode::Replace,
        Verb::Append => Mode::Append,
        Verb::Prepend => Mode::Prepend,
        Verb::Cas => Mode::Cas,
    }
}

/// What a store is called in logs.
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
