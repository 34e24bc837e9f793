//! A snapshot out of a file or a socket, piece by piece, through one buffer.

use std::io::{self, Read};

use ringbinder_store::snapshot::{Decoded, Decoder, SnapshotError};

/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;

/// Why reading ended before the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The bytes are none of a whole snapshot.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// The system could not give the bytes.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Stream<R> {
    source: R,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Where the unread bytes of the buffer begin and end.
    start: usize,
    end: usize,
}

impl<R: Read> Stream<R> {
    /// Of items of up to `longest` bytes; others are passed over.
    pub(crate) fn new(source: R, longest: usize) -> Stream<R> {
        let decoder = Decoder::new(longest);
        Stream { source, decoder, buffer: vec![0; BUFFER], start: 0, end: 0 }
    }

    /// Hands on the next part, and says how many bytes it took.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn next<T>(
        &mut self,
        take: impl FnOnce(Decoded<'_>) -> T,
    ) -> Result<(usize, T), ReadError> {
        loop {
            // Two steps, since what was decoded borrows from the buffer that is read into.
            let needed = match self.decoder.decode(&self.buffer[self.start..self.end])? {
                (_, Decoded::Incomplete(needed)) => needed,
                (consumed, decoded) => {
                    self.start += consumed;
                    return Ok((consumed, take(decoded)));
                }
            };
            self.fill(needed)?;
        }
    }

    /// Reads until there are at least `needed` unread bytes.
    fn fill(&mut self, needed: usize) -> Result<(), ReadError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < needed {
            if self.end == self.buffer.len() {
                // No more than twice what has really come: what a head says of its block may be wrong.
                let len = (2 * self.buffer.len()).min(needed.max(BUFFER));
                self.buffer.resize(len, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(SnapshotError::CutOff.into()),
                Ok(len) => self.end += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
