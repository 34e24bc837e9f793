//! Random schedules of several [`Membership`]s, in search of two nodes that serve one key.
//!
//! Every operation that takes time in a real fleet is a step here, and any step may come next: a
//! new ring reaches one node's own file, a handshake is asked, answered and heard, a worker takes
//! its new view. After each step, every key must have at most one process with a worker that serves
//! it. At the end, when no step is left, every key has exactly one such process, and that is the
//! owner.
//!
//! A process is neither its name nor its address: several may be started under one name, and
//! processes may disagree about where an address leads (`claims`).

mod absence;
mod claims;
mod rules;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringbinder_protocol::{Instance, PeerLine, PeerProcess, Standing};
use ringbinder_ring::{Format, Point, Ring, RingId};

use super::membership::{Identity, Membership, Wanted, ring_id};
use super::peer::{Address, Peers, address_of};
use super::view::{Route, View};
use crate::ring::membership::accepted::{Accepted, Change};

const NODES: usize = 5;
const WORKERS: usize = 2;
const KEYS: u32 = 64;

fn name(index: usize) -> String {
    format!("n{index}")
}

/// A ring of some of the nodes, with weights.
fn ring(version: u64, weights: &[u32; NODES]) -> Arc<Ring> {
    ring_of(version, weights, &HashSet::new())
}

/// The same with some nodes at their second address.
fn ring_of(version: u64, weights: &[u32; NODES], moved: &HashSet<usize>) -> Arc<Ring> {
    let mut text = format!("version = {version}\n");
    for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
        let address = if moved.contains(&index) { second(index) } else { address(index) };
        text +=
            &format!("[[node]]\nname = \"n{index}\"\naddress = \"{address}\"\nweight = {weight}\n");
    }
    Arc::new(Ring::parse(&text, Format::Toml, "simulation").unwrap())
}

fn address(index: usize) -> String {
    format!("10.0.0.{index}:11311")
}

/// Another address of a node.
fn second(index: usize) -> String {
    format!("10.0.1.{index}:11311")
}

/// The point of a key.
fn point(key: u32) -> Point {
    Point(key.wrapping_mul(0x9e37_79b9))
}

/// A process.
struct Simulated {
    /// The index of the name that it was started with.
    called: usize,
    membership: Membership,
    /// The view of each worker.
    workers: Vec<View>,
    /// The ring that the node waits for its workers to hold.
    adopting: Option<RingId>,
    /// The value that it holds for each key.
    items: HashMap<u32, u64>,
    /// Some of its items are from before it was away, and it has not met all peers since.
    came_back: bool,
    /// The process that it accepts at each address.
    accepted: HashMap<Address, Accepted>,
    /// The processes to which it has connections.
    controls: HashMap<Address, Instance>,
    /// Addresses to dial although there is a connection.
    afresh: HashSet<Address>,
    /// It must check which process answers at its own address.
    doubted: bool,
}

impl Simulated {
    fn instance(&self) -> Instance {
        self.membership.claim().instance()
    }

    fn accepted(&mut self, address: &Address) -> &mut Accepted {
        self.accepted.entry(Arc::clone(address)).or_default()
    }

    /// The address that the current ring gives a name.
    fn address_named(&self, called: usize) -> Option<Address> {
        let nodes = self.membership.ring().nodes();
        nodes.iter().find(|node| node.name == name(called)).map(address_of)
    }
}

/// A handshake on its way.
struct Letter {
    from: usize,
    to: Address,
    /// The process at the other end.
    reached: Instance,
    /// Over a new connection.
    fresh: bool,
    /// Its answer; `None` while the question is in transit.
    answer: Option<PeerLine>,
}

