//! The settings of a client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ringbinder_protocol::MAX_VALUE_LEN;
use ringbinder_ring::Ring;
use ringbinder_ring::source::Origin;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Inner};
use crate::error::ConnectError;
use crate::fill::shared::SharedFills;
use crate::link::login::Login;
use crate::link::watchdog::{self, Watchdog};
#[cfg(feature = "near-cache")]
use crate::near::{Near, NearCache};
use crate::rings::{Beginning, Rings};
use crate::settings::{LinkSettings, OnAway};
use crate::tls::{Connector, Tls};
use crate::view::View;

/// Longer timeouts could overflow the clock's arithmetic.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Minimum pause between two requests for the nodes' ring.
const SHORTEST_PERIOD: Duration = Duration::from_millis(10);

/// A client's settings, each with a default.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    rings: Rings,
    timeout: Duration,
    retries: u32,
    connections: Option<usize>,
    max_value: usize,
    on_away: OnAway,
    #[cfg(feature = "near-cache")]
    near: Option<NearCache>,
    thread: bool,
    tls: Option<Tls>,
    login: Option<Login>,
}

impl Builder {
    pub(crate) fn new(rings: Rings) -> Builder {
        Builder {
            rings,
            timeout: Duration::from_millis(500),
            retries: 1,
            connections: None,
            max_value: 64 << 20,
            on_away: OnAway::default(),
            #[cfg(feature = "near-cache")]
            near: None,
            thread: true,
            tls: None,
            login: None,
        }
    }

    /// Time limit for making a connection, and for an answer. At most a day; the default is 500 ms.
    ///
    /// An answer's time begins with its request, however large both are. The limit applies to the
    /// oldest request on a connection; a request that exceeds it ends the connection for all that
    /// wait on it. The client checks this from time to time, so the limit may be exceeded by an
    /// eighth.
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// Number of times that a request is sent again after its connection ended. The default is 1.
    ///
    /// This applies to requests that the node has certainly not seen, and to those that only read.
    /// A write that may have been carried out is never sent twice, since that could undo a later
    /// write of another client. After a timeout nothing is sent again.
    pub fn retries(mut self, retries: u32) -> Builder {
        self.retries = retries;
        self
    }

    /// Connections to each node, at least 1. By default as many as the runtime has workers.
    pub fn connections(mut self, connections: usize) -> Builder {
        self.connections = Some(connections.max(1));
        self
    }

    /// Longest value accepted from a node, in bytes. The default is 64 MiB. A node that announces a
    /// longer value counts as broken.
    pub fn max_value(mut self, bytes: usize) -> Builder {
        self.max_value = bytes.min(MAX_VALUE_LEN);
        self
    }

    /// The result of a command if the owner of its key is unreachable. The default is a miss.
    pub fn on_away(mut self, on_away: OnAway) -> Builder {
        self.on_away = on_away;
        self
    }

    /// Keeps values that were read in this process's memory for a while. Off by default.
    #[cfg(feature = "near-cache")]
    pub fn near_cache(mut self, near: NearCache) -> Builder {
        self.near = Some(near);
        self
    }

    /// Whether a separate thread, one for all clients of a process, watches timeouts and changes of
    /// the ring. On by default. Without it the caller's runtime does so, by timers that make each
    /// small get a few percent more expensive: for a process that wants no additional thread, and
    /// for tests that pause the runtime's time.
    pub fn thread_aside(mut self, thread: bool) -> Builder {
        self.thread = thread;
        self
    }

    /// Encrypts the connections to all nodes, including those that are asked for their ring. Off by
    /// default. The time limit of a connection includes the handshake.
    pub fn tls(mut self, tls: Tls) -> Builder {
        self.tls = Some(tls);
        self
    }

    /// Authenticates this client, first on every connection. If a node refuses the login, every
    /// command to it is an [`Error::Unauthenticated`](crate::Error::Unauthenticated). Without TLS
    /// the password is readable on the network.
    pub fn login(mut self, login: Login) -> Builder {
        self.login = Some(login);
        self
    }

