//! Several processes under one name: a ring that gives the name to another address while the old
//! process runs on, a host name that is repointed, a clone of a machine, restarts, and processes
//! that disagree about where an address leads. At most one of them may ever serve a key.
//!
//! No process is declared failed here while it runs but is unreachable: that exception cannot be
//! prevented (`docs/reliability.md`).

use super::rules::member;
use super::*;

/// The process at the second address of a node.
fn successor(index: usize) -> usize {
    100 + index
}

/// A clone of a node's machine.
fn clone_of(index: usize) -> usize {
    200 + index
}

impl Fleet {
    fn stop(&mut self, pid: usize) {
        self.trace.push(format!("n{pid} ends"));
        self.nodes.remove(&pid);
        self.letters.retain(|letter| letter.from != pid);
    }

    /// Gives a name to another address, and starts a process there at some time.
    fn move_node(&mut self) {
        let index = self.random.random_range(0..NODES);
        if !self.moved.remove(&index) {
            self.moved.insert(index);
        }
        self.change();
    }

    fn start_successor(&mut self, index: usize) {
        let pid = successor(index);
        if !self.nodes.contains_key(&pid) {
            let ring = Arc::clone(&self.newest);
            let addresses = match self.mapped {
                true => Vec::new(),
                false => vec![second(index).parse().unwrap()],
            };
            self.trace.push(format!("n{pid} starts as n{index} at its second address"));
            self.start_as(pid, index, addresses, &ring);
            self.book.insert(second(index), pid);
        }
    }

    fn start_clone(&mut self, index: usize) {
        let pid = clone_of(index);
        if !self.nodes.contains_key(&pid) {
            let ring = Arc::clone(&self.newest);
            self.trace.push(format!("n{pid} starts as a clone of n{index}"));
            self.start_as(pid, index, Vec::new(), &ring);
        }
    }

    /// Makes DNS lead an address to the clone, or back.
    fn repoint(&mut self, index: usize) {
        let pid = if self.book[&address(index)] == index { clone_of(index) } else { index };
        self.trace.push(format!("{} leads to n{pid}", address(index)));
        self.book.insert(address(index), pid);
    }

    /// Makes an address lead elsewhere or nowhere for one process, or ends such a fault.
    fn lie(&mut self) {
        let Some(observer) = self.index() else { return };
        let index = self.random.random_range(0..NODES);
        let place = if self.random.random_bool(0.7) { address(index) } else { second(index) };
        let key = (observer, place);
        if self.lies.remove(&key).is_none() {
            let pids = self.pids();
            let whom = pids[self.random.random_range(0..pids.len())];
            let whom = self.random.random_bool(0.5).then_some(whom);
            self.trace.push(format!("for n{observer} {} leads to {whom:?}", key.1));
            self.lies.insert(key, whom);
        }
    }

    fn claim_step(&mut self) {
        let index = self.random.random_range(0..NODES);
        match self.random.random_range(0..200) {
            0..3 => self.move_node(),
            3..6 => self.start_successor(index),
            6..9 => self.start_clone(index),
            9..12 if self.mapped => self.repoint(index),
            12..16 => self.lie(),
            16..20 => {
                if let Some(pid) = self.index() {
                    let ring = Arc::clone(self.nodes[&pid].membership.ring());
                    let (called, addresses) = {
                        let node = &self.nodes[&pid];
                        (node.called, node.membership.identity().addresses.clone())
                    };
                    self.stop(pid);
                    if self.random.random_bool(0.7) {
                        self.trace.push(format!("n{pid} starts anew"));
                        self.start_as(pid, called, addresses, &ring);
                    }
                }
            }
            20..40 => {
                if let Some(pid) = self.index() {
                    self.look(pid);
                }
            }
            40..50 => {
                if let Some(pid) = self.index() {
                    let ring = Arc::clone(&self.newest);
                    self.adopt(pid, &ring);
                }
            }
            _ => self.step(),
        }
    }

    /// Makes DNS correct for all processes, and starts a process at each address that a ring has
    /// listed.
    fn make_whole(&mut self) {
        self.lies.clear();
        for index in 0..NODES {
            if self.book[&address(index)] != index {
                self.repoint(index);
            }
            self.start_successor(index);
        }
    }
}

