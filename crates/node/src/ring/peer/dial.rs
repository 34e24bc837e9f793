//! Dials another node: connects, does TLS, logs in, and proves knowledge of the peer secret. The
//! result is ready for requests. The first should be a handshake, because a node whose clients take
//! all its connections accepts nothing else from other nodes.
//!
//! [`crate::ring::names`] gives the addresses of a host name: the resolver's present answer or, if
//! it gives none, the last good one. Certificates are checked against the name in the ring.
//!
//! The nodes of a ring are configured alike. So a node dials the others in the way that it is
//! dialled at its own address in the ring: with TLS if its listener there speaks TLS, and with the
//! first line of its own `-Y` file. If that listener accepts both kinds, as it does while a ring
//! changes over to TLS, the node tries TLS first, and dials a peer that has no TLS without it.
//!
//! A peer may reject one connection and accept the next: while untrusted clients flood it, or while
//! its accept queue is full. No request has been sent by then, so the caller dials again
//! ([`repeated`]).

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use ringbinder_protocol::{MAX_REPLY_LINE, Refusal, Reply, from_hex, reply, to_hex};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::secret::{Nonce, Secret};
use crate::net::socket::Socket;
use crate::ring::names::Names;
use crate::security::auth::Auth;
use crate::security::guards::Guards;
use crate::security::tls::{Tls, explain};
use crate::settings::{Guard, PeerTls};

const PLAIN: u8 = 0;
const TLS: u8 = 1;
const EITHER: u8 = 2;

/// The pause before another attempt at a peer that rejected a connection: the first pause and the
/// longest. Each pause is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_LONGEST: Duration = Duration::from_millis(250);

/// The reason why a node was not reached, worded as a sentence about the node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("the connection failed: {0}")]
    Io(io::Error),
    #[error("it closed the connection")]
    Closed,
    #[error("its address {0} has no host name that a certificate could match")]
    Name(String),
    #[error("it does not use TLS: start it with -Z, or this node with --peer-tls off")]
    NoTls,
    #[error("it accepts TLS only: start it without -Z, or this node with --peer-tls on")]
    TlsOnly,
    /// The handshake failed, or the peer rejected this node after its own part of the handshake.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The connection broke during the handshake without a TLS alert.
    #[error("TLS failed: {0}")]
    TlsCut(String),
    #[error("it requires a password: start this node with the same -Y file as the others")]
    Unauthenticated,
    #[error("it refuses the first user of this node's -Y file: give all nodes the same file")]
    LoginFailed,
    #[error("it answered a password with {0:?}")]
    Login(String),
    /// The peer's process runs but has no place for this connection.
    #[error("it has reached its limit of connections (-c)")]
    Full,
}

impl DialError {
    /// Whether only a change of the configuration can help.
    pub(crate) fn is_misfit(&self) -> bool {
        !matches!(self, DialError::Connect(_) | DialError::Io(_) | DialError::Closed)
    }

    /// Whether the peer rejected this connection and may accept the next one.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Full | Self::Closed | Self::Io(_) | Self::TlsCut(_))
    }

    /// Whether a process at the address answered, even if with a refusal.
    pub(crate) fn is_sign_of_life(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Io(_) | Self::Closed | Self::Name(_) => false,
            Self::NoTls
            | Self::TlsOnly
            | Self::Tls(_)
            | Self::TlsCut(_)
            | Self::Unauthenticated
            | Self::LoginFailed
            | Self::Login(_)
            | Self::Full => true,
        }
    }

    /// Classifies a failed read or write on a connection to a node. In TLS 1.3 a client learns only
    /// at this point that it was rejected.
    pub(crate) fn of_io(error: io::Error) -> DialError {
        match explain::inner(&error) {
            Some(_) => DialError::Tls(explain::cause(&error)),
            None => DialError::Io(error),
        }
    }

    /// Classifies an answer that is not a ring answer, if it is about dialling. A rejection may
    /// follow the answer to a question: a peer closes a connection whenever it needs its slot.
    pub(crate) fn of_answer(answer: &[u8]) -> Option<DialError> {
        let line = answer.strip_suffix(b"\r\n").unwrap_or(answer);
        let last = line.rsplit(|byte| *byte == b'\n').next();
        let says = |refusal: Refusal| last == Some(refusal.line().as_bytes());
        if says(Refusal::TlsOnly) {
            Some(DialError::TlsOnly)
        } else if says(Refusal::Unauthenticated) {
            Some(DialError::Unauthenticated)
        } else if says(Refusal::LoginFailed) {
            Some(DialError::LoginFailed)
        } else if says(Refusal::TooManyConnections) {
            Some(DialError::Full)
        } else {
            None
        }
    }
}

