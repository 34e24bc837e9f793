//! Values of any type that serde supports.
//!
//! A codec encodes and decodes values, and marks its encoding with client flags, as clients in
//! other languages do. A value with other flags has another encoding, and is refused.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::Error;
use crate::fill::{Fill, FillError, is_placeholder};
use crate::item::{Item, Stored};
use crate::ttl::Ttl;

/// Encodes values as bytes, and decodes them.
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
    /// The error of encoding or decoding a value.
    type Error: fmt::Display;

    /// The client flags of encoded values; [`Codec::decode`] gets only values with these flags.
    /// They should differ from those of all other encodings in the same cache: clients for Python
    /// use bits 0 to 4, and those for other languages more of the lower 16.
    fn flags(&self) -> u32;

    /// Encodes a value. An empty encoding with flags 0 reads as no value.
    ///
    /// # Errors
    /// If the value cannot be encoded.
    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, Self::Error>;

    /// Decodes a value.
    ///
    /// # Errors
    /// If the bytes do not encode a value of this type.
    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Self::Error>;
}

/// JSON with flags 0, which every language reads.
///
/// pymemcache and pylibmc return such a value as `bytes`, for `json.loads`. They must write `bytes`
/// too (`json.dumps(value).encode()`): a `str`, an `int` or a pickled object gets flags of its own,
/// and is refused here. [`Client::incr`] can increment whole numbers in this encoding.
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

/// A client that reads and writes values through a codec; see [`Client::typed`].
#[derive(Clone, Debug)]
pub struct Typed<C> {
    client: Client,
    codec: C,
}

impl Client {
    /// This client with the given codec. The typed methods of [`Client`] use [`Json`].
    pub fn typed<C: Codec>(&self, codec: C) -> Typed<C> {
        Typed { client: self.clone(), codec }
    }

    /// The value under a key, decoded from [`Json`].
    ///
    /// # Errors
    /// See [`Typed::get`].
    pub async fn get_typed<T: DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>, Error> {
        self.typed(Json).get(key).await
    }

    /// The values under these keys, in the same order, decoded from [`Json`].
    ///
    /// # Errors
    /// See [`Typed::get_many`].
    pub async fn get_many_typed<T: DeserializeOwned, K: AsRef<[u8]>>(
        &self,
        keys: &[K],
    ) -> Result<Vec<Option<T>>, Error> {
        self.typed(Json).get_many(keys).await
    }

    /// Stores a value, encoded as [`Json`].
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

    /// [`Client::get_or_fill`] for a value encoded as [`Json`].
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
    /// // No server listens there, which is a miss.
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
    /// The value under a key. A placeholder of [`Client::get_or_fill`] reads as no value.
    ///
    /// # Errors
    /// Those of [`Client::get`], and [`Error::Codec`] for a value with other flags than the
    /// codec's, or of another type.
    pub async fn get<T: DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<T>, Error> {
        let key = key.as_ref();
        self.decode_some(key, self.client.get(key).await?)
    }

    /// The values under these keys, in the same order.
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
    /// Those of [`Client::set`], and [`Error::Codec`] for a value that the codec cannot encode.
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

    /// [`Client::get_or_fill`], through the codec and with its flags. The filling caller gets the
    /// same value as the others: encoded and decoded again.
    ///
    /// # Errors
    /// Those of [`Client::get_or_fill`], and those of the codec as [`FillError::Cache`]. A value
    /// that cannot be decoded stays in the cache; values of another type need another key.
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

/// The reason why a fill returned no bytes.
enum Failure<E> {
    Fill(E),
    Encode(Error),
}

fn wrong(doing: &str, key: &[u8], why: &dyn fmt::Display) -> Error {
    let what = format!("{doing} the value of {:?}", String::from_utf8_lossy(key));
    Error::Codec { what, why: why.to_string() }
}
