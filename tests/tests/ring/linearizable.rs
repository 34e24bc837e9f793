//! Clients on all nodes while rings replace each other. The history of every key must be possible on a single
//! node, except for misses.
//!
//! `RINGBINDER_RING_SECONDS` sets the duration of each run, `RINGBINDER_RING_SEED` the rings and the clients'
//! operations. Their timing differs in each run.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use ringbinder_tests::load::{Log, Plan, judge, name_of, under};
use ringbinder_tests::ring::Fleet;
use ringbinder_tests::{Kind, needs};

use crate::value_of;

const NODES: usize = 5;
const CLIENTS: u64 = 8;
const KEYS: usize = 20;

/// The kinds of run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// New rings go to one node of the current ring, or to all nodes at once.
    Named,
    /// New rings go to any node, and to one that only they list. The peer secret authenticates them.
    Secret,
    /// Like `Named`, while nodes are killed and restarted.
    Crashes,
}

#[test]
fn rings_given_to_one_of_their_nodes() {
    run("rings_given_to_one_of_their_nodes", Run::Named);
}

#[test]
fn rings_given_to_a_new_node_that_knows_the_secret() {
    run("rings_given_to_a_new_node_that_knows_the_secret", Run::Secret);
}

#[test]
fn nodes_that_die_and_come_back() {
    run("nodes_that_die_and_come_back", Run::Crashes);
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn run(test: &str, kind: Run) {
    needs!(Kind::Ringbinder);
    let seed = setting("RINGBINDER_RING_SEED").unwrap_or_else(rand::random);
    let seconds = setting("RINGBINDER_RING_SECONDS").unwrap_or(5);
    println!("{test}: RINGBINDER_RING_SEED={seed} RINGBINDER_RING_SECONDS={seconds}");
    let mut fleet = Fleet::new(NODES);
    let secret = fleet.file("secret", "a secret that is long enough\n");
    let mut arguments = Vec::new();
    if kind == Run::Secret {
        arguments.extend_from_slice(&["--peer-secret-file", &secret]);
    }
    let everybody: Vec<usize> = (0..NODES).collect();
    let first = fleet.ring(1, &[0, 1, 2]);
    fleet.launch(&everybody, &first, &arguments);
    fleet.await_settled(&everybody, 1);

    let ports: Vec<u16> = everybody.iter().map(|&node| fleet.port(node)).collect();
    let mut rings = Rings {
        rng: StdRng::seed_from_u64(seed),
        version: 1,
        newest: first,
        members: vec![0, 1, 2],
    };
    let plan = Plan { clients: CLIENTS, keys: KEYS, seed, ..Plan::default() };
    let ((), logs) = under(&ports, &plan, |_| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(seconds) {
            rings.next(&mut fleet, kind, &arguments);
        }
    });
    let _explanation = Explanation { fleet: &fleet, logs: &logs };
    let summary = judge(&logs).unwrap_or_else(|violation| panic!("{violation}"));
    println!("{test}: {} rings, {summary:?}", rings.version);
    assert!(rings.version > seconds, "only {} rings: nothing was tried", rings.version);
    assert!(summary.hits * 5 > summary.gets, "hardly a get hit: {summary:?}");
    if kind != Run::Crashes {
        assert_eq!(summary.broken, 0, "a node hung up: {summary:?}");
        assert!(summary.errors * 1000 <= summary.operations, "too many errors: {summary:?}");
    }
    calm_down(&fleet, rings.version, summary.operations);
}

/// If the test fails, prints the errors and the nodes' logs.
struct Explanation<'a> {
    fleet: &'a Fleet,
    logs: &'a [Log],
}

impl Drop for Explanation<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for trouble in self.logs.iter().flat_map(|log| &log.troubles) {
                println!("{trouble}");
            }
            println!("{}", self.fleet.logs());
        }
    }
}

/// Waits until there is no traffic between the nodes after the clients have ended, and checks that they
/// agree.
fn calm_down(fleet: &Fleet, version: u64, operations: u64) {
    let everybody: Vec<usize> = (0..NODES).collect();
    fleet.await_settled(&everybody, version);
    let foreign = || -> u64 {
        let names = ["foreign_gets", "foreign_requests"];
        let sum = |&node: &usize| names.iter().map(|name| fleet.count(node, name)).sum::<u64>();
        everybody.iter().map(sum).sum()
    };
    // A request may go from the node that was asked to the owner, and further by older rings.
    let before = foreign();
    assert!(before < operations * 4, "{before} foreign requests for {operations} operations");
    for key in (0..KEYS).map(name_of) {
        let mut seen: Vec<Option<String>> = Vec::new();
        for &node in &everybody {
            seen.push(value_of(&mut fleet.connect(node), &key));
        }
        assert!(seen.iter().all(|value| *value == seen[0]), "{key}: {seen:?}");
    }
    let asked = (NODES * KEYS) as u64;
    assert!(foreign() - before <= asked, "requests travel on and on");
}

/// The changes of the ring.
struct Rings {
    rng: StdRng,
    version: u64,
    newest: String,
    members: Vec<usize>,
}

impl Rings {
    /// Distributes the next ring and waits for a while.
    fn next(&mut self, fleet: &mut Fleet, kind: Run, arguments: &[&str]) {
        if kind == Run::Crashes && self.rng.random_bool(0.3) {
            return self.crash(fleet, arguments);
        }
        let mut everybody: Vec<usize> = (0..NODES).collect();
        everybody.shuffle(&mut self.rng);
        let count = self.rng.random_range(2..=4);
        let members: Vec<usize> = everybody[..count].to_vec();
        let weighted: Vec<(usize, u32)> =
            members.iter().map(|&node| (node, self.rng.random_range(1..=3))).collect();
        self.version += 1;
        let ring = fleet.weighted(self.version, &weighted);
        let given_to = match self.rng.random_range(0..4) {
            0 => everybody,
            1 if kind == Run::Secret => vec![*everybody.choose(&mut self.rng).expect("nodes")],
            2 if kind == Run::Secret => vec![members[0]],
            _ => vec![*self.members.choose(&mut self.rng).expect("members")],
        };
        for node in given_to {
            fleet.write(node, &ring);
        }
        self.newest = ring;
        self.members = members;
        // The sleep is part of the test: rings must follow each other faster and slower than the nodes agree
        // on them.
        std::thread::sleep(Duration::from_millis(self.rng.random_range(20..150)));
    }

    /// Kills a node and restarts it with the newest ring.
    fn crash(&mut self, fleet: &mut Fleet, arguments: &[&str]) {
        let node = self.rng.random_range(0..NODES);
        fleet.kill(node);
        fleet.write(node, &self.newest);
        fleet.start(node, arguments);
    }
}
