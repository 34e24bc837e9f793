//! Values of any type that serde knows.
//!
//! A codec writes and reads them, and marks what it has written with client flags of its own, as the
//! clients of other languages do. A value under other flags is somebody else's, and refused.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::Error;
use crate::fill::{Fill, FillError, is_placeholder};
use crate::item::{Item, Stored};
use crate::ttl::Ttl;

/// Turns values into bytes and back.
///
/// ```
/// use ringbinder_client::Codec;
/// use serde::{Serialize, de::DeserializeOwned};
///
/// /// JSON with line breaks, for people.
/// #[derive(Clone, Copy, Debug)]
/// struct Pretty;
///
/// impl Codec for Pretty {
///     type Error = serde_json::Error;
///
///     // A bit that no other client of this cache uses.
///     fn flags(&self) -> u32 {
///         1 << 12
///     }
///
///     fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, Self::Error> {
///         serde_json::to_vec_pretty(value)
///     }
///
///     fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Self::Error> {
///         serde_json::from_slice(bytes)
///     }
/// }
/// ```
pub trait Codec {
    /// Why a value cannot be encoded or decoded.
    type Error: fmt::Display;

    /// The client flags of what it encodes; only values that have them are given to
    /// [`Codec::decode`]. They should differ from those of all other encodings in the same cache:
    /// clients for Python use bits 0 to 4, and other languages more of the lower 16.
    fn flags(&self) -> u32;

    /// The bytes of a value. No bytes at all, under flags 0, are read as no value.
    ///
    /// # Errors
    /// Where the value cannot be written so.
    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, Self::Error>;

    /// The value of bytes.
    ///
    /// # Errors
    /// Where the bytes are none of this type.
    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Self::Error>;
}

/// JSON with flags 0, which every language reads.
///
/// pymemcache and pylibmc give such a value as `bytes`, for `json.loads`. They must write `bytes` too
/// (`json.dumps(value).encode()`): what they store as `str`, `int`, or pickled has flags of theirs,
/// and is refused here. Whole numbers written so can be counted with [`Client::incr`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl Codec for Json {
    type Error = serde_json::Error;

    fn flags(&self) -> u32 {
        0
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, Self::Error> {
        serde_json::to_vec(value)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Self::Error> {
        serde_json::from_slice(bytes)
    }
}

/// A client that reads and writes values by way of a codec; see [`Client::typed`].
#[derive(Clone, Debug)]
pub struct Typed<C> {
    client: Client,
    codec: C,
}

impl Client {
    /// This client with a codec of your own. Without one it is [`Json`].
    pub fn typed<C: Codec>(&self, codec: C) -> Typed<C> {
        Typed { client: self.clone(), codec }
    }

    /// The value under a key, from [`Json`].
    ///
    /// # Errors
    /// See [`Typed::get`].
    pub async fn get_typed<T: DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>, Error> {
        self.typed(Json).get(key).await
    }

    /// The values under these keys, in their order, from [`Json`].
    ///
    /// # Errors
    /// See [`Typed::get_many`].
    pub async fn get_many_typed<T: DeserializeOwned, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
    ) -> Result<Vec<Option<T>>, Error> {
        self.typed(Json).get_many(keys).await
    }

    /// Stores a value as [`Json`].
    ///
    /// # Errors
    /// See [`Typed::set`].
    pub async fn set_typed<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        ttl: impl Into<Ttl>,
    ) -> Result<Stored, Error> {
        self.typed(Json).set(key, value, ttl).await
    }

    /// [`Client::get_or_fill`] of a value that is kept as [`Json`].
    ///
    /// ```
    /// # use std::{io, time::Duration};
    /// # use ringbinder_client::Client;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // Nobody listens there, which is a miss.
    /// let cache = Client::with_servers(["127.0.0.1:1"]).connect().await?;
    /// let user: User = cache
    ///     .get_or_fill_typed("user:7", Duration::from_secs(60), async || {
    ///         Ok::<_, io::Error>(User { name: "Ada".to_owned() })
    ///     })
    ///     .await?;
    /// assert_eq!(user.name, "Ada");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Typed::get_or_fill`].
    pub async fn get_or_fill_typed<T, E, F, Fut>(
        &self,
        key: impl AsRef<[u8]>,
        how: impl Into<Fill>,
        fill: F,
    ) -> Result<T, FillError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.typed(Json).get_or_fill(key, how, fill).await
    }
}

