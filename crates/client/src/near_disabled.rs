//! The substitute for the near cache in a client without the feature `near-cache`.

use crate::item::Item;

/// A cache that cannot be created.
#[derive(Debug)]
pub(crate) enum Near {}

/// A read in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {}

/// A write in progress.
#[derive(Debug)]
#[must_use]
pub(crate) struct Writing<'n>(&'n Near);

impl Near {
    pub(crate) fn get(&self, _key: &[u8]) -> Option<Item> {
        match *self {}
    }

    pub(crate) fn reading(&self, _key: &[u8]) -> Reading {
        match *self {}
    }

    pub(crate) fn keep(&self, _key: &[u8], _item: &Item, reading: Reading) {
        match reading {}
    }

    pub(crate) fn writing(&self, _key: &[u8]) -> Writing<'_> {
        Writing(self)
    }

    pub(crate) fn clearing(&self) -> Writing<'_> {
        Writing(self)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        match *self.0 {}
    }
}
