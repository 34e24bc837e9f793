//! The handshake between nodes about rings, from the dialling side: ask, and read an answer of
//! bounded size.
//!
//! Handshakes use connections that are kept ([`super::handshake`]). Reading a ring uses a
//! connection of its own.

use std::fmt::Write as _;
use std::io::{self, ErrorKind::ConnectionRefused};
use std::time::Duration;

use ringbinder_protocol::{MAX_REPLY_LINE, PeerLine, Stamp, from_hex, parse_ring_header, to_hex};
use ringbinder_ring::Ring;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::dial::{AttemptError, DialError, Dialer};
use super::secret::{Nonce, Secret};
use crate::net::socket::Socket;

/// The timeout for reading a whole ring from a peer.
const PULL_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason why a talk failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PeerError {
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

impl PeerError {
    /// Whether the process at the other end closed the connection: it ended, or it rejected the
    /// connection.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, PeerError::Closed)
    }

    /// Whether the address gives no answer at all.
    pub(crate) fn is_silence(&self) -> bool {
        !matches!(
            self,
            PeerError::Misfit { .. }
                | PeerError::TurnedAway(_)
                | PeerError::Nonsense(_)
                | PeerError::Usage
        )
    }
}

impl AttemptError for PeerError {
    fn timeout(timeout: Duration) -> PeerError {
        PeerError::Timeout(timeout)
    }

    /// Whether a new connection was rejected but the next one may be accepted.
    fn is_passing(&self) -> bool {
        matches!(self, PeerError::TurnedAway(_) | PeerError::Closed)
    }

    /// Whether an answer came that may well be the peer's: it runs, but cannot be used.
    fn is_sign_of_life(&self) -> bool {
        matches!(self, PeerError::Misfit { alive: true, .. } | PeerError::TurnedAway(_))
    }
}

impl From<io::Error> for PeerError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ConnectionRefused => PeerError::Refused,
            _ if is_reset(&error) => PeerError::Closed,
            _ => DialError::of_io(error).into(),
        }
    }
}

impl From<DialError> for PeerError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Connect(error) if error.kind() == ConnectionRefused => PeerError::Refused,
            DialError::Closed => PeerError::Closed,
            DialError::Io(error) if is_reset(&error) => PeerError::Closed,
            error @ (DialError::Full | DialError::TlsCut(_)) => {
                PeerError::TurnedAway(error.to_string())
            }
            error if error.is_misfit() => {
                PeerError::Misfit { alive: error.is_sign_of_life(), reason: error.to_string() }
            }
            error => PeerError::Io(error.to_string()),
        }
    }
}

/// Whether the process at the other end closed the connection.
fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// A connection to a peer that carries one question after another.
#[derive(Debug)]
pub(crate) struct PeerClient {
    stream: BufReader<Socket>,
    /// The part of a line that has arrived.
    line: Vec<u8>,
    /// The number of answers still to come before the answer to the next question.
    late: usize,
}

impl PeerClient {
    pub(crate) async fn begin(dialer: &Dialer, address: &str) -> Result<PeerClient, PeerError> {
        let stream = BufReader::new(dialer.dial(address).await?);
        Ok(PeerClient { stream, line: Vec::new(), late: 0 })
    }

    /// Identifies this node. A node whose clients take all its connections answers only other
    /// nodes.
    pub(crate) async fn introduce(
        &mut self,
        name: &str,
        ours: Stamp,
    ) -> Result<PeerLine, PeerError> {
        self.peer_line(&format!("ring greet {name} {ours}\r\n")).await
    }

    /// Sends one or more questions.
    pub(crate) async fn say(&mut self, text: &[u8]) -> Result<(), PeerError> {
        self.stream.write_all(text).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads an answer of `STAT` lines, without the line that ends it. Takes its bytes from `room`,
    /// and fails if they do not suffice.
    pub(crate) async fn stats(&mut self, room: &mut usize) -> Result<Vec<u8>, PeerError> {
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

    /// Sends a handshake and reads the peer's line about itself.
    pub(crate) async fn peer_line(&mut self, handshake: &str) -> Result<PeerLine, PeerError> {
        let line = self.ask(handshake.as_bytes()).await?;
        if line.starts_with(b"CLIENT_ERROR usage: ring") {
            return Err(PeerError::Usage);
        }
        PeerLine::parse(&line)
            .ok_or_else(|| DialError::of_answer(&line).map_or_else(|| nonsense(&line), Into::into))
    }

    /// Offers a ring, with a proof by the peer secret.
    pub(crate) async fn offer(&mut self, secret: &Secret, ring: &Ring) -> Result<(), PeerError> {
        let line = self.ask(b"ring nonce\r\n").await?;
        let nonce: Option<Nonce> = line.strip_prefix(b"NONCE ").and_then(from_hex);
        let nonce = nonce.ok_or_else(|| nonsense(&line))?;
        let text = ring.to_toml();
        let Some(code) = secret.sign(&nonce, text.as_bytes()) else { return Ok(()) };
        let mut message = String::new();
        // Writing to a string cannot fail.
        let _ = write!(message, "ring offer {} {}\r\n{text}\r\n", to_hex(&code), text.len());
        self.ask(message.as_bytes()).await?;
        Ok(())
    }

    /// Asks for one line. First drops the answers to earlier questions that were abandoned.
    async fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, PeerError> {
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
    async fn line(&mut self) -> Result<Vec<u8>, PeerError> {
        let limit = (MAX_REPLY_LINE - self.line.len().min(MAX_REPLY_LINE)) as u64;
        (&mut self.stream).take(limit).read_until(b'\n', &mut self.line).await?;
        let line = std::mem::take(&mut self.line);
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(text.to_vec()),
            None if line.is_empty() => Err(PeerError::Closed),
            None => Err(nonsense(&line)),
        }
    }
}

fn nonsense(line: &[u8]) -> PeerError {
    PeerError::Nonsense(String::from_utf8_lossy(line).chars().take(80).collect())
}

/// Waits for a talk for at most `timeout`.
pub(crate) async fn within<T>(
    timeout: Duration,
    talk: impl Future<Output = Result<T, PeerError>>,
) -> Result<T, PeerError> {
    tokio::time::timeout(timeout, talk).await.unwrap_or(Err(PeerError::Timeout(timeout)))
}

/// Reads a ring that a peer keeps, for the node of this name that holds `ours`.
pub(crate) async fn pull(
    dialer: &Dialer,
    address: &str,
    name: &str,
    ours: Stamp,
    stamp: Stamp,
) -> Result<String, PeerError> {
    within(PULL_TIMEOUT, async {
        let mut talk = PeerClient::begin(dialer, address).await?;
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
