//! Errors while a key is filled.

use std::fmt;

use crate::error::Error;
use crate::item::Item;

/// The reason why [`Client::get_or_fill`](crate::Client::get_or_fill) has no value: a fault of the
/// cache, or of the fill.
///
/// It passes through `?` wherever errors of any type do. If the caller's own error type can be made
/// from an [`Error`], [`FillError::flatten`] converts to it:
///
/// ```
/// use std::time::Duration;
/// use ringbinder_client::{Client, Error, FillError, Item};
///
/// # struct Row;
/// enum Trouble {
///     NoSuchUser,
///     Cache(Error),
/// }
///
/// impl From<Error> for Trouble {
///     fn from(error: Error) -> Trouble {
///         Trouble::Cache(error)
///     }
/// }
///
/// async fn user(cache: &Client, id: u64) -> Result<Item, Trouble> {
///     let ttl = Duration::from_secs(60);
///     let load = async || if id == 0 { Err(Trouble::NoSuchUser) } else { Ok("a row") };
///     Ok(cache.get_or_fill(format!("user:{id}"), ttl, load).await.map_err(FillError::flatten)?)
/// }
/// ```
#[derive(Clone, Debug)]
pub enum FillError<E, V = Item> {
    /// The caller's own fill failed.
    Fill {
        /// The fill's error.
        error: E,
        /// The value that the fill should have replaced: stale, or near the end of its life.
        old: Option<V>,
    },
    /// The cache is unreachable, or refuses.
    Cache(Error),
}

impl<E, V> FillError<E, V> {
    /// The old value instead of the error, if there is one: `result.or_else(FillError::or_old)`.
    ///
    /// # Errors
    /// This error, if there is no old value.
    pub fn or_old(self) -> Result<V, FillError<E, V>> {
        match self {
            FillError::Fill { old: Some(old), .. } => Ok(old),
            error => Err(error),
        }
    }

    /// The fill's own error; converts the cache's error to one.
    pub fn flatten(self) -> E
    where
        E: From<Error>,
    {
        match self {
            FillError::Fill { error, .. } => error,
            FillError::Cache(error) => error.into(),
        }
    }
}

impl<E, V> From<Error> for FillError<E, V> {
    fn from(error: Error) -> FillError<E, V> {
        FillError::Cache(error)
    }
}

impl<E: fmt::Display, V> fmt::Display for FillError<E, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FillError::Fill { error, .. } => error.fmt(f),
            FillError::Cache(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error, V: fmt::Debug> std::error::Error for FillError<E, V> {
    // It displays its inner error, so its source is that error's source.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FillError::Fill { error, .. } => error.source(),
            FillError::Cache(error) => error.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_refresh_has_an_old_value() {
        let of = |old| FillError::<&str, u8>::Fill { error: "no", old };
        assert_eq!(of(Some(7)).or_old().ok(), Some(7));
        assert!(of(None).or_old().is_err());
        assert!(FillError::<&str, u8>::Cache(Error::Line(String::new())).or_old().is_err());
        assert_eq!(of(Some(7)).to_string(), "no");
    }
}
