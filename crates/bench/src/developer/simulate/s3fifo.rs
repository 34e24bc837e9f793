//! S3-FIFO, with libCacheSim's defaults: a small queue, a main queue and a ghost queue of keys, all FIFO.
//!
//! A new item enters the small queue. At its end, an item with two hits moves to the main queue; any other
//! item is evicted and its key remembered. A remembered key enters the main queue directly. The main queue is
//! a clock: an item with hits goes around again, up to three times.

use std::collections::{HashMap, VecDeque};

use super::Policy;
use super::list::{Arena, List, Place};

/// Hits that promote an item from the small queue to the main queue.
const PROMOTED: u8 = 2;
/// Maximum of the hit counter.
const MOST: u8 = 3;

/// A cache whose small queue has a tenth of the bytes.
pub(super) struct S3Fifo {
    arena: Arena,
    small: List,
    main: List,
    places: HashMap<u64, Place>,
    ghost: Ghost,
    capacity: u64,
}

impl S3Fifo {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            arena: Arena::default(),
            small: List::new(),
            main: List::new(),
            places: HashMap::new(),
            ghost: Ghost::new(capacity - capacity / 10),
            capacity,
        }
    }

    fn forget(&mut self, place: Place) {
        self.places.remove(&self.arena.key(place));
        self.arena.remove(place);
    }

    /// Evicts one item, or moves the whole small queue to the main queue.
    fn evict(&mut self) {
        let main_share = self.capacity - self.capacity / 10;
        if self.main.bytes() > main_share || self.small.oldest().is_none() {
            self.evict_main();
        } else {
            self.evict_small();
        }
    }

    fn evict_small(&mut self) {
        while let Some(place) = self.small.pop(&mut self.arena) {
            if *self.arena.mark(place) < PROMOTED {
                self.ghost.add(self.arena.key(place), self.arena.bytes(place));
                self.forget(place);
                return;
            }
            *self.arena.mark(place) = 0;
            self.main.push(&mut self.arena, place);
        }
    }

    fn evict_main(&mut self) {
        while let Some(place) = self.main.pop(&mut self.arena) {
            let hits = self.arena.mark(place);
            if *hits == 0 {
                self.forget(place);
                return;
            }
            *hits -= 1;
            self.main.push(&mut self.arena, place);
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, key: u64, bytes: u64) -> bool {
        if let Some(&place) = self.places.get(&key) {
            let hits = self.arena.mark(place);
            *hits = (*hits + 1).min(MOST);
            return true;
        }
        let known = self.ghost.take(key);
        if bytes > self.capacity / 10 {
            return false;
        }
        while self.small.bytes() + self.main.bytes() + bytes > self.capacity {
            self.evict();
        }
        let place = self.arena.add(key, bytes);
        let queue = if known { &mut self.main } else { &mut self.small };
        queue.push(&mut self.arena, place);
        self.places.insert(key, place);
        false
    }
}

/// Keys of the last evictions, up to a limit in bytes of their items.
struct Ghost {
    /// Key, bytes and number of each eviction, oldest first.
    queue: VecDeque<(u64, u64, u64)>,
    /// The number of each key's last eviction.
    last: HashMap<u64, u64>,
    bytes: u64,
    capacity: u64,
    number: u64,
}

impl Ghost {
    fn new(capacity: u64) -> Self {
        Self { queue: VecDeque::new(), last: HashMap::new(), bytes: 0, capacity, number: 0 }
    }

    fn add(&mut self, key: u64, bytes: u64) {
        self.number += 1;
        self.queue.push_back((key, bytes, self.number));
        self.last.insert(key, self.number);
        self.bytes += bytes;
        while self.bytes > self.capacity {
            let Some((key, bytes, number)) = self.queue.pop_front() else { break };
            self.bytes -= bytes;
            if self.last.get(&key) == Some(&number) {
                self.last.remove(&key);
            }
        }
    }

    /// Removes a key. Returns whether it was remembered.
    fn take(&mut self, key: u64) -> bool {
        self.last.remove(&key).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers;
    use super::*;

    #[test]
    fn what_was_hit_twice_survives_a_scan() {
        let mut cache = S3Fifo::new(100);
        assert_eq!(answers(&mut cache, &[1, 1, 1, 2, 2], 10), ".xx.x");
        let scan: Vec<u64> = (100..150).collect();
        answers(&mut cache, &scan, 10);
        assert_eq!(answers(&mut cache, &[1, 2], 10), "x.", "one hit is not enough");
    }

    #[test]
    fn a_remembered_key_comes_back_into_main() {
        let mut cache = S3Fifo::new(100);
        let scan: Vec<u64> = (0..12).collect();
        answers(&mut cache, &scan, 10);
        assert_eq!((cache.main.items(), cache.small.items()), (0, 10));
        assert_eq!(answers(&mut cache, &[0], 10), ".");
        assert_eq!((cache.main.items(), cache.small.items()), (1, 9));
    }

    #[test]
    fn the_ghost_forgets_the_oldest() {
        let mut ghost = Ghost::new(30);
        for key in [1, 2, 3, 4] {
            ghost.add(key, 10);
        }
        assert_eq!([1, 2, 2, 4].map(|key| ghost.take(key)), [false, true, false, true]);
        ghost.add(2, 10);
        ghost.add(5, 10);
        assert!(ghost.take(2), "the older eviction of 2 that falls out does not count");
    }
}
