//! Histories of requests, drawn from the fuzzer's bytes with the model at hand: numbers that mean
//! something now, such as the CAS unique an item has or the second at which it dies, are as likely
//! as any others.

use crate::answer::CHOSEN_FLOOR;
use crate::choices::Choices;
use crate::model::{Model, item_size};
use crate::request::{Argument, Block, Flag, Meta, MetaKey, Request, Verb};

/// Keys that may stand on any line. They are few, so that requests meet.
const KEYS: [&[u8]; 5] = [b"a", b"b", b"k:3", b"\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87", &[b'l'; 250]];

/// A key that only base64 carries.
const BINARY_KEY: &[u8] = b"\0\r\n \xff";

/// A key too long for any line, and nearly so in base64.
const LONG_KEY: &[u8] = &[b'x'; 251];

/// Values that are numbers, or nearly.
const NUMBERS: [&[u8]; 16] = [
    b"0",
    b"9",
    b"10",
    b"99",
    b"100",
    b"007",
    b" 5",
    b"5 ",
    b"-1",
    b"+3",
    b"12a",
    b"5\0x",
    b"",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-18446744073709551615",
];

/// Lengths around which the server does things differently.
const LENGTHS: [usize; 6] = [300, 4 << 10, 8 << 10, 20_000, 40_000, 64 << 10];

const DELTAS: [u64; 8] = [1, 0, 9, 10, 90, 1 << 63, u64::MAX, u64::MAX - 1];

