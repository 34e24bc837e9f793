//! Random schedules of several [`Membership`]s, in search of two nodes that serve one key.
//!
//! Everything that takes time in a real fleet is a step here, and any step may come next: a new
//! ring reaches one node's own file, a greeting is asked, answered and heard, a worker takes its new
//! view. After each step every key must have at most one node with a worker that serves it. When
//! the dust has settled every key has exactly one, and it is the owner.

mod absence;

use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringbinder_protocol::PeerLine;
use ringbinder_ring::{Format, Point, Ring, RingId};

use super::membership::{Identity, Membership, Wanted, ring_id};
use super::peer::{Address, Peers, address_of};
use super::view::{Route, View};

const NODES: usize = 5;
const WORKERS: usize = 2;
const KEYS: u32 = 64;

fn name(index: usize) -> String {
    format!("n{index}")
}

/// A ring of some of the nodes, with weights.
fn ring(version: u64, weights: &[u32; NODES]) -> Arc<Ring> {
    let mut text = format!("version = {version}\n");
    for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
        text += &format!(
            "[[node]]\nname = \"n{index}\"\naddress = \"10.0.0.{index}:11311\"\nweight = {weight}\n"
        );
    }
    Arc::new(Ring::parse(&text, Format::Toml, "simulation").unwrap())
}

/// The point of a key.
fn point(key: u32) -> Point {
    Point(key.wrapping_mul(0x9e37_79b9))
}

struct Simulated {
    membership: Membership,
    /// What each worker acts by.
    workers: Vec<View>,
    /// Which ring the node is waiting for its workers to hold.
    adopting: Option<RingId>,
    /// What it holds under keys.
    items: HashMap<u32, u64>,
    /// Some of it is from before it was away, and not all peers were met since.
    came_back: bool,
}

/// A greeting on its way.
struct Letter {
    from: usize,
    to: Address,
    /// What `to` answered; `None` while the question is on its way.
    answer: Option<PeerLine>,
}

struct Fleet {
    random: StdRng,
    peers: Peers,
    nodes: HashMap<usize, Simulated>,
    rings: HashMap<RingId, Arc<Ring>>,
    newest: Arc<Ring>,
    letters: Vec<Letter>,
    trace: Vec<String>,
}

impl Fleet {
    fn new(seed: u64) -> Fleet {
        let first = ring(1, &[1, 1, 1, 0, 0]);
        let mut fleet = Fleet {
            random: StdRng::seed_from_u64(seed),
            peers: Peers::default(),
            nodes: HashMap::new(),
            rings: HashMap::from([(first.id(), Arc::clone(&first))]),
            newest: Arc::clone(&first),
            letters: Vec::new(),
            trace: Vec::new(),
        };
        for index in 0..3 {
            fleet.start(index, &first);
        }
        fleet
    }

    fn start(&mut self, index: usize, ring: &Arc<Ring>) {
        let membership = Membership::new(Identity::Name(name(index)), Arc::clone(ring));
        let workers = vec![membership.view(&self.peers); WORKERS];
        let node = Simulated {
            membership,
            workers,
            adopting: None,
            items: HashMap::new(),
            came_back: false,
        };
        self.nodes.insert(index, node);
    }

    fn at(&self, address: &Address) -> Option<usize> {
        self.nodes.keys().copied().find(|index| **address == *format!("10.0.0.{index}:11311"))
    }

    fn index(&mut self) -> Option<usize> {
        let mut running: Vec<usize> = self.nodes.keys().copied().collect();
        running.sort_unstable();
        (!running.is_empty()).then(|| running[self.random.random_range(0..running.len())])
    }

    /// The operator writes another ring, sometimes skipping a number.
    fn change(&mut self) {
        let mut weights = [0; NODES];
        for weight in &mut weights {
            *weight = self.random.random_range(0..3);
        }
        weights[self.random.random_range(0..NODES)] = 1;
        let step = if self.random.random_bool(0.2) { 2 } else { 1 };
        self.newest = ring(self.newest.id().version + step, &weights);
        self.rings.insert(self.newest.id(), Arc::clone(&self.newest));
        self.trace.push(format!("ring {} is {weights:?}", self.newest.id().version));
    }

    /// One node is given a ring by its own file.
    fn give(&mut self, index: usize, ring: &Arc<Ring>) {
        match self.nodes.get(&index) {
            Some(_) => self.adopt(index, ring),
            None => {
                self.trace.push(format!("n{index} starts with ring {}", ring.id().version));
                self.start(index, ring);
            }
        }
    }

