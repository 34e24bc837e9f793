//! What the client's reader of answers promises, checked on any bytes in the place of a node's.
//!
//! - It never panics, and what it refuses it refuses in a few words.
//! - Cutting changes nothing: neither the answer nor whether there is one.
//! - It takes its answer and not a byte of what follows.
//! - Bounds hold: no value is longer than allowed, and none holds more than what came.
//!
//! The same bytes go to the reader of `stats` (see [`crate::stats`]).
//!
//! The first byte of an input chooses what was asked; the second whether the rest is taken as it is
//! or as decisions that make an answer which is nearly right, since luck seldom makes one.

use ringbinder_client::fuzzing::{Asked, Reader};

use crate::choices::Choices;

/// Longest value that the reader is told to accept.
const MAX_VALUE: usize = 64;

/// Longest refusal.
const MAX_MESSAGE: usize = 400;

/// Bytes without a line end that no reader waits behind: more than any line and any ring.
const ENDLESS: usize = 2 << 20;

/// What comes behind an answer: the beginning of the next one.
const FOLLOWING: &[u8] = b"VALUE a 0 1\r\n";

const KEYS: [&[u8]; 3] = [b"a", b"note:1", b"b"];

/// How the checks went, to see that each comes about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Answers that were read.
    pub read: u64,
    /// Such as are none.
    pub refused: u64,
    /// Such as are not whole.
    pub waiting: u64,
}

/// What became of some bytes.
#[derive(Debug, PartialEq)]
enum Outcome {
    Read { answer: String, bytes: usize, left: Vec<u8> },
    Refused(String),
    Waiting,
}

/// Checks all promises for these bytes.
///
/// # Panics
/// Where one is broken.
pub fn check(data: &[u8]) -> Tally {
    let (asked, bytes) = question(data);
    crate::stats::check(data);
    let whole = outcome(asked, [&bytes[..]]);
    let mut tally = Tally::default();
    match &whole {
        Outcome::Read { answer, bytes: held, left } => {
            assert!(*held <= bytes.len() - left.len(), "{answer} holds more than came");
            let most = MAX_VALUE * KEYS.len();
            let of_values = !matches!(asked, Asked::Ring);
            assert!(!of_values || *held <= most, "{answer} holds more than is allowed");
            assert!(bytes.ends_with(left), "what follows {answer} was changed");
            let taken = &bytes[..bytes.len() - left.len()];
            let followed = [taken, FOLLOWING].concat();
            let (answer, bytes, left) = (answer.clone(), *held, FOLLOWING.to_vec());
            let same = Outcome::Read { answer, bytes, left };
            assert_eq!(outcome(asked, [&followed[..]]), same, "what follows matters");
            tally.read += 1;
        }
        Outcome::Refused(message) => {
            assert!(message.len() <= MAX_MESSAGE, "a message of {} bytes", message.len());
            tally.refused += 1;
        }
        Outcome::Waiting => {
            let endless = [&bytes[..], &[b'x'; ENDLESS]].concat();
            let outcome = outcome(asked, [&endless[..]]);
            assert_ne!(outcome, Outcome::Waiting, "an endless line is waited for");
            tally.waiting += 1;
        }
    }
    let one_by_one = outcome(asked, bytes.chunks(1));
    assert_eq!(found(&one_by_one), found(&whole), "cut at every byte");
    for cut in 0..bytes.len().min(256) {
        let cut = outcome(asked, [&bytes[..cut], &bytes[cut..]]);
        assert_eq!(found(&cut), found(&whole));
    }
    tally
}

/// What does not depend on how much had come when it was found out: the answer, or that there is
/// none.
fn found(outcome: &Outcome) -> Option<Option<(&str, usize)>> {
    match outcome {
        Outcome::Read { answer, bytes, .. } => Some(Some((answer, *bytes))),
        Outcome::Refused(_) => Some(None),
        Outcome::Waiting => None,
    }
}

fn outcome<'a>(asked: Asked<'_>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = Reader::new(asked, MAX_VALUE);
    for piece in pieces {
        match reader.read(piece) {
            Ok(Some((answer, bytes))) => {
                return Outcome::Read { answer, bytes, left: reader.left().to_vec() };
            }
            Ok(None) => {}
            Err(message) => return Outcome::Refused(message),
        }
    }
    Outcome::Waiting
}

