//! Values still held after a read, as sockets hold them while they send.
//!
//! The store counts a piece as long as an item leads to it; otherwise the account outside the store
//! does. Pieces are told apart by their addresses.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;

use ringbinder_store::{Account, ItemRef, Piece, SegmentStore, Store as _};

/// Number of values held at a time, and number of operations between two.
const MOST: usize = 4;
const EVERY: u64 = 7;

#[derive(Default)]
pub(super) struct Holding {
    outside: Arc<Account>,
    values: VecDeque<Vec<(Piece, Vec<u8>)>>,
    turn: u64,
}

fn address(piece: &Piece) -> usize {
    piece.as_ptr().addr()
}

impl Holding {
    pub(super) fn outside(&self) -> &Arc<Account> {
        &self.outside
    }

    /// From time to time, holds the value of an item that an operation meets.
    pub(super) fn meet(&mut self, item: &dyn ItemRef) {
        self.turn += 1;
        if !self.turn.is_multiple_of(EVERY) || item.value().pieces().is_empty() {
            return;
        }
        let held: HashSet<_> = self.pieces().map(address).collect();
        let others = item.value().pieces().iter().filter(|piece| !held.contains(&address(piece)));
        self.values.push_back(others.map(|piece| (piece.clone(), piece.to_vec())).collect());
        if self.values.len() > MOST {
            self.let_go();
        }
    }

    /// Drops the value held longest, which must not have changed.
    fn let_go(&mut self) {
        for (piece, before) in self.values.pop_front().into_iter().flatten() {
            assert!(piece[..] == before, "a piece that is held has changed");
        }
    }

    pub(super) fn let_go_of_all(&mut self) {
        while !self.values.is_empty() {
            self.let_go();
        }
        self.check();
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.values.iter().flatten().map(|(piece, _)| piece)
    }

    /// The account has exactly the held bytes that the store does not count.
    pub(super) fn check(&self) {
        let others = self.pieces().filter(|piece| !piece.is_stored());
        let expected: u64 = others.map(Piece::charge).sum();
        assert_eq!(self.outside.held(), expected, "bytes outside the store are miscounted");
    }

    /// The store counts a held piece if an item leads to it. Dead items lead to pieces as well, but
    /// are not visited: `are_all_alive` says that there are none.
    pub(super) fn check_reached(&self, store: &SegmentStore, now: u32, are_all_alive: bool) {
        let mut reached = HashSet::new();
        store.for_each(now, &mut |item| {
            reached.extend(item.value().pieces().iter().map(address));
            true
        });
        for piece in self.pieces() {
            let is_reached = reached.contains(&address(piece));
            assert!(!is_reached || piece.is_stored(), "an item's piece is not the store's");
            assert!(is_reached || !are_all_alive || !piece.is_stored(), "whose is it?");
        }
    }
}
