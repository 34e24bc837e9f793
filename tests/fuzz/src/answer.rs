//! Answers as the model foresees them: bytes, and between them CAS uniques.
//!
//! A CAS unique is the server's to choose. What is promised is that it differs between any two
//! states and rises with time, and nothing more. So the model names each one it was not told of by
//! the order of issue, learns its number where an answer shows it, and holds every later number
//! against what it has learned.

use std::fmt;

/// Numbers from here on are only ever chosen by clients, never issued: a server would have to store
/// a million million items first.
pub const CHOSEN_FLOOR: u64 = 1 << 40;

/// The CAS unique of one state of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cas {
    /// Chosen by a client.
    Chosen(u64),
    /// Issued by the server, as the n-th.
    Issued(usize),
}

/// All that is known of the CAS uniques issued so far.
#[derive(Clone, Debug, Default)]
pub struct CasBook {
    numbers: Vec<Option<u64>>,
}

impl CasBook {
    /// The server issues one.
    pub fn issue(&mut self) -> Cas {
        self.numbers.push(None);
        Cas::Issued(self.numbers.len() - 1)
    }

    /// Its number, where it is known.
    pub fn number(&self, cas: Cas) -> Option<u64> {
        match cas {
            Cas::Chosen(number) => Some(number),
            Cas::Issued(index) => self.numbers[index],
        }
    }

    /// The numbers learned so far, oldest first.
    pub fn known(&self) -> impl Iterator<Item = u64> {
        self.numbers.iter().flatten().copied()
    }

    /// Whether `cas` is this number. A number that a client can know of is not that of a state it
    /// was never told of.
    pub fn is(&self, cas: Cas, number: u64) -> bool {
        self.number(cas) == Some(number)
    }

    /// Whether `number`, known to a client, is lower than `cas`.
    pub fn is_above(&self, cas: Cas, number: u64) -> bool {
        match (cas, self.number(cas)) {
            (_, Some(known)) => number < known,
            (Cas::Issued(index), None) => {
                let of = self.numbers.iter().rposition(|known| *known == Some(number));
                number < CHOSEN_FLOOR && of.is_none_or(|issued| issued < index)
            }
            (Cas::Chosen(_), None) => false,
        }
    }

    /// Takes note of a number an answer showed; false where it cannot be that one's.
    fn learn(&mut self, cas: Cas, number: u64) -> bool {
        match (cas, self.number(cas)) {
            (_, Some(known)) => known == number,
            (Cas::Issued(index), None) => {
                let (before, after) = self.numbers.split_at(index);
                let low = before.iter().rev().flatten().next().copied().unwrap_or(0);
                let high = after.iter().flatten().next().copied().unwrap_or(CHOSEN_FLOOR);
                self.numbers[index] = Some(number);
                low < number && number < high
            }
            (Cas::Chosen(_), None) => false,
        }
    }
}

/// A part of an answer.
#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Cas(Cas),
}

/// The answer to one request.
#[derive(Clone, Debug, Default)]
pub struct Answer(Vec<Piece>);

impl Answer {
    /// A line and its end.
    pub fn line(line: &str) -> Answer {
        let mut answer = Answer::default();
        answer.push(line);
        answer.push("\r\n");
        answer
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: impl AsRef<[u8]>) {
        match self.0.last_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes.as_ref()),
            _ => self.0.push(Piece::Bytes(bytes.as_ref().to_vec())),
        }
    }

    /// Appends a CAS unique in decimal.
    pub fn push_cas(&mut self, cas: Cas) {
        self.0.push(Piece::Cas(cas));
    }

    /// Takes this answer off the front of `bytes` and learns from it; returns what follows, or
    /// `None` where something else is there. In that case `book` may hold what is not true.
    pub fn take_off<'a>(&self, mut bytes: &'a [u8], book: &mut CasBook) -> Option<&'a [u8]> {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(expected) => bytes = bytes.strip_prefix(&expected[..])?,
                Piece::Cas(cas) => {
                    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let (word, rest) = bytes.split_at(digits);
                    let number = std::str::from_utf8(word).ok()?.parse::<u64>().ok()?;
                    let is_canonical = word.len() == 1 || word.first() != Some(&b'0');
                    if !is_canonical || !book.learn(*cas, number) {
                        return None;
                    }
                    bytes = rest;
                }
            }
        }
        Some(bytes)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => f.write_str(&shorten(bytes))?,
                Piece::Cas(cas) => write!(f, "<{cas:?}>")?,
            }
        }
        f.write_str("\"")
    }
}

/// Bytes for people: escaped, runs of one byte counted, the middle of what is still long left out.
pub fn shorten(bytes: &[u8]) -> String {
    const LONG_RUN: usize = 16;
    const ENDS: usize = 160;
    let runs = bytes.chunk_by(|one, next| one == next).map(|run| match run {
        [byte, ..] if run.len() > LONG_RUN => format!("{}{{{}}}", byte.escape_ascii(), run.len()),
        _ => run.escape_ascii().to_string(),
    });
    let text: String = runs.collect();
    if text.len() <= 3 * ENDS {
        return text;
    }
    // Escaped bytes are ASCII, so any place is a place to cut.
    let (front, back) = (&text[..ENDS], &text[text.len() - ENDS..]);
    format!("{front}[... of {} bytes]{back}", bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cas(cas: Cas) -> Answer {
        let mut answer = Answer::default();
        answer.push("HD c");
        answer.push_cas(cas);
        answer.push("\r\n");
        answer
    }

    #[test]
    fn numbers_are_learned_and_then_held_to() {
        let mut book = CasBook::default();
        let (first, second, third) = (book.issue(), book.issue(), book.issue());
        assert_eq!(with_cas(second).take_off(b"HD c7\r\nMN\r\n", &mut book), Some(&b"MN\r\n"[..]));
        assert!(book.is(second, 7) && book.is_above(third, 7) && !book.is_above(first, 7));
        let tried =
            |cas, answer: &[u8]| with_cas(cas).take_off(answer, &mut book.clone()).is_some();
        assert!(tried(second, b"HD c7\r\n"));
        assert!(!tried(second, b"HD c8\r\n"), "another number for the same state");
        assert!(!tried(third, b"HD c7\r\n"), "the same number for another state");
        assert!(tried(first, b"HD c6\r\n") && tried(third, b"HD c8\r\n"));
        assert!(!tried(third, b"HD c08\r\n") && !tried(third, b"HD c\r\n"));
    }
}
