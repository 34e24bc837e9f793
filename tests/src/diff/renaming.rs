//! CAS numbers in answers: their positions, and whether two servers number consistently.

use std::collections::BTreeMap;
use std::ops::Range;

use super::command::{CasPair, has_flag, words};

/// Numbers below this are set by clients (`E`), never by the server, and must be equal. A run that renames
/// first uses up this many of the server's numbers.
pub(super) const OWN_NUMBERS: u64 = 1000;

/// An order-preserving map from the reference's CAS numbers to the subject's.
///
/// Servers may skip different numbers. Clients rely only on equality, and on later numbers being larger.
#[derive(Debug, Default)]
pub struct Renaming {
    known: BTreeMap<u64, u64>,
}

impl Renaming {
    /// The known pairs next to one: with the same number, below and above.
    pub fn around(&self, pair: CasPair) -> [Option<CasPair>; 3] {
        let of = |(&theirs, &ours): (&u64, &u64)| CasPair { theirs, ours };
        [
            self.known.get_key_value(&pair.theirs).map(of),
            self.known.range(..pair.theirs).next_back().map(of),
            self.known.range(pair.theirs + 1..).next().map(of),
        ]
    }

    /// Records `pair` if it is consistent with all earlier pairs. Returns whether it is.
    pub fn accept(&mut self, pair: CasPair) -> bool {
        if pair.theirs < OWN_NUMBERS || pair.ours < OWN_NUMBERS {
            return pair.theirs == pair.ours;
        }
        if let Some(&ours) = self.known.get(&pair.theirs) {
            return ours == pair.ours;
        }
        let below = self.known.range(..pair.theirs).next_back();
        let above = self.known.range(pair.theirs..).next();
        let fits = below.is_none_or(|(_, &ours)| ours < pair.ours)
            && above.is_none_or(|(_, &ours)| ours > pair.ours);
        if fits {
            self.known.insert(pair.theirs, pair.ours);
        }
        fits
    }
}

/// A CAS number in an answer: its position, its value, and its item.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The position of its digits in the answer.
    pub at: Range<usize>,
    /// Its value.
    pub number: u64,
    /// The item's key as the client spells it.
    pub key: Vec<u8>,
}

/// Finds all CAS numbers in the answer to `command`.
pub(super) fn cas_numbers(command: &[u8], answer: &[u8]) -> Vec<Found> {
    let words = words(command);
    let Some(&verb) = words.first() else { return Vec::new() };
    match verb {
        b"gets" | b"gats" => in_values(answer),
        b"mg" | b"ms" | b"ma" if words.len() > 1 && has_flag(&words, b'c') => {
            in_line(answer, words[1], |word| word.strip_prefix(b"c"))
        }
        b"me" if words.len() > 1 => in_line(answer, words[1], |word| word.strip_prefix(b"cas=")),
        _ => Vec::new(),
    }
}

fn in_values(answer: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(length) = answer[at..].iter().position(|&byte| byte == b'\n') {
        let line = answer[at..at + length].strip_suffix(b"\r").unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        let [b"VALUE", key, _flags, size, cas] = words[..] else { break };
        let (Some(size), Some(number)) = (number(size), number(cas)) else { break };
        let end = at + line.len();
        found.push(Found { at: end - cas.len()..end, number, key: key.to_vec() });
        at += length + 1 + usize::try_from(size).expect("a value's size") + 2;
        if at > answer.len() {
            break;
        }
    }
    found
}

fn in_line(answer: &[u8], key: &[u8], digits: impl Fn(&[u8]) -> Option<&[u8]>) -> Vec<Found> {
    let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut at = 0;
    for (index, word) in line.split(|&byte| byte == b' ').enumerate() {
        let end = at + word.len();
        if index > 0
            && let Some(digits) = digits(word)
            && let Some(number) = number(digits)
        {
            return vec![Found { at: end - digits.len()..end, number, key: key.to_vec() }];
        }
        at = end + 1;
    }
    Vec::new()
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Masks the CAS numbers of an answer, so that the rest can be compared.
pub(super) fn masked(answer: &[u8], found: &[Found]) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.len());
    let mut at = 0;
    for one in found {
        out.extend_from_slice(&answer[at..one.at.start]);
        out.push(b'#');
        at = one.at.end;
    }
    out.extend_from_slice(&answer[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_or_refused() {
        let mut renaming = Renaming::default();
        let pair = |theirs, ours| CasPair { theirs, ours };
        assert!(renaming.accept(pair(2000, 1500)));
        assert!(renaming.accept(pair(2004, 1501)));
        assert!(renaming.accept(pair(2000, 1500)));
        assert!(!renaming.accept(pair(2000, 1501)), "one number, two names");
        assert!(!renaming.accept(pair(2001, 1501)), "two numbers, one name");
        assert!(!renaming.accept(pair(2002, 1502)), "out of order");
        assert!(renaming.accept(pair(7, 7)));
        assert!(!renaming.accept(pair(7, 8)), "a client's own number must stay");
    }

    #[test]
    fn numbers_are_found_where_they_stand() {
        let answer = b"VALUE a 0 3 12\r\nx\r\n\r\nVALUE b 1 0 13\r\n\r\nEND\r\n";
        let found = cas_numbers(b"gets a b\r\n", answer);
        let seen: Vec<_> = found.iter().map(|one| (one.key.as_slice(), one.number)).collect();
        assert_eq!(seen, [(&b"a"[..], 12), (&b"b"[..], 13)]);
        let masked = masked(answer, &found);
        assert_eq!(masked, b"VALUE a 0 3 #\r\nx\r\n\r\nVALUE b 1 0 #\r\n\r\nEND\r\n");

        let found = cas_numbers(b"mg a c v\r\n", b"VA 3 c77\r\nc88\r\n");
        assert_eq!((found[0].number, found[0].at.clone()), (77, 6..8));
        assert!(cas_numbers(b"mg a v\r\n", b"VA 3\r\nc88\r\n").is_empty());
        assert_eq!(cas_numbers(b"me a\r\n", b"ME a exp=-1 la=0 cas=5 fetch=no\r\n")[0].number, 5);
    }
}
