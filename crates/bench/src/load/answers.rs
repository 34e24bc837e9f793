//! Parser for answers, which the network may split anywhere.
//!
//! Values are counted and dropped: a value of any size needs no buffer.

/// One piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// The start of a value of this many bytes.
    Value(usize),
    /// The end of a get.
    End,
    /// A successful set.
    Stored,
    /// Any other line, without its line break.
    Other(&'a [u8]),
}

/// The state of the parser.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The start of an incomplete line.
    line: Vec<u8>,
    /// Remaining bytes of a value and of the line break after it.
    body: usize,
}

impl Answers {
    /// Parses the next bytes and passes on each piece that they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut on: impl FnMut(Answer<'_>)) {
        while !bytes.is_empty() {
            if self.body > 0 {
                let taken = self.body.min(bytes.len());
                self.body -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.line.extend_from_slice(bytes);
                return;
            };
            let (head, rest) = bytes.split_at(end + 1);
            bytes = rest;
            let answer = if self.line.is_empty() {
                Answer::parse(head)
            } else {
                self.line.extend_from_slice(head);
                Answer::parse(&self.line)
            };
            if let Answer::Value(size) = answer {
                self.body = size.saturating_add(2);
            }
            on(answer);
            self.line.clear();
        }
    }
}

impl<'a> Answer<'a> {
    fn parse(line: &'a [u8]) -> Self {
        match line {
            b"END\r\n" => Self::End,
            b"STORED\r\n" => Self::Stored,
            _ => Self::value(line).unwrap_or(Self::Other(line.trim_ascii_end())),
        }
    }

    /// Parses `VALUE key flags bytes`.
    fn value(line: &[u8]) -> Option<Self> {
        let words = line.strip_prefix(b"VALUE ")?.strip_suffix(b"\r\n")?;
        let digits = words.rsplit(|&byte| byte == b' ').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok().map(Self::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"VALUE k 0 5\r\nEND\r\n\r\nVALUE key2 0 0\r\n\r\nEND\r\nSTORED\r\n\
        SERVER_ERROR out of memory storing object\r\nVALUE broken\r\nEND\r\n";

    fn read(pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<String> {
        let mut answers = Answers::default();
        let mut seen = Vec::new();
        for piece in pieces {
            answers.feed(piece, |answer| {
                seen.push(match answer {
                    Answer::Other(line) => String::from_utf8_lossy(line).into_owned(),
                    answer => format!("{answer:?}"),
                });
            });
        }
        seen
    }

    #[test]
    fn every_split_reads_the_same() {
        let whole = [
            "Value(5)",
            "Value(0)",
            "End",
            "Stored",
            "SERVER_ERROR out of memory storing object",
            "VALUE broken",
            "End",
        ];
        for size in 1..=TEXT.len() {
            assert_eq!(read(&mut TEXT.chunks(size)), whole, "pieces of {size}");
        }
        for at in 0..=TEXT.len() {
            let (first, second) = TEXT.split_at(at);
            assert_eq!(read(&mut [first, second].into_iter()), whole, "split at {at}");
        }
    }
}