impl<C: Codec> Typed<C> {
    /// The value under a key. A placeholder of [`Client::get_or_fill`] is none.
    ///
    /// # Errors
    /// Those of [`Client::get`], and [`Error::Codec`] for a value of other flags than the codec's, or
    /// of another type.
    pub async fn get<T: DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>, Error> {
        let key = key.as_ref();
        self.decode_some(key, self.client.get(key).await?)
    }

    /// The values under these keys, in their order.
    ///
    /// # Errors
    /// See [`Typed::get`]; one value that cannot be decoded is an error for all.
    pub async fn get_many<T: DeserializeOwned, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
    ) -> Result<Vec<Option<T>>, Error> {
        let items = self.client.get_many(keys).await?;
        keys.iter().zip(items).map(|(key, item)| self.decode_some(key.as_ref(), item)).collect()
    }

    /// Stores a value.
    ///
    /// # Errors
    /// Those of [`Client::set`], and [`Error::Codec`] for a value that the codec cannot write.
    pub async fn set<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        ttl: impl Into<Ttl>,
    ) -> Result<Stored, Error> {
        let key = key.as_ref();
        let value = self.encode(key, value)?;
        self.client.set_with_flags(key, value, self.codec.flags(), ttl).await
    }

    /// [`Client::get_or_fill`], through the codec and with its flags. The caller whose fill it was
    /// gets what the others get, too: the value as it was encoded and decoded again.
    ///
    /// # Errors
    /// Those of [`Client::get_or_fill`], and those of the codec as [`FillError::Cache`]. A value that
    /// cannot be decoded stays where it is; keys of another type's values want another name.
    pub async fn get_or_fill<T, E, F, Fut>(
        &self,
        key: impl AsRef<[u8]>,
        how: impl Into<Fill>,
        fill: F,
    ) -> Result<T, FillError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = key.as_ref();
        let how = how.into().flags(self.codec.flags());
        let encoded = || async {
            let value = fill().await.map_err(Failure::Fill)?;
            self.encode(key, &value).map(Bytes::from).map_err(Failure::Encode)
        };
        match self.client.get_or_fill(key, how, encoded).await {
            Ok(item) => Ok(self.decode(key, &item)?),
            Err(FillError::Fill { error: Failure::Fill(error), old }) => {
                let old = old.and_then(|old| self.decode(key, &old).ok());
                Err(FillError::Fill { error, old })
            }
            Err(FillError::Fill { error: Failure::Encode(error), .. })
            | Err(FillError::Cache(error)) => Err(FillError::Cache(error)),
        }
    }

    fn encode<T: Serialize + ?Sized>(&self, key: &[u8], value: &T) -> Result<Vec<u8>, Error> {
        self.codec.encode(value).map_err(|why| wrong("encoding", key, &why))
    }

    fn decode_some<T: DeserializeOwned>(
        &self,
        key: &[u8],
        item: Option<Item>,
    ) -> Result<Option<T>, Error> {
        let item = item.filter(|item| !is_placeholder(item));
        item.map(|item| self.decode(key, &item)).transpose()
    }

    fn decode<T: DeserializeOwned>(&self, key: &[u8], item: &Item) -> Result<T, Error> {
        let flags = self.codec.flags();
        if item.flags != flags {
            let why = format!("its client flags are {}, and not this codec's {flags}", item.flags);
            return Err(wrong("decoding", key, &why));
        }
        self.codec.decode(&item.value).map_err(|why| wrong("decoding", key, &why))
    }
}

/// Why a fill gave no bytes.
enum Failure<E> {
    Fill(E),
    Encode(Error),
}

fn wrong(doing: &str, key: &[u8], why: &dyn fmt::Display) -> Error {
    let what = format!("{doing} the value of {:?}", String::from_utf8_lossy(key));
    Error::Codec { what, why: why.to_string() }
}
