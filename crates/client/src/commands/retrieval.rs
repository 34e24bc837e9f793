//! `get`, `gets`, `gat`, `gats`, of one key or many.

use std::time::SystemTime;

use futures_util::future::join_all;

use crate::client::{Client, checked};
use crate::error::Error;
use crate::item::Item;
use crate::ttl::Ttl;
use crate::view::View;
use crate::wire::{Answer, Request};

/// Keys in one line. All lines are sent together, without waiting in between.
const KEYS_PER_LINE: usize = 256;

impl Client {
    /// The item under a key.
    ///
    /// # Errors
    /// An invalid key, a refusal, or an unreachable owner if that is an error.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>, Error> {
        let key = checked(key.as_ref())?;
        if let Some(item) = self.inner.near.as_ref().and_then(|near| near.get(key)) {
            return Ok(Some(item));
        }
        let reading = self.near_reading(key);
        let item = self.one(key, &Request::Get { key, with_cas: false }).await?;
        if let (Some((near, reading)), Some(item)) = (reading, &item) {
            near.keep(key, item, reading);
        }
        Ok(item)
    }

    /// The item under a key, with its CAS unique. Never from the near cache.
    ///
    /// # Errors
    /// See [`Client::get`].
    pub async fn gets(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>, Error> {
        let key = checked(key.as_ref())?;
        self.one(key, &Request::Get { key, with_cas: true }).await
    }

    /// The item under a key, with its CAS unique; it lives for `ttl` from now on.
    ///
    /// # Errors
    /// See [`Client::get`].
    pub async fn get_and_touch(
        &self,
        key: impl AsRef<[u8]>,
        ttl: impl Into<Ttl>,
    ) -> Result<Option<Item>, Error> {
        let key = checked(key.as_ref())?;
        let exptime = ttl.into().exptime(SystemTime::now);
        let _writing = self.near_writing(key);
        self.one(key, &Request::GetAndTouch { key, exptime, with_cas: true }).await
    }

    /// The items under these keys, in the same order. Asks all nodes at once.
    ///
    /// # Errors
    /// See [`Client::get`]; if a node is unreachable and that is a miss, its keys are misses.
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Item>>, Error> {
        self.many(keys, false).await
    }

    /// The items under these keys with their CAS uniques, in the same order. Never from the near
    /// cache.
    ///
    /// # Errors
    /// See [`Client::get_many`].
    pub async fn gets_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Item>>, Error> {
        self.many(keys, true).await
    }

    #[inline]
    async fn one(&self, key: &[u8], request: &Request<'_>) -> Result<Option<Item>, Error> {
        match self.ask(key, request).await? {
            Some(Answer::One(item)) => Ok(item),
            Some(answer) => Err(self.unexpected(key, &answer)),
            None => Ok(None),
        }
    }

    async fn many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        with_cas: bool,
    ) -> Result<Vec<Option<Item>>, Error> {
        let near = self.inner.near.as_ref().filter(|_| !with_cas);
        let mut items = vec![None; keys.len()];
        let view = self.view();
        let mut shares: Vec<Share<'_>> = view.links.iter().map(|_| Share::default()).collect();
        for (place, key) in keys.iter().enumerate() {
            let key = checked(key.as_ref())?;
            items[place] = near.and_then(|near| near.get(key));
            if items[place].is_none() {
                let share = &mut shares[view.owner(key) as usize];
                share.keys.push(key);
                share.places.push(place);
            }
        }
        let readings: Vec<_> = near
            .map_or(Vec::new(), |near| keys.iter().map(|key| near.reading(key.as_ref())).collect());
        let lines = shares.iter().enumerate().flat_map(|(node, share)| {
            let lines = share.keys.chunks(KEYS_PER_LINE).zip(share.places.chunks(KEYS_PER_LINE));
            lines.map(move |(keys, places)| (node, keys, places))
        });
        let asked = join_all(
            lines.map(|(node, keys, places)| self.line(&view, node, keys, places, with_cas)),
        );
        for line in asked.await {
            for (&place, item) in line? {
                if let (Some(near), Some(item)) = (near, &item) {
                    near.keep(keys[place].as_ref(), item, readings[place]);
                }
                items[place] = item;
            }
        }
        Ok(items)
    }

    /// Asks one node for some of its keys.
    async fn line<'p>(
        &self,
        view: &View,
        node: usize,
        keys: &[&[u8]],
        places: &'p [usize],
        with_cas: bool,
    ) -> Result<impl Iterator<Item = (&'p usize, Option<Item>)> + use<'p>, Error> {
        let link = &view.links[node];
        let items = match self.present(link.call(&Request::GetMany { keys, with_cas }).await)? {
            Some(Answer::Many(items)) => items,
            Some(answer) => return Err(link.unexpected(&answer)),
            None => vec![None; keys.len()],
        };
        Ok(places.iter().zip(items))
    }
}

/// Keys of one node, and their positions among all keys.
#[derive(Default)]
struct Share<'k> {
    keys: Vec<&'k [u8]>,
    places: Vec<usize>,
}