/// What was asked, and the bytes that came for it.
pub fn question(data: &[u8]) -> (Asked<'static>, Vec<u8>) {
    let mut choices = Choices::new(data);
    let asked = match choices.below(10) {
        0 => Asked::Get(KEYS[0]),
        1 => Asked::GetMany(&KEYS),
        2 => Asked::Set(KEYS[0]),
        3 => Asked::Incr(KEYS[0]),
        4 => Asked::Delete(KEYS[0]),
        5 => Asked::Touch(KEYS[0]),
        6 => Asked::Meta(KEYS[0]),
        7 => Asked::Stats,
        8 => Asked::Ring,
        _ => Asked::Line,
    };
    let bytes = match choices.below(4) {
        0 => choices.rest().to_vec(),
        _ => nearly(asked, &mut choices),
    };
    (asked, bytes)
}

/// An answer that is right but for an unusual number, a wrong end, or a stray byte.
fn nearly(asked: Asked<'_>, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if choices.once_in(8) {
        let lines: [&[u8]; 6] = [
            b"ERROR\r\n",
            b"CLIENT_ERROR bad data chunk\r\n",
            b"SERVER_ERROR out of memory storing object\r\n",
            b"SERVER_ERROR \x1b[2J\r\n",
            b"BUSY now\r\n",
            b"\r\n",
        ];
        bytes.extend_from_slice(choices.pick(&lines));
    }
    match asked {
        Asked::Get(_) | Asked::GetMany(_) => {
            for _ in 0..choices.below(4) {
                let key = choices.pick(&KEYS);
                value(&[b"VALUE ", key, b" 7"].concat(), b"", choices, &mut bytes);
            }
            bytes.extend_from_slice(end(choices));
        }
        Asked::Meta(_) => match choices.below(4) {
            0 => bytes.extend_from_slice(b"EN\r\n"),
            1 => bytes.extend_from_slice(b"HD f7\r\n"),
            _ => value(b"VA", b" f7", choices, &mut bytes),
        },
        Asked::Stats => {
            for _ in 0..choices.below(4) {
                let lines: [&[u8]; 3] = [b"STAT pid 7\r\n", b"STAT \r\n", b"STAT a b c\r\n"];
                bytes.extend_from_slice(choices.pick(&lines));
            }
            bytes.extend_from_slice(end(choices));
        }
        Asked::Ring => {
            value(b"RING 7 0123456789abcdef", b"", choices, &mut bytes);
            bytes.extend_from_slice(end(choices));
        }
        Asked::Set(_) | Asked::Incr(_) | Asked::Delete(_) | Asked::Touch(_) | Asked::Line => {
            let lines: [&[u8]; 7] = [
                b"STORED\r\n",
                b"NOT_FOUND\r\n",
                b"DELETED\r\n",
                b"TOUCHED\r\n",
                b"18446744073709551615\r\n",
                b"18446744073709551616\r\n",
                b"VERSION 1\n",
            ];
            bytes.extend_from_slice(choices.pick(&lines));
        }
    }
    if choices.once_in(4) {
        let at = choices.below(bytes.len() + 1);
        let stray = choices.bytes(4).to_vec();
        bytes.splice(at..at, stray);
    }
    bytes.extend_from_slice(choices.bytes(32));
    bytes
}

/// A head that announces a length, and a value that mostly has it.
fn value(head: &[u8], tail: &[u8], choices: &mut Choices<'_>, bytes: &mut Vec<u8>) {
    let len = choices.below(MAX_VALUE + 8);
    let lens = [len.to_string(), "18446744073709551615".to_owned(), "-1".to_owned()];
    let told = if choices.once_in(8) { choices.below(lens.len()) } else { 0 };
    bytes.extend_from_slice(head);
    bytes.push(b' ');
    bytes.extend_from_slice(lens[told].as_bytes());
    bytes.extend_from_slice(tail);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend(std::iter::repeat_n(b'v', len + usize::from(choices.once_in(12))));
    bytes.extend_from_slice(b"\r\n");
}

fn end(choices: &mut Choices<'_>) -> &'static [u8] {
    if choices.once_in(8) { b"EN" } else { b"END\r\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_every_question_are_read_and_refused() {
        let mut tallies = [Tally::default(); 10];
        for seed in 0..4000u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_be_bytes()[0]
            };
            let asked = u8::try_from(seed % 10).expect("below ten");
            let data: Vec<u8> = [asked].into_iter().chain((0..80).map(|_| next())).collect();
            let tally = check(&data);
            let of_asked = &mut tallies[usize::from(asked)];
            of_asked.read += tally.read;
            of_asked.refused += tally.refused;
            of_asked.waiting += tally.waiting;
        }
        for tally in tallies {
            assert!(tally.read > 20 && tally.refused > 20, "{tallies:?}");
        }
        assert!(tallies.iter().any(|tally| tally.waiting > 20), "{tallies:?}");
    }
}
