//! A freshly started server for one input, with a connection to fill it and helpers to measure it.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use ringbinder_stress::{Cgroup, Crowd};

use crate::servers::{Client, Contender, Server, Setup, free_addresses};
use crate::stop::Stop;

/// Bytes of an ordinary value.
pub(super) const ORDINARY: usize = 1000;

/// Bytes of an ordinary key.
pub(super) const KEY: u64 = 8;

/// Bytes per mebibyte, as a divisor.
pub(super) const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// First number of ordinary items stored after the initial fill.
pub(super) const NEW: u64 = 20_000_000;

/// The server ended before the figures were complete.
#[derive(Debug)]
pub(super) struct Ended(String);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Ended {}

/// The environment of an input: the server's program and the stop flag.
#[derive(Clone, Copy)]
pub(super) struct Bed<'a> {
    pub(super) contender: &'a Contender,
    pub(super) stop: &'a Stop,
}

/// Flags of a server.
#[derive(Clone, Copy)]
pub(super) struct Flags<'a> {
    pub(super) memory: u64,
    pub(super) threads: usize,
    pub(super) more: &'a [&'a str],
    /// The control group that it is moved to.
    pub(super) group: Option<&'a Cgroup>,
}

impl Flags<'static> {
    /// `-m` with this value, and the servers' default number of threads.
    pub(super) fn memory(memory: u64) -> Self {
        Self { memory, threads: 4, more: &[], group: None }
    }
}

impl Bed<'_> {
    /// Starts a server, runs `act` on it, and stops it. If the server ends by itself, the error is [`Ended`].
    pub(super) fn with<R>(
        &self,
        flags: Flags<'_>,
        act: impl FnOnce(&mut Trial<'_>) -> anyhow::Result<R>,
    ) -> anyhow::Result<R> {
        let [address] = free_addresses()?;
        let setup =
            Setup { threads: flags.threads, megabytes: flags.memory, connections: super::CLIENTS };
        let more: Vec<String> = flags.more.iter().map(|&flag| flag.to_owned()).collect();
        let mut server = Server::start_at(self.contender, address, setup, &more, self.stop)?;
        if let Some(group) = flags.group {
            let pid =
                server.pid().context("cannot read /proc for the server: it runs elsewhere")?;
            group.take(pid).map_err(anyhow::Error::msg)?;
        }
        let feed = Feed::connect(server.address)?;
        let mut trial = Trial { server, feed, stop: self.stop };
        let result = act(&mut trial);
        server = trial.server;
        // The descriptors of a killed process are closed some time before the process is gone.
        for _ in 0..10 {
            if result.is_ok() || server.must_run().is_err() {
                break;
            }
            self.stop.pause(Duration::from_millis(100))?;
        }
        match server.must_run() {
            Ok(()) => result,
            Err(error) => {
                let text = format!("{error:#}");
                // A killed process printed no reason.
                let killed = text.split_once(": 9 (SIGKILL)").map(|(before, _)| before);
                Err(Ended(killed.map_or(text.clone(), |it| format!("{it} 9: killed"))).into())
            }
        }
    }
}

/// A running server and one connection to it.
pub(super) struct Trial<'a> {
    server: Server,
    pub(super) feed: Feed,
    pub(super) stop: &'a Stop,
}

/// Counts of sets by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) stored: u64,
    pub(super) refused: u64,
}

impl Trial<'_> {
    /// Opens this many connections to the server.
    pub(super) fn crowd(&self, count: usize) -> anyhow::Result<Crowd> {
        let mut crowd = Crowd::default();
        crowd.join_many(count, self.address(), || self.check())?;
        Ok(crowd)
    }

    /// Fails if the program must stop.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        Ok(self.stop.check()?)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Sets ordinary values with these numbers.
    pub(super) fn store(
        &mut self,
        numbers: impl IntoIterator<Item = u64>,
    ) -> anyhow::Result<Tally> {
        self.feed.store(numbers, |_| ORDINARY, self.stop)
    }

    /// Stores ordinary values until old ones are evicted. Returns the number of items at that point.
    pub(super) fn fill(&mut self, megabytes: u64) -> anyhow::Result<u64> {
        let fit = (megabytes << 20) / ORDINARY as u64;
        self.store(0..fit + fit / 8)?;
        if self.counter("evictions")? == 0 {
            bail!("{} is not full after {} items", self.server.name, fit + fit / 8);
        }
        self.counter("curr_items")
    }

    /// Reads one counter over a new connection, so that refusals on other connections have no effect.
    pub(super) fn counter(&self, name: &str) -> anyhow::Result<u64> {
        Client::connect(self.address())?.counter(name)
    }

    /// Percentage of this many items that remain, 100 at most: later ordinary sets add some.
    pub(super) fn kept(&self, before: u64) -> anyhow::Result<f64> {
        let share = self.counter("curr_items")? as f64 / before.max(1) as f64;
        Ok(100.0 * share.min(1.0))
    }

    /// Peak of resident memory, in MiB.
    pub(super) fn peak(&mut self) -> anyhow::Result<f64> {
        self.server.must_run()?;
        let memory =
            self.server.memory()?.context("cannot read /proc for the server: it runs elsewhere")?;
        Ok(memory.peak as f64 / MEBIBYTE)
    }

    /// Resident memory after it has stopped changing, in MiB.
    pub(super) fn settled(&self) -> anyhow::Result<f64> {
        Ok(self.server.settled_memory(self.stop)? as f64 / MEBIBYTE)
    }
}

