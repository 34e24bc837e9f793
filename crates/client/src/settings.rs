//! Settings shared by all parts of a client.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::link::login::Login;
use crate::link::watchdog::Watchdog;
use crate::tls::Connector;

/// The settings of all links of a client.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    /// The runtime of the connections' tasks.
    pub(crate) runtime: Handle,
    /// Ends requests that wait too long. Its limit applies to making a connection as well.
    pub(crate) watchdog: Arc<Watchdog>,
    /// Longest value accepted from a node, in bytes.
    pub(crate) max_value: usize,
    /// Connections to each node.
    pub(crate) slots: usize,
    pub(crate) retries: u32,
    /// Makes connections secure, if TLS is on.
    pub(crate) tls: Option<Arc<Connector>>,
    /// The login sent first on each connection.
    pub(crate) login: Option<Login>,
}

/// The result of a command if the owner of its key is unreachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnAway {
    /// The result of an empty cache: a get misses, and a write reports that it was not done
    /// ([`Stored::Away`](crate::Stored), `None`, `false`). The application goes on without its
    /// cache. Note the effect on a `delete`: a node that is cut off but alive still holds the value
    /// when it comes back.
    #[default]
    Miss,
    /// [`Error::Away`](crate::Error::Away).
    Error,
}
