//! What can go wrong, typed by who has to act.

use std::sync::Arc;
use std::time::Duration;

use ringbinder_protocol::MAX_KEY_LEN;
use ringbinder_ring::{
    RingError,
    source::{OriginError, SourceError},
};

use crate::tls::{TlsError, TlsFault};

/// Why a command has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's: no server takes this key. Nothing was sent.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The caller's: longer than any server of this protocol takes. Nothing was sent.
    #[error("a value of {len} bytes is longer than the protocol allows")]
    ValueTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The caller's: a command whose line is not one line. Nothing was sent.
    #[error("{0:?} is no single line of text without control characters")]
    Line(String),
    /// The caller's: meta flags that hide an answer or change the key. Nothing was sent.
    #[error("the meta flags {0:?} are not for this client: leave out q, b and O")]
    Flags(String),
    /// The node finds the request at fault: `ERROR` or `CLIENT_ERROR`.
    #[error("{node} refuses this: {says}")]
    Refused {
        /// The node that was asked.
        node: Arc<str>,
        /// Its answer.
        says: String,
    },
    /// The node could not do it: `SERVER_ERROR`.
    #[error("{node} could not do this: {says}")]
    Failed {
        /// The node that was asked.
        node: Arc<str>,
        /// Its answer.
        says: String,
    },
    /// The node does not know who this client is, and serves it nothing: the client has no
    /// [`Login`](crate::Login), or one that the node refuses. Nothing was done.
    #[error("{node} {}", refused_login(user.as_deref()))]
    Unauthenticated {
        /// The node that was asked.
        node: Arc<str>,
        /// Who the client said that it is.
        user: Option<Arc<str>>,
    },
    /// The node cannot be asked. Whether a write that was already sent was carried out is not known.
    #[error("{node} is away: {why}")]
    Away {
        /// The node that was asked.
        node: Arc<str>,
        /// What happened when it was.
        why: Absence,
    },
    /// What answers there is no server of this protocol, or has lost its place in it.
    #[error("{node} answers what no memcached server says: {got:?}; the connection was closed")]
    Nonsense {
        /// The node that was asked.
        node: Arc<str>,
        /// The beginning of its answer.
        got: String,
    },
    /// The value is not what the caller's type is written as, or the other way round.
    #[error("{what}: {why}")]
    Codec {
        /// What was being done, and to which key.
        what: String,
        /// What the codec says.
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
        Some(user) => format!(
            "refuses the login of {user:?}: the user or the password is not one that the node has"
        ),
        None => "asks for a login, and this client has none".to_owned(),
    }
}

/// Why a key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No bytes at all.
    #[error("the key is empty")]
    Empty,
    /// More than [`MAX_KEY_LEN`] bytes.
    #[error("the key is {0} bytes long; {MAX_KEY_LEN} are allowed")]
    TooLong(usize),
    /// A space or a control character.
    #[error("the key holds a space or a control character")]
    Character,
}

/// What happened when a node was asked that is away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Absence {
    /// No connection.
    #[error("no connection to it ({0})")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// The connection ended before the answer.
    #[error("it closed the connection before it answered")]
    Closed,
    /// It was away a moment ago, so it was not asked; it is tried again soon.
    #[error("it was away a moment ago, and is not asked again yet")]
    Resting,
    /// It has as many connections as it may, and takes no other.
    #[error("it has no room for another connection: raise its connection limit (-c)")]
    Full,
    /// The runtime that [`Builder::connect`](crate::Builder::connect) was called on has ended, and
    /// the client's connections with it.
    #[error("the runtime that the client was made on has ended: make another client")]
    NoRuntime,
    /// There is no connection by TLS, or none without.
    #[error("{0}")]
    Tls(TlsFault),
    /// Another node passed the request on to it, without success.
    #[error("asked through another node, it does not answer")]
    ByProxy,
}

/// Why there is no client: there is no ring to begin with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The ring file or etcd.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file that TLS needs, or a setting of it.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The list of servers is no ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// What names the ring file, or the key in etcd, names neither.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Nobody to ask.
    #[error("no node is named: give at least one host:port to discover the ring from")]
    NoSeeds,
    /// None of the nodes asked gave its ring.
    #[error("none of the nodes asked gave its ring: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NotDiscovered(Vec<Error>),
}
