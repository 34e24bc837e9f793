//! Settings that everything in a client goes by.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::login::Login;
use crate::tls::Connector;
use crate::watchdog::Watchdog;

/// What all links of a client have in common.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    /// Where the connections' tasks run.
    pub(crate) runtime: Handle,
    /// Ends what waits too long; how long a connection may take to be made is the same.
    pub(crate) watchdog: Arc<Watchdog>,
    /// Longest value that is taken from a node, in bytes.
    pub(crate) max_value: usize,
    /// Connections to each node.
    pub(crate) lanes: usize,
    pub(crate) retries: u32,
    /// Where connections are made secure.
    pub(crate) tls: Option<Arc<Connector>>,
    /// What is said first on each.
    pub(crate) login: Option<Login>,
}

/// What a command gives when the owner of its key is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnAway {
    /// What an empty cache would give: a get misses, and a write says that it was not done
    /// ([`Stored::Away`](crate::Stored), `None`, `false`). The application goes on without its
    /// cache. Note what that means for a `delete`: a node that is cut off, and not dead, still
    /// holds the value when it comes back.
    #[default]
    Miss,
    /// [`Error::Away`](crate::Error::Away).
    Error,
}