/// Lines that change nothing.
const FIXED: [(&[u8], &[u8]); 38] = [
    (b"\r\n", BAD),
    (b"get\r\n", BAD),
    (b"x\r\n", BAD),
    (b"nonsense\r\n", b"ERROR\r\n"),
    (b"nonsense noreply\r\n", b""),
    (b"get a \x7f\r\n", BAD),
    (b"set a b 0 1\r\nx\r\n", BAD),
    (b"set a 0 b 1 noreply\r\nx\r\n", b""),
    (b"cas a 0 0 1 b\r\nx\r\n", BAD),
    // Values that would change something if they were read as requests.
    (b"cas a 0 0 9\r\nflush_all\r\n", BAD),
    (b"set a b c 0 0 9\r\nflush_all\r\n", BAD),
    (b"set a b 0 0 9\r\nflush_all\r\n", BAD),
    (b"add  0 0 9\r\nflush_all\r\n", BAD),
    (b"set a b 0 0 9 noreply\r\nflush_all\r\n", b""),
    (b"set a x 0 9 y\r\nflush_all\r\n", BAD),
    (b"cas a b c 0 0 9 5\r\nflush_all\r\n", BAD),
    (b"cas  0 0 9 5\r\nflush_all\r\n", BAD),
    (b"ms a b 9 T0\r\nflush_all\r\n", BAD),
    (b"ms  9\r\nflush_all\r\n", BAD),
    (b"ms a 9 ?\r\nflush_all\r\n", BAD),
    (b"append none 0 0 9 x y\r\nflush_all\r\n", b"NOT_STORED\r\n"),
    (b"cas none 0 0 9 5 x y\r\nflush_all\r\n", b"NOT_FOUND\r\n"),
    (b"delete none 5\r\n", b"NOT_FOUND\r\n"),
    (b"incr none 5 6 7\r\n", b"NOT_FOUND\r\n"),
    (b"touch none 5 6 7 noreply\r\n", b""),
    (b"incr a b\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n"),
    (b"decr a -1\r\n", b"CLIENT_ERROR invalid numeric delta argument\r\n"),
    (b"touch a b\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"gat b a\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"flush_all b\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
    (b"ms a 1 MX\r\nx\r\n", b"CLIENT_ERROR invalid mode for ms M token\r\n"),
    (b"ms a 1 Tb\r\nx\r\n", b"CLIENT_ERROR bad token in command line format\r\n"),
    (b"mg a b\r\n", b"CLIENT_ERROR error decoding key\r\n"),
    (b"ma a Db\r\n", b"CLIENT_ERROR invalid or duplicate flag\r\n"),
    (b"md a Cb q\r\n", b"CLIENT_ERROR bad token in command line format\r\n"),
    (b"cache_memlimit 1\r\n", b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"),
    (b"shutdown\r\n", b"SERVER_ERROR: shutdown not enabled\r\n"),
    (b"  mn  \r\n", b"MN\r\n"),
];

const BAD: &[u8] = b"CLIENT_ERROR bad command line format\r\n";

/// Seconds until the next exchange.
pub fn pause(choices: &mut Choices<'_>, model: &Model) -> u32 {
    let deadlines: Vec<u64> = model.deadlines().collect();
    match choices.below(8) {
        0..=3 => 0,
        4 => choices.pick(&[1, 2, 5, 30, 100]),
        5 if choices.once_in(8) => choices.pick(&[2_592_000, 2_592_001, 40_000_000]),
        _ if deadlines.is_empty() => 0,
        _ => {
            // An item's last second, or the first without it.
            let left = choices.pick(&deadlines) - model.now() - choices.below(2) as u64;
            u32::try_from(left).ok().filter(|left| *left < 100_000_000).unwrap_or(1)
        }
    }
}

/// A request for a cache in this state.
pub fn request(choices: &mut Choices<'_>, model: &Model, max_item: usize) -> Request {
    match choices.below(32) {
        0..=5 => store(choices, model, max_item),
        6..=8 => Request::Get {
            exptime: choices.once_in(3).then(|| exptime(choices, model)),
            with_cas: choices.once_in(2),
            keys: (0..=choices.pick(&[0, 0, 1, 2, 9])).map(|_| classic_key(choices)).collect(),
        },
        9 => Request::Delete {
            key: classic_key(choices),
            zero: choices.once_in(4),
            noreply: choices.once_in(4),
        },
        10..=11 => Request::Arithmetic {
            increment: choices.once_in(2),
            key: classic_key(choices),
            delta: choices.pick(&DELTAS),
            noreply: choices.once_in(4),
        },
        12 => Request::Touch {
            key: classic_key(choices),
            exptime: exptime(choices, model),
            noreply: choices.once_in(4),
        },
        13..=18 => Request::MetaGet(meta(choices, model, b"bcfhklOqstuvENRTCPx")),
        19..=22 => {
            let meta = meta(choices, model, b"bcCEFIkOqsTNMMLv");
            let block = block(choices, &meta.key.bytes, client_flags(&meta), max_item);
            Request::MetaStore(meta, block)
        }
        23..=25 => Request::MetaDelete(meta(choices, model, b"bCEIIkOqTTxxF")),
        26..=28 => Request::MetaArithmetic(meta(choices, model, b"bCENNJDTMOqtcvvk")),
        29 => match choices.below(4) {
            0 => Request::MetaNoop,
            1 => Request::FlushAll {
                delay: choices.once_in(2).then(|| exptime(choices, model)),
                noreply: choices.once_in(4),
            },
            _ => Request::MetaDebug(meta_key(choices)),
        },
        30 => {
            let (sent, answer) = choices.pick(&FIXED);
            Request::Fixed { sent, answer }
        }
        _ => Request::Get { exptime: None, with_cas: true, keys: vec![classic_key(choices)] },
    }
}

fn classic_key(choices: &mut Choices<'_>) -> Vec<u8> {
    if choices.once_in(64) { LONG_KEY.to_vec() } else { choices.pick(&KEYS).to_vec() }
}

fn meta_key(choices: &mut Choices<'_>) -> MetaKey {
    match choices.below(8) {
        0 => MetaKey { bytes: BINARY_KEY.to_vec(), base64: true },
        1 => MetaKey { bytes: classic_key(choices), base64: true },
        _ => MetaKey { bytes: classic_key(choices), base64: false },
    }
}

fn store(choices: &mut Choices<'_>, model: &Model, max_item: usize) -> Request {
    use Verb::{Add, Append, Cas, Prepend, Replace, Set};

    let verb = choices.pick(&[Set, Set, Add, Replace, Append, Prepend, Cas, Cas]);
    let key = classic_key(choices);
    let flags = choices.pick(&[0, 0, 7, u32::MAX]);
    Request::Store {
        verb,
        flags,
        exptime: exptime(choices, model),
        cas: if verb == Verb::Cas { cas(choices, model, &key) } else { 0 },
        block: block(choices, &key, flags, max_item),
        noreply: choices.once_in(6),
        key,
    }
}

fn block(choices: &mut Choices<'_>, key: &[u8], flags: u32, max_item: usize) -> Block {
    let value = match choices.below(32) {
        0..=11 => choices.bytes(12).to_vec(),
        12..=28 => choices.pick(&NUMBERS).to_vec(),
        29 => b"x\r\nget a\r\n".to_vec(),
        30 => {
            // Just what fits, or one byte more.
            let room = max_item.saturating_sub(item_size(key, flags, 0));
            filled(room + choices.below(2), choices)
        }
        _ => {
            let len = choices.pick(&LENGTHS);
            filled(len + 3 - choices.below(6), choices)
        }
    };
    Block { value, spoiled: choices.once_in(24) }
}

/// A value whose parts can be told apart.
pub(crate) fn filled(len: usize, choices: &mut Choices<'_>) -> Vec<u8> {
    const PERIOD: u8 = 251;
    let mut pattern: Vec<u8> = (0..PERIOD).collect();
    pattern.rotate_left(choices.below(PERIOD.into()));
    let mut value = pattern.repeat(len / pattern.len() + 1);
    value.truncate(len);
    value
}

fn exptime(choices: &mut Choices<'_>, model: &Model) -> i64 {
    let now = i64::try_from(model.now()).unwrap_or(i64::MAX);
    match choices.below(12) {
        0..=3 => 0,
        4 => 1,
        5 => choices.pick(&[2, 5, 30, 100]),
        6 => choices.pick(&[2_592_000, 2_592_001]),
        7 => now + choices.pick(&[0, 1, -1, 5, 100]),
        8 => -1,
        9 => choices.pick(&[(1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, i64::MAX, -i64::MAX]),
        _ => 10,
    }
}

/// A CAS unique to compare with: the item's own, another that was seen, or made up.
fn cas(choices: &mut Choices<'_>, model: &Model, key: &[u8]) -> u64 {
    let of_item = model.cas_of(key);
    match (choices.below(8), of_item) {
        (0..=4, Some(cas)) => cas,
        (0..=6, _) => {
            let known: Vec<u64> = model.known_cas();
            if known.is_empty() { made_up(choices) } else { choices.pick(&known) }
        }
        _ => made_up(choices),
    }
}

fn made_up(choices: &mut Choices<'_>) -> u64 {
    choices.pick(&[0, CHOSEN_FLOOR, CHOSEN_FLOOR + 1, CHOSEN_FLOOR + 2, u64::MAX])
}

fn client_flags(meta: &Meta) -> u32 {
    meta.unsigned(b'F').and_then(|flags| u32::try_from(flags).ok()).unwrap_or(0)
}

/// A meta line with some of these flags, seldom with one that is wrong.
fn meta(choices: &mut Choices<'_>, model: &Model, letters: &[u8]) -> Meta {
    let mut key = meta_key(choices);
    let mut flags: Vec<Flag> = Vec::new();
    for _ in 0..choices.below(7) {
        let letter = choices.pick(letters);
        if letter == b'b' {
            key.base64 = true;
        } else if !flags.iter().any(|flag| flag.letter == letter) || choices.once_in(32) {
            flags.push(Flag { letter, argument: argument(choices, model, letter, &key.bytes) });
        }
    }
    if choices.once_in(64) {
        flags.push(Flag { letter: b'z', argument: Argument::None });
    }
    Meta { key, flags }
}

fn argument(choices: &mut Choices<'_>, model: &Model, letter: u8, key: &[u8]) -> Argument {
    match letter {
        b'T' | b'N' | b'R' => Argument::Signed(exptime(choices, model)),
        b'C' => Argument::Unsigned(cas(choices, model, key)),
        b'E' => Argument::Unsigned(made_up(choices)),
        b'F' => Argument::Unsigned(choices.pick(&[0, 7, u64::from(u32::MAX)])),
        b'J' => Argument::Unsigned(choices.pick(&[0, 9, 100, u64::MAX])),
        b'D' => Argument::Unsigned(choices.pick(&DELTAS)),
        b'M' => Argument::Bytes(vec![choices.pick(b"EAPRSEAPRSID+-?")]),
        b'O' => Argument::Bytes(vec![b'o'; choices.pick(&[1, 0, 31, 32])]),
        b'P' | b'L' => Argument::Bytes(b"hint".to_vec()),
        _ => Argument::None,
    }
}
