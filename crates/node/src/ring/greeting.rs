//! The handshake between nodes about rings, from the dialling side: ask, and read an answer of
//! bounded size.
//!
//! Greetings use connections that are kept ([`super::control`]). Reading a ring uses a connection
//! of its own.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use ringbinder_protocol::{MAX_REPLY_LINE, PeerLine, Stamp, from_hex, parse_ring_header, to_hex};
use ringbinder_ring::Ring;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::dial::{AttemptError, DialError, Dialer};
use super::secret::{Nonce, Secret};
use crate::socket::Socket;

/// The timeout for reading a whole ring from a peer.
const PULL_PATIENCE: Duration = Duration::from_secs(10);

/// The reason why a talk failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TalkError {
    /// Nothing listens at the address: the process is gone, and it no longer serves any key.
    #[error("connection refused")]
    Refused,
    /// The peer cannot be used until an operator changes something.
    #[error("{reason}")]
    Misfit {
        /// The cause, for the log.
        reason: String,
        /// Some process answered, so the process there runs.
        alive: bool,
    },
    /// The peer's process runs and rejected this connection. It may accept the next one.
    #[error("{0}")]
    TurnedAway(String),
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The process at the other end closed the connection.
    #[error("it closed the connection")]
    Closed,
    #[error("{0}")]
    Io(String),
    /// The peer is a node that does not know this form of the command.
    #[error("unknown command")]
    Usage,
    #[error("not a node of a ring: it answered {0:?}")]
    Nonsense(String),
}

impl TalkError {
    /// Whether the process at the other end closed the connection: it ended, or it rejected the
    /// connection.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, TalkError::Closed)
    }

    /// Whether the address gives no answer at all.
    pub(super) fn is_silence(&self) -> bool {
        !matches!(
            self,
            TalkError::Misfit { .. }
                | TalkError::TurnedAway(_)
                | TalkError::Nonsense(_)
                | TalkError::Usage
        )
    }
}

impl AttemptError for TalkError {
    fn timeout(patience: Duration) -> TalkError {
        TalkError::Timeout(patience)
    }

    /// Whether a new connection was rejected but the next one may be accepted.
    fn is_passing(&self) -> bool {
        matches!(self, TalkError::TurnedAway(_) | TalkError::Closed)
    }

    /// Whether an answer came that may well be the peer's: it runs, but cannot be used.
    fn is_sign_of_life(&self) -> bool {
        matches!(self, TalkError::Misfit { alive: true, .. } | TalkError::TurnedAway(_))
    }
}

impl From<io::Error> for TalkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => TalkError::Refused,
            _ if is_reset(&error) => TalkError::Closed,
            _ => DialError::of_io(error).into(),
        }
    }
}

impl From<DialError> for TalkError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                TalkError::Refused
            }
            DialError::Closed => TalkError::Closed,
            DialError::Io(error) if is_reset(&error) => TalkError::Closed,
            error @ (DialError::Full | DialError::TlsCut(_)) => {
                TalkError::TurnedAway(error.to_string())
            }
            error if error.is_misfit() => {
                TalkError::Misfit { alive: error.is_sign_of_life(), reason: error.to_string() }
            }
            error => TalkError::Io(error.to_string()),
        }
    }
}

/// Whether the process at the other end closed the connection.
fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// A connection to a peer that carries one question after another.
#[derive(Debug)]
pub(crate) struct Talk {
    stream: BufReader<Socket>,
    /// The part of a line that has arrived.
    line: Vec<u8>,
    /// The number of answers still to come before the answer to the next question.
    late: usize,
}

impl Talk {
    pub(super) async fn begin(dialer: &Dialer, address: &str) -> Result<Talk, TalkError> {
        let stream = BufReader::new(dialer.dial(address).await?);
        Ok(Talk { stream, line: Vec::new(), late: 0 })
    }

    /// Identifies this node. A node whose clients take all its connections answers only other
    /// nodes.
    pub(super) async fn introduce(
        &mut self,
        name: &str,
        ours: Stamp,
    ) -> Result<PeerLine, TalkError> {
        self.peer_line(&format!("ring greet {name} {ours}\r\n")).await
    }

