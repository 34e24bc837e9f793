//! The pieces of a large value.
//!
//! A value too large for a segment is cut into pieces of a few sizes. Most pieces are whole pages,
//! so the allocator can return the memory of one value whatever surrounds it. A piece is at most as
//! large as the part of its value before it, or one page. So a value that stalls while it arrives
//! holds at most twice the bytes that have arrived.
//!
//! A piece can have several holders: the store, and every socket that it is being written to.
//! Exactly one account counts it. While the store holds the piece, that is the account of the
//! items. Before, while the value arrives, and after, while a socket still sends a value that the
//! store has dropped, it is the account outside the store, to which the piece has a reference.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::Account;

/// Bytes of a piece, largest first. The two smallest are for budgets so small that records are
/// small.
pub(crate) const SIZES: [usize; 5] = [64 << 10, 16 << 10, PAGE, 1 << 10, 256];
pub(crate) const PAGE: usize = 4 << 10;

/// Length in bytes from which a value is huge.
pub(crate) const HUGE: usize = 1 << 20;

/// Bytes charged for a piece beyond its contents: references to it, and its counts.
const BOOKKEEPING: u64 = 64;

/// Bytes that the allocator needs for a piece with pages of its own.
const OF_PAGES: u64 = 128;

/// A piece of a large value, shared by all its holders.
#[derive(Clone, Debug)]
pub struct Piece(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    bytes: Box<[u8]>,
    /// Whether the store's account counts it; if not, `outside` does.
    stored: AtomicBool,
    outside: Arc<Account>,
}

impl Piece {
    /// A piece that `outside` counts until a store takes it.
    pub(crate) fn arrived(bytes: impl Into<Box<[u8]>>, outside: &Arc<Account>) -> Piece {
        let piece = Piece::of(bytes.into(), false, outside);
        outside.take(piece.charge());
        piece
    }

    /// A piece made for a store, whose account counts it from the beginning.
    pub(crate) fn stored(bytes: impl Into<Box<[u8]>>, outside: &Arc<Account>) -> Piece {
        Piece::of(bytes.into(), true, outside)
    }

    fn of(bytes: Box<[u8]>, stored: bool, outside: &Arc<Account>) -> Piece {
        let (stored, outside) = (AtomicBool::new(stored), Arc::clone(outside));
        Piece(Arc::new(Counted { bytes, stored, outside }))
    }

    /// Bytes charged for the piece.
    pub fn charge(&self) -> u64 {
        charge(1, self.0.bytes.len())
    }

    /// Whether the store's account counts the piece; if not, the account outside the store does.
    pub fn is_stored(&self) -> bool {
        self.0.stored.load(Relaxed)
    }

    /// Moves the piece to the store's account.
    pub(crate) fn adopt(&self) {
        if !self.0.stored.swap(true, Relaxed) {
            self.0.outside.give(self.charge());
        }
    }

    /// Moves the piece to the account outside the store: the store has dropped its item, and
    /// another holder remains.
    pub(crate) fn release(&self) {
        // A piece without another holder is about to be freed.
        if Arc::strong_count(&self.0) > 1 && self.0.stored.swap(false, Relaxed) {
            self.0.outside.take(self.charge());
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl std::ops::Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !*self.stored.get_mut() {
            self.outside.give(charge(1, self.bytes.len()));
        }
    }
}

/// Bytes charged for `pieces` pieces of `bytes` bytes together.
pub(crate) fn charge(pieces: usize, bytes: usize) -> u64 {
    let with_pages = pieces.min(bytes / PAGE) as u64;
    bytes as u64 + pieces as u64 * BOOKKEEPING + with_pages * OF_PAGES
}

/// The size of the next piece if `missing` bytes of a value of `whole` bytes are still to be cut.
/// `None` if they stay in the record, which takes up to `inline` bytes.
pub(crate) fn next_size(missing: usize, whole: usize, inline: usize) -> Option<usize> {
    let most = (whole - missing).max(PAGE);
    SIZES.into_iter().find(|&size| missing > inline && missing >= size && size <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_answers_for_what_the_store_has_dropped() {
        let outside = Arc::default();
        let piece = Piece::stored([7; PAGE], &outside);
        piece.release();
        assert_eq!(outside.held(), 0, "nobody else holds it");
        let sent = piece.clone();
        piece.release();
        drop(piece);
        assert_eq!(outside.held(), sent.charge());
        assert_eq!(sent[..], [7; PAGE]);
        drop(sent);
        assert_eq!(outside.held(), 0);
    }
}
