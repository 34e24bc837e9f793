//! Compaction in steps, and all that happens between them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use crate::engine::SegmentStore;
use crate::log::segment::{Queue, Segment};
use crate::shard::Progress;
use crate::{Delete, Limits, Miss, Mode, NewValue, Seconds, Shape, Store, Write, WriteResult};

const NOW: Seconds = 1_700_000_000;

fn set(store: &SegmentStore, key: &str, value: &[u8], now: Seconds) {
    let write = Write::plain(Mode::Set, key.as_bytes(), NewValue::Slice(value));
    assert!(matches!(store.write(write, now), WriteResult::Stored { .. }));
}

fn splitmix(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    usize::try_from((mixed ^ (mixed >> 27)) >> 33).unwrap()
}

#[test]
fn overwriting_takes_no_living_items_where_nine_tenths_are_filled() {
    let limits = Limits { max_bytes: 8 << 20, max_item: 1 << 20, evict: true };
    let store = SegmentStore::new(limits, None);
    let (items, mut random) = ((8 << 20) / 100 * 90 / (9 + 300 + 40), 1);
    for turn in 0..6 * items {
        // Each key as often as every other, in a different order in each round.
        let item = (turn * 7919 + turn / items) % items;
        let len = 150 + splitmix(&mut random) % 301;
        set(&store, &format!("key{item:06}"), &vec![b'v'; len], NOW);
    }
    store.validate(NOW);
    let kept = usize::try_from(store.counters().items).unwrap();
    assert!(kept >= items / 100 * 97, "{kept} of {items} are left");
}

#[test]
fn a_run_gains_a_segment_and_keeps_the_order() {
    let limits = Limits { max_bytes: 1 << 20, max_item: 1 << 20, evict: true };
    let shape = Shape { shards: 1, segment: 8 << 10, seed: 1 };
    let store = SegmentStore::with_shape(limits, shape, None).unwrap();
    let key = |item: usize| format!("key{item:04}");
    for item in 0..1_000 {
        set(&store, &key(item), &[b'v'; 300], NOW);
    }
    for item in (0..1_000).filter(|item| item % 4 == 0) {
        store.delete(key(item).as_bytes(), Delete::PLAIN, NOW);
    }
    let order = |store: &SegmentStore| -> Vec<Vec<u8>> {
        let shard = store.slots[0].lock(&store.common);
        let keys = |segment: &Segment| -> Vec<Vec<u8>> {
            segment.living().map(|(_, it)| it.key(&segment.data).to_vec()).collect()
        };
        shard.segments.queued().map(|(_, it)| it).flat_map(keys).collect()
    };
    let before = (order(&store), store.common.budget.used());
    let mut steps = 0;
    assert!(store.slots[0].lock(&store.common).begin_compacting(&store.common));
    loop {
        let progress = store.slots[0].lock(&store.common).compact_some(&store.common, 16);
        store.validate(NOW);
        assert_eq!(order(&store), before.0, "after {steps} steps");
        steps += 1;
        if let Progress::Over { gained } = progress {
            assert!(gained);
            break;
        }
    }
    assert!(steps > 3);
    // The store keeps the last buffer for the next segment.
    assert!(store.common.budget.used() - store.common.budget.spare_bytes() < before.1);
}

