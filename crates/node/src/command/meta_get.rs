//! `mg` and `me`.
//!
//! Most meta gets only read, and use the store's fast path. A meta get holds the key while it
//! writes the answer if it changes the item (time to live, creation, recache rights) or asks for a
//! fact that an access would change (last access, hit before). The first reader of a stale item
//! gets the right to recache it, so a fast-path read that finds a stale item takes the slow path.

use ringbinder_protocol::{Keyed, MAX_KEY_LEN, Meta, MetaKey, answer};
use ringbinder_store::{Expiry, ItemMut, ItemRef, MetaGet, Miss, Store, memcached_item_size};

use super::Context;
use super::arithmetic::{echo, remaining, set_expiry};
use crate::net::output::Output;

/// The object of an answered meta get.
#[derive(Clone, Copy, Debug)]
enum Answered {
    /// An item with a value of that many bytes.
    Hit(usize),
    /// An item that was just created.
    Created,
}

/// Returns false if another node must answer.
pub(super) fn get(context: &Context<'_>, meta: &Meta<'_>, out: &mut Output) -> bool {
    let mut room = [0; MAX_KEY_LEN];
    let key = meta.key.bytes(&mut room);
    let changes = [b'N', b'T', b'R', b'h', b'l'].iter().any(|&letter| meta.has(letter));
    let fast = if changes { Ok(None) } else { read(context, meta, key, out) };
    let answered = match fast {
        Ok(Some(answered)) => Ok(answered),
        Ok(None) => read_locked(context, meta, key, out),
        Err(miss) => Err(miss),
    };
    // Items in the store are this node's own. A missing key may be another node's.
    if answered.is_err()
        && let Some(router) = context.router
        && router.divert(&Keyed::MetaGet(*meta), out)
    {
        return false;
    }
    count(context, meta, key, answered);
    if answered.is_err() && !meta.quiet() {
        out.bytes.extend_from_slice(b"EN");
        echo(meta, key, &mut out.bytes);
        out.bytes.extend_from_slice(b"\r\n");
    }
    true
}

/// Answers from an item that needs no change; returns `None` if it needs one.
fn read(
    context: &Context<'_>,
    meta: &Meta<'_>,
    key: &[u8],
    out: &mut Output,
) -> Result<Option<Answered>, Miss> {
    let write = |item: &dyn ItemRef| {
        let known = item.meta();
        if known.stale && !known.win_sent {
            return None;
        }
        let has_value = begin(meta, item, out);
        for (letter, argument) in meta.flags() {
            flag(context, meta, item, letter, argument, out);
        }
        end(item, false, has_value, out);
        Some(Answered::Hit(item.value().len()))
    };
    if meta.has(b'u') {
        context.shared.store.peek(key, context.now, write)
    } else {
        context.shared.store.get(key, context.now, write)
    }
}

/// Answers from an item that is held for a change, or that was created.
fn read_locked(
    context: &Context<'_>,
    meta: &Meta<'_>,
    key: &[u8],
    out: &mut Output,
) -> Result<Answered, Miss> {
    let how =
        MetaGet { bump: !meta.has(b'u'), vivify: meta.vivify.is_some(), new_cas: meta.new_cas };
    let write = |item: &mut dyn ItemMut, created: bool| {
        let has_value = begin(meta, item, out);
        let mut won = false;
        for (letter, argument) in meta.flags() {
            match letter {
                b'T' => set_expiry(item, meta.exptime, context),
                b'N' if created => {
                    set_expiry(item, meta.vivify, context);
                    won = true;
                }
                b'R' if !created => won |= wants_recache(context, meta, item),
                _ => flag(context, meta, item, letter, argument, out),
            }
        }
        let known = item.meta();
        won |= known.stale && !known.win_sent;
        end(item, won, has_value, out);
        if won {
            item.set_win_sent();
        }
        if created { Answered::Created } else { Answered::Hit(item.value().len()) }
    };
    context.shared.store.meta_get(key, how, meta.key.binary, context.now, write)
}

/// Whether less time is left than `R` tolerates and no client is recaching yet.
fn wants_recache(context: &Context<'_>, meta: &Meta<'_>, item: &dyn ItemMut) -> bool {
    let known = item.meta();
    let Some(recache) = meta.recache else { return false };
    let limit = context.expiry(recache).to_bits();
    !known.win_sent && known.expiry != Expiry::NEVER && known.expiry.to_bits() < limit
}

