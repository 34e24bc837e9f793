//! What the parser promises, checked on any bytes.
//!
//! - It never panics, and never consumes more than there is or other than one line.
//! - Cutting changes nothing: until the line is whole every part of it is `Incomplete`, and what
//!   follows the line has no influence. Input that ends the connection may end it before its line
//!   is whole.
//! - What it lets through is within its bounds: keys, lengths, flags.

use std::ops::Range;

use ringbinder_protocol::{
    Follows, Keyed, MAX_KEY_LEN, MAX_NODE_NAME, MAX_RING_LEN, MAX_VALUE_LEN, Meta, MetaKey, Parsed,
    Request, RingCommand, RingRequest, Storage, Tokens, parse,
};

/// Lines up to this long are cut at every byte.
const CUT_EVERYWHERE: usize = 512;

/// Bytes to be had behind a line.
const BEHIND: [&[u8]; 3] = [b"\n", b"get a\r\n", b"\x80\0 HTTP/1.1"];

/// Checks all promises for these bytes.
///
/// # Panics
/// Where one is broken.
pub fn check(data: &[u8]) {
    match parse(data) {
        // The header of a binary request may have a line end in it.
        Parsed::Incomplete if data.first() == Some(&0x80) => expect_incomplete(data, 0..data.len()),
        Parsed::Incomplete => {
            assert!(!data.contains(&b'\n'), "a whole line is incomplete");
            expect_incomplete(data, 0..data.len());
            let ended = [data, b"\r\n"].concat();
            assert!(!matches!(parse(&ended), Parsed::Incomplete), "a line end does not end it");
        }
        Parsed::Foreign(kind) => {
            for behind in BEHIND {
                let longer = [data, behind].concat();
                let longer = parse(&longer);
                let same = matches!(longer, Parsed::Foreign(other) if other == kind);
                assert!(same, "what follows makes {kind:?} {longer:?}");
            }
        }
        Parsed::Request { consumed, request } => {
            check_line(data, consumed);
            check_request(&request);
        }
        Parsed::Refused { consumed, follows, refusal, .. } => {
            check_line(data, consumed);
            match follows {
                Follows::Request | Follows::Unknown => {}
                Follows::Value(len) => {
                    assert!((2..=MAX_VALUE_LEN + 2).contains(&len), "no value has {len} bytes");
                }
            }
            assert!(!refusal.line().is_empty());
            assert!(may_follow(&data[..consumed], follows), "{follows:?} behind a storage line");
        }
    }
}

/// Nothing but a value follows a storage line.
fn may_follow(line: &[u8], follows: Follows) -> bool {
    const STORAGE: [&[u8]; 7] = [b"set", b"add", b"replace", b"append", b"prepend", b"cas", b"ms"];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let command = Tokens::new(line).next().unwrap_or_default();
    !STORAGE.contains(&command) || follows != Follows::Request
}

fn check_line(data: &[u8], consumed: usize) {
    let end = data.iter().position(|&byte| byte == b'\n').map(|newline| newline + 1);
    assert_eq!(end, Some(consumed), "other than one line was consumed");
    let line = &data[..consumed];
    expect_incomplete(line, 0..consumed);
    let result = format!("{:?}", parse(line));
    for behind in BEHIND.into_iter().chain([&data[consumed..]]) {
        let longer = [line, behind].concat();
        assert_eq!(format!("{:?}", parse(&longer)), result, "what follows the line matters");
    }
}

/// Of a long line only the ends are cut at every byte.
fn expect_incomplete(line: &[u8], cuts: Range<usize>) {
    let is_near = |cut: usize| cut < CUT_EVERYWHERE / 2 || cuts.end - cut < CUT_EVERYWHERE / 2;
    for cut in cuts.clone().filter(|&cut| is_near(cut) || cut % 61 == 0) {
        let parsed = parse(&line[..cut]);
        assert!(matches!(parsed, Parsed::Incomplete), "cut at {cut} it is {parsed:?}");
    }
}

