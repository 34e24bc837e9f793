//! Storage lines with a mistake, and values that are full of requests.
//!
//! The bytes decide what a client sends: a well-formed storage line with one mistake in it, a value and
//! the next request. No byte of the value may be read as a request. Where nothing is wrong but the key,
//! which may be a stranger's, reading must go on exactly behind the value, or not at all.

use ringbinder_protocol::{Follows, Parsed, Request, parse};

use crate::choices::Choices;

/// Pieces of values: each begins or ends a request somewhere.
const PIECES: [&[u8]; 6] =
    [b"\r\n", b"\n", b"x", b"delete a\r\n", b"set a 0 0 1\r\nx\r\n", b"ms a 1\r\nx\r\n"];

/// Words that a key may have and that may stand where none should.
const WORDS: [&str; 12] =
    ["0", "1", "5", "9", "13", "60", "x", "noreply", "-1", "S9", "T0", "4294967296"];

/// Words that take the place of one that is right.
const GARBLED: [&str; 6] = ["x", "-1", "", "1x", "4294967296", "99999999999999999999"];

/// Sends what the bytes decide through the parser.
///
/// # Panics
/// Where a byte of the value would be read as a request.
pub fn check(data: &[u8]) {
    let mut choices = Choices::new(data);
    let verb = choices.pick(&["set", "add", "replace", "append", "prepend", "cas", "ms"]);
    let value = (0..choices.below(8)).flat_map(|_| choices.pick(&PIECES)).copied();
    let value: Vec<u8> = value.collect();
    let len = value.len().to_string();
    let mut words: Vec<&str> = match verb {
        "ms" => vec![&len, "T0", "F1", "c"],
        "cas" => vec!["0", "60", &len, "77"],
        _ => vec!["0", "60", &len],
    };
    let mut key = String::from("key");
    let mut only_key = true;
    match choices.below(5) {
        0 => {}
        1 => {
            let words: Vec<_> = (0..choices.below(6)).map(|_| choices.pick(&WORDS)).collect();
            key = words.join(" ");
        }
        2 => {
            only_key = false;
            let more = 1 + choices.below(4);
            words.extend((0..more).map(|_| choices.pick(&WORDS)));
        }
        3 => {
            only_key = false;
            words.remove(choices.below(words.len()));
        }
        _ => {
            only_key = false;
            let place = choices.below(words.len());
            words[place] = choices.pick(&GARBLED);
        }
    }
    if verb != "ms" && choices.once_in(3) {
        words.push("noreply");
    }
    let line = [verb, &*key].into_iter().chain(words).collect::<Vec<_>>().join(" ") + "\r\n";
    let stream = [line.as_bytes(), &value, b"\r\nget a\r\n"].concat();
    let next = line.len() + value.len() + 2;
    let goes_on_at = match parse(&stream) {
        Parsed::Request { request: Request::Storage(storage), consumed } => {
            consumed + storage.value_len() + 2
        }
        Parsed::Refused { follows: Follows::Value(len), consumed, .. } => consumed + len,
        Parsed::Refused { follows: Follows::Unknown, .. } => return,
        other => panic!("{} is {other:?}", stream.escape_ascii()),
    };
    assert!(goes_on_at >= next, "{} goes on within its value", stream.escape_ascii());
    assert!(
        goes_on_at == next || !only_key,
        "{} goes on at {goes_on_at} and not at {next}",
        stream.escape_ascii()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_read_as_requests() {
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            let data: Vec<u8> = (0..4)
                .flat_map(|_| {
                    word ^= word << 13;
                    word ^= word >> 7;
                    word ^= word << 17;
                    word.to_be_bytes()
                })
                .collect();
            check(&data);
        }
    }
}