#[test]
fn a_report_by_an_older_ring_proves_nothing_of_a_new_address() {
    let peers = Peers::default();
    let (old, new) = (ring(1, &[1, 1, 0, 0, 0]), ring_of(2, &[1, 1, 0, 0, 0], &[0].into()));
    let mut membership = member(0, &old);
    let other = address_of(&old.nodes()[1]);
    let this = membership.claim().instance();
    let report = |ring: &Arc<Ring>, seen| {
        let line = member(1, ring).peer_line("n1");
        let process = line.process.map(|process| PeerProcess { seen, ..process });
        PeerLine { process, ..line }
    };
    membership.heard(&other, &report(&old, Some(this)));
    assert_eq!(membership.standing(), Standing::Confirmed);
    assert!(membership.adopt(Arc::clone(&new)));
    membership.hold(new.id());
    assert_eq!(membership.standing(), Standing::Unconfirmed);
    membership.heard(&other, &report(&old, Some(this)));
    assert_eq!(membership.standing(), Standing::Unconfirmed, "it means the address of before");
    assert!(!membership.view(&peers).joined);
    membership.heard(&other, &report(&new, Some(this)));
    assert_eq!(membership.standing(), Standing::Confirmed);
}

/// A fleet at rest, and one of its nodes.
fn at_rest(seed: u64, mapped: bool) -> (Fleet, usize) {
    let mut fleet = Fleet::new(seed);
    fleet.mapped = mapped;
    fleet.nodes.clear();
    let all = ring(2, &[1; NODES]);
    fleet.rings.insert(all.id(), Arc::clone(&all));
    fleet.newest = Arc::clone(&all);
    (0..NODES).for_each(|index| fleet.start(index, &all));
    fleet.come_to_rest();
    let index = fleet.random.random_range(0..NODES);
    (fleet, index)
}

/// Runs a fleet for a while in which the process `old` rarely checks its own address.
fn go_on(fleet: &mut Fleet, old: usize) {
    for _ in 0..800 {
        match fleet.random.random_range(0..1000) {
            // Peers forget the processes that they accepted.
            0..5 => {
                if let Some(pid) = fleet.index().filter(|pid| *pid < NODES && *pid != old) {
                    let node = &fleet.nodes[&pid].membership;
                    let ring = Arc::clone(node.ring());
                    let addresses = node.identity().addresses.clone();
                    fleet.stop(pid);
                    fleet.start_as(pid, pid, addresses, &ring);
                    fleet.trace.push(format!("n{pid} starts anew"));
                }
            }
            5..12 => fleet.look(old),
            12..100 => {
                if let Some(pid) = fleet.index().filter(|pid| *pid != old) {
                    fleet.look(pid);
                }
            }
            100..400 => {
                if let Some(from) = fleet.index() {
                    let peers = fleet.nodes[&from].membership.peers();
                    let to = fleet.random.random_range(0..peers.len());
                    fleet.greet(from, Arc::clone(&peers[to]));
                }
            }
            400..850 if !fleet.letters.is_empty() => {
                let letter = fleet.random.random_range(0..fleet.letters.len());
                fleet.carry(letter);
            }
            _ => {
                if let Some(pid) = fleet.index() {
                    let worker = fleet.random.random_range(0..WORKERS);
                    fleet.work(pid, worker);
                }
            }
        }
        fleet.check();
    }
}

#[test]
fn a_process_whose_host_name_leads_elsewhere_makes_way_before_the_other_one_serves() {
    let mut taken_over = 0;
    for seed in 0..150 {
        let (mut fleet, index) = at_rest(seed, true);
        fleet.start_clone(index);
        fleet.repoint(index);
        go_on(&mut fleet, index);
        let serves = (0..KEYS).any(|key| fleet.serving(key) == [clone_of(index)]);
        taken_over += usize::from(serves);
    }
    assert!(taken_over > 30, "{taken_over} clones took over");
}

#[test]
fn a_process_whose_name_moves_makes_way_before_the_other_one_serves() {
    let mut taken_over = 0;
    for seed in 0..150 {
        let (mut fleet, index) = at_rest(seed, seed % 2 == 0);
        fleet.moved.insert(index);
        let next = ring_of(3, &[1; NODES], &fleet.moved);
        fleet.rings.insert(next.id(), Arc::clone(&next));
        fleet.newest = Arc::clone(&next);
        fleet.start_successor(index);
        let first = fleet.random.random_range(0..NODES);
        fleet.give(first, &next);
        go_on(&mut fleet, index);
        let serves = (0..KEYS).any(|key| fleet.serving(key) == [successor(index)]);
        taken_over += usize::from(serves);
    }
    assert!(taken_over > 30, "{taken_over} successors took over");
}

#[test]
fn of_the_processes_under_one_name_at_most_one_serves() {
    let mut replaced = 0;
    for seed in 0..120 {
        let mut fleet = Fleet::new(seed);
        fleet.mapped = seed % 2 == 0;
        for _ in 0..600 {
            fleet.claim_step();
            fleet.check();
        }
        let standing = |node: &Simulated| node.membership.acted() == Standing::Replaced;
        replaced += fleet.nodes.values().filter(|node| standing(node)).count();
        fleet.make_whole();
        fleet.come_to_rest();
    }
    assert!(replaced > 20, "{replaced} processes were replaced");
}
