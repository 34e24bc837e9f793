//! A large value that a peer sends: straight off the socket into memory of its own, which is then
//! lent to the client's answer. It is counted to the memory of connections until the last byte is
//! written.

use bytes::BytesMut;

use crate::memory::PeerCharge;

/// A large value on its way in.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) header: Vec<u8>,
    pub(super) value: BytesMut,
    /// Bytes that have not come yet, line end included.
    pub(super) left: usize,
    /// Its room; `None` if there is none: it is read and dropped. It belongs to the first open slot of
    /// the first request that waits.
    pub(super) keep: Option<PeerCharge>,
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

/// A value together with the room it takes.
pub(super) struct Held {
    pub(super) value: BytesMut,
    pub(super) _charge: PeerCharge,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.value
    }
}