struct Fleet {
    random: StdRng,
    peers: Peers,
    /// The processes that run.
    nodes: HashMap<usize, Simulated>,
    /// The process to which each address leads.
    book: HashMap<String, usize>,
    /// The process to which an address leads for one process, or `None` if it leads nowhere.
    lies: HashMap<(usize, String), Option<usize>>,
    /// Nodes that the newest ring has at their second address.
    moved: HashSet<usize>,
    rings: HashMap<RingId, Arc<Ring>>,
    newest: Arc<Ring>,
    letters: Vec<Letter>,
    /// Stopped by their operator; nothing listens at their addresses.
    gone: HashSet<usize>,
    /// No ring leaves out more than two nodes.
    steady: bool,
    /// No process listens on the address in the ring: it is a host name, or ports are mapped.
    mapped: bool,
    instances: u64,
    trace: Vec<String>,
}

impl Fleet {
    fn new(seed: u64) -> Fleet {
        let first = ring(1, &[1, 1, 1, 0, 0]);
        let mut fleet = Fleet {
            random: StdRng::seed_from_u64(seed),
            peers: Peers::default(),
            nodes: HashMap::new(),
            book: (0..NODES).map(|index| (address(index), index)).collect(),
            lies: HashMap::new(),
            moved: HashSet::new(),
            rings: HashMap::from([(first.id(), Arc::clone(&first))]),
            newest: Arc::clone(&first),
            letters: Vec::new(),
            gone: HashSet::new(),
            steady: false,
            mapped: false,
            instances: 0,
            trace: Vec::new(),
        };
        for index in 0..3 {
            fleet.start(index, &first);
        }
        fleet
    }

    /// Starts the process that belongs at an address.
    fn start(&mut self, index: usize, ring: &Arc<Ring>) {
        let addresses = match self.mapped {
            true => Vec::new(),
            false => vec![address(index).parse().unwrap()],
        };
        self.start_as(index, index, addresses, ring);
    }

    /// Starts a process under a name.
    fn start_as(
        &mut self,
        pid: usize,
        called: usize,
        addresses: Vec<std::net::SocketAddr>,
        ring: &Arc<Ring>,
    ) {
        self.instances += 1;
        let identity = Identity { name: Some(name(called)), addresses };
        let membership = Membership::new(identity, Instance(self.instances), Arc::clone(ring));
        let workers = vec![membership.view(&self.peers); WORKERS];
        let node = Simulated {
            called,
            membership,
            workers,
            adopting: None,
            items: HashMap::new(),
            came_back: false,
            accepted: HashMap::new(),
            controls: HashMap::new(),
            afresh: HashSet::new(),
            doubted: false,
        };
        self.nodes.insert(pid, node);
    }

    /// The process to which an address leads for the observer, if any listens there.
    fn lookup(&self, observer: usize, address: &str) -> Option<usize> {
        let lie = self.lies.get(&(observer, address.to_owned()));
        let pid = lie.copied().unwrap_or_else(|| self.book.get(address).copied())?;
        self.nodes.contains_key(&pid).then_some(pid)
    }

    fn running(&self, instance: Instance) -> Option<usize> {
        self.nodes.iter().find(|(_, node)| node.instance() == instance).map(|(pid, _)| *pid)
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
        while self.steady && weights.iter().filter(|weight| **weight == 0).count() > 2 {
            weights[self.random.random_range(0..NODES)] = 1;
        }
        let step = if self.random.random_bool(0.2) { 2 } else { 1 };
        self.newest = ring_of(self.newest.id().version + step, &weights, &self.moved);
        self.rings.insert(self.newest.id(), Arc::clone(&self.newest));
        self.trace.push(format!("ring {} is {weights:?}", self.newest.id().version));
    }

    /// Gives one node a ring by its own file.
    fn give(&mut self, index: usize, ring: &Arc<Ring>) {
        match self.nodes.get(&index) {
            Some(_) => self.adopt(index, ring),
            None if self.gone.contains(&index) => {}
            None => {
                self.trace.push(format!("n{index} starts with ring {}", ring.id().version));
                self.start(index, ring);
            }
        }
    }

