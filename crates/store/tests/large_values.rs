//! Values in pieces: joined, incremented, evicted and made room for, while other holders keep them.

#![allow(dead_code, unused_imports, unused_macros, reason = "not all of the contract's helpers")]

mod contract;
#[path = "large_values/joining.rs"]
mod joining;
#[path = "large_values/making_room.rs"]
mod making_room;
#[path = "large_values/threads.rs"]
mod threads;

use std::sync::Arc;

use ringbinder_store::{
    Account, LargeValue, Limits, Mode, NewValue, Piece, Readiness, SegmentStore, Shape, Store as _,
    Write, WriteResult,
};

use self::contract::{MIB, NOW, limits, write};

/// A store for values of any length, with its outside account.
fn store(max_bytes: u64, evict: bool) -> (SegmentStore, Arc<Account>) {
    let outside = Arc::default();
    let limits = Limits { max_bytes, max_item: 1 << 30, evict };
    (SegmentStore::new(limits, None).with_outside(Arc::clone(&outside)), outside)
}

/// Bytes in which no two pages are equal.
fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 251 * 31 + at + seed).to_le_bytes()[0]).collect()
}

/// A value that has arrived in pieces.
fn arrived(store: &SegmentStore, bytes: &[u8]) -> LargeValue {
    let mut arriving = store.receive(bytes.len());
    assert_eq!(arriving.fill(bytes), bytes.len());
    arriving.finish()
}

fn put(store: &SegmentStore, mode: Mode, key: &[u8], value: NewValue<'_>) -> WriteResult {
    store.write(Write { value, ..write(mode, key, b"") }, NOW)
}

#[track_caller]
fn stored(result: WriteResult) {
    assert!(matches!(result, WriteResult::Stored { .. }), "{result:?}");
}

fn pieces(store: &SegmentStore, key: &[u8]) -> Vec<Piece> {
    store.peek(key, NOW, |item| item.value().pieces().to_vec()).unwrap_or_default()
}

fn value(store: &SegmentStore, key: &[u8]) -> Option<Vec<u8>> {
    store.peek(key, NOW, |item| item.value().to_vec()).ok()
}