    fn adopt(&mut self, index: usize, ring: &Arc<Ring>) {
        let node = self.nodes.get_mut(&index).unwrap();
        // A node takes one ring after the other.
        if node.adopting.is_none() && node.membership.adopt(Arc::clone(ring)) {
            node.adopting = Some(ring.id());
            self.trace.push(format!("n{index} takes ring {}", ring.id().version));
        }
    }

    /// A worker takes the newest view; when all have, the node holds the ring.
    fn work(&mut self, index: usize, worker: usize) {
        let node = self.nodes.get_mut(&index).unwrap();
        node.workers[worker] = node.membership.view(&self.peers);
        let all = |id| node.workers.iter().all(|view| view.id() == id);
        if let Some(id) = node.adopting.filter(|&id| all(id)) {
            let came_back = std::mem::take(&mut node.came_back);
            let (me, ring) = (node.membership.me(), Arc::clone(node.membership.ring()));
            node.items.retain(|key, _| !came_back && me == Some(ring.owner_at(point(*key))));
            node.membership.hold(id);
            node.adopting = None;
            self.trace.push(format!("n{index} holds ring {}", id.version));
        }
    }

    fn greet(&mut self, from: usize, to: Address) {
        self.letters.push(Letter { from, to, answer: None });
    }

    /// Moves one letter on.
    fn carry(&mut self, letter: usize) {
        let answer = self.letters[letter].answer.clone();
        let to = Arc::clone(&self.letters[letter].to);
        let Some(at) = self.at(&to) else {
            // Nothing listens there.
            let from = self.letters.swap_remove(letter).from;
            self.nodes.get_mut(&from).unwrap().membership.give_up(&to);
            return;
        };
        let Some(line) = answer else {
            let line = self.nodes[&at].membership.peer_line(&name(at), 0);
            self.letters[letter].answer = Some(line);
            return;
        };
        let from = self.letters.swap_remove(letter).from;
        let node = self.nodes.get_mut(&from).unwrap();
        let wanted = node.membership.heard(&to, &line);
        node.came_back &= !node.membership.has_met_all();
        self.trace.push(format!(
            "n{from} hears n{at}: held {} base {}: {wanted:?}",
            line.held.version, line.base.version
        ));
        match wanted {
            Wanted::Nothing => {}
            Wanted::Newer(id) => {
                let ring = Arc::clone(&self.rings[&id]);
                self.adopt(from, &ring);
            }
            Wanted::Past(ids) => {
                for id in ids {
                    let ring = Arc::clone(&self.rings[&id]);
                    let node = self.nodes.get_mut(&from).unwrap();
                    if node.membership.learn(Arc::clone(&ring)) {
                        let me = node.membership.me_in(&ring);
                        node.items.retain(|key, _| me == Some(ring.owner_at(point(*key))));
                    }
                }
                self.greet(from, to);
            }
        }
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..3 => self.change(),
            3..10 => {
                let index = self.random.random_range(0..NODES);
                let ring = Arc::clone(&self.newest);
                self.give(index, &ring);
            }
            10..40 => {
                if let Some(index) = self.index() {
                    let peers = self.nodes[&index].membership.peers();
                    if !peers.is_empty() {
                        let to = Arc::clone(&peers[self.random.random_range(0..peers.len())]);
                        self.greet(index, to);
                    }
                }
            }
            40..75 if !self.letters.is_empty() => {
                let letter = self.random.random_range(0..self.letters.len());
                self.carry(letter);
            }
            _ => {
                if let Some(index) = self.index() {
                    let worker = self.random.random_range(0..WORKERS);
                    self.work(index, worker);
                }
            }
        }
    }

    /// Which nodes serve a key.
    fn serving(&self, key: u32) -> Vec<usize> {
        let point = point(key);
        let serves = |view: &View| matches!(view.route(point), Route::Local);
        let mut serving: Vec<usize> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.workers.iter().any(serves))
            .map(|(index, _)| *index)
            .collect();
        serving.sort_unstable();
        serving
    }

    fn check(&self) {
        for key in 0..KEYS {
            let serving = self.serving(key);
            assert!(
                serving.len() <= 1,
                "nodes {serving:?} serve key {key}:\n{}",
                self.trace.join("\n")
            );
        }
    }

    /// Everybody gets the newest ring, and everything that can happen does.
    fn come_to_rest(&mut self) {
        let ring = Arc::clone(&self.newest);
        for _ in 0..8 {
            for index in 0..NODES {
                self.give(index, &ring);
                for worker in 0..WORKERS {
                    self.work(index, worker);
                }
                self.give(index, &ring);
            }
            for index in 0..NODES {
                for to in self.nodes[&index].membership.peers() {
                    self.greet(index, to);
                }
            }
            while !self.letters.is_empty() {
                self.carry(0);
                self.check();
            }
            for index in 0..NODES {
                for worker in 0..WORKERS {
                    self.work(index, worker);
                }
            }
        }
        for (index, node) in &self.nodes {
            let membership = &node.membership;
            assert!(
                membership.is_settled() && membership.id() == ring.id(),
                "n{index} waits for {:?}:\n{}",
                membership.awaited(),
                self.trace.join("\n")
            );
        }
        for key in 0..KEYS {
            let point = point(key);
            let owner = &ring.nodes()[ring.owner_at(point) as usize];
            let owner = self.at(&address_of(owner)).unwrap();
            assert_eq!(self.serving(key), [owner], "key {key}");
        }
    }
}

