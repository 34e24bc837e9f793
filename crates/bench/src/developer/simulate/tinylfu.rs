//! TinyLFU as in moka: LRU order, and a sketch that decides which items are admitted.
//!
//! A new item is admitted if its frequency exceeds the sum of those of the least recently used items that it
//! would evict, so a large item must be more popular than a small one. There is no window: a rejected item is
//! gone. However, moka decides in batches; until then a new item can be read, and its requests count.

use std::collections::HashMap;

use super::Policy;
use super::list::{Arena, List, Place};
use super::sketch::Sketch;

/// Requests, or sets, after which moka processes its logs.
const BATCH: usize = 64;

/// Values of an item's mark.
const UNDECIDED: u8 = 0;
const ADMITTED: u8 = 1;

/// A cache that rejects items less popular than their victims.
pub(super) struct TinyLfu {
    arena: Arena,
    queue: List,
    places: HashMap<u64, Place>,
    /// Created when the cache is half full.
    sketch: Option<Sketch>,
    reads: Vec<u64>,
    writes: Vec<Place>,
    capacity: u64,
}

impl TinyLfu {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            arena: Arena::default(),
            queue: List::new(),
            places: HashMap::new(),
            sketch: None,
            reads: Vec::new(),
            writes: Vec::new(),
            capacity,
        }
    }

    fn work_off(&mut self) {
        for key in std::mem::take(&mut self.reads) {
            if let Some(sketch) = &mut self.sketch {
                sketch.count(key);
            }
            if let Some(&place) = self.places.get(&key)
                && *self.arena.mark(place) == ADMITTED
            {
                self.queue.renew(&mut self.arena, place);
            }
        }
        for place in std::mem::take(&mut self.writes) {
            if self.make_room(place) {
                *self.arena.mark(place) = ADMITTED;
                self.queue.push(&mut self.arena, place);
            } else {
                self.forget(place);
            }
            if self.sketch.is_none() && self.queue.bytes() >= self.capacity / 2 {
                let item = (self.queue.bytes() / self.queue.items().max(1)).max(1);
                self.sketch = Some(Sketch::new(self.capacity / item));
            }
        }
    }

    fn forget(&mut self, place: Place) {
        self.places.remove(&self.arena.key(place));
        self.arena.remove(place);
    }

    /// Evicts items to make room. Returns false if it rejects the candidate; it then evicts nothing.
    fn make_room(&mut self, candidate: Place) -> bool {
        let bytes = self.arena.bytes(candidate);
        if bytes > self.capacity || self.queue.bytes() + bytes <= self.capacity {
            return bytes <= self.capacity;
        }
        let frequency = |key| self.sketch.as_ref().map_or(0, |sketch| sketch.frequency(key));
        let wanted = frequency(self.arena.key(candidate));
        let (mut freed, mut lost, mut victims) = (0, 0, 0);
        let mut next = self.queue.oldest();
        while freed < bytes && lost <= wanted {
            let Some(victim) = next else { break };
            freed += self.arena.bytes(victim);
            lost += frequency(self.arena.key(victim));
            victims += 1;
            next = List::newer(&self.arena, victim);
        }
        if freed < bytes || wanted <= lost {
            return false;
        }
        for _ in 0..victims {
            let Some(victim) = self.queue.pop(&mut self.arena) else { break };
            self.forget(victim);
        }
        true
    }
}

impl Policy for TinyLfu {
    fn request(&mut self, key: u64, bytes: u64) -> bool {
        self.reads.push(key);
        let hit = self.places.contains_key(&key);
        if !hit {
            let place = self.arena.add(key, bytes);
            *self.arena.mark(place) = UNDECIDED;
            self.places.insert(key, place);
            self.writes.push(place);
        }
        if self.reads.len() >= BATCH || self.writes.len() >= BATCH {
            self.work_off();
        }
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers;
    use super::*;

    /// A cache full of the keys 0 to 9, each requested `times` times, with all logs processed.
    fn full(times: usize) -> TinyLfu {
        let mut cache = TinyLfu::new(100);
        let keys: Vec<u64> = (0..10).collect();
        answers(&mut cache, &keys, 10);
        cache.work_off();
        for _ in 1..times {
            answers(&mut cache, &keys, 10);
        }
        cache.work_off();
        cache
    }

    fn decided(cache: &mut TinyLfu, key: u64, bytes: u64, times: usize) -> bool {
        for _ in 0..times {
            cache.request(key, bytes);
        }
        cache.work_off();
        cache.places.contains_key(&key)
    }

    #[test]
    fn a_scan_is_refused() {
        let mut cache = full(4);
        let scan: Vec<u64> = (100..130).collect();
        answers(&mut cache, &scan, 10);
        cache.work_off();
        let keys: Vec<u64> = (0..10).collect();
        assert_eq!(answers(&mut cache, &keys, 10), "x".repeat(10));
    }

    #[test]
    fn what_is_more_popular_than_its_victims_comes_in() {
        assert!(!decided(&mut full(4), 50, 10, 3));
        assert!(decided(&mut full(4), 50, 10, 5));
        assert!(!decided(&mut full(4), 50, 20, 5), "a large one must outweigh two victims");
        assert!(decided(&mut full(4), 50, 20, 9));
    }

    #[test]
    fn an_undecided_item_can_be_read() {
        let mut cache = full(4);
        assert_eq!(answers(&mut cache, &[50, 50], 10), ".x");
        cache.work_off();
        assert_eq!(answers(&mut cache, &[50], 10), ".");
    }
}
