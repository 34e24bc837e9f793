//! One connection of the generator: it sends requests as answers arrive.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::answers::{Answer, Answers};
use super::requests::{Expect, Requests};

/// Bytes that were sent and are still in the buffer before the rest is moved to the front.
const COMPACT: usize = 1024 * 1024;

/// Counts of answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Requested keys that were missing.
    pub(crate) misses: u64,
    /// Answers that do not fit their request.
    pub(crate) wrong: u64,
    /// The first such answer.
    pub(crate) first_wrong: Option<String>,
}

#[derive(Debug)]
struct Pending {
    expect: Expect,
    sent: Instant,
    values: usize,
}

/// A non-blocking connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    value_size: usize,
    pending: VecDeque<Pending>,
    answers: Answers,
    out: Vec<u8>,
    written: usize,
}

impl Connection {
    /// Connects. Every value must have this size.
    pub(crate) fn open(server: SocketAddr, value_size: usize) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            value_size,
            pending: VecDeque::new(),
            answers: Answers::default(),
            out: Vec::new(),
            written: 0,
        })
    }

    /// Whether no answer is pending.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether unsent bytes wait for room in the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        self.written < self.out.len()
    }

    /// Adds requests until `pipeline` of them are in flight, and sends as much as the socket takes.
    pub(crate) fn send(&mut self, pipeline: usize, requests: &mut Requests) -> io::Result<()> {
        if self.pending.len() < pipeline {
            let sent = Instant::now();
            while self.pending.len() < pipeline {
                let Some(expect) = requests.next(&mut self.out) else { break };
                self.pending.push_back(Pending { expect, sent, values: 0 });
            }
        }
        self.flush()
    }

    /// Sends as much as the socket takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.is_blocked() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(sent) => self.written += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Otherwise a connection that never catches up would keep every byte it sent.
                    if self.written >= COMPACT {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once, and reports the latency of each answered request.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        tally: &mut Tally,
        mut took: impl FnMut(Duration),
    ) -> io::Result<()> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        let Self { answers, pending, value_size, .. } = self;
        answers.feed(&buffer[..count], |answer| {
            let Some(first) = pending.front_mut() else {
                return tally.note_wrong(answer);
            };
            match (answer, first.expect) {
                (Answer::Value(size), Expect::Values(_)) => {
                    first.values += 1;
                    if size != *value_size {
                        tally.note_wrong(answer);
                    }
                    return;
                }
                (Answer::End, Expect::Values(asked)) => {
                    let missed = asked.saturating_sub(first.values);
                    tally.misses += u64::try_from(missed).unwrap_or(u64::MAX);
                }
                (Answer::Stored, Expect::Stored) => {}
                // An error completes its request like any other answer.
                (answer, _) => tally.note_wrong(answer),
            }
            tally.requests += 1;
            took(now.duration_since(first.sent));
            pending.pop_front();
        });
        Ok(())
    }
}

impl Tally {
    fn note_wrong(&mut self, answer: Answer<'_>) {
        self.wrong += 1;
        self.first_wrong.get_or_insert_with(|| match answer {
            Answer::Other(line) => {
                String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned()
            }
            answer => format!("{answer:?}"),
        });
    }

    /// Adds the counts of another tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.misses += other.misses;
        self.wrong += other.wrong;
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
    }

    /// A description of the wrong answers, if there are any.
    pub(crate) fn trouble(&self) -> Option<String> {
        let first = self.first_wrong.as_ref()?;
        Some(format!("{} wrong answers, the first {first:?}", self.wrong))
    }
}
