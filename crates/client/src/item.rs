//! What is kept in a cache, as the client hands it out.

use bytes::Bytes;

/// A value with what is kept beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The value.
    pub value: Bytes,
    /// The client's own 32 bits, kept as they were stored.
    pub flags: u32,
    /// The item's CAS unique, where it was asked for.
    pub cas: Option<u64>,
}

/// What became of a command that stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stored {
    /// It is stored.
    Stored,
    /// The condition was not met: `add` found an item, or `replace`, `append` or `prepend` none.
    NotStored,
    /// `cas`: somebody else has stored since.
    Exists,
    /// `cas`: no such item.
    NotFound,
    /// The owner is away; see [`OnAway`](crate::OnAway). Nothing is known to be stored.
    Away,
}

impl Stored {
    /// Whether it is stored.
    pub fn is_stored(self) -> bool {
        self == Stored::Stored
    }
}
