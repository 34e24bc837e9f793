//! `ms`.

use ringbinder_protocol::{MAX_KEY_LEN, MetaStore, answer};
use ringbinder_store::{Expiry, Mode, NewValue, Write, WriteResult};

use super::{Context, storage};
use crate::net::output::Output;

pub(super) fn store(
    context: &Context<'_>,
    store: &MetaStore<'_>,
    value: NewValue<'_>,
    out: &mut Output,
) {
    let meta = &store.meta;
    let mut room = [0; MAX_KEY_LEN];
    let key = meta.key.bytes(&mut room);
    let expiry = |exptime| context.expiry(exptime);
    let mode = storage::mode(store.verb);
    // Only append and prepend, which need an existing item, can create one on the way.
    let joins = matches!(mode, Mode::Append | Mode::Prepend);
    let write = Write {
        key,
        value,
        flags: meta.client_flags,
        expiry: meta.exptime.map_or(Expiry::NEVER, expiry),
        mode,
        compare: meta.compare_cas.unwrap_or(0),
        // An item with CAS 0 could never be compared.
        new_cas: meta.new_cas.filter(|&cas| cas != 0),
        accept_stale: meta.has(b'I') && mode == Mode::Cas,
        vivify: meta.vivify.filter(|_| joins).map(expiry),
        binary_key: meta.key.binary,
    };
    let (status, cas, len) = match storage::carry_out(context, write) {
        Ok(WriteResult::Stored { cas, len }) => {
            if meta.quiet() {
                return;
            }
            ("HD", context.visible_cas(cas), len)
        }
        Ok(WriteResult::Exists) => ("EX", 0, store.len),
        Ok(WriteResult::NotFound) => ("NF", 0, store.len),
        Ok(_) => ("NS", 0, store.len),
        Err(refusal) => {
            answer::refusal(&mut out.bytes, refusal);
            return;
        }
    };
    let out = &mut out.bytes;
    out.extend_from_slice(status.as_bytes());
    for (letter, argument) in meta.flags() {
        match letter {
            b'O' => answer::flag_bytes(out, b'O', argument),
            b'k' => answer::flag_key(out, key, meta.key.binary),
            b'c' => answer::flag_number(out, b'c', cas),
            b's' => answer::flag_number(out, b's', len),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
}