/// The predicate of the first forget begins the second, and so between the verdict on a record and
/// the copy of it.
#[test]
fn a_forget_reaches_the_record_that_is_being_moved() {
    let limits = Limits { max_bytes: 1 << 20, max_item: 1 << 20, evict: true };
    let shape = Shape { shards: 1, segment: 8 << 10, seed: 1 };
    let store = Arc::new(SegmentStore::with_shape(limits, shape, None).unwrap());
    let key = |item: usize| format!("key{item:04}");
    for item in 0..1_000 {
        set(&store, &key(item), &[b'v'; 300], NOW);
    }
    for item in (0..1_000).filter(|item| item % 4 == 0) {
        store.delete(key(item).as_bytes(), Delete::PLAIN, NOW);
    }
    let judged = Arc::new(Mutex::new(None::<Vec<u8>>));
    let armed = Arc::new(AtomicBool::new(false));
    let predicate = {
        let (store, judged, armed) = (Arc::downgrade(&store), judged.clone(), armed.clone());
        move |key: &[u8]| {
            if armed.swap(false, SeqCst) {
                *judged.lock().unwrap() = Some(key.to_vec());
                let lost = key.to_vec();
                store.upgrade().unwrap().forget(Arc::new(move |key| key == lost), NOW);
            }
            false
        }
    };
    store.forget(Arc::new(predicate), NOW);
    assert!(store.slots[0].lock(&store.common).begin_compacting(&store.common));
    armed.store(true, SeqCst);
    while let Progress::Going = store.slots[0].lock(&store.common).compact_some(&store.common, 16) {
    }
    let judged = judged.lock().unwrap().take().expect("a record was judged by the first forget");
    assert_eq!(store.get(&judged, NOW, |_| ()), Err(Miss::Absent));
    store.validate(NOW);
}

/// Whatever happens between two steps of a run, every record is in its place.
#[test]
fn a_run_gives_way_to_whatever_happens_meanwhile() {
    let limits = Limits { max_bytes: 2 << 20, max_item: 1 << 20, evict: true };
    let shape = Shape { shards: 1, segment: 4 << 10, seed: 1 };
    let gone = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&gone);
    let observer = move |evicted: crate::Evicted<'_>| {
        noted.lock().unwrap().push(evicted.key.to_vec());
    };
    let store = SegmentStore::with_shape(limits, shape, Some(Box::new(observer))).unwrap();
    let (mut known, mut random) = (HashMap::new(), 7);
    let (mut now, mut over) = (NOW, [0, 0]);
    for turn in 0..60_000_u32 {
        let key = format!("key{}", splitmix(&mut random) % 2_000);
        let mut choice = splitmix(&mut random) % 1_000;
        let mut shard = store.slots[0].lock(&store.common);
        shard.now = now;
        if !shard.is_compacting() && choice.is_multiple_of(20) {
            shard.begin_compacting(&store.common);
        }
        // From time to time much happens between two steps.
        let steps_now = turn / 100 % 2 == 0;
        if choice < 300 && steps_now {
            let was_going = shard.is_compacting();
            if let Progress::Over { gained } = shard.compact_some(&store.common, choice % 8) {
                over[usize::from(gained)] += usize::from(was_going);
            }
        } else if (300..325).contains(&choice) {
            if !shard.is_evicting() {
                shard.begin_eviction(Queue::BOTH[choice % 2], 3);
            }
            choice = 0;
        } else if (325..360).contains(&choice) {
            shard.evict_some(&store.common, 20);
        }
        drop(shard);
        for key in gone.lock().unwrap().drain(..) {
            known.remove(&key);
        }
        match choice {
            360..800 => {
                let value = vec![key.as_bytes()[3]; splitmix(&mut random) % 240];
                set(&store, &key, &value, now);
                known.insert(key.into_bytes(), value);
            }
            800..900 => {
                store.delete(key.as_bytes(), Delete::PLAIN, now);
                known.remove(key.as_bytes());
            }
            900..902 => {
                store.sweep(now);
            }
            902..904 => {
                now += 1;
                let digit = b'0' + u8::try_from(turn % 10).unwrap();
                known.retain(|key: &Vec<u8>, _| !key.ends_with(&[digit]));
                store.forget(Arc::new(move |key| key.ends_with(&[digit])), now);
            }
            904 if turn % 10 == 0 => {
                store.flush(now, now);
                known.clear();
            }
            _ => {
                let there = store.get(key.as_bytes(), now, |item| item.value().to_vec());
                assert_eq!(there.ok().as_ref(), known.get(key.as_bytes()), "{key}, {turn}");
            }
        }
        for key in gone.lock().unwrap().drain(..) {
            known.remove(&key);
        }
        if turn % 16 == 0 {
            store.validate(now);
        }
    }
    for (key, value) in &known {
        let there = store.get(key, now, |item| item.value().to_vec());
        assert_eq!(there.ok().as_ref(), Some(value));
    }
    assert!(over[0] > 3 && over[1] > 100, "{over:?}");
}
