//! Queues of items in one arena, with access to the oldest item and removal from the middle.

/// The index of an item until it is removed from the arena.
pub(super) type Place = usize;

const NONE: Place = Place::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    bytes: u64,
    /// A counter or a state of the policy.
    mark: u8,
    older: Place,
    newer: Place,
}

/// The items of all queues of one policy.
#[derive(Debug, Default)]
pub(super) struct Arena {
    nodes: Vec<Node>,
    free: Vec<Place>,
}

/// A queue, oldest first. Callers must pass a place only to the queue that contains it.
#[derive(Debug)]
pub(super) struct List {
    oldest: Place,
    newest: Place,
    bytes: u64,
    items: u64,
}

impl Arena {
    /// Adds an item that is in no queue.
    pub(super) fn add(&mut self, key: u64, bytes: u64) -> Place {
        let node = Node { key, bytes, mark: 0, older: NONE, newer: NONE };
        if let Some(place) = self.free.pop() {
            self.nodes[place] = node;
            place
        } else {
            self.nodes.push(node);
            self.nodes.len() - 1
        }
    }

    /// Removes an item that is in no queue.
    pub(super) fn remove(&mut self, place: Place) {
        self.free.push(place);
    }

    pub(super) fn key(&self, place: Place) -> u64 {
        self.nodes[place].key
    }

    pub(super) fn bytes(&self, place: Place) -> u64 {
        self.nodes[place].bytes
    }

    pub(super) fn mark(&mut self, place: Place) -> &mut u8 {
        &mut self.nodes[place].mark
    }
}

impl List {
    pub(super) fn new() -> Self {
        Self { oldest: NONE, newest: NONE, bytes: 0, items: 0 }
    }

    /// Total bytes of its items.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn items(&self) -> u64 {
        self.items
    }

    /// The oldest item; `None` if the queue is empty.
    pub(super) fn oldest(&self) -> Option<Place> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// The item that was added after `place`.
    pub(super) fn newer(arena: &Arena, place: Place) -> Option<Place> {
        Some(arena.nodes[place].newer).filter(|&newer| newer != NONE)
    }

    /// Appends an item that is in no queue.
    pub(super) fn push(&mut self, arena: &mut Arena, place: Place) {
        let node = &mut arena.nodes[place];
        (node.older, node.newer) = (self.newest, NONE);
        self.bytes += node.bytes;
        self.items += 1;
        match self.newest {
            NONE => self.oldest = place,
            newest => arena.nodes[newest].newer = place,
        }
        self.newest = place;
    }

    /// Removes an item from this queue; it stays in the arena.
    pub(super) fn take(&mut self, arena: &mut Arena, place: Place) {
        let Node { older, newer, bytes, .. } = arena.nodes[place];
        match older {
            NONE => self.oldest = newer,
            older => arena.nodes[older].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => arena.nodes[newer].older = older,
        }
        self.bytes -= bytes;
        self.items -= 1;
    }

    /// Removes the oldest item from this queue.
    pub(super) fn pop(&mut self, arena: &mut Arena) -> Option<Place> {
        let place = self.oldest()?;
        self.take(arena, place);
        Some(place)
    }

    /// Makes an item of this queue its newest.
    pub(super) fn renew(&mut self, arena: &mut Arena, place: Place) {
        self.take(arena, place);
        self.push(arena, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(arena: &Arena, list: &List) -> Vec<u64> {
        std::iter::successors(list.oldest(), |&place| List::newer(arena, place))
            .map(|place| arena.key(place))
            .collect()
    }

    #[test]
    fn order_and_bytes() {
        let (mut arena, mut list) = (Arena::default(), List::new());
        assert_eq!(list.pop(&mut arena), None);
        let places = [1, 2, 3].map(|key| {
            let place = arena.add(key, key * 10);
            list.push(&mut arena, place);
            place
        });
        assert_eq!(keys(&arena, &list), [1, 2, 3]);
        list.renew(&mut arena, places[1]);
        assert_eq!((keys(&arena, &list), list.bytes(), list.items()), (vec![1, 3, 2], 60, 3));
        list.take(&mut arena, places[2]);
        assert_eq!((keys(&arena, &list), list.bytes(), list.items()), (vec![1, 2], 30, 2));
        arena.remove(places[2]);
        assert_eq!(arena.add(4, 1), places[2], "its place is used again");
        assert_eq!(
            (list.pop(&mut arena), list.pop(&mut arena)),
            (Some(places[0]), Some(places[1]))
        );
        assert_eq!((list.pop(&mut arena), list.bytes()), (None, 0));
    }
}