/// The error of an attempt to reach a peer, by which [`repeated`] decides.
pub(crate) trait AttemptError {
    /// No attempt finished within this time.
    fn timeout(timeout: Duration) -> Self;

    /// Whether another attempt may succeed.
    fn is_passing(&self) -> bool;

    /// Whether the peer is alive, although it rejected the attempt.
    fn is_sign_of_life(&self) -> bool;
}

/// Repeats attempts to reach a peer that rejects them, for `timeout` at most, pauses included.
pub(crate) async fn repeated<T, E: AttemptError, F: Future<Output = Result<T, E>>>(
    timeout: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, E> {
    let deadline = Instant::now() + timeout;
    let mut pause = PAUSE;
    let mut turned_away = None;
    loop {
        match tokio::time::timeout_at(deadline, attempt()).await {
            Ok(Err(error)) if error.is_passing() => {
                let next = Instant::now() + pause;
                if next >= deadline {
                    return Err(error);
                }
                turned_away = Some(error);
                tokio::time::sleep_until(next).await;
                pause = (2 * pause).min(PAUSE_LONGEST);
            }
            Ok(ended) => return ended,
            // The peer is known to be alive, although the last attempt did not finish.
            Err(_) => {
                let alive = turned_away.filter(E::is_sign_of_life);
                return Err(alive.unwrap_or_else(|| E::timeout(timeout)));
            }
        }
    }
}

/// The configuration for dialling other nodes.
#[derive(Debug)]
pub(crate) struct Dialer {
    tls: Option<Arc<Tls>>,
    auth: Option<Arc<Auth>>,
    secret: Option<Secret>,
    wanted: PeerTls,
    /// The addresses that this node listens on.
    listening: Vec<(SocketAddr, Guard)>,
    /// The protocol in use (TLS or not), by this node's present address in the ring.
    speaks: AtomicU8,
    names: Arc<Names>,
}

impl Dialer {
    /// A dialler for a node that listens on these addresses.
    pub(crate) fn new(
        guards: &Guards,
        wanted: PeerTls,
        listening: Vec<(SocketAddr, Guard)>,
    ) -> Dialer {
        let dialer = Dialer {
            tls: guards.tls.clone(),
            auth: guards.auth.clone(),
            secret: None,
            wanted,
            listening,
            speaks: AtomicU8::new(PLAIN),
            names: Arc::default(),
        };
        dialer.settle(None);
        dialer
    }

    /// Makes this node prove, on every connection, that it knows the peer secret.
    pub(crate) fn proves(&mut self, secret: Secret) {
        self.secret = Some(secret);
    }

    /// The addresses that this node listens on.
    pub(crate) fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.listening.iter().map(|(address, _)| *address)
    }

    /// The addresses of the ring's host names.
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Records this node's own address in the current ring, if it has one.
    pub(crate) fn settle(&self, own: Option<&str>) {
        let speaks = match self.wanted {
            PeerTls::Off => PLAIN,
            PeerTls::On => TLS,
            PeerTls::Auto => match guard_at(own.and_then(split), &self.listening) {
                Guard::Plain => PLAIN,
                Guard::Tls(_) => TLS,
                Guard::Either(_) => EITHER,
            },
        };
        self.speaks.store(speaks, Relaxed);
    }

    /// Connects to a node at `host:port`.
    pub(crate) async fn dial(&self, address: &str) -> Result<Socket, DialError> {
        let socket = self.reach(address).await?;
        self.prove(self.log_in(socket).await?).await
    }

    async fn reach(&self, address: &str) -> Result<Socket, DialError> {
        let speaks = self.speaks.load(Relaxed);
        if speaks != PLAIN {
            match self.dial_tls(address).await {
                Err(DialError::NoTls) if speaks == EITHER => {}
                socket => return socket,
            }
        }
        Ok(Socket::Tcp(self.connect(address).await?))
    }

    async fn dial_tls(&self, address: &str) -> Result<Socket, DialError> {
        let Some(config) = self.tls.as_ref().and_then(|tls| tls.client()) else {
            return Err(DialError::Tls("this node has no TLS".to_owned()));
        };
        let name = split(address).and_then(|(host, _)| ServerName::try_from(host).ok());
        let name = name.ok_or_else(|| DialError::Name(address.to_owned()))?.to_owned();
        let stream = self.connect(address).await?;
        match TlsConnector::from(config).connect(name, stream).await {
            Ok(stream) => Ok(Socket::Tls(Box::new(stream.into()))),
            Err(error) => Err(match explain::inner(&error) {
                Some(inner) if explain::is_no_tls(inner) => DialError::NoTls,
                Some(_) => DialError::Tls(explain::cause(&error)),
                None => DialError::TlsCut(explain::cause(&error)),
            }),
        }
    }

    /// Connects to the first address of the host that accepts a connection.
    ///
    /// The error is [`io::ErrorKind::ConnectionRefused`] only if every address refuses and the
    /// resolver gives these addresses at present. An old address may belong to another machine, so
    /// a refusal from it says nothing about the node.
    async fn connect(&self, address: &str) -> Result<TcpStream, DialError> {
        let unknown = || io::Error::other(format!("{address} is not host:port"));
        let (host, port) = split(address).ok_or_else(unknown).map_err(DialError::Connect)?;
        let found = self.names.find(host).await.map_err(DialError::Connect)?;
        let mut failed: Option<io::Error> = None;
        for ip in found.addresses {
            match TcpStream::connect((ip, port)).await {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(DialError::Io)?;
                    return Ok(stream);
                }
                Err(error) if found.is_old => {
                    failed = Some(io::Error::other(format!(
                        "{error} at {ip}, the last known address of {host}, which does not resolve"
                    )));
                }
                Err(error) => match &failed {
                    Some(other) if other.kind() != io::ErrorKind::ConnectionRefused => {}
                    _ => failed = Some(error),
                },
            }
        }
        let none = || io::Error::other(format!("{host} has no address"));
        Err(DialError::Connect(failed.unwrap_or_else(none)))
    }

    /// Logs in, if the node's own clients have to.
    async fn log_in(&self, mut socket: Socket) -> Result<Socket, DialError> {
        let Some(auth) = &self.auth else { return Ok(socket) };
        let users = auth.own_words();
        let words = users.first();
        let request =
            [format!("set auth 0 0 {}\r\n", words.len()).as_bytes(), words, b"\r\n"].concat();
        let line = ask(&mut socket, &request).await?;
        match DialError::of_answer(&line) {
            Some(error) => Err(error),
            // A node without users stores the value, as memcached does.
            None if line == b"STORED" => Ok(socket),
            None => Err(DialError::Login(shown(&line))),
        }
    }

    /// Proves that this node knows the peer secret, which gives the connection a slot even if
    /// clients take all of theirs. A node with no secret, with another one or without this protocol
    /// answers with an error, which is ignored: the answer to the next request shows more.
    async fn prove(&self, mut socket: Socket) -> Result<Socket, DialError> {
        let Some(secret) = &self.secret else { return Ok(socket) };
        let line = ask(&mut socket, b"ring nonce\r\n").await?;
        let nonce: Option<Nonce> = line.strip_prefix(b"NONCE ").and_then(from_hex);
        let Some(code) = nonce.and_then(|nonce| secret.prove(&nonce)) else {
            return DialError::of_answer(&line).map_or(Ok(socket), Err);
        };
        let request = format!("ring prove {}\r\n", to_hex(&code));
        let line = ask(&mut socket, request.as_bytes()).await?;
        DialError::of_answer(&line).map_or(Ok(socket), Err)
    }
}