    fn adopt(&mut self, index: usize, ring: &Arc<Ring>) {
        let node = self.nodes.get_mut(&index).unwrap();
        // A node adopts one ring after another.
        if node.adopting.is_none() && node.membership.adopt(Arc::clone(ring)) {
            if node.membership.standing() == Standing::Unconfirmed {
                node.items.clear();
            }
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
        let standing = node.membership.standing();
        if standing != node.membership.acted() {
            let is_out = node.workers.iter().all(|view| view.me.is_none());
            if standing == Standing::Replaced && !is_out {
                return;
            }
            if standing == Standing::Replaced {
                node.items.clear();
                node.came_back = false;
            }
            node.membership.stand();
            self.trace.push(format!("n{index} is {standing}"));
        }
    }

    /// Checks which process answers at the process's own address.
    fn look(&mut self, index: usize) {
        let node = self.nodes.get_mut(&index).unwrap();
        let doubted = std::mem::take(&mut node.doubted);
        let ring = Arc::clone(node.membership.ring());
        let place = node.membership.me().map(|me| &ring.nodes()[me as usize]);
        let listens = place.is_some_and(|node_| node.membership.identity().listens_on(node_));
        let Some(address) = node.membership.claim().address().cloned() else { return };
        if listens && !doubted {
            return;
        }
        if let Some(found) = self.lookup(index, &address) {
            let (instance, other) = (self.nodes[&found].instance(), self.nodes[&found].called);
            let node = self.nodes.get_mut(&index).unwrap();
            if other != node.called {
                return;
            }
            node.membership.dialled_itself(instance);
            self.trace.push(format!("n{index} finds n{found} at {address}"));
        }
    }

    /// Greets an address over the existing connection, and over a new one if that is needed.
    fn greet(&mut self, from: usize, to: Address) {
        let node = self.nodes.get_mut(&from).unwrap();
        let afresh = node.afresh.remove(&to) || node.accepted(&to).rival().is_some();
        let control = node.controls.get(&to).copied();
        if let Some(reached) = control {
            if self.running(reached).is_some() {
                let letter =
                    Letter { from, to: Arc::clone(&to), reached, fresh: false, answer: None };
                self.letters.push(letter);
                if !afresh {
                    return;
                }
            } else {
                self.closed(from, &to);
            }
        }
        match self.lookup(from, &to) {
            Some(pid) => {
                let reached = self.nodes[&pid].instance();
                self.letters.push(Letter { from, to, reached, fresh: true, answer: None });
            }
            None if control.is_none() => {
                let is_stopped = self.gone.iter().any(|index| *to == *address(*index));
                let node = self.nodes.get_mut(&from).unwrap();
                node.membership.lost(&to);
                if is_stopped && node.accepted(&to).process().is_none() {
                    node.membership.give_up(&to);
                }
            }
            None => {}
        }
    }

    /// Records that the process at the other end of a connection has ended.
    fn closed(&mut self, from: usize, to: &Address) {
        let node = self.nodes.get_mut(&from).unwrap();
        node.controls.remove(to);
        node.accepted(to).closed();
    }

    /// The answer of a process to a handshake, with the effects of the handshake on it.
    fn answer(&mut self, at: usize, from: usize, seen: Option<Instance>) -> PeerLine {
        let greeter = self.nodes[&from].instance();
        let called = self.nodes[&from].called;
        let node = self.nodes.get_mut(&at).unwrap();
        let own = node.instance();
        let is_own_name = node.called == called && node.membership.me().is_some();
        let is_in_place = node.membership.standing() != Standing::Replaced;
        let line = node.membership.peer_line(&name(node.called));
        node.doubted |= seen.is_some_and(|seen| seen != own);
        let seen = if is_own_name && is_in_place {
            Some(own)
        } else {
            let address = node.address_named(called);
            let seen = address.as_ref().and_then(|address| node.accepted(address).process());
            if let Some(address) = address.filter(|_| seen != Some(greeter)) {
                node.afresh.insert(address);
            }
            seen
        };
        let process = line.process.map(|process| PeerProcess { seen, ..process });
        PeerLine { process, ..line }
    }

    /// Advances one letter by one step.
    fn carry(&mut self, letter: usize) {
        let Letter { from, reached, fresh, .. } = self.letters[letter];
        let to = Arc::clone(&self.letters[letter].to);
        let Some(at) = self.running(reached) else {
            self.letters.swap_remove(letter);
            if !fresh && self.nodes[&from].controls.get(&to) == Some(&reached) {
                self.closed(from, &to);
            }
            return;
        };
        let Some(line) = self.letters[letter].answer.clone() else {
            let seen = self.nodes.get_mut(&from).unwrap().accepted(&to).process();
            self.letters[letter].answer = Some(self.answer(at, from, seen));
            return;
        };
        self.letters.swap_remove(letter);
        let node = self.nodes.get_mut(&from).unwrap();
        let is_called = node.membership.is_called(&to, &line.name);
        let accepted = node.accepted(&to);
        if !is_called {
            // It is another node: only a newer ring could make it this one.
            if let Some(id) = node.membership.newer_of(&to, &line) {
                let ring = Arc::clone(&self.rings[&id]);
                self.adopt(from, &ring);
            }
            return;
        }
        if fresh {
            if accepted.reached(reached) == Change::Rivalled {
                // The accepted process learns of it over the connection to it.
                let old = accepted.process();
                self.trace.push(format!("n{from} finds n{at} at {to} beside {old:?}"));
                if let Some(old) = old.and_then(|old| self.running(old)) {
                    self.nodes.get_mut(&old).unwrap().doubted = true;
                }
                return;
            }
            if accepted.process() != Some(reached) {
                return;
            }
            node.controls.insert(Arc::clone(&to), reached);
        } else {
            if node.controls.get(&to) != Some(&reached) {
                return;
            }
            let accepted = node.accepted(&to);
            accepted.answered(line.process.map(|process| process.standing));
            if accepted.is_gone() {
                node.controls.remove(&to);
                return;
            }
        }
        let node = self.nodes.get_mut(&from).unwrap();
        if fresh && node.membership.claim().address() == Some(&to) {
            node.membership.dialled_itself(reached);
        }
        let wanted = node.membership.heard(&to, &line);
        // Meeting all peers counts only by the ring with which the node came back, so not while it
        // adopts another one.
        node.came_back &= node.adopting.is_some() || !node.membership.has_met_all();
        self.trace.push(format!(
            "n{from} hears n{at}: held {} base {} {:?}: {wanted:?}",
            line.held.version, line.base.version, line.process
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

    /// The nodes that serve a key.
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

    fn pids(&self) -> Vec<usize> {
        let mut pids: Vec<usize> = self.nodes.keys().copied().collect();
        pids.sort_unstable();
        pids
    }

    /// Gives every node the newest ring, and runs steps until none is left.
    fn come_to_rest(&mut self) {
        let ring = Arc::clone(&self.newest);
        for _ in 0..8 {
            let others: Vec<usize> = self.pids().into_iter().filter(|pid| *pid >= NODES).collect();
            for index in (0..NODES).chain(others) {
                self.give(index, &ring);
                for worker in 0..WORKERS {
                    self.work(index, worker);
                }
                self.give(index, &ring);
            }
            for index in self.pids() {
                self.look(index);
                for to in self.nodes[&index].membership.peers() {
                    self.greet(index, to);
                }
            }
            while !self.letters.is_empty() {
                self.carry(0);
                self.check();
            }
            for index in self.pids() {
                for worker in 0..WORKERS {
                    self.work(index, worker);
                }
                self.check();
            }
        }
        for (index, node) in &self.nodes {
            let membership = &node.membership;
            assert!(
                (membership.is_settled() || membership.standing() == Standing::Replaced)
                    && membership.id() == ring.id(),
                "n{index} waits for {:?}:\n{}",
                membership.awaited(),
                self.trace.join("\n")
            );
        }
        for key in 0..KEYS {
            let point = point(key);
            let owner = &ring.nodes()[ring.owner_at(point) as usize];
            let owner = self.book[&*address_of(owner)];
            assert_eq!(self.serving(key), [owner], "key {key}:\n{}", self.trace.join("\n"));
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
