//! Eviction in steps.

use crate::log::segment::Queue;
use crate::{
    ItemRef, Limits, Mode, NewValue, Seconds, SegmentStore, Shape, Store, Write, WriteResult,
};

const NOW: Seconds = 1_700_000_000;

#[test]
fn the_pieces_of_a_value_that_stays_are_not_copied() {
    let limits = Limits { max_bytes: 64 << 20, max_item: 1 << 20, evict: true };
    let shape = Shape { shards: 1, segment: 64 << 10, seed: 1 };
    let store = SegmentStore::with_shape(limits, shape, None).unwrap();
    let write = Write::plain(Mode::Set, b"k", NewValue::Slice(&[1; 200_000]));
    assert!(matches!(store.write(write, NOW), WriteResult::Stored { .. }));
    let pieces = || {
        let addresses = |item: &dyn ItemRef| {
            Vec::from_iter(item.value().pieces().iter().map(|piece| piece.as_ptr()))
        };
        store.get(b"k", NOW, |item| addresses(item)).unwrap()
    };
    let before = pieces();
    assert!(before.len() > 5);
    let mut shard = store.slots[0].lock(&store.common);
    assert!(shard.begin_eviction(Queue::Probation, 0));
    while !shard.evict_some(&store.common, 128) {}
    drop(shard);
    assert_eq!(pieces(), before);
    store.validate(NOW);
}