    /// Sends one or more questions.
    pub(crate) async fn say(&mut self, text: &[u8]) -> Result<(), TalkError> {
        self.stream.write_all(text).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads an answer of `STAT` lines, without the line that ends it. Takes its bytes from `room`,
    /// and fails if they do not suffice.
    pub(crate) async fn stats(&mut self, room: &mut usize) -> Result<Vec<u8>, TalkError> {
        let mut answer = Vec::new();
        loop {
            let line = self.line().await?;
            if !line.starts_with(b"STAT ") {
                return Ok(answer);
            }
            let taken = line.len() + 1;
            *room = room.checked_sub(taken).ok_or_else(|| nonsense(&line))?;
            answer.extend_from_slice(&line);
            answer.push(b'\n');
        }
    }

    /// Sends a greeting and reads the peer's line about itself.
    pub(super) async fn peer_line(&mut self, greeting: &str) -> Result<PeerLine, TalkError> {
        let line = self.ask(greeting.as_bytes()).await?;
        if line.starts_with(b"CLIENT_ERROR usage: ring") {
            return Err(TalkError::Usage);
        }
        PeerLine::parse(&line)
            .ok_or_else(|| DialError::of_answer(&line).map_or_else(|| nonsense(&line), Into::into))
    }

    /// Offers a ring, with a proof by the peer secret.
    pub(super) async fn offer(&mut self, secret: &Secret, ring: &Ring) -> Result<(), TalkError> {
        let line = self.ask(b"ring nonce\r\n").await?;
        let nonce: Option<Nonce> = line.strip_prefix(b"NONCE ").and_then(from_hex);
        let nonce = nonce.ok_or_else(|| nonsense(&line))?;
        let text = ring.to_toml();
        let Some(code) = secret.sign(&nonce, text.as_bytes()) else {
            return Ok(());
        };
        let mut message = String::new();
        // Writing to a string cannot fail.
        let _ = write!(message, "ring offer {} {}\r\n{text}\r\n", to_hex(&code), text.len());
        self.ask(message.as_bytes()).await?;
        Ok(())
    }

    /// Asks for one line. First drops the answers to earlier questions that were abandoned.
    async fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, TalkError> {
        while self.late > 0 {
            self.line().await?;
            self.late -= 1;
        }
        self.late += 1;
        let asked = self.say(question).await;
        let line = match (asked, self.line().await) {
            (Ok(()), line) => line?,
            // A peer that closed the connection may have sent the reason before.
            (Err(_), Ok(line)) if DialError::of_answer(&line).is_some() => line,
            (Err(error), _) => return Err(error),
        };
        self.late -= 1;
        Ok(line)
    }

    /// Reads a line. If the caller stops waiting, the part that has arrived is kept.
    async fn line(&mut self) -> Result<Vec<u8>, TalkError> {
        let limit = (MAX_REPLY_LINE - self.line.len().min(MAX_REPLY_LINE)) as u64;
        (&mut self.stream).take(limit).read_until(b'\n', &mut self.line).await?;
        let line = std::mem::take(&mut self.line);
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(text.to_vec()),
            None if line.is_empty() => Err(TalkError::Closed),
            None => Err(nonsense(&line)),
        }
    }
}

fn nonsense(line: &[u8]) -> TalkError {
    TalkError::Nonsense(String::from_utf8_lossy(line).chars().take(80).collect())
}

/// Waits for a talk for at most `patience`.
pub(super) async fn within<T>(
    patience: Duration,
    talk: impl Future<Output = Result<T, TalkError>>,
) -> Result<T, TalkError> {
    tokio::time::timeout(patience, talk).await.unwrap_or(Err(TalkError::Timeout(patience)))
}

/// Reads a ring that a peer keeps, for the node of this name that holds `ours`.
pub(crate) async fn pull(
    dialer: &Dialer,
    address: &str,
    (name, ours): (&str, Stamp),
    stamp: Stamp,
) -> Result<String, TalkError> {
    within(PULL_PATIENCE, async {
        let mut talk = Talk::begin(dialer, address).await?;
        talk.introduce(name, ours).await?;
        talk.say(format!("ring get {stamp}\r\n").as_bytes()).await?;
        let line = talk.line().await?;
        let (got, len) = parse_ring_header(&line).ok_or_else(|| nonsense(&line))?;
        if got != stamp {
            return Err(nonsense(&line));
        }
        let mut text = vec![0; len];
        talk.stream.read_exact(&mut text).await?;
        String::from_utf8(text).map_err(|error| nonsense(error.as_bytes()))
    })
    .await
}
