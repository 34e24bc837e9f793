//! A load with checked answers: clients read, write and delete the same few keys on all nodes, while a test
//! acts on the nodes.
//!
//! Each client records its requests and answers. [`judge`] checks the history of each key against those that
//! a single node could have produced, except for misses (see [`crate::history`]). A write that was answered
//! with an error, or not at all, may have taken effect, or may do so later.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use crate::history::{Action, Moment, Operation, check};
use crate::ring::local;
use crate::wait;

/// The settings of the clients.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of clients, each a thread.
    pub clients: u64,
    /// Connections of each client; every request uses one of them.
    pub connections: usize,
    /// The prefix of their keys. Successive loads on the same nodes need different keys.
    pub prefix: &'static str,
    /// Number of keys that they share.
    pub keys: usize,
    /// Time-out for an answer, after which the connection is abandoned.
    pub patience: Duration,
    /// Pause between two requests of a client.
    pub pause: Duration,
    /// Whether one value in sixteen is large. Nodes forward large values in another way.
    pub large: bool,
    /// The seed of the clients' choices. Their timing differs between runs.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            clients: 4,
            connections: 1,
            prefix: REGISTERS,
            keys: 20,
            patience: wait::PATIENCE,
            pause: Duration::ZERO,
            large: false,
            seed: 1,
        }
    }
}

/// The progress of a load.
#[derive(Debug, Default)]
pub struct Gauge {
    answered: AtomicU64,
}

impl Gauge {
    /// Requests answered, successfully or with errors.
    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Waits for this many further answers.
    ///
    /// # Panics
    /// If the clients are not served.
    pub fn await_more(&self, count: u64) {
        let wanted = self.answered() + count;
        wait::until("clients to be served", || (self.answered() >= wanted).then_some(()));
    }
}

/// Runs the clients on these ports of 127.0.0.1 while `act` runs, and returns their logs.
///
/// # Panics
/// If `act` panics, or a client reads an answer that does not fit its request. The clients end first.
pub fn under<R>(ports: &[u16], plan: &Plan, act: impl FnOnce(&Gauge) -> R) -> (R, Vec<Log>) {
    let (stop, gauge, start) = (AtomicBool::new(false), Gauge::default(), Instant::now());
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..plan.clients)
            .map(|number| {
                let client = Client::new(number, plan, ports, start, &gauge);
                let stop = &stop;
                scope.spawn(move || client.work(stop))
            })
            .collect();
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&gauge)));
        stop.store(true, Relaxed);
        let logs = clients.into_iter().map(|client| client.join().expect("a client")).collect();
        (acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), logs)
    })
}

/// The default prefix of keys.
const REGISTERS: &str = "register-";

/// The name of a key with the default prefix.
pub fn name_of(key: usize) -> String {
    format!("{REGISTERS}{key}")
}

/// A client's operations by key, and their results.
#[derive(Debug, Default)]
pub struct Log {
    histories: HashMap<usize, Vec<Operation>>,
    gets: u64,
    hits: u64,
    acknowledged: u64,
    errors: u64,
    broken: u64,
    /// The first errors and broken connections, as text.
    pub troubles: Vec<String>,
}

impl Log {
    fn trouble(&mut self, at: Moment, what: &str) {
        if self.troubles.len() < 10 {
            self.troubles.push(format!("at {at} ns: {what}"));
        }
    }
}

/// A client: one thread that uses one connection after another.
struct Client<'a> {
    rng: StdRng,
    plan: &'a Plan,
    ports: &'a [u16],
    start: Instant,
    gauge: &'a Gauge,
    connections: Vec<Option<BufReader<TcpStream>>>,
    /// The index of the current connection.
    current: usize,
    next_value: u64,
    log: Log,
}

