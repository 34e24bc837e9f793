//! `incr`, `decr` and `ma`.

use ringbinder_protocol::{Arithmetic as Line, MAX_KEY_LEN, Meta, MetaArithmetic, Refusal, answer};
use ringbinder_store::{Arithmetic, ArithmeticResult, Expiry, ItemMut, Miss, Mode, Seconds, Store};

use super::{Context, refuse, reply, storage};
use crate::net::output::Output;

pub(super) fn classic(context: &Context<'_>, line: &Line<'_>, out: &mut Output) {
    let how = Arithmetic {
        increment: line.increment,
        delta: line.delta,
        compare: 0,
        new_cas: None,
        vivify: None,
    };
    context.looks_up(line.key);
    let result =
        context.shared.store.arithmetic(line.key, how, false, context.now, |_, number, _| number);
    count(context, line.increment, &result);
    match result {
        ArithmeticResult::Done(number) | ArithmeticResult::Created(number) => {
            if !line.noreply {
                answer::number_line(&mut out.bytes, number);
            }
        }
        ArithmeticResult::NotFound => reply(out, line.noreply, "NOT_FOUND"),
        ArithmeticResult::Exists => reply(out, line.noreply, "EXISTS"),
        ArithmeticResult::NonNumeric => refuse(out, line.noreply, Refusal::NonNumeric),
        ArithmeticResult::NoMemory => refuse(out, line.noreply, Refusal::OutOfMemoryArithmetic),
    }
}

pub(super) fn meta(context: &Context<'_>, line: &MetaArithmetic<'_>, out: &mut Output) {
    let MetaArithmetic { meta, increment } = line;
    let mut room = [0; MAX_KEY_LEN];
    let key = meta.key.bytes(&mut room);
    let how = Arithmetic {
        increment: *increment,
        delta: meta.delta,
        compare: meta.compare_cas.unwrap_or(0),
        new_cas: meta.new_cas,
        vivify: meta.vivify.map(|_| meta.initial),
    };
    let out = &mut out.bytes;
    let start = out.len();
    context.looks_up(key);
    let result = context.shared.store.arithmetic(
        key,
        how,
        meta.key.binary,
        context.now,
        |item, number, created| write(context, meta, key, item, number, created, out),
    );
    count(context, *increment, &result);
    if let ArithmeticResult::Created(()) = result {
        let len = itoa::Buffer::new().format(meta.initial).len();
        storage::tell_second(context, key, Err(Miss::Absent), Mode::Add, len);
    }
    match result {
        ArithmeticResult::Done(()) | ArithmeticResult::Created(()) => {
            if meta.quiet() {
                out.truncate(start);
            }
        }
        ArithmeticResult::NotFound => without_item(meta, key, "NF", out),
        ArithmeticResult::Exists => without_item(meta, key, "EX", out),
        ArithmeticResult::NonNumeric => answer::refusal(out, Refusal::NonNumeric),
        ArithmeticResult::NoMemory => answer::refusal(out, Refusal::OutOfMemoryArithmetic),
    }
}

/// Applies and answers the flags in the order given.
fn write(
    context: &Context<'_>,
    meta: &Meta<'_>,
    key: &[u8],
    item: &mut dyn ItemMut,
    number: u64,
    created: bool,
    out: &mut Vec<u8>,
) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(number);
    if meta.has(b'v') {
        out.extend_from_slice(b"VA ");
        answer::number(out, digits.len());
    } else {
        out.extend_from_slice(b"HD");
    }
    for (letter, argument) in meta.flags() {
        match letter {
            b'c' => answer::flag_number(out, b'c', context.visible_cas(item.meta().cas)),
            b't' => remaining(out, item.meta().expiry, context.now),
            b'T' => set_expiry(item, meta.exptime, context),
            b'N' if created => set_expiry(item, meta.vivify, context),
            b'O' => answer::flag_bytes(out, b'O', argument),
            b'k' => answer::flag_key(out, key, meta.key.binary),
            _ => {}
        }
    }
    out.extend_from_slice(b"\r\n");
    if meta.has(b'v') {
        out.extend_from_slice(digits.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends ` t` and the time left: -1 for an item that never expires.
pub(super) fn remaining(out: &mut Vec<u8>, expiry: Expiry, now: Seconds) {
    match expiry.remaining(now) {
        Some(seconds) => answer::flag_number(out, b't', seconds),
        None => answer::flag_number(out, b't', -1),
    }
}

/// Sets the expiry that a flag asks for.
pub(super) fn set_expiry(item: &mut dyn ItemMut, exptime: Option<i64>, context: &Context<'_>) {
    if let Some(exptime) = exptime {
        item.set_expiry(context.expiry(exptime));
    }
}

fn without_item(meta: &Meta<'_>, key: &[u8], status: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(status.as_bytes());
    echo(meta, key, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the requested opaque and key: the flags of an answer without an item.
pub(crate) fn echo(meta: &Meta<'_>, key: &[u8], out: &mut Vec<u8>) {
    for (letter, argument) in meta.flags() {
        match letter {
            b'O' => answer::flag_bytes(out, b'O', argument),
            b'k' => answer::flag_key(out, key, meta.key.binary),
            _ => {}
        }
    }
}

fn count<R>(context: &Context<'_>, increment: bool, result: &ArithmeticResult<R>) {
    let counters = context.counters;
    match (result, increment) {
        (ArithmeticResult::Done(_), true) => counters.incr_hits.increment(),
        (ArithmeticResult::Done(_), false) => counters.decr_hits.increment(),
        (ArithmeticResult::NotFound, true) => counters.incr_misses.increment(),
        (ArithmeticResult::NotFound, false) => counters.decr_misses.increment(),
        // As in memcached, a created item counts as neither.
        (ArithmeticResult::Created(_), _) => {}
        (
            ArithmeticResult::NonNumeric | ArithmeticResult::Exists | ArithmeticResult::NoMemory,
            _,
        ) => {}
    }
}
