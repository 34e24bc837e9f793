//! A request in the form sent to the key's owner: one line that is answered in any case, with the
//! replies that the client wants to see and its reply if there is no answer.

use std::io::Write as _;

use ringbinder_protocol::{Keyed, MAX_KEY_LEN, Meta, MetaKey, Refusal, Storage, Verb};
use ringbinder_ring::Point;
use ringbinder_store::NewValue;

use crate::command::echo;
use crate::net::input::SMALL_VALUE;
use crate::net::pending::{ForwardedRequest, Suppressed};

const GET: &[&[u8]] = &[b"EN"];
const STORE: &[&[u8]] = &[b"HD"];
const ARITHMETIC: &[&[u8]] = &[b"HD", b"VA"];

/// Writes a request without a value. `line` is empty, and `point` is that of the key.
pub(crate) fn keyed<'a>(
    keyed: &Keyed<'_>,
    point: Point,
    line: &'a mut Vec<u8>,
) -> ForwardedRequest<'a> {
    // A client that only reads gets a miss instead of an error if no node answers.
    let mut miss = None;
    let mut is_get = false;
    // Writing to a vector cannot fail.
    let (suppressed, _) = match keyed {
        Keyed::Delete(delete) => {
            with_key(b"delete ", keyed.key(), line);
            (classic(delete.noreply), Ok(()))
        }
        Keyed::Arithmetic(arithmetic) => {
            let command = if arithmetic.increment { b"incr " } else { b"decr " };
            with_key(command, keyed.key(), line);
            (classic(arithmetic.noreply), write!(line, " {}", arithmetic.delta))
        }
        Keyed::Touch(touch) => {
            with_key(b"touch ", keyed.key(), line);
            (classic(touch.noreply), write!(line, " {}", touch.exptime))
        }
        Keyed::MetaGet(meta) => {
            let mut text = b"EN".to_vec();
            echo(meta, meta.key.bytes(&mut [0; MAX_KEY_LEN]), &mut text);
            text.extend_from_slice(b"\r\n");
            miss = Some(text);
            is_get = true;
            (meta_line(b"mg ", meta, GET, line), Ok(()))
        }
        Keyed::MetaDelete(meta) => (meta_line(b"md ", meta, STORE, line), Ok(())),
        Keyed::MetaArithmetic(ma) => (meta_line(b"ma ", &ma.meta, ARITHMETIC, line), Ok(())),
        Keyed::MetaDebug(key) => {
            miss = Some(b"EN\r\n".to_vec());
            with_key(b"me ", *key, line);
            (Suppressed::Nothing, Ok(()))
        }
    };
    line.extend_from_slice(b"\r\n");
    ForwardedRequest {
        suppressed,
        is_get,
        without_answer: miss,
        ..ForwardedRequest::new(point, line)
    }
}

/// Writes a request with a value. `line` is empty, and `point` is that of the key.
pub(crate) fn storage<'a>(
    storage: &Storage<'_>,
    value: &NewValue<'_>,
    point: Point,
    line: &'a mut Vec<u8>,
) -> ForwardedRequest<'a> {
    // Writing to a vector cannot fail.
    let (suppressed, _) = match storage {
        Storage::Classic(store) => {
            line.extend_from_slice(verb(store.verb));
            line.push(b' ');
            line.extend_from_slice(store.key);
            let written = write!(line, " {} {} {}", store.flags, store.exptime, store.len);
            let cas = (store.verb == Verb::Cas).then(|| write!(line, " {}", store.cas));
            (classic(store.noreply), cas.unwrap_or(written))
        }
        Storage::Meta(store) => {
            line.extend_from_slice(b"ms ");
            line.extend_from_slice(store.meta.key.word);
            let written = write!(line, " {}", store.len);
            (flags(&store.meta, STORE, line), written)
        }
    };
    line.extend_from_slice(b"\r\n");
    let mut large = None;
    match value {
        NewValue::Large(value) if value.len() > SMALL_VALUE => large = Some(value.clone()),
        value => {
            value.copy_to(line);
            line.extend_from_slice(b"\r\n");
        }
    }
    ForwardedRequest { suppressed, value: large, ..ForwardedRequest::new(point, line) }
}

