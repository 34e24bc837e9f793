//! What nodes say to each other about rings, from the side that dials.
//!
//! Every talk is short and on a connection of its own: ask, read a bounded answer, hang up.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::{MAX_REPLY_LINE, PeerLine, Stamp, from_hex, parse_ring_header, to_hex};
use ringbinder_ring::Ring;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::dial::{DialError, Dialer};
use super::membership::stamp;
use super::secret::{Nonce, Secret};
use crate::socket::Socket;

/// How long reading a whole ring from a peer may take.
const PULL_PATIENCE: Duration = Duration::from_secs(10);

/// Why a talk came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TalkError {
    /// Nobody listens there: the process is gone, and with it what it served.
    #[error("nothing listens there")]
    Refused,
    /// It cannot be talked to until somebody changes something.
    #[error("{0}")]
    Misfit(String),
    #[error("it did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("{0}")]
    Io(String),
    #[error("it answered {0:?}, which no node of a ring does")]
    Nonsense(String),
}

impl From<io::Error> for TalkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => TalkError::Refused,
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
            error if error.is_misfit() => TalkError::Misfit(error.to_string()),
            error => TalkError::Io(error.to_string()),
        }
    }
}

/// A connection to a peer, for questions one after the other.
#[derive(Debug)]
pub(crate) struct Talk {
    stream: BufReader<Socket>,
}

impl Talk {
    pub(super) async fn begin(dialer: &Dialer, address: &str) -> Result<Talk, TalkError> {
        Ok(Talk { stream: BufReader::new(dialer.dial(address).await?) })
    }

    /// Sends a question, or several.
    pub(crate) async fn say(&mut self, text: &[u8]) -> Result<(), TalkError> {
        self.stream.write_all(text).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads an answer of `STAT` lines, whatever line ends it left out. Takes its bytes from `room`,
    /// and fails where they do not suffice.
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

    async fn line(&mut self) -> Result<Vec<u8>, TalkError> {
        let mut line = Vec::new();
        let limit = MAX_REPLY_LINE as u64;
        (&mut self.stream).take(limit).read_until(b'\n', &mut line).await?;
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(text.to_vec()),
            None if line.is_empty() => Err(TalkError::Io("it closed the connection".into())),
            None => Err(nonsense(&line)),
        }
    }
}

fn nonsense(line: &[u8]) -> TalkError {
    TalkError::Nonsense(String::from_utf8_lossy(line).chars().take(80).collect())
}

async fn within<T>(
    patience: Duration,
    talk: impl Future<Output = Result<T, TalkError>>,
) -> Result<T, TalkError> {
    tokio::time::timeout(patience, talk).await.unwrap_or(Err(TalkError::Timeout(patience)))
}

/// Tells a peer which ring is in force here and hears the same of it. A peer that holds an older one
/// is offered this node's, if there is a secret to prove it by.
pub(crate) async fn greet(
    dialer: &Dialer,
    address: &str,
    name: &str,
    ring: Arc<Ring>,
    secret: Option<Secret>,
    patience: Duration,
) -> Result<PeerLine, TalkError> {
    within(patience, async {
        let ours = stamp(ring.id());
        let mut talk = Talk::begin(dialer, address).await?;
        talk.say(format!("ring greet {name} {ours}\r\n").as_bytes()).await?;
        let line = talk.line().await?;
        let Some(peer) = PeerLine::parse(&line) else {
            return Err(DialError::of_answer(&line).map_or_else(|| nonsense(&line), Into::into));
        };
        if let Some(secret) = secret.filter(|_| peer.newest() < ours) {
            // A peer without a secret says so; it gets the ring in another way.
            let _ = hand_over(&mut talk, &secret, &ring).await;
        }
        Ok(peer)
    })
    .await
}

async fn hand_over(talk: &mut Talk, secret: &Secret, ring: &Ring) -> Result<(), TalkError> {
    talk.say(b"ring nonce\r\n").await?;
    let line = talk.line().await?;
    let nonce: Option<Nonce> = line.strip_prefix(b"NONCE ").and_then(from_hex);
    let nonce = nonce.ok_or_else(|| nonsense(&line))?;
    let text = ring.to_toml();
    let Some(code) = secret.sign(&nonce, text.as_bytes()) else {
        return Ok(());
    };
    let mut message = String::new();
    // Writing to a string cannot fail.
    let _ = write!(message, "ring offer {} {}\r\n{text}\r\n", to_hex(&code), text.len());
    talk.say(message.as_bytes()).await?;
    talk.line().await?;
    Ok(())
}

/// Reads a ring that a peer keeps.
pub(crate) async fn pull(
    dialer: &Dialer,
    address: &str,
    stamp: Stamp,
) -> Result<String, TalkError> {
    within(PULL_PATIENCE, async {
        let mut talk = Talk::begin(dialer, address).await?;
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
