//! Nodes that stop with their items and come back with them while rings replace each other. No
//! client may ever find an older value under a key than the one written last.
//!
//! One node is away at a time. The schedules leave out the case that no node can detect
//! (`docs/decisions/0013-warm-restart.md`): a node comes back with an old ring while every node
//! that knows a newer one is away.

use super::*;

/// The state that a stopped node saved: its index, its ring, and its items.
type Saved = Option<(usize, RingId, HashMap<u32, u64>)>;

struct Absence {
    fleet: Fleet,
    saved: Saved,
    latest: HashMap<u32, u64>,
    returned: u32,
    dropped: u32,
    met: u32,
}

impl Absence {
    fn new(seed: u64) -> Absence {
        let (saved, latest) = (None, HashMap::new());
        let mut fleet = Fleet::new(seed);
        let all = ring(2, &[1; NODES]);
        fleet.rings.insert(all.id(), Arc::clone(&all));
        (fleet.newest, fleet.steady) = (Arc::clone(&all), true);
        fleet.nodes.clear();
        (0..NODES).for_each(|index| fleet.start(index, &all));
        fleet.come_to_rest();
        Absence { fleet, saved, latest, returned: 0, dropped: 0, met: 0 }
    }

    /// Gives a key another value at the node that serves it.
    fn write(&mut self) {
        let key = self.fleet.random.random_range(0..KEYS);
        if let [index] = self.fleet.serving(key)[..] {
            let next = self.latest.get(&key).map_or(1, |value| value + 1);
            self.latest.insert(key, next);
            self.fleet.nodes.get_mut(&index).unwrap().items.insert(key, next);
        }
    }

    /// Stops a node, which keeps its items if it knows that it owns them.
    fn stop(&mut self) {
        let fleet = &mut self.fleet;
        if !fleet.gone.is_empty() || fleet.nodes.values().any(|node| node.came_back) {
            return;
        }
        let Some(index) = fleet.index() else { return };
        let node = fleet.nodes.remove(&index).unwrap();
        fleet.letters.retain(|letter| letter.from != index);
        let id = node.membership.id();
        let is_sure = node.membership.joined() && node.membership.view(&fleet.peers).clean;
        fleet.trace.push(format!("n{index} stops with ring {}, sure: {is_sure}", id.version));
        fleet.gone.insert(index);
        let items = if is_sure { node.items } else { HashMap::new() };
        self.saved = Some((index, id, items));
    }

    /// Starts a stopped node again with the newest ring, or with the one it had.
    fn start(&mut self) {
        let fleet = &mut self.fleet;
        let Some((index, id, items)) = self.saved.take() else { return };
        fleet.gone.clear();
        let old = Arc::clone(&fleet.rings[&id]);
        let ring = match fleet.random.random_bool(0.7) {
            true => old,
            false => Arc::clone(&fleet.newest),
        };
        fleet.trace.push(format!("n{index} comes back with ring {}", ring.id().version));
        fleet.start(index, &ring);
        if ring.id() == id {
            let node = fleet.nodes.get_mut(&index).unwrap();
            (node.items, node.came_back) = (items, true);
            node.came_back &= !node.membership.has_met_all();
            self.returned += 1;
        }
    }

    /// Gives the other nodes another ring while a node is away.
    fn change(&mut self) {
        let fleet = &mut self.fleet;
        if let (false, Some(other)) = (fleet.gone.is_empty(), fleet.index()) {
            fleet.change();
            let ring = Arc::clone(&fleet.newest);
            fleet.give(other, &ring);
        }
    }

    /// Kills and restarts another node while a node is away. It loses its items and its knowledge
    /// of older rings.
    fn bounce(&mut self) {
        let fleet = &mut self.fleet;
        let calm = fleet.nodes.values().all(|node| node.membership.is_settled());
        if let (true, false, Some(index)) = (calm, fleet.gone.is_empty(), fleet.index()) {
            fleet.letters.retain(|letter| letter.from != index);
            let ring = Arc::clone(fleet.nodes[&index].membership.ring());
            fleet.trace.push(format!("n{index} is killed and starts with {}", ring.id().version));
            fleet.start(index, &ring);
        }
    }

    fn step(&mut self) {
        let doubtful = |fleet: &Fleet| fleet.nodes.values().filter(|node| node.came_back).count();
        let before = doubtful(&self.fleet);
        match self.fleet.random.random_range(0..100) {
            0..30 => self.write(),
            30..33 => self.stop(),
            33 => self.start(),
            34 => self.change(),
            35..40 => self.bounce(),
            _ => {
                let held: usize = self.fleet.nodes.values().map(|node| node.items.len()).sum();
                self.fleet.step();
                let left: usize = self.fleet.nodes.values().map(|node| node.items.len()).sum();
                if doubtful(&self.fleet) < before {
                    match left < held {
                        true => self.dropped += 1,
                        false => self.met += 1,
                    }
                }
            }
        }
        self.check();
    }

    fn check(&self) {
        self.fleet.check();
        for key in 0..KEYS {
            for index in self.fleet.serving(key) {
                let there = self.fleet.nodes[&index].items.get(&key);
                assert!(
                    there.is_none() || there == self.latest.get(&key),
                    "n{index} has {there:?} under key {key}, the newest is {:?}:\n{}",
                    self.latest.get(&key),
                    self.fleet.trace.join("\n")
                );
            }
        }
    }
}

#[test]
fn what_comes_back_with_a_node_is_never_older_than_what_others_wrote() {
    let (mut returned, mut dropped, mut met) = (0, 0, 0);
    for seed in 0..60 {
        let mut absence = Absence::new(seed);
        for _ in 0..400 {
            absence.step();
        }
        returned += absence.returned;
        dropped += absence.dropped;
        met += absence.met;
    }
    assert!(returned > 50 && dropped > 0 && met > 10, "{returned} {dropped} {met}");
}
