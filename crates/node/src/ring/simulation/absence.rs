//! Nodes that go away with what they hold, and come back with it while rings replace each other: nobody
//! may ever find an older value under a key than the one written last.
//!
//! Left out, as the decision says (`docs/decisions/0013-warm-restart.md`): a node that comes back with
//! an old ring while one that knows a newer one is away.

use super::*;

/// What a node left behind: by which ring, and its items.
type Saved = HashMap<usize, (RingId, HashMap<u32, u64>)>;

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
        let (fleet, saved, latest) = (Fleet::new(seed), HashMap::new(), HashMap::new());
        Absence { fleet, saved, latest, returned: 0, dropped: 0, met: 0 }
    }

    /// Whoever serves a key gives it another value.
    fn write(&mut self) {
        let key = self.fleet.random.random_range(0..KEYS);
        if let [index] = self.fleet.serving(key)[..] {
            let next = self.latest.get(&key).map_or(1, |value| value + 1);
            self.latest.insert(key, next);
            self.fleet.nodes.get_mut(&index).unwrap().items.insert(key, next);
        }
    }

    /// A node stops, and keeps what it holds if it knows whose that is.
    fn stop(&mut self) {
        let fleet = &mut self.fleet;
        if fleet.nodes.len() < 2 || fleet.nodes.values().any(|node| node.came_back) {
            return;
        }
        let Some(index) = fleet.index() else { return };
        let node = fleet.nodes.remove(&index).unwrap();
        fleet.letters.retain(|letter| letter.from != index);
        let id = node.membership.id();
        let is_sure = node.membership.joined() && node.membership.view(&fleet.peers).clean;
        fleet.trace.push(format!("n{index} stops with ring {}, sure: {is_sure}", id.version));
        if is_sure {
            self.saved.insert(index, (id, node.items));
        }
    }

    /// A node that stopped comes back with the newest ring, or with the one it had.
    fn start(&mut self) {
        let fleet = &mut self.fleet;
        let mut away: Vec<usize> = self.saved.keys().copied().collect();
        away.sort_unstable();
        away.retain(|index| !fleet.nodes.contains_key(index));
        let Some(&index) = away.first() else { return };
        let (id, items) = self.saved.remove(&index).unwrap();
        let old = Arc::clone(&fleet.rings[&id]);
        let running = |at: Option<usize>| at.is_some_and(|at| fleet.nodes.contains_key(&at));
        let others = old.nodes().iter().map(address_of).map(|address| fleet.at(&address));
        // Those that do not run are not found at their addresses.
        let all_there = others.filter(|at| !running(*at)).count() <= 1;
        let ring = match all_there && fleet.random.random_bool(0.7) {
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

    fn step(&mut self) {
        let doubtful = |fleet: &Fleet| fleet.nodes.values().filter(|node| node.came_back).count();
        let before = doubtful(&self.fleet);
        match self.fleet.random.random_range(0..100) {
            0..30 => self.write(),
            30..33 => self.stop(),
            33..36 => self.start(),
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
    for seed in 0..400 {
        let mut absence = Absence::new(seed);
        for _ in 0..500 {
            absence.step();
        }
        returned += absence.returned;
        dropped += absence.dropped;
        met += absence.met;
    }
    assert!(returned > 100 && dropped > 10 && met > 10, "{returned} {dropped} {met}");
}
