//! `delete` and `touch`: commands on an item without its value.

use std::time::SystemTime;

use crate::client::{Client, checked};
use crate::error::Error;
use crate::ttl::Ttl;
use crate::wire::{Answer, Line, Request};

impl Client {
    /// Deletes an item; returns whether there was one.
    ///
    /// # Errors
    /// An invalid key, or an unreachable owner if that is an error.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        let key = checked(key.as_ref())?;
        self.found(key, &Request::Delete { key }, Line::Deleted).await
    }

    /// Lets an item live for `ttl` from now on; returns whether there is one.
    ///
    /// # Errors
    /// See [`Client::delete`].
    pub async fn touch(&self, key: impl AsRef<[u8]>, ttl: impl Into<Ttl>) -> Result<bool, Error> {
        let key = checked(key.as_ref())?;
        let exptime = ttl.into().exptime(SystemTime::now);
        self.found(key, &Request::Touch { key, exptime }, Line::Touched).await
    }

    async fn found(&self, key: &[u8], request: &Request<'_>, yes: Line) -> Result<bool, Error> {
        let _writing = self.near_writing(key);
        match self.ask(key, request).await? {
            Some(Answer::Line(line)) if line == yes => Ok(true),
            Some(Answer::Line(Line::NotFound)) | None => Ok(false),
            Some(answer) => Err(self.unexpected(key, &answer)),
        }
    }
}
