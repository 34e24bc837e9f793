//! Clients on all nodes while rings replace each other: every key's history must be one that a
//! single node could have given, misses aside.
//!
//! `RINGBINDER_RING_SECONDS` says how long each run takes, `RINGBINDER_RING_SEED` which rings come
//! and which operations the clients choose. How these meet in time is new in each run.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use ringbinder_tests::history::{Action, Moment, Operation, check};
use ringbinder_tests::ring::{Fleet, local};
use ringbinder_tests::wait;

use crate::{here, value_of};

const NODES: usize = 5;
const CLIENTS: u64 = 8;
const KEYS: usize = 20;

/// What a run does to the fleet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// New rings are given to a node of the ring in force, or to all nodes at once.
    Named,
    /// They are given to any node, and to one that only they name; the peer secret proves them.
    Secret,
    /// As `Named`, while nodes are killed and started again.
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
    if !here(test) {
        return;
    }
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

    let start = Instant::now();
    let stop = AtomicBool::new(false);
    let ports: Vec<u16> = everybody.iter().map(|&node| fleet.port(node)).collect();
    let mut rings = Rings {
        rng: StdRng::seed_from_u64(seed),
        version: 1,
        newest: first,
        members: vec![0, 1, 2],
    };
    let logs: Vec<Log> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (ports, stop) = (&ports, &stop);
                scope.spawn(move || Client::new(number, seed, ports, start).work(stop))
            })
            .collect();
        // The clients end however the changes do.
        let changes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while start.elapsed() < Duration::from_secs(seconds) {
                rings.next(&mut fleet, kind, &arguments);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        let logs = clients.into_iter().map(|client| client.join().expect("a client")).collect();
        changes.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        logs
    });
    let _explanation = Explanation { fleet: &fleet, logs: &logs };
    let summary = judge(&logs);
    println!("{test}: {} rings, {summary:?}", rings.version);
    assert!(rings.version > seconds, "only {} rings: nothing was tried", rings.version);
    assert!(summary.hits * 5 > summary.gets, "hardly a get hit: {summary:?}");
    if kind != Run::Crashes {
        assert_eq!(summary.broken, 0, "a node hung up: {summary:?}");
        assert!(summary.errors * 1000 <= summary.operations, "too many errors: {summary:?}");
    }
    calm_down(&fleet, rings.version, summary.operations);
}

/// Shows, where the test fails, what went wrong and what the nodes say of it.
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

/// Once the clients are gone, nothing travels between the nodes, and they agree.
fn calm_down(fleet: &Fleet, version: u64, operations: u64) {
    let everybody: Vec<usize> = (0..NODES).collect();
    fleet.await_settled(&everybody, version);
    let foreign = || -> u64 {
        let names = ["foreign_gets", "foreign_requests"];
        let sum = |&node: &usize| names.iter().map(|name| fleet.count(node, name)).sum::<u64>();
        everybody.iter().map(sum).sum()
    };
    // From the node that was asked to the owner, and on by older rings.
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

fn name_of(key: usize) -> String {
    format!("register-{key}")
}

/// The changes of the ring.
struct Rings {
    rng: StdRng,
    version: u64,
    newest: String,
    members: Vec<usize>,
}

impl Rings {
    /// Puts the next ring out, and waits a while.
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
        // This is what is tried, not something waited for: rings that follow each other faster and
        // slower than nodes agree on them.
        std::thread::sleep(Duration::from_millis(self.rng.random_range(20..150)));
    }

    /// Ends a node and starts it again, with the newest ring.
    fn crash(&mut self, fleet: &mut Fleet, arguments: &[&str]) {
        let node = self.rng.random_range(0..NODES);
        fleet.kill(node);
        fleet.write(node, &self.newest);
        fleet.start(node, arguments);
    }
}

/// What a client did, by key, and what came of it.
#[derive(Default)]
struct Log {
    histories: HashMap<usize, Vec<Operation>>,
    gets: u64,
    hits: u64,
    /// Requests answered with an error.
    errors: u64,
    /// Connections that ended in the middle of a request.
    broken: u64,
    /// The first of both, for people.
    troubles: Vec<String>,
}

impl Log {
    fn trouble(&mut self, at: Moment, what: &str) {
        if self.troubles.len() < 10 {
            self.troubles.push(format!("at {at} ns: {what}"));
        }
    }
}

/// One thread, on one node after another.
struct Client<'a> {
    rng: StdRng,
    ports: &'a [u16],
    start: Instant,
    connection: Option<BufReader<TcpStream>>,
    next_value: u64,
    log: Log,
}

