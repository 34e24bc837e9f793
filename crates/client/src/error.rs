//! Errors, typed by who must act.

use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::MAX_KEY_LEN;
use ringbinder_ring::{
    RingError,
    source::{OriginError, SourceError},
};

use crate::tls::{TlsError, TlsFault};

/// The reason why a command has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's fault: no server accepts this key. Nothing was sent.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The caller's fault: the value is longer than any server of this protocol accepts. Nothing
    /// was sent.
    #[error("a value of {len} bytes is longer than the protocol allows")]
    ValueTooLong {
        /// Length of the value in bytes.
        len: usize,
    },
    /// The caller's fault: a command that is not a single line. Nothing was sent.
    #[error("{0:?} is not a single line of text without control characters")]
    Line(String),
    /// The caller's fault: meta flags that suppress an answer or change the key. Nothing was sent.
    #[error("the meta flags {0:?} are not for this client: leave out q, b and O")]
    Flags(String),
    /// The node reports an invalid request: `ERROR` or `CLIENT_ERROR`.
    #[error("{node} refused the request: {says}")]
    Refused {
        /// The node that was asked.
        node: Arc<str>,
        /// The node's answer.
        says: String,
    },
    /// The node could not carry out the request: `SERVER_ERROR`.
    #[error("{node} could not carry out the request: {says}")]
    Failed {
        /// The node that was asked.
        node: Arc<str>,
        /// The node's answer.
        says: String,
    },
    /// The node requires authentication: the client has no [`Login`](crate::Login), or one that the
    /// node refuses. Nothing was done.
    #[error("{node} {}", refused_login(user.as_deref()))]
    Unauthenticated {
        /// The node that was asked.
        node: Arc<str>,
        /// The user in the client's login, if it has one.
        user: Option<Arc<str>>,
    },
    /// The node is unreachable. If a write was already sent, it is unknown whether it was carried
    /// out.
    #[error("{node} is unreachable: {why}")]
    Away {
        /// The node that was asked.
        node: Arc<str>,
        /// The kind of absence.
        why: Absence,
    },
    /// The answer is not from a server of this protocol, or the server is out of step with its
    /// requests.
    #[error("malformed answer from {node}: {got:?}; the connection was closed")]
    Nonsense {
        /// The node that was asked.
        node: Arc<str>,
        /// The beginning of the answer.
        got: String,
    },
    /// The codec cannot decode the value as the caller's type, or cannot encode it.
    #[error("{what}: {why}")]
    Codec {
        /// The operation, and its key.
        what: String,
        /// The codec's message.
        why: String,
    },
}

impl Error {
    /// Whether the node could not be asked, as opposed to having answered.
    pub fn is_away(&self) -> bool {
        matches!(self, Error::Away { .. })
    }
}

fn refused_login(user: Option<&str>) -> String {
    match user {
        Some(user) => format!("rejects the login of {user:?}: the user or the password is wrong"),
        None => "requires a login, and this client has none".to_owned(),
    }
}

/// The reason why a key is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key is empty.
    #[error("the key is empty")]
    Empty,
    /// The key has more than [`MAX_KEY_LEN`] bytes.
    #[error("the key is {0} bytes long; {MAX_KEY_LEN} are allowed")]
    TooLong(usize),
    /// The key has a space or a control character.
    #[error("the key contains a space or a control character")]
    Character,
}

/// The way in which a node is unreachable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Absence {
    /// No connection could be made.
    #[error("cannot connect ({0})")]
    Unreachable(String),
    /// The node did not answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The connection ended before the answer.
    #[error("it closed the connection before it answered")]
    Closed,
    /// The node was unreachable a moment ago, so it was not asked; it is tried again soon.
    #[error("it was unreachable a moment ago, and is not tried again yet")]
    Resting,
    /// The node has its maximum of connections, and takes no other.
    #[error("it has no room for another connection: raise its connection limit (-c)")]
    Full,
    /// The runtime of [`Builder::connect`](crate::Builder::connect) has ended, and with it the
    /// client's connections.
    #[error("the runtime on which the client was created has ended: create another client")]
    NoRuntime,
    /// One side uses TLS and the other does not, or the handshake failed.
    #[error("{0}")]
    Tls(TlsFault),
    /// Another node passed the request on to this one, without success.
    #[error("another node forwarded the request to it and got no answer")]
    ByProxy,
}

/// The reason why there is no client: it has no ring to begin with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The ring file or etcd has no valid ring.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file or a setting for TLS is invalid.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The list of servers does not make a valid ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The origin of the ring is neither a file nor a key in etcd.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// There are no nodes to ask for the ring.
    #[error("cannot discover the ring: no node is given; give at least one host:port")]
    NoSeeds,
    /// No node that was asked sent its ring.
    #[error("cannot discover the ring: no node returned it: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotDiscovered(Vec<Error>),
}