/// Sends a request of one line or value and reads a one-line answer.
pub(crate) async fn ask(socket: &mut Socket, request: &[u8]) -> Result<Vec<u8>, DialError> {
    let Err(error) = write(socket, request).await else { return read_line(socket).await };
    // A peer that closed the connection may have sent the reason before.
    match read_line(socket).await {
        Ok(line) if DialError::of_answer(&line).is_some() => Ok(line),
        _ => Err(DialError::of_io(error)),
    }
}

/// Writes all bytes.
async fn write(socket: &mut Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let len = poll_fn(|context| socket.poll_write(context, bytes)).await?;
        if len == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[len..];
    }
    poll_fn(|context| socket.poll_flush(context)).await
}

/// Reads an answer of one line; no data may follow it.
pub(crate) async fn read_line(socket: &mut Socket) -> Result<Vec<u8>, DialError> {
    let mut line = Vec::with_capacity(256);
    loop {
        match reply(&line) {
            Reply::Line { line: text, consumed } if consumed == line.len() => {
                return Ok(text.to_vec());
            }
            Reply::Incomplete if line.len() <= MAX_REPLY_LINE => {}
            _ => return Ok(line),
        }
        let read = poll_fn(|context| socket.poll_read_into(context, &mut line)).await;
        if read.map_err(DialError::of_io)? == 0 {
            return Err(DialError::Closed);
        }
    }
}