impl Client<'_> {
    fn new(number: u64, seed: u64, ports: &[u16], start: Instant) -> Client<'_> {
        Client {
            rng: StdRng::seed_from_u64(seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            ports,
            start,
            connection: None,
            next_value: (number + 1) << 40,
            log: Log::default(),
        }
    }

    fn now(&self) -> Moment {
        u64::try_from(self.start.elapsed().as_nanos()).expect("a short test")
    }

    fn work(mut self, stop: &AtomicBool) -> Log {
        while !stop.load(Ordering::Relaxed) {
            if self.rng.random_ratio(1, 20) {
                self.connection = None;
            }
            if self.connection.is_none() && self.connect().is_err() {
                // A node that was killed; another one is chosen.
                continue;
            }
            let key = self.rng.random_range(0..KEYS);
            let outcome = match self.rng.random_range(0..100) {
                0..45 => self.read(&[key]),
                45..55 => {
                    let mut keys: Vec<usize> = (0..KEYS).collect();
                    keys.shuffle(&mut self.rng);
                    self.read(&keys[..5])
                }
                55..92 => self.write(key),
                _ => self.delete(key),
            };
            if let Err(error) = outcome {
                let now = self.now();
                self.log.trouble(now, &error.to_string());
                self.log.broken += 1;
                self.connection = None;
            }
        }
        self.log
    }

    fn connect(&mut self) -> io::Result<()> {
        let port = *self.ports.choose(&mut self.rng).expect("nodes");
        let stream = TcpStream::connect(local(port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(wait::PATIENCE))?;
        self.connection = Some(BufReader::new(stream));
        Ok(())
    }

    fn ask(&mut self, request: &str) -> io::Result<String> {
        let connection = self.connection.as_mut().expect("a connection");
        connection.get_mut().write_all(request.as_bytes())?;
        self.line()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        let connection = self.connection.as_mut().expect("a connection");
        connection.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn record(&mut self, key: usize, action: Action, invoked: Moment, responded: Option<Moment>) {
        let operation = Operation { action, invoked, responded };
        self.log.histories.entry(key).or_default().push(operation);
    }

    fn read(&mut self, keys: &[usize]) -> io::Result<()> {
        let names: Vec<String> = keys.iter().map(|&key| name_of(key)).collect();
        let invoked = self.now();
        let mut line = self.ask(&format!("get {}\r\n", names.join(" ")))?;
        let mut found = Vec::new();
        loop {
            if line == "END" {
                break;
            }
            let words: Vec<&str> = line.split(' ').collect();
            let ["VALUE", name, "0", len] = words[..] else {
                panic!("get {names:?}: {line}");
            };
            let at = names.iter().position(|asked| asked == name).expect("a key that was asked");
            let mut value = vec![0; len.parse::<usize>().expect("a length") + 2];
            self.connection.as_mut().expect("a connection").read_exact(&mut value)?;
            let value = String::from_utf8(value).expect("digits");
            found.push((keys[at], value.trim_end().parse().expect("a number")));
            line = self.line()?;
        }
        let responded = self.now();
        self.log.gets += keys.len() as u64;
        self.log.hits += found.len() as u64;
        for (key, value) in found {
            self.record(key, Action::Read(value), invoked, Some(responded));
        }
        Ok(())
    }

    fn write(&mut self, key: usize) -> io::Result<()> {
        self.next_value += 1;
        let value = self.next_value.to_string();
        let request = format!("set {} 0 0 {}\r\n{value}\r\n", name_of(key), value.len());
        self.change(key, Action::Write(self.next_value), &request, &["STORED"])
    }

    fn delete(&mut self, key: usize) -> io::Result<()> {
        let request = format!("delete {}\r\n", name_of(key));
        self.change(key, Action::Delete, &request, &["DELETED", "NOT_FOUND"])
    }

    fn change(
        &mut self,
        key: usize,
        action: Action,
        request: &str,
        done: &[&str],
    ) -> io::Result<()> {
        let invoked = self.now();
        let answer = self.ask(request);
        let responded = match &answer {
            Ok(answer) if done.contains(&answer.as_str()) => Some(self.now()),
            Ok(answer) => {
                assert!(answer.starts_with("SERVER_ERROR "), "{request}: {answer}");
                self.log.errors += 1;
                let now = self.now();
                self.log.trouble(now, &format!("{request:?}: {answer}"));
                None
            }
            Err(_) => None,
        };
        self.record(key, action, invoked, responded);
        answer.map(|_| ())
    }
}

#[derive(Debug, Default)]
struct Summary {
    operations: u64,
    gets: u64,
    hits: u64,
    errors: u64,
    broken: u64,
}

/// Checks every key's history.
fn judge(logs: &[Log]) -> Summary {
    let mut summary = Summary::default();
    for log in logs {
        let changes = log.histories.values().flatten();
        let changes = changes.filter(|it| !matches!(it.action, Action::Read(_))).count();
        summary.operations += changes as u64 + log.gets;
        summary.gets += log.gets;
        summary.hits += log.hits;
        summary.errors += log.errors;
        summary.broken += log.broken;
    }
    for key in 0..KEYS {
        let operations: Vec<Operation> =
            logs.iter().filter_map(|log| log.histories.get(&key)).flatten().copied().collect();
        if let Err(violation) = check(&operations) {
            panic!("{}, {} operations: {violation}; {summary:?}", name_of(key), operations.len());
        }
    }
    summary
}
