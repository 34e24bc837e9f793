//! Reads a snapshot from a file or a socket, piece by piece, through one buffer.

use std::io::{self, Read};

use ringbinder_store::snapshot::{Decoded, Decoder, SnapshotError};

/// The number of bytes read at once.
const BUFFER: usize = 1 << 20;

/// The reason why reading stopped before the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The bytes are not those of a complete snapshot.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
    /// The system could not read the bytes.
    #[error("read error: {0}")]
    Io(#[from] io::Error),
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Stream<R> {
    source: R,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// The range of the unread bytes in the buffer.
    start: usize,
    end: usize,
}

impl<R: Read> Stream<R> {
    /// A stream that returns items of up to `longest` bytes and skips larger ones.
    pub(crate) fn new(source: R, longest: usize) -> Stream<R> {
        let decoder = Decoder::new(longest);
        Stream { source, decoder, buffer: vec![0; BUFFER], start: 0, end: 0 }
    }

    /// Passes the next part to `take`. Returns the number of bytes of the part, and the result of
    /// `take`.
    ///
    /// # Errors
    /// An error if there is no next part.
    pub(crate) fn next<T>(
        &mut self,
        take: impl FnOnce(Decoded<'_>) -> T,
    ) -> Result<(usize, T), ReadError> {
        loop {
            // Two steps, because the decoded part borrows from the buffer into which the next bytes
            // are read.
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
                // At most twice the bytes that have arrived, because the block size in a head may
                // be wrong.
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