/// Appends the status; returns whether the value follows the flags.
fn begin(meta: &Meta<'_>, item: &(impl ItemRef + ?Sized), out: &mut Output) -> bool {
    let unchanged = meta.compare_cas == Some(item.meta().cas);
    let has_value = meta.has(b'v') && !unchanged;
    if has_value {
        out.bytes.extend_from_slice(b"VA ");
        answer::number(&mut out.bytes, item.value().len());
    } else {
        out.bytes.extend_from_slice(b"HD");
    }
    has_value
}

/// Appends the answer to one flag.
fn flag(
    context: &Context<'_>,
    meta: &Meta<'_>,
    item: &(impl ItemRef + ?Sized),
    letter: u8,
    argument: &[u8],
    out: &mut Output,
) {
    let out = &mut out.bytes;
    let known = item.meta();
    match letter {
        b's' => answer::flag_number(out, b's', item.value().len()),
        b't' => remaining(out, known.expiry, context.now),
        b'c' => answer::flag_number(out, b'c', context.visible_cas(known.cas)),
        b'f' => answer::flag_number(out, b'f', known.flags),
        b'l' => {
            answer::flag_number(out, b'l', context.now.saturating_sub(known.last_access));
        }
        b'h' => answer::flag_number(out, b'h', u8::from(known.fetched)),
        b'O' => answer::flag_bytes(out, b'O', argument),
        b'k' => answer::flag_key(out, item.key(), known.binary_key),
        _ => debug_assert!(meta.has(letter)),
    }
}

/// Appends the flags of the item's state, the line end, and the value if it was requested.
fn end(item: &(impl ItemRef + ?Sized), won: bool, has_value: bool, out: &mut Output) {
    let known = item.meta();
    if known.win_sent {
        answer::flag(&mut out.bytes, b'Z');
    }
    if known.stale {
        answer::flag(&mut out.bytes, b'X');
    }
    if won {
        answer::flag(&mut out.bytes, b'W');
    }
    out.bytes.extend_from_slice(b"\r\n");
    if has_value {
        out.value(item.value());
    }
}

fn count(context: &Context<'_>, meta: &Meta<'_>, key: &[u8], answered: Result<Answered, Miss>) {
    let counters = context.counters;
    // A created item counts as found, as in memcached.
    match answered {
        Ok(_) if meta.exptime.is_some() => {
            counters.cmd_touch.increment();
            counters.touch_hits.increment();
        }
        Ok(_) => {
            counters.cmd_get.increment();
            counters.get_hits.increment();
        }
        Err(_) => {
            counters.cmd_get.increment();
            counters.get_misses.increment();
        }
    }
    context.shared.prefixes.get(key, matches!(answered, Ok(Answered::Hit(_))));
    context.fetched(
        key,
        match answered {
            Ok(Answered::Hit(len)) => Ok(len),
            Ok(Answered::Created) => Err(Miss::Absent),
            Err(miss) => Err(miss),
        },
    );
}

/// `me`: all details of an item, for people.
pub(super) fn debug(context: &Context<'_>, key: MetaKey<'_>, out: &mut Output) {
    use std::io::Write;

    let mut room = [0; MAX_KEY_LEN];
    let key = key.bytes(&mut room);
    context.counters.cmd_meta.increment();
    let out = &mut out.bytes;
    let found = context.shared.store.peek(key, context.now, |item| {
        let len = item.value().len();
        let known = item.meta();
        out.extend_from_slice(b"ME ");
        answer::key_word(out, item.key(), known.binary_key);
        let expiry = known.expiry.remaining(context.now).map_or(-1, i64::from);
        let idle = context.now.saturating_sub(known.last_access);
        let cas = context.visible_cas(known.cas);
        let fetched = if known.fetched { "yes" } else { "no" };
        let size = memcached_item_size(item.key().len(), known.flags, item.value().len());
        // Writing to a vector cannot fail.
        let _ =
            write!(out, " exp={expiry} la={idle} cas={cas} fetch={fetched} cls=1 size={size}\r\n");
        len
    });
    context.fetched(key, found);
    if found.is_err() {
        answer::line(out, "EN");
    }
}