impl<'a> Client<'a> {
    fn new(
        number: u64,
        plan: &'a Plan,
        ports: &'a [u16],
        start: Instant,
        gauge: &'a Gauge,
    ) -> Client<'a> {
        let seed = plan.seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Client {
            rng: StdRng::seed_from_u64(seed),
            plan,
            ports,
            start,
            gauge,
            connections: (0..plan.connections).map(|_| None).collect(),
            current: 0,
            next_value: (number + 1) << 40,
            log: Log::default(),
        }
    }

    fn now(&self) -> Moment {
        u64::try_from(self.start.elapsed().as_nanos()).expect("a short test")
    }

    fn work(mut self, stop: &AtomicBool) -> Log {
        for index in 0..self.plan.connections {
            self.current = index;
            // The next use tries again.
            let _ = self.connect();
        }
        while !stop.load(Relaxed) {
            self.current = self.rng.random_range(0..self.plan.connections);
            if self.rng.random_ratio(1, 20) {
                self.connections[self.current] = None;
            }
            if self.connections[self.current].is_none() && self.connect().is_err() {
                // The node was killed; the client chooses another one.
                std::thread::yield_now();
                continue;
            }
            let keys = self.plan.keys;
            let key = self.rng.random_range(0..keys);
            let outcome = match self.rng.random_range(0..100) {
                0..45 => self.read(&[key]),
                45..55 => {
                    let mut all: Vec<usize> = (0..keys).collect();
                    all.shuffle(&mut self.rng);
                    self.read(&all[..keys.min(5)])
                }
                55..92 => self.write(key),
                _ => self.delete(key),
            };
            match outcome {
                Ok(()) => {
                    self.gauge.answered.fetch_add(1, Relaxed);
                }
                Err(error) => {
                    let now = self.now();
                    self.log.trouble(now, &error.to_string());
                    self.log.broken += 1;
                    self.connections[self.current] = None;
                }
            }
            if !self.plan.pause.is_zero() {
                std::thread::sleep(self.plan.pause);
            }
        }
        self.log
    }

    fn connect(&mut self) -> io::Result<()> {
        let port = *self.ports.choose(&mut self.rng).expect("nodes");
        let stream = TcpStream::connect_timeout(&local(port), self.plan.patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.plan.patience))?;
        self.connections[self.current] = Some(BufReader::with_capacity(1024, stream));
        Ok(())
    }

    fn connection(&mut self) -> &mut BufReader<TcpStream> {
        self.connections[self.current].as_mut().expect("a connection")
    }

    fn ask(&mut self, request: &str) -> io::Result<String> {
        self.connection().get_mut().write_all(request.as_bytes())?;
        self.line()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.connection().read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn name_of(&self, key: usize) -> String {
        format!("{}{key}", self.plan.prefix)
    }

    fn record(&mut self, key: usize, action: Action, invoked: Moment, responded: Option<Moment>) {
        let operation = Operation { action, invoked, responded };
        self.log.histories.entry(key).or_default().push(operation);
    }

    fn read(&mut self, keys: &[usize]) -> io::Result<()> {
        let names: Vec<String> = keys.iter().map(|&key| self.name_of(key)).collect();
        let invoked = self.now();
        let mut line = self.ask(&format!("get {}\r\n", names.join(" ")))?;
        let mut found = Vec::new();
        while line != "END" {
            let words: Vec<&str> = line.split(' ').collect();
            let ["VALUE", name, "0", len] = words[..] else {
                panic!("get {names:?}: {line}");
            };
            let at = names.iter().position(|asked| asked == name).expect("a key that was asked");
            let mut value = vec![0; len.parse::<usize>().expect("a length") + 2];
            self.connection().read_exact(&mut value)?;
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
        let width = if self.plan.large && self.next_value.is_multiple_of(16) { 20_000 } else { 0 };
        let value = format!("{:<width$}", self.next_value);
        let request = format!("set {} 0 0 {}\r\n{value}\r\n", self.name_of(key), value.len());
        self.change(key, Action::Write(self.next_value), &request, &["STORED"])
    }

    fn delete(&mut self, key: usize) -> io::Result<()> {
        let request = format!("delete {}\r\n", self.name_of(key));
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
                let line = request.lines().next().unwrap_or_default();
                self.log.trouble(now, &format!("{line}: {answer}"));
                None
            }
            Err(_) => None,
        };
        self.log.acknowledged += u64::from(responded.is_some());
        self.record(key, action, invoked, responded);
        answer.map(|_| ())
    }
}

/// The results of a load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Keys read, written and deleted.
    pub operations: u64,
    /// Keys requested by gets that were answered.
    pub gets: u64,
    /// Keys of those gets that were found.
    pub hits: u64,
    /// Writes and deletes that succeeded.
    pub acknowledged: u64,
    /// Requests answered with an error.
    pub errors: u64,
    /// Connections that ended or fell silent during a request.
    pub broken: u64,
}

impl Summary {
    /// The sums of two loads.
    pub fn and(self, other: Summary) -> Summary {
        Summary {
            operations: self.operations + other.operations,
            gets: self.gets + other.gets,
            hits: self.hits + other.hits,
            acknowledged: self.acknowledged + other.acknowledged,
            errors: self.errors + other.errors,
            broken: self.broken + other.broken,
        }
    }
}

/// Checks every key's history.
///
/// # Errors
/// The key, and the two values that cannot both have been there.
pub fn judge(logs: &[Log]) -> Result<Summary, String> {
    let mut summary = Summary::default();
    let mut histories: HashMap<usize, Vec<Operation>> = HashMap::new();
    for log in logs {
        let changes = log.histories.values().flatten();
        let changes = changes.filter(|it| !matches!(it.action, Action::Read(_))).count();
        summary = summary.and(Summary {
            operations: changes as u64 + log.gets,
            gets: log.gets,
            hits: log.hits,
            acknowledged: log.acknowledged,
            errors: log.errors,
            broken: log.broken,
        });
        for (&key, operations) in &log.histories {
            histories.entry(key).or_default().extend(operations);
        }
    }
    for (key, operations) in histories {
        check(&operations).map_err(|violation| {
            format!("key {key}, {} operations: {violation}; {summary:?}", operations.len())
        })?;
    }
    Ok(summary)
}
