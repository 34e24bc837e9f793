//! Items, as the client returns them.

use bytes::Bytes;

/// A value with its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The value.
    pub value: Bytes,
    /// The client's own 32 bits, returned as stored.
    pub flags: u32,
    /// The item's CAS unique, if it was requested.
    pub cas: Option<u64>,
}

/// The result of a storage command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stored {
    /// The value is stored.
    Stored,
    /// The condition does not hold: `add` found an item, or `replace`, `append` or `prepend` found
    /// none.
    NotStored,
    /// `cas`: another client has stored since.
    Exists,
    /// `cas`: there is no such item.
    NotFound,
    /// The owner is unreachable; see [`OnAway`](crate::OnAway). It is unknown whether the value is
    /// stored.
    Away,
}

impl Stored {
    /// Whether the value is stored.
    pub fn is_stored(self) -> bool {
        self == Stored::Stored
    }
}
