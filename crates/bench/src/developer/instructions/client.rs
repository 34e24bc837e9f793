//! The loads, which send the same bytes in every run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// One kind of load on one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) name: &'static str,
    kind: Kind,
    /// Requests sent before their answers are read.
    depth: u32,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Get,
    Set,
    Gets(u32),
}

pub(super) const LOADS: [Load; 5] = [
    Load { name: "get-p1", kind: Kind::Get, depth: 1 },
    Load { name: "set-p1", kind: Kind::Set, depth: 1 },
    Load { name: "get-p32", kind: Kind::Get, depth: 32 },
    Load { name: "set-p32", kind: Kind::Set, depth: 32 },
    Load { name: "get100", kind: Kind::Gets(100), depth: 1 },
];

/// Longest time for an answer under valgrind.
const PATIENCE: Duration = Duration::from_secs(60);

/// Items that one write stores before the load.
const FILL: u32 = 100;

impl Load {
    /// Requests of the shorter run.
    pub(super) fn few(&self) -> u32 {
        match self.kind {
            Kind::Gets(_) => 100,
            Kind::Get | Kind::Set => 1_000 * self.depth.div_ceil(8),
        }
    }

    /// Requests of the longer run.
    pub(super) fn many(&self) -> u32 {
        5 * self.few()
    }
}

/// Fills the server and sends it the load.
pub(super) fn drive(
    server: SocketAddr,
    load: &Load,
    requests: u32,
    keys: u32,
    value: u32,
) -> anyhow::Result<()> {
    let mut talk = Talk::with(server, value)?;
    for first in (0..keys).step_by(usize::try_from(FILL)?) {
        for number in first..keys.min(first + FILL) {
            talk.set(number);
        }
        talk.exchange()?;
    }
    // The same numbers in every run.
    let mut random = SmallRng::seed_from_u64(1);
    let mut left = requests;
    while left > 0 {
        let some = left.min(load.depth);
        for _ in 0..some {
            match load.kind {
                Kind::Get => talk.get([random.random_range(0..keys)]),
                Kind::Set => talk.set(random.random_range(0..keys)),
                Kind::Gets(count) => talk.get((0..count).map(|_| random.random_range(0..keys))),
            }
        }
        talk.exchange()?;
        left -= some;
    }
    Ok(())
}

/// A connection with its pending requests and expected answers.
struct Talk {
    stream: TcpStream,
    value: String,
    request: String,
    expected: String,
}

impl Talk {
    fn with(server: SocketAddr, value: u32) -> anyhow::Result<Talk> {
        let stream = TcpStream::connect(server).context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let value = "v".repeat(usize::try_from(value)?);
        Ok(Talk { stream, value, request: String::new(), expected: String::new() })
    }

    fn set(&mut self, number: u32) {
        let (key, value) = (key(number), &self.value);
        self.request.push_str(&format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()));
        self.expected.push_str("STORED\r\n");
    }

    fn get(&mut self, numbers: impl IntoIterator<Item = u32>) {
        self.request.push_str("get");
        for number in numbers {
            let (key, value) = (key(number), &self.value);
            self.request.push_str(&format!(" {key}"));
            self.expected.push_str(&format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len()));
        }
        self.request.push_str("\r\n");
        self.expected.push_str("END\r\n");
    }

    /// Sends the pending requests in one write and reads exactly the expected answers.
    fn exchange(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(self.request.as_bytes()).context("cannot send to the server")?;
        let mut answer = vec![0; self.expected.len()];
        self.stream.read_exact(&mut answer).context("the server does not answer")?;
        if answer != self.expected.as_bytes() {
            bail!("unexpected answer from the server: {}", answer.escape_ascii());
        }
        self.request.clear();
        self.expected.clear();
        Ok(())
    }
}

/// A key of 14 bytes.
fn key(number: u32) -> String {
    format!("memtier-{:06}", number + 1)
}