    /// The file for a copy of the last good ring from etcd, for a start while etcd is unreachable.
    /// Has no effect with other origins of the ring.
    pub fn ring_cache(mut self, path: impl Into<PathBuf>) -> Builder {
        if let Rings::Kept { cache, .. } = &mut self.rings {
            *cache = Some(path.into());
        }
        self
    }

    /// Interval of asking the nodes for a newer ring, at least 10 ms. The default is 5 s. Only for
    /// a discovered ring.
    pub fn discover_every(mut self, period: Duration) -> Builder {
        if let Rings::Discovered { every, .. } = &mut self.rings {
            *every = period.max(SHORTEST_PERIOD);
        }
        self
    }

    /// Gets the ring; connections to nodes are made when they are first needed.
    ///
    /// The connections live on the tokio runtime on which this is called. It needs time and I/O,
    /// and must run for as long as the client is used; callers may be on any runtime. When it ends,
    /// every command finds the nodes unreachable.
    ///
    /// # Errors
    /// If there is no ring, or a file for TLS is missing or invalid. Unreachable nodes are not an
    /// error here.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let runtime = Handle::current();
        let workers = runtime.metrics().num_workers();
        let aside = match watchdog::aside() {
            Some(aside) if self.thread => aside.clone(),
            _ => runtime.clone(),
        };
        let settings = LinkSettings {
            runtime,
            watchdog: Arc::new(Watchdog::new(self.timeout, &aside)),
            max_value: self.max_value,
            slots: self.connections.unwrap_or(workers),
            retries: self.retries,
            tls: self.tls.map(Connector::new).transpose()?.map(Arc::new),
            login: self.login,
        };
        let tls = settings.tls.clone();
        let listed = matches!(self.rings, Rings::Listed(_));
        let Beginning { ring, follow } = self.rings.begin(&settings).await?;
        let view = Arc::new(ArcSwap::from_pointee(View::new(ring, &settings, None)));
        let stop = CancellationToken::new();
        aside.spawn(follow.run(Arc::downgrade(&view), settings, stop.clone()));
        Ok(Client::new(Inner {
            view,
            on_away: self.on_away,
            listed,
            #[cfg(feature = "near-cache")]
            near: self.near.map(Near::new),
            #[cfg(not(feature = "near-cache"))]
            near: None,
            shared_fills: SharedFills::default(),
            tls,
            runtime: Handle::current(),
            _stop: stop.drop_guard(),
        }))
    }
}

impl Client {
    /// A client of the ring in a file (`ring.toml`) or in etcd (`etcd://host:port/key`). The client
    /// watches the origin and adopts a newer ring while it runs.
    pub fn with_ring(origin: impl AsRef<str>) -> Builder {
        Builder::new(Rings::Kept { origin: origin.as_ref().parse(), cache: None })
    }

    /// As [`Client::with_ring`], for a file with any name.
    pub fn with_ring_file(path: impl Into<PathBuf>) -> Builder {
        Builder::new(Rings::Kept { origin: Ok(Origin::File(path.into())), cache: None })
    }

    /// A client of the ring that these nodes (`host:port` each) report. Later the client asks the
    /// nodes of that ring for newer ones.
    pub fn with_discovery<A: Into<String>>(seeds: impl IntoIterator<Item = A>) -> Builder {
        let seeds = seeds.into_iter().map(Into::into).collect();
        let every = Duration::from_secs(5);
        Builder::new(Rings::Discovered { seeds, every })
    }

    /// A client of these servers, `host:port` each, with equal weights: any that speak the
    /// protocol, for instance memcached's own. Their order does not matter, their spelling does.
    pub fn with_servers<A: Into<String>>(servers: impl IntoIterator<Item = A>) -> Builder {
        Builder::new(Rings::Listed(servers.into_iter().map(Into::into).collect()))
    }

    /// A client of this ring, which never changes.
    pub fn with_fixed_ring(ring: Ring) -> Builder {
        Builder::new(Rings::Given(ring))
    }
}
