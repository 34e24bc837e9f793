//! Values that are still held after they were read, as sockets hold them while they are sent.
//!
//! A piece is the store's as long as an item leads to it, and otherwise that of the account outside the
//! store. Pieces are told apart by where they lie.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;

use ringbinder_store::{Account, ItemRef, Piece, SegmentStore, Store as _};

/// Values that are held at a time, and after how many operations there is another.
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

    /// Now and then holds the value of an item that is met.
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

    /// Lets go of the value that was held longest, which must be what it was.
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

    /// The account is what is held and is not the store's.
    pub(super) fn check(&self) {
        let others = self.pieces().filter(|piece| !piece.is_stored());
        let expected: u64 = others.map(Piece::charge).sum();
        assert_eq!(self.outside.held(), expected, "bytes outside the store are miscounted");
    }

    /// What is held is the store's where an item leads to it. Items that are dead lead to pieces as well,
    /// but are not visited: `are_all_alive` says that there are none.
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