/// The beginning of an answer, made readable.
pub(crate) fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(80).collect()
}

/// Host and port of an address. The host of an IPv6 address has no brackets.
pub(crate) fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok()?))
}

/// The protocol spoken at an address of this node. If no listener has the address (a load balancer
/// is in front, or no ring lists the node yet), it is TLS if all listeners have TLS.
fn guard_at(own: Option<(&str, u16)>, listening: &[(SocketAddr, Guard)]) -> Guard {
    let (host, port) = own.unzip();
    let ip: Option<IpAddr> = host.and_then(|host| host.parse().ok());
    let same_port = || listening.iter().filter(|(address, _)| Some(address.port()) == port);
    let exact = same_port().find(|(address, _)| Some(address.ip()) == ip);
    match exact.or_else(|| same_port().next()) {
        Some((_, guard)) => *guard,
        None if listening.iter().any(|(_, guard)| *guard == Guard::Plain) => Guard::Plain,
        None => listening.first().map_or(Guard::Plain, |(_, guard)| *guard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Verify;

    #[test]
    fn a_refusal_may_follow_an_answer() {
        let line = b"ERROR Too many open connections";
        let behind = [b"NONCE 00\r\n", &line[..], b"\r\n"].concat();
        for answer in [&line[..], &behind] {
            assert!(matches!(DialError::of_answer(answer), Some(DialError::Full)), "{answer:?}");
        }
        assert!(DialError::of_answer(b"NONCE 00").is_none());
    }

    #[tokio::test]
    async fn a_peer_that_has_hung_up_is_heard() {
        use std::io::Write as _;

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.write_all(b"ring nonce\r\n").unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        // Closing a socket with unread data resets the connection.
        accepted.write_all(b"ERROR Too many open connections\r\n").unwrap();
        drop(accepted);
        stream.set_nonblocking(true).unwrap();
        let mut socket = Socket::Tcp(TcpStream::from_std(stream).unwrap());
        let answer = ask(&mut socket, b"ring prove 00\r\n").await.unwrap();
        assert!(matches!(DialError::of_answer(&answer), Some(DialError::Full)), "{answer:?}");
    }

    #[test]
    fn peers_are_dialled_as_the_own_address_is_served() {
        let tls = Guard::Tls(Verify::Nobody);
        let listening = |list: &[(&str, Guard)]| -> Vec<(SocketAddr, Guard)> {
            list.iter().map(|(address, guard)| (address.parse().unwrap(), *guard)).collect()
        };
        let mixed = listening(&[
            ("127.0.0.1:11211", Guard::Plain),
            ("10.0.0.1:11211", tls),
            ("0.0.0.0:11212", Guard::Either(Verify::Nobody)),
        ]);
        for (own, guard) in [
            (Some("10.0.0.1:11211"), tls),
            (Some("127.0.0.1:11211"), Guard::Plain),
            (Some("cache-a:11211"), Guard::Plain),
            (Some("cache-a:11212"), Guard::Either(Verify::Nobody)),
            (Some("cache-a:7"), Guard::Plain),
            (None, Guard::Plain),
        ] {
            assert_eq!(guard_at(own.and_then(split), &mixed), guard, "{own:?}");
        }
        let all = listening(&[("[::]:11211", tls)]);
        for own in [Some("[::1]:11211"), Some("cache-a:30000"), None] {
            assert_eq!(guard_at(own.and_then(split), &all), tls, "{own:?}");
        }
        assert_eq!(split("[::1]:7"), Some(("::1", 7)));
    }
}