fn check_request(request: &Request<'_>) {
    match request {
        Request::Get(get) => {
            assert!(get.keys.count() > 0, "no keys");
            get.keys.for_each(check_key);
        }
        Request::Keyed(keyed) => {
            check_key_word(keyed.key());
            check_keyed(keyed);
        }
        Request::Storage(storage) => {
            check_key_word(storage.key());
            assert!(storage.value_len() <= MAX_VALUE_LEN);
            match storage {
                Storage::Classic(store) => check_key(store.key),
                Storage::Meta(store) => check_meta(&store.meta),
            }
        }
        Request::Admin(_) => {}
        Request::Ring(RingRequest::Command(command)) => check_ring(command),
        Request::Ring(RingRequest::Offer(offer)) => assert!(offer.len <= MAX_RING_LEN),
        Request::Ring(RingRequest::Cluster) => {}
    }
}

fn check_keyed(keyed: &Keyed<'_>) {
    match keyed {
        Keyed::Delete(delete) => check_key(delete.key),
        Keyed::Arithmetic(arithmetic) => check_key(arithmetic.key),
        Keyed::Touch(touch) => check_key(touch.key),
        Keyed::MetaGet(meta) | Keyed::MetaDelete(meta) => check_meta(meta),
        Keyed::MetaArithmetic(line) => check_meta(&line.meta),
        Keyed::MetaDebug(key) => check_key_word(*key),
    }
}

fn check_ring(command: &RingCommand<'_>) {
    match command {
        RingCommand::Owner(key) => check_key(key),
        RingCommand::Greet { name, .. } => {
            assert!((1..=MAX_NODE_NAME).contains(&name.len()), "a name of {} bytes", name.len());
        }
        RingCommand::Version
        | RingCommand::Get(_)
        | RingCommand::Flush { .. }
        | RingCommand::Nonce
        | RingCommand::Prove(_)
        | RingCommand::Forward(_) => {}
    }
}

fn check_key(key: &[u8]) {
    assert!((1..=MAX_KEY_LEN).contains(&key.len()), "a key of {} bytes", key.len());
    let is_bad = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    assert!(!key.iter().any(is_bad), "a control character in key {}", key.escape_ascii());
}

fn check_key_word(key: MetaKey<'_>) {
    if !key.binary {
        return check_key(key.word);
    }
    let mut room = [0; MAX_KEY_LEN];
    let len = key.bytes(&mut room).len();
    assert!((1..=MAX_KEY_LEN).contains(&len), "a base64 key of {len} bytes");
    assert!(key.word.len() <= MAX_KEY_LEN);
}

fn check_meta(meta: &Meta<'_>) {
    const MAX_OPAQUE: usize = 31;
    const MAX_FLAGS: usize = 18;

    check_key_word(meta.key);
    for letter in 0..=u8::MAX {
        let times = meta.flags().filter(|&(given, _)| given == letter).count();
        assert_eq!(
            meta.has(letter),
            times == 1,
            "flag {} is there {times} times",
            char::from(letter)
        );
    }
    assert!(meta.flags().count() <= MAX_FLAGS, "more flags than words");
    assert!(
        meta.flags().all(|(letter, argument)| letter != b'O' || argument.len() <= MAX_OPAQUE),
        "the opaque token is too long"
    );
    assert_eq!(meta.has(b'b'), meta.key.binary);
    assert_eq!(meta.has(b'q'), meta.quiet());
    for (letter, is_read) in [
        (b'T', meta.exptime.is_some()),
        (b'N', meta.vivify.is_some()),
        (b'R', meta.recache.is_some()),
        (b'C', meta.compare_cas.is_some()),
        (b'E', meta.new_cas.is_some()),
    ] {
        assert_eq!(meta.has(letter), is_read, "flag {} and its number", char::from(letter));
    }
    assert!(meta.has(b'F') || meta.client_flags == 0);
    assert!(meta.has(b'J') || meta.initial == 0);
    assert!(meta.has(b'D') || meta.delta == 1);
}
