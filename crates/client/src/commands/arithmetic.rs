//! `incr` and `decr`.

use crate::client::{Client, checked};
use crate::error::Error;
use crate::wire::{Answer, Line, Request};

impl Client {
    /// Adds to a decimal number, wrapping around at 2^64; gives the sum, or `None` where there is
    /// no item.
    ///
    /// # Errors
    /// A bad key, an item that is no number, or an absent owner where that is an error.
    pub async fn incr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<Option<u64>, Error> {
        self.arithmetic("incr", key.as_ref(), delta).await
    }

    /// Subtracts from a decimal number, down to 0; gives the difference, or `None` where there is no
    /// item.
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
