//! A large value that a peer sends. It is read from the socket into memory of its own, which the
//! client's answer then borrows. It counts as connection memory until its last byte is written.

use bytes::BytesMut;

use crate::memory::PeerCharge;

/// A large value that is arriving.
#[derive(Debug)]
pub(crate) struct Large {
    pub(crate) header: Vec<u8>,
    pub(crate) value: BytesMut,
    /// Bytes that have not arrived, including the line end.
    pub(crate) left: usize,
    /// The memory for the value; `None` if there is none, and the value is read and dropped. It
    /// belongs to the first open pending reply of the first waiting request.
    pub(crate) keep: Option<PeerCharge>,
}

impl Large {
    /// Records that `len` more bytes were appended to the value.
    pub(crate) fn arrived(&mut self, len: usize) {
        self.left -= len;
        if self.keep.is_none() {
            self.value.clear();
        }
    }
}

/// A value together with the charge for its memory.
pub(crate) struct Held {
    pub(crate) value: BytesMut,
    pub(crate) _charge: PeerCharge,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.value
    }
}
