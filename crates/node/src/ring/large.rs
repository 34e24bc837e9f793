//! A large value that a peer sends: straight off the socket into memory of its own, which is then
//! lent to the client's answer. Its room is taken from the node's allowance for values in flight
//! until the last byte is written.

use std::sync::Arc;

use bytes::BytesMut;

use crate::shared::{Shared, ValuesInFlight};

/// A large value on its way in.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) header: Vec<u8>,
    pub(super) value: BytesMut,
    /// Bytes that have not come yet, line end included.
    pub(super) left: usize,
    /// Its room; `None` if there is none: it is read and dropped. It belongs to the first open slot of
    /// the first request that waits.
    pub(super) keep: Option<Allowance>,
}

impl Large {
    /// Records that `len` bytes more were appended to the value.
    pub(super) fn arrived(&mut self, len: usize) {
        self.left -= len;
        if self.keep.is_none() {
            self.value.clear();
        }
    }
}

/// Room taken for a value, given back when it goes.
#[derive(Debug)]
pub(super) struct Allowance {
    shared: Arc<Shared>,
    len: usize,
}

impl Allowance {
    pub(super) fn take(shared: &Arc<Shared>, len: usize) -> Option<Allowance> {
        let values: &ValuesInFlight = &shared.values;
        values.reserve(len).then(|| Allowance { shared: Arc::clone(shared), len })
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.shared.values.release(self.len);
    }
}

/// A value together with the room it takes.
pub(super) struct Held {
    pub(super) value: BytesMut,
    pub(super) _allowance: Allowance,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.value
    }
}