/// Writes the deletion of a key whose new value is refused. `line` is empty, and `point` is that of
/// the key.
pub(crate) fn deletion<'a>(
    storage: &Storage<'_>,
    refusal: Refusal,
    point: Point,
    line: &'a mut Vec<u8>,
) -> ForwardedRequest<'a> {
    let command: &[u8] = match storage {
        Storage::Classic(_) => b"delete ",
        Storage::Meta(_) => b"md ",
    };
    with_key(command, storage.key(), line);
    line.extend_from_slice(b"\r\n");
    let suppressed = classic(storage.noreply());
    ForwardedRequest { suppressed, instead: Some(refusal), ..ForwardedRequest::new(point, line) }
}

fn classic(noreply: bool) -> Suppressed {
    if noreply { Suppressed::Everything } else { Suppressed::Nothing }
}

fn verb(verb: Verb) -> &'static [u8] {
    match verb {
        Verb::Set => b"set",
        Verb::Add => b"add",
        Verb::Replace => b"replace",
        Verb::Append => b"append",
        Verb::Prepend => b"prepend",
        Verb::Cas => b"cas",
    }
}

fn with_key(command: &[u8], key: MetaKey<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(command);
    line.extend_from_slice(key.word);
    line.extend_from_slice(if key.binary { b" b" } else { b"" });
}

fn meta_line(
    command: &[u8],
    meta: &Meta<'_>,
    expected: &'static [&'static [u8]],
    line: &mut Vec<u8>,
) -> Suppressed {
    line.extend_from_slice(command);
    line.extend_from_slice(meta.key.word);
    flags(meta, expected, line)
}

/// Appends the flags in the given order, except `q`, which suppresses the `expected` answers.
fn flags(meta: &Meta<'_>, expected: &'static [&'static [u8]], line: &mut Vec<u8>) -> Suppressed {
    for (letter, argument) in meta.flags().filter(|&(letter, _)| letter != b'q') {
        line.extend_from_slice(&[b' ', letter]);
        line.extend_from_slice(argument);
    }
    if meta.quiet() { Suppressed::Status(expected) } else { Suppressed::Nothing }
}

#[cfg(test)]
mod tests {
    use ringbinder_protocol::{Parsed, Request, parse};

    use super::*;

    /// The line that the owner reads if a client sends the given line.
    fn passed_on(sent: &[u8], value: &[u8]) -> Vec<u8> {
        let Parsed::Request { request, .. } = parse(sent) else {
            panic!("{}", sent.escape_ascii());
        };
        let mut line = Vec::new();
        match request {
            Request::Keyed(request) => keyed(&request, Point(0), &mut line),
            Request::Storage(request) => {
                storage(&request, &NewValue::Slice(value), Point(0), &mut line)
            }
            other => panic!("{other:?}"),
        };
        line
    }

    #[test]
    fn the_owner_reads_what_the_client_sent_but_for_the_wish_for_no_answer() {
        for line in [
            &b"delete a\r\n"[..],
            b"incr a 5\r\n",
            b"decr a 18446744073709551615\r\n",
            b"touch a -1\r\n",
            b"mg YQ== b v k f c t Oabc T30 N60 R10\r\n",
            b"md a I T5 C7 Oabc\r\n",
            b"ma a N0 J5 D2 MD v\r\n",
            b"me a\r\n",
            b"me YQ== b\r\n",
        ] {
            let shown = line.escape_ascii();
            assert_eq!(passed_on(line, b""), line, "{shown}");
        }
        for line in [
            &b"set a 4294967295 -5 3\r\n"[..],
            b"add a 0 0 3\r\n",
            b"replace a 0 0 3\r\n",
            b"append a 0 0 3\r\n",
            b"prepend a 0 0 3\r\n",
            b"cas a 1 2 3 4\r\n",
            b"ms YQ== 3 b T10 F2 MA C5 k\r\n",
        ] {
            let whole = [line, b"xyz\r\n"].concat();
            assert_eq!(passed_on(line, b"xyz"), whole, "{}", line.escape_ascii());
        }
        assert_eq!(passed_on(b"delete a noreply\r\n", b""), b"delete a\r\n");
        assert_eq!(passed_on(b"set a 0 0 1 noreply\r\n", b"x"), b"set a 0 0 1\r\nx\r\n");
        assert_eq!(passed_on(b"mg a v q k\r\n", b""), b"mg a v k\r\n");
    }
}
