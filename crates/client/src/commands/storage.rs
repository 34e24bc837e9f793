//! `set`, `add`, `replace`, `append`, `prepend`, `cas`.

use std::time::SystemTime;

use ringbinder_protocol::MAX_VALUE_LEN;

use crate::client::{Client, checked};
use crate::error::Error;
use crate::item::Stored;
use crate::ttl::Ttl;
use crate::wire::{Answer, Line, Request};

impl Client {
    /// Stores a value, with flags 0.
    ///
    /// # Errors
    /// An invalid key, a refusal, or an unreachable owner if that is an error. After an error it is
    /// unknown whether the value is stored.
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<Stored, Error> {
        self.set_with_flags(key, value, 0, ttl).await
    }

    /// Stores a value.
    ///
    /// # Errors
    /// See [`Client::set`].
    pub async fn set_with_flags(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        flags: u32,
        ttl: impl Into<Ttl>,
    ) -> Result<Stored, Error> {
        self.store("set", key.as_ref(), value.as_ref(), flags, ttl.into()).await
    }

    /// Stores a value if the key is absent.
    ///
    /// # Errors
    /// See [`Client::set`].
    pub async fn add(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<Stored, Error> {
        self.store("add", key.as_ref(), value.as_ref(), 0, ttl.into()).await
    }

    /// Stores a value if the key is present.
    ///
    /// # Errors
    /// See [`Client::set`].
    pub async fn replace(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<Stored, Error> {
        self.store("replace", key.as_ref(), value.as_ref(), 0, ttl.into()).await
    }

    /// Appends bytes to a present value; flags and time to live stay.
    ///
    /// # Errors
    /// See [`Client::set`].
    pub async fn append(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Stored, Error> {
        self.store("append", key.as_ref(), value.as_ref(), 0, Ttl::Never).await
    }

    /// Prepends bytes to a present value; flags and time to live stay.
    ///
    /// # Errors
    /// See [`Client::set`].
    pub async fn prepend(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Stored, Error> {
        self.store("prepend", key.as_ref(), value.as_ref(), 0, Ttl::Never).await
    }

    /// Stores a value if the item still has this CAS unique, as returned by [`Client::gets`].
    ///
    /// # Errors
    /// See [`Client::set`].
    pub async fn cas(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        flags: u32,
        ttl: impl Into<Ttl>,
        cas: u64,
    ) -> Result<Stored, Error> {
        let (key, value) = (checked(key.as_ref())?, value.as_ref());
        let exptime = ttl.into().exptime(SystemTime::now);
        self.stored(key, value, &Request::Cas { key, flags, exptime, value, cas }).await
    }

    async fn store(
        &self,
        verb: &'static str,
        key: &[u8],
        value: &[u8],
        flags: u32,
        ttl: Ttl,
    ) -> Result<Stored, Error> {
        let key = checked(key)?;
        let exptime = ttl.exptime(SystemTime::now);
        self.stored(key, value, &Request::Store { verb, key, flags, exptime, value }).await
    }

    async fn stored(
        &self,
        key: &[u8],
        value: &[u8],
        request: &Request<'_>,
    ) -> Result<Stored, Error> {
        if value.len() > MAX_VALUE_LEN {
            return Err(Error::ValueTooLong { len: value.len() });
        }
        let _writing = self.near_writing(key);
        match self.ask(key, request).await? {
            Some(Answer::Line(Line::Stored)) => Ok(Stored::Stored),
            Some(Answer::Line(Line::NotStored)) => Ok(Stored::NotStored),
            Some(Answer::Line(Line::Exists)) => Ok(Stored::Exists),
            Some(Answer::Line(Line::NotFound)) => Ok(Stored::NotFound),
            Some(answer) => Err(self.unexpected(key, &answer)),
            None => Ok(Stored::Away),
        }
    }
}
