//! One connection that requests the keys of a trace and stores missing values.
//!
//! A request is a `get`. After a miss, a `set` follows with a value of the size in the trace, before the next
//! request. The outcome depends on this order, which is kept exactly: there is one connection, the server
//! answers in order, and a request is sent only after the previous answer. A `set` shares a write with the
//! next `get`, which follows it. The server sees the same commands in the same order as with separate writes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use crate::trace::Request;

/// Bytes of a key.
pub(super) const KEY_SIZE: usize = 14;

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts of requests so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    /// Bytes of all requested values, and of those that were found.
    pub(super) bytes: u64,
    pub(super) hit_bytes: u64,
    /// Values longer than the server's limit, which were not sent.
    pub(super) too_large: u64,
    /// Values that the server did not store.
    pub(super) refused: u64,
    /// The server's answer to the first of them.
    pub(super) first_refusal: Option<String>,
}

/// The connection.
#[derive(Debug)]
pub(super) struct Player {
    input: BufReader<TcpStream>,
    out: Vec<u8>,
    /// Whether a set is in `out` or in flight. Its answer comes before that of the next get.
    set_pending: bool,
    line: Vec<u8>,
    /// Longest value that the server accepts, in bytes.
    longest: u64,
    multiply: u64,
    pub(super) tally: Tally,
}

impl Player {
    /// Connects.
    pub(super) fn connect(server: SocketAddr, longest: u64, multiply: u64) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            input: BufReader::with_capacity(64 * 1024, stream),
            out: Vec::new(),
            set_pending: false,
            line: Vec::new(),
            longest,
            multiply,
            tally: Tally::default(),
        })
    }

    /// Requests a key. If it is missing, queues a set that is sent with the next request.
    pub(super) fn play(&mut self, request: Request) -> anyhow::Result<()> {
        let key = key(request.key);
        let size = u64::from(request.size) * self.multiply;
        self.out.extend_from_slice(b"get ");
        self.out.extend_from_slice(&key);
        self.out.extend_from_slice(b"\r\n");
        self.send()?;
        self.tally.requests += 1;
        self.tally.bytes += size;
        if self.is_hit(&key)? {
            self.tally.hits += 1;
            self.tally.hit_bytes += size;
            return Ok(());
        }
        self.tally.misses += 1;
        match usize::try_from(size).ok().filter(|_| size <= self.longest) {
            Some(size) => self.add_set(&key, size),
            None => self.tally.too_large += 1,
        }
        Ok(())
    }

    /// Sends the rest of the queue.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.send()
    }

    fn add_set(&mut self, key: &[u8], size: usize) {
        let mut buffer = itoa::Buffer::new();
        self.out.extend_from_slice(b"set ");
        self.out.extend_from_slice(key);
        self.out.extend_from_slice(b" 0 0 ");
        self.out.extend_from_slice(buffer.format(size).as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self.out.resize(self.out.len() + size, b'x');
        self.out.extend_from_slice(b"\r\n");
        self.set_pending = true;
    }

    /// Sends the queue, and reads the answer to a set if it contains one.
    fn send(&mut self) -> anyhow::Result<()> {
        self.input.get_mut().write_all(&self.out).context("cannot send")?;
        self.out.clear();
        if std::mem::take(&mut self.set_pending) {
            self.read_line()?;
            if self.line != b"STORED" {
                self.tally.refused += 1;
                let line = &self.line;
                let said = || String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
                self.tally.first_refusal.get_or_insert_with(said);
            }
        }
        Ok(())
    }

    fn is_hit(&mut self, key: &[u8]) -> anyhow::Result<bool> {
        self.read_line()?;
        if self.line == b"END" {
            return Ok(false);
        }
        let words = self.line.strip_prefix(b"VALUE ").and_then(|rest| rest.strip_prefix(key));
        let size = words
            .and_then(|words| std::str::from_utf8(words).ok())
            .and_then(|words| words.strip_prefix(" 0 ")?.parse::<u64>().ok());
        let Some(size) = size else {
            bail!("the answer to a get of {} is {:?}", text(key), text(&self.line));
        };
        let body = size.saturating_add(2);
        let read = std::io::copy(&mut (&mut self.input).take(body), &mut std::io::sink());
        if read.context("no answer")? != body {
            bail!("the connection was closed within a value");
        }
        self.read_line()?;
        if self.line != b"END" {
            bail!("a value is followed by {:?}", text(&self.line));
        }
        Ok(true)
    }

    fn read_line(&mut self) -> anyhow::Result<()> {
        self.line.clear();
        // All expected lines are short.
        (&mut self.input).take(2048).read_until(b'\n', &mut self.line).context("no answer")?;
        if !self.line.ends_with(b"\r\n") {
            bail!("the connection was closed instead of an answer");
        }
        self.line.truncate(self.line.len() - 2);
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The name of a key: `k` and 13 base-32 digits, which hold any 64-bit number.
pub(super) fn key(mut number: u64) -> [u8; KEY_SIZE] {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut key = [b'k'; KEY_SIZE];
    for place in key[1..].iter_mut().rev() {
        *place = DIGITS[(number % 32) as usize];
        number /= 32;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::fake::Fake;

    fn play(fake: &Fake, longest: u64, multiply: u64, requests: &[(u64, u32)]) -> Tally {
        let mut player = Player::connect(fake.address, longest, multiply).unwrap();
        for &(key, size) in requests {
            player.play(Request { key, size }).unwrap();
        }
        player.finish().unwrap();
        player.tally
    }

    #[test]
    fn keys_are_as_long_as_each_other_and_all_different() {
        assert_eq!(&key(0), b"k0000000000000");
        assert_eq!(&key(33), b"k0000000000011");
        assert_eq!(&key(u64::MAX), b"kfvvvvvvvvvvvv");
    }

    #[test]
    fn what_is_missing_is_stored_once() {
        let fake = Fake::start();
        let tally = play(&fake, 1 << 20, 2, &[(1, 10), (1, 10), (2, 0), (1, 10), (2, 0), (3, 7)]);
        assert_eq!((tally.requests, tally.hits, tally.misses), (6, 3, 3));
        assert_eq!((tally.bytes, tally.hit_bytes), (74, 40));
        assert_eq!((tally.refused, tally.too_large), (0, 0));
        // Six gets and three sets. The last set has been sent too.
        assert_eq!(fake.requests(), 9);
        assert_eq!(play(&fake, 1 << 20, 2, &[(3, 7)]).hits, 1);
    }

    #[test]
    fn what_is_not_stored_is_told() {
        let fake = Fake::refusing();
        let tally = play(&fake, 100, 1, &[(1, 10), (1, 10), (2, 101)]);
        assert_eq!((tally.misses, tally.refused, tally.too_large), (3, 2, 1));
        assert!(tally.first_refusal.unwrap().contains("out of memory"));
    }
}