/// A connection that waits for every answer.
pub(super) struct Feed(BufReader<TcpStream>);

impl Feed {
    /// Longest time for an answer. Busy servers need much of it.
    const PATIENCE: Duration = Duration::from_secs(30);

    pub(super) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Self::PATIENCE)?;
        stream.set_read_timeout(Some(Self::PATIENCE))?;
        stream.set_write_timeout(Some(Self::PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::with_capacity(16 * 1024, stream)))
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.0.get_mut().write_all(bytes).context("cannot send")
    }

    /// Reads the next line, without its line break.
    pub(super) fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        (&mut self.0).take(4096).read_line(&mut line).context("no answer")?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => bail!("the connection was closed instead of an answer"),
        }
    }

    /// Sends one request and returns the line that answers it.
    pub(super) fn ask(&mut self, request: &str) -> anyhow::Result<String> {
        self.send(request.as_bytes())?;
        self.line()
    }

    /// Sets a value of this many bytes. Returns false if the server refuses it.
    pub(super) fn set(&mut self, key: &str, length: usize) -> anyhow::Result<bool> {
        let mut request = format!("set {key} 0 0 {length}\r\n").into_bytes();
        request.resize(request.len() + length, b'v');
        request.extend_from_slice(b"\r\n");
        self.send(&request)?;
        Ok(self.line()? == "STORED")
    }

    /// Sets values with these numbers and the lengths that `length` returns.
    pub(super) fn store(
        &mut self,
        numbers: impl IntoIterator<Item = u64>,
        mut length: impl FnMut(u64) -> usize,
        stop: &Stop,
    ) -> anyhow::Result<Tally> {
        const BATCH: usize = 100;
        let mut numbers = numbers.into_iter();
        let (mut tally, mut request) = (Tally::default(), Vec::new());
        loop {
            stop.check()?;
            request.clear();
            let mut sent = 0;
            for number in numbers.by_ref().take(BATCH) {
                let length = length(number);
                request.extend_from_slice(format!("set {number:08} 0 0 {length}\r\n").as_bytes());
                request.resize(request.len() + length, b'v');
                request.extend_from_slice(b"\r\n");
                sent += 1;
            }
            if sent == 0 {
                return Ok(tally);
            }
            self.send(&request)?;
            for _ in 0..sent {
                match &*self.line()? {
                    "STORED" => tally.stored += 1,
                    _ => tally.refused += 1,
                }
            }
        }
    }

    /// Sends requests that are each answered by one line, and counts the answers equal to `wanted`.
    pub(super) fn count(
        &mut self,
        requests: impl IntoIterator<Item = String>,
        wanted: &str,
        stop: &Stop,
    ) -> anyhow::Result<u64> {
        const BATCH: usize = 500;
        let mut requests = requests.into_iter();
        let mut count = 0;
        loop {
            stop.check()?;
            let batch: Vec<String> = requests.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(count);
            }
            self.send(batch.concat().as_bytes())?;
            for _ in 0..batch.len() {
                count += u64::from(self.line()? == wanted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::fake::Fake;

    #[test]
    fn sets_are_counted() {
        let stop = Stop::default();
        let fake = Fake::start();
        let mut feed = Feed::connect(fake.address).unwrap();
        let tally = feed.store(0..250, |_| 10, &stop).unwrap();
        assert_eq!(tally, Tally { stored: 250, refused: 0 });
        let fake = Fake::refusing();
        let mut feed = Feed::connect(fake.address).unwrap();
        assert!(!feed.set("key", 10).unwrap());
        assert_eq!(feed.count(["version\r\n".to_owned()], "nothing", &stop).unwrap(), 0);
    }
}
