//! The meta commands of a fill.
//!
//! An answer with `W` grants a lease: until the lease ends, the server tells all other clients that
//! a caller fills (`Z`). A lease ends with a store, or is given back, or expires. Each of these
//! names the CAS unique that came with the lease, so none of them affects a later write of another
//! client.

use std::time::SystemTime;

use bytes::Bytes;
use ringbinder_protocol::MAX_VALUE_LEN;

use super::options::Fill;
use crate::client::Client;
use crate::commands::MetaReply;
use crate::error::Error;
use crate::item::Item;

/// The answer of a key's owner.
#[derive(Debug)]
pub(super) enum Found {
    /// A value that is valid for a while.
    Value(Item),
    /// A value that another caller is about to replace.
    Old(Item),
    /// This caller must fill.
    Won(Lease),
    /// Another caller fills, and there is no value yet.
    Taken,
    /// The owner is unreachable, or cannot store a placeholder for this key.
    Nowhere,
}

/// The right to fill a key, and the duty to give it back. If dropped, the lease is given back in
/// the background.
#[derive(Debug)]
pub(super) struct Lease {
    /// The value to replace, if there is one.
    pub(super) old: Option<Item>,
    key: Bytes,
    /// 0 if the server has no CAS uniques.
    cas: u64,
    /// The exptime to restore on the old value, if it was shortened.
    exptime: Option<i64>,
    /// `None` once the lease was used for a store or given back.
    client: Option<Client>,
}

/// Whether the item looks like a server's placeholder for a value that is being filled: no bytes,
/// flags 0.
pub(crate) fn is_placeholder(item: &Item) -> bool {
    item.value.is_empty() && item.flags == 0
}

impl Client {
    /// Asks for the value under a key, or for the lease.
    pub(super) async fn find_or_win(&self, key: &[u8], fill: &Fill) -> Result<Found, Error> {
        let refresh = match fill.refresh_seconds() {
            0 => String::new(),
            seconds => format!(" R{seconds}"),
        };
        let lease = fill.lease_seconds();
        let flags = format!("v c f t N{lease}{refresh}");
        let mut exptime = None;
        loop {
            let Some(reply) = self.meta_call("mg", key, None, &flags).await? else {
                return Ok(Found::Nowhere);
            };
            let has = |flag| reply.flag(flag).is_some();
            let item = match (reply.code(), &reply.value, reply.number(b'f').map(u32::try_from)) {
                (b"VA", Some(value), Some(Ok(flags))) => {
                    Item { value: value.clone(), flags, cas: None }
                }
                (b"EN", ..) => return Ok(Found::Nowhere),
                _ => return Err(self.unexpected(key, &reply.into_answer())),
            };
            if !has(b'W') {
                return Ok(match has(b'Z') {
                    true if is_placeholder(&item) => Found::Taken,
                    true => Found::Old(item),
                    false => Found::Value(item),
                });
            }
            let won = Lease {
                old: (!is_placeholder(&item)).then_some(item),
                key: Bytes::copy_from_slice(key),
                cas: reply.cas().unwrap_or(0),
                exptime,
                client: Some(self.clone()),
            };
            let longer = match reply.number(b't') {
                Some(-1) => Some(0),
                left => left.filter(|&left| left > i64::try_from(lease).unwrap_or(i64::MAX)),
            };
            match longer {
                Some(left) if has(b'X') && won.cas != 0 && exptime.is_none() => {
                    won.shorten(lease).await?;
                    exptime = Some(left);
                }
                _ => return Ok(Found::Won(won)),
            }
        }
    }
}

impl Lease {
    /// Shortens the life of a stale value to that of the lease. This gives the lease back.
    ///
    /// A server never takes a client's right to replace a stale value away. If that client dies,
    /// only the end of the value itself lets another client win.
    async fn shorten(mut self, lease: u64) -> Result<(), Error> {
        let Some(client) = &self.client else { return Ok(()) };
        let flags = format!("C{} I T{lease}", self.cas);
        client.meta_call("md", &self.key, None, &flags).await?;
        self.client = None;
        Ok(())
    }

    /// Stores the filled value. Returns whether it is stored, which it is not if another client has
    /// written or deleted the key since the lease was won.
    pub(super) async fn store(mut self, item: &Item, fill: &Fill) -> bool {
        let Some(client) = &self.client else { return false };
        let exptime = fill.ttl().exptime(SystemTime::now);
        let mut flags = format!("T{exptime} F{}", item.flags);
        if self.cas != 0 {
            flags.push_str(&format!(" C{}", self.cas));
        }
        let stored = if item.value.len() > MAX_VALUE_LEN {
            Err(Error::ValueTooLong { len: item.value.len() })
        } else {
            let _writing = client.near_writing(&self.key);
            client.meta_call("ms", &self.key, Some(&item.value), &flags).await
        };
        match stored.as_ref().map(|reply| reply.as_ref().map(MetaReply::code)) {
            Ok(Some(b"HD")) => {
                self.client = None;
                true
            }
            Ok(Some(b"EX" | b"NF")) => {
                self.client = None;
                false
            }
            other => {
                tracing::debug!(key = %self.key.escape_ascii(), ?other, "filled, and not stored");
                self.give_back().await;
                false
            }
        }
    }

    /// Lets the next caller fill.
    pub(super) async fn give_back(mut self) {
        if let Some(giving) = self.giving_back() {
            giving.await;
        }
    }

    fn giving_back(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        // Without a CAS unique this might give up another client's value.
        let client = self.client.take().filter(|_| self.cas != 0)?;
        let mut flags = format!("C{}", self.cas);
        // The value to be replaced stays and is marked stale: the next caller that asks wins.
        if self.old.is_some() {
            flags.push_str(" I");
            if let Some(exptime) = self.exptime {
                flags.push_str(&format!(" T{exptime}"));
            }
        }
        let key = self.key.clone();
        Some(async move {
            if let Err(error) = client.meta_call("md", &key, None, &flags).await {
                tracing::debug!(key = %key.escape_ascii(), %error, "a lease is left to run out");
            }
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let runtime = self.client.as_ref().map(|client| client.inner.runtime.clone());
        if let (Some(giving), Some(runtime)) = (self.giving_back(), runtime) {
            runtime.spawn(giving);
        }
    }
}
