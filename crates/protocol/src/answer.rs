//! Answers, appended to an output buffer. This module makes no decisions.

use crate::{BinaryRequest, Refusal, encode_key};

/// Appends a fixed line and its line end.
#[inline]
pub fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a refusal's line.
pub fn refusal(out: &mut Vec<u8>, refusal: Refusal) {
    line(out, refusal.line());
}

/// Appends the answer to a binary-protocol request, which is never carried out: status 0x0081,
/// unknown command, with a text (memcached's `doc/protocol-binary.txt`). `text` has fewer than
/// 65,536 bytes.
pub fn binary_error(out: &mut Vec<u8>, request: BinaryRequest, text: &str) {
    const RESPONSE: u8 = 0x81;
    const UNKNOWN_COMMAND: [u8; 2] = [0x00, 0x81];
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let (no_key, no_extras, raw) = ([0, 0], 0, 0);
    out.extend_from_slice(&[RESPONSE, request.opcode]);
    out.extend_from_slice(&no_key);
    out.extend_from_slice(&[no_extras, raw]);
    out.extend_from_slice(&UNKNOWN_COMMAND);
    out.extend_from_slice(&len);
    out.extend_from_slice(&request.opaque);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a decimal number.
#[inline]
pub fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a decimal number that usually has one or two digits.
#[inline]
fn small_number(out: &mut Vec<u8>, value: usize) {
    #[allow(clippy::cast_possible_truncation, reason = "digits")]
    let digit = |value: usize| b'0' + (value % 10) as u8;
    match value {
        0..10 => out.push(digit(value)),
        10..100 => out.extend_from_slice(&[digit(value / 10), digit(value)]),
        _ => number(out, value),
    }
}

/// Appends a number as a line of its own, the answer to `incr`.
pub fn number_line(out: &mut Vec<u8>, value: u64) {
    number(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends `VALUE key flags len [cas]`; the value and a line end must follow.
#[inline]
pub fn value_header(out: &mut Vec<u8>, key: &[u8], flags: u32, len: usize, cas: Option<u64>) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    if flags == 0 {
        out.extend_from_slice(b" 0 ");
    } else {
        out.push(b' ');
        number(out, flags);
        out.push(b' ');
    }
    small_number(out, len);
    if let Some(cas) = cas {
        out.push(b' ');
        number(out, cas);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends one line of statistics.
pub fn stat(out: &mut Vec<u8>, name: &str, value: impl std::fmt::Display) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(out, "STAT {name} {value}\r\n");
}

/// Appends a meta flag with a number: ` s5`.
#[inline]
pub fn flag_number(out: &mut Vec<u8>, letter: u8, value: impl itoa::Integer) {
    out.extend_from_slice(&[b' ', letter]);
    number(out, value);
}

/// Appends a meta flag followed by bytes: ` Oabc`.
#[inline]
pub fn flag_bytes(out: &mut Vec<u8>, letter: u8, bytes: &[u8]) {
    out.extend_from_slice(&[b' ', letter]);
    out.extend_from_slice(bytes);
}

/// Appends a meta flag alone: ` W`.
#[inline]
pub fn flag(out: &mut Vec<u8>, letter: u8) {
    out.extend_from_slice(&[b' ', letter]);
}

/// Appends the key of a meta answer: ` kfoo`, or ` kYmlu b` for a binary key.
#[inline]
pub fn flag_key(out: &mut Vec<u8>, key: &[u8], binary: bool) {
    out.extend_from_slice(b" k");
    key_word(out, key, binary);
    if binary {
        out.extend_from_slice(b" b");
    }
}

/// Appends a key as a word: in base64 if it is binary.
pub fn key_word(out: &mut Vec<u8>, key: &[u8], binary: bool) {
    if binary {
        encode_key(key, out);
    } else {
        out.extend_from_slice(key);
    }
}

/// Appends a key in the form of dumps and logs: every byte that is not a letter, a digit or one of
/// `-._~` becomes `%XX`.
pub fn uri_encode(out: &mut Vec<u8>, key: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', HEX[high], HEX[low]]);
        }
    }
}
