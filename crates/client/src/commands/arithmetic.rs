//! `incr` and `decr`.

use crate::client::{Client, checked};
use crate::error::Error;
use crate::wire::{Answer, Line, Request};

impl Client {
    /// Adds to a decimal number, and wraps around at 2^64. Returns the sum, or `None` if there is
    /// no item.
    ///
    /// # Errors
    /// An invalid key, an item that is not a number, or an unreachable owner if that is an error.
    pub async fn incr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<Option<u64>, Error> {
        self.arithmetic("incr", key.as_ref(), delta).await
    }

    /// Subtracts from a decimal number, and stops at 0. Returns the difference, or `None` if there
    /// is no item.
    ///
    /// # Errors
    /// See [`Client::incr`].
    pub async fn decr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<Option<u64>, Error> {
        self.arithmetic("decr", key.as_ref(), delta).await
    }

    async fn arithmetic(
        &self,
        verb: &'static str,
        key: &[u8],
        delta: u64,
    ) -> Result<Option<u64>, Error> {
        let key = checked(key)?;
        let _writing = self.near_writing(key);
        match self.ask(key, &Request::Arithmetic { verb, key, delta }).await? {
            Some(Answer::Line(Line::Number(number))) => Ok(Some(number)),
            Some(Answer::Line(Line::NotFound)) | None => Ok(None),
            Some(answer) => Err(self.unexpected(key, &answer)),
        }
    }
}
