//! Finds the end of the value after a malformed storage line.
//!
//! A client that sends a storage line sends a value after it, whether the line is carried out or
//! refused. The value's bytes must never be parsed as requests: otherwise a key with a blank would
//! let anyone who chooses keys and values send commands. So a malformed line is read in every way
//! in which a client could have meant it. If all readings agree on one length, so many bytes are
//! dropped. If they disagree, or there is no reading, the connection closes.
//!
//! A reading is a place where the length could stand, between words that fit:
//!
//! - **from the front**, as memcached 1.6.45 reads: key, flags, exptime, length. Further words are
//!   surplus, and `cas` may lack its unique;
//! - **from the back**: flags, exptime and length are the client's own and come last, before the
//!   unique of `cas`. Any words before them are a key with blanks;
//! - without a key, which shows as two blanks after the command.

use crate::number::{signed, unsigned, unsigned32, value_len};
use crate::{Follows, Tokens};

/// The words of the line of a classic storage command.
#[derive(Debug)]
pub(crate) struct StorageLine<'a> {
    has_cas: bool,
    /// Whether there are two blanks in place of the key.
    lacks_key: bool,
    /// Number of words after the command, without a `noreply` at the end.
    count: usize,
    /// The first words; empty if there are fewer.
    front: [&'a [u8]; 5],
    /// The last words, with the very last one at the end; empty if there are fewer.
    back: [&'a [u8]; 4],
    /// Whether the line ends in `noreply`.
    pub(crate) noreply: bool,
}

impl<'a> StorageLine<'a> {
    /// Reads the words after the command. `has_cas` is whether the command is `cas`.
    pub(crate) fn read(words: Tokens<'a>, has_cas: bool) -> Self {
        let mut line = StorageLine {
            has_cas,
            lacks_key: words.remainder().starts_with(b"  "),
            count: 0,
            front: [b""; 5],
            back: [b""; 4],
            noreply: words.ends_in_noreply(),
        };
        let mut words = words;
        while let Some(word) = words.next() {
            if line.noreply && words.is_exhausted() {
                break;
            }
            if let Some(place) = line.front.get_mut(line.count) {
                *place = word;
            }
            line.back.rotate_left(1);
            line.back[3] = word;
            line.count += 1;
        }
        line
    }

    /// Key, flags, exptime, length and, for `cas`, the unique, in memcached's reading. `None` if
    /// there are fewer words.
    pub(crate) fn first_words(&self) -> Option<[&'a [u8]; 5]> {
        (self.count >= if self.has_cas { 5 } else { 4 }).then_some(self.front)
    }

    /// Whether to suppress a refusal. memcached looks for `noreply` only after it has read a
    /// length.
    pub(crate) fn is_quiet(&self) -> bool {
        self.noreply && self.count >= 4 && value_len(self.front[3]).is_some()
    }

    /// The treatment of the bytes after the line.
    pub(crate) fn follows(&self) -> Follows {
        if self.lacks_key
            && let Some(len) = self.without_key()
        {
            return Follows::value(len);
        }
        if self.count < 4 {
            return Follows::Unknown;
        }
        let [_, flags, exptime, len, _] = self.front;
        let from_front = length(flags, exptime, len);
        // A `cas` with four words lacks its unique, or else its flags or exptime. In the second
        // case the third word is the length; a 0 there counts as an exptime.
        let lacks_unique = value_len(exptime).is_none_or(|len| len == 0 || Some(len) == from_front);
        if self.has_cas && self.count == 4 && !lacks_unique {
            return Follows::Unknown;
        }
        if let Some(follows) = agreed([from_front, self.length_before_end()].into_iter().flatten())
        {
            return follows;
        }
        // No words fit around a length, so the length stands in its usual place. A possible `cas`
        // without its unique, after a key with blanks, only raises a doubt.
        let [_, second, first, last] = self.back;
        let (place, doubt) =
            if self.has_cas { (first, length(second, first, last)) } else { (last, None) };
        match agreed([value_len(len), value_len(place)].into_iter().flatten()) {
            Some(Follows::Value(whole)) if doubt.is_none_or(|len| len + 2 == whole) => {
                Follows::Value(whole)
            }
            _ => Follows::Unknown,
        }
    }

    /// The length, read from the end of the line.
    fn length_before_end(&self) -> Option<usize> {
        let [third, second, first, last] = self.back;
        if !self.has_cas {
            return length(second, first, last);
        }
        unsigned(last)?;
        length(third, second, first)
    }

    /// The length, if only the key is missing.
    fn without_key(&self) -> Option<usize> {
        (self.count == if self.has_cas { 4 } else { 3 }).then(|| self.length_before_end()).flatten()
    }
}

/// The length, if the words before it are flags and an exptime.
fn length(flags: &[u8], exptime: &[u8], len: &[u8]) -> Option<usize> {
    unsigned32(flags)?;
    signed(exptime)?;
    value_len(len)
}

/// The bytes that follow according to these readings; `None` without any reading.
fn agreed(mut readings: impl Iterator<Item = usize>) -> Option<Follows> {
    let len = readings.next()?;
    Some(if readings.all(|other| other == len) { Follows::value(len) } else { Follows::Unknown })
}

/// The bytes that follow a refused line of `ms` or `ring offer`. `words` are those after the
/// command.
///
/// No flag is a number, so every number after the first word could be the length.
pub(crate) fn follows_number(words: Tokens<'_>) -> Follows {
    let lacks_key = words.remainder().starts_with(b"  ");
    let mut words = words;
    let key = words.next().unwrap_or_default();
    agreed(words.filter_map(value_len))
        // `ms key S13` was the form before memcached 1.6.7.
        .or_else(|| agreed(words.filter_map(|word| value_len(word.strip_prefix(b"S")?))))
        .or_else(|| lacks_key.then(|| value_len(key)).flatten().map(Follows::value))
        .unwrap_or(Follows::Unknown)
}
