//! Sweeps in steps, and all that happens between them.

use std::sync::Arc;

use crate::engine::SegmentStore;
use crate::log::segment::Queue;
use crate::shard::sweep::{Cursor, STEP};
use crate::{Delete, Expiry, Limits, Mode, NewValue, Seconds, Shape, Store, Write, WriteResult};

const NOW: Seconds = 1_700_000_000;

/// One shard with segments of thousands of items.
fn store() -> SegmentStore {
    let limits = Limits { max_bytes: 1 << 20, max_item: 1 << 20, evict: true };
    let shape = Shape { shards: 1, segment: 64 << 10, seed: 1 };
    SegmentStore::with_shape(limits, shape, None).unwrap()
}

fn set(store: &SegmentStore, key: &str, len: usize, expiry: Expiry) {
    // A reader that starts in the middle of a record sees an expired one.
    let value = vec![1; len];
    let write =
        Write { expiry, ..Write::plain(Mode::Set, key.as_bytes(), NewValue::Slice(&value)) };
    assert!(matches!(store.write(write, NOW), WriteResult::Stored { .. }));
}

/// A sweep that has begun with the only segment.
fn begun(store: &SegmentStore, now: Seconds) -> Cursor {
    let epoch = store.common.epochs.current(now);
    let mut shard = store.slots[0].lock(&store.common);
    shard.now = now;
    let due = shard.due(epoch, now);
    let [segment] = due[..] else { panic!("{due:?} are due") };
    let mut cursor = Cursor { segment, epoch, at: 0, soonest: Seconds::MAX };
    assert!(!shard.sweep_some(&store.common, &mut cursor).1, "the first step is not the last");
    cursor
}

fn finish(store: &SegmentStore, mut cursor: Cursor) -> u64 {
    let mut reclaimed = 0;
    loop {
        let (gone, is_over) =
            store.slots[0].lock(&store.common).sweep_some(&store.common, &mut cursor);
        reclaimed += gone;
        if is_over {
            return reclaimed;
        }
    }
}

#[test]
fn a_sweep_does_not_go_on_in_a_segment_that_was_begun_anew() {
    let store = store();
    for item in 0..300 {
        set(&store, &format!("key{item}"), 10, Expiry::at(NOW + 1));
    }
    let cursor = begun(&store, NOW + 1);
    for item in 0..300 {
        store.delete(format!("key{item}").as_bytes(), Delete::PLAIN, NOW + 1);
    }
    assert_eq!(store.counters().items, 0);
    for item in 0..300 {
        set(&store, &format!("other{item}"), 73, Expiry::NEVER);
    }
    assert_eq!(finish(&store, cursor), 0);
    store.validate(NOW + 1);
    assert_eq!(store.counters().items, 300);
}

#[test]
fn a_sweep_does_not_overlook_an_expiry_that_comes_nearer_meanwhile() {
    let store = store();
    for item in 0..300 {
        set(&store, &format!("key{item}"), 10, Expiry::NEVER);
    }
    store.touch(b"key299", Expiry::at(NOW + 1), NOW);
    let cursor = begun(&store, NOW + 1);
    store.touch(b"key0", Expiry::at(NOW + 2), NOW + 1);
    assert_eq!(finish(&store, cursor), 1);
    store.validate(NOW + 1);
    assert_eq!(store.sweep(NOW + 2), 1);
}

#[test]
fn a_sweep_does_not_leave_items_of_the_past_in_a_segment_that_is_given_up() {
    let store = store();
    for item in 0..600 {
        let key = format!("key{item}");
        set(&store, &key, 10, Expiry::NEVER);
        store.get(key.as_bytes(), NOW, |_| ()).unwrap();
    }
    store.forget(Arc::new(|key| key == b"key0"), NOW);
    let cursor = begun(&store, NOW);
    {
        let mut shard = store.slots[0].lock(&store.common);
        assert!(shard.begin_eviction(Queue::Probation, 0));
        assert!(!shard.evict_some(&store.common, STEP));
    }
    finish(&store, cursor);
    store.common.epochs.settle(cursor.epoch);
    // All items were read, so all of them stay.
    for item in 1..600 {
        assert!(store.get(format!("key{item}").as_bytes(), NOW, |_| ()).is_ok(), "{item}");
    }
    store.validate(NOW);
}
