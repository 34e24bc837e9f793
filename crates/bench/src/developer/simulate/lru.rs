//! Least recently used: a hit renews an item. The other policies are compared with it.

use std::collections::HashMap;

use super::Policy;
use super::list::{Arena, List, Place};

/// A cache that evicts the item whose last request is longest ago.
pub(super) struct Lru {
    arena: Arena,
    queue: List,
    places: HashMap<u64, Place>,
    capacity: u64,
}

impl Lru {
    pub(super) fn new(capacity: u64) -> Self {
        Self { arena: Arena::default(), queue: List::new(), places: HashMap::new(), capacity }
    }
}

impl Policy for Lru {
    fn request(&mut self, key: u64, bytes: u64) -> bool {
        if let Some(&place) = self.places.get(&key) {
            self.queue.renew(&mut self.arena, place);
            return true;
        }
        if bytes > self.capacity {
            return false;
        }
        while self.queue.bytes() + bytes > self.capacity {
            let Some(place) = self.queue.pop(&mut self.arena) else { break };
            self.places.remove(&self.arena.key(place));
            self.arena.remove(place);
        }
        let place = self.arena.add(key, bytes);
        self.queue.push(&mut self.arena, place);
        self.places.insert(key, place);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers;
    use super::*;

    #[test]
    fn a_hit_renews() {
        assert_eq!(answers(&mut Lru::new(30), &[1, 2, 3, 1, 4, 1, 3, 2], 10), "...x.xx.");
    }

    #[test]
    fn a_loop_one_item_too_long_never_hits() {
        assert_eq!(answers(&mut Lru::new(30), &[1, 2, 3, 4].repeat(3), 10), ".".repeat(12));
    }

    #[test]
    fn a_large_item_evicts_several() {
        let mut lru = Lru::new(30);
        answers(&mut lru, &[1, 2, 3], 10);
        assert!(!lru.request(4, 15));
        assert_eq!([3, 4].map(|key| lru.request(key, 10)), [true, true]);
        assert_eq!([1, 2].map(|key| lru.places.contains_key(&key)), [false, false]);
    }
}
