//! What a connection keeps of an unfinished request while it waits for the rest.
//!
//! Most of it is a few bytes. A line of many keys may have a mebibyte, and one that never ends would be
//! held for every connection of a stranger: so what is large is taken from the allowance that arriving
//! values share, and given back when it goes.

use std::sync::Arc;

use crate::input::SMALL_VALUE;
use crate::shared::Shared;

/// Bytes of an unfinished request, or that there was no room for them.
#[derive(Debug)]
pub(crate) struct Carried {
    bytes: Option<Vec<u8>>,
    /// Whom the bytes were taken from, where they are many.
    taken_from: Option<Arc<Shared>>,
}

impl Carried {
    /// Keeps bytes, if there is room for them.
    pub(crate) fn keep(bytes: &[u8], shared: &Arc<Shared>) -> Carried {
        if bytes.len() <= SMALL_VALUE {
            return Carried { bytes: Some(bytes.to_vec()), taken_from: None };
        }
        if !shared.values.reserve(bytes.len()) {
            return Carried { bytes: None, taken_from: None };
        }
        Carried { bytes: Some(bytes.to_vec()), taken_from: Some(Arc::clone(shared)) }
    }

    /// Whether the request's line is whole: then it is a value that is waited for.
    pub(crate) fn has_line(&self) -> bool {
        self.bytes().is_some_and(|bytes| memchr::memchr(b'\n', bytes).is_some())
    }

    /// The bytes; `None` where there was no room.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if let (Some(shared), Some(bytes)) = (&self.taken_from, &self.bytes) {
            shared.values.release(bytes.len());
        }
    }
}