#[test]
fn no_schedule_makes_two_nodes_serve_one_key() {
    for seed in 0..400 {
        let mut fleet = Fleet::new(seed);
        for _ in 0..400 {
            fleet.step();
            fleet.check();
        }
        fleet.come_to_rest();
    }
}

#[test]
fn a_confirmation_of_another_ring_does_not_count() {
    let peers = Peers::default();
    let old = ring(1, &[1, 1, 0, 0, 0]);
    let new = ring(2, &[1, 0, 0, 0, 0]);
    let mut membership = Membership::new(Identity::Name(name(0)), Arc::clone(&old));
    let other = address_of(&old.nodes()[1]);
    let at = |ring: &Arc<Ring>| {
        Membership::new(Identity::Name(name(1)), Arc::clone(ring)).peer_line("n1", 0)
    };
    assert_eq!(membership.heard(&other, &at(&old)), Wanted::Nothing);
    assert!(membership.is_settled());
    assert!(membership.adopt(Arc::clone(&new)));
    assert!(!membership.adopt(Arc::clone(&new)), "the same ring twice");
    assert!(!membership.adopt(old.clone()), "an older ring");
    assert_eq!(membership.heard(&other, &at(&old)), Wanted::Nothing);
    assert!(!membership.is_settled(), "a confirmation of the old ring");
    assert_eq!(membership.awaited(), [Arc::clone(&other)]);
    let gained = (0..KEYS).map(Point).map(|point| Point(point.0 << 26));
    let view = membership.view(&peers);
    assert!(gained.clone().any(|point| matches!(view.route(point), Route::Former(_))));
    assert!(membership.give_up(&other));
    let view = membership.view(&peers);
    assert!(gained.clone().all(|point| matches!(view.route(point), Route::Local)));
    assert_eq!(ring_id(membership.peer_line("n0", 0).held), old.id(), "workers still hold it");
}

#[test]
fn a_node_that_skipped_a_ring_learns_of_it_before_it_serves() {
    let rings = [ring(1, &[1, 1, 0, 0, 0]), ring(2, &[0, 1, 0, 0, 0]), ring(3, &[1, 1, 0, 0, 0])];
    let mut slept = Membership::new(Identity::Name(name(0)), Arc::clone(&rings[0]));
    let mut awake = Membership::new(Identity::Name(name(1)), Arc::clone(&rings[0]));
    let (slept_at, awake_at) = (address_of(&rings[0].nodes()[0]), address_of(&rings[0].nodes()[1]));
    slept.heard(&awake_at, &awake.peer_line("n1", 0));
    awake.heard(&slept_at, &slept.peer_line("n0", 0));
    for ring in &rings[1..] {
        awake.adopt(Arc::clone(ring));
        awake.give_up(&slept_at);
        awake.hold(ring.id());
    }
    assert!(slept.adopt(Arc::clone(&rings[2])));
    slept.hold(rings[2].id());
    assert!(!slept.joined());
    let wanted = slept.heard(&awake_at, &awake.peer_line("n1", 0));
    assert_eq!(wanted, Wanted::Past(vec![rings[1].id()]));
    assert!(slept.learn(Arc::clone(&rings[1])), "what it gave away is to be forgotten");
    assert_eq!(slept.heard(&awake_at, &awake.peer_line("n1", 0)), Wanted::Nothing);
    assert!(slept.is_settled());
}
