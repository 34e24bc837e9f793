//! How a client is set up.

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
use crate::fill::flight::Flights;
use crate::login::Login;
#[cfg(feature = "near-cache")]
use crate::near::{Near, NearCache};
use crate::rings::{Beginning, Rings};
use crate::settings::{LinkSettings, OnAway};
use crate::tls::{Connector, Tls};
use crate::view::View;
use crate::watchdog::{self, Watchdog};

/// Longer ones would only ask for trouble with the clock's arithmetic.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Nodes must not be asked for their ring without a pause.
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

    /// How long a connection may take to be made, and an answer to come; 500 ms. At most a day.
    ///
    /// An answer's time begins with its request, however large both are. It is counted for the
    /// oldest request on a connection, and one that takes longer ends the connection for all that
    /// wait on it. That is looked after now and then, so that it may take an eighth longer.
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// How often a request is sent again after its connection ended; 1.
    ///
    /// That is done for requests which the node has certainly not seen, and for those that only
    /// read. A write that may have been carried out is never sent twice, since that could undo what
    /// somebody else has written in between. After a timeout nothing is sent again.
    pub fn retries(mut self, retries: u32) -> Builder {
        self.retries = retries;
        self
    }

    /// Connections to each node, at least 1; as many as the runtime has workers if left out.
    pub fn connections(mut self, connections: usize) -> Builder {
        self.connections = Some(connections.max(1));
        self
    }

    /// Longest value that is taken from a node, in bytes; 64 MiB. A node that announces a longer
    /// one is taken for a broken one.
    pub fn max_value(mut self, bytes: usize) -> Builder {
        self.max_value = bytes.min(MAX_VALUE_LEN);
        self
    }

    /// What a command gives when the owner of its key is away; a miss.
    pub fn on_away(mut self, on_away: OnAway) -> Builder {
        self.on_away = on_away;
        self
    }

    /// Keeps values that were read in this process's memory for a while; off.
    #[cfg(feature = "near-cache")]
    pub fn near_cache(mut self, near: NearCache) -> Builder {
        self.near = Some(near);
        self
    }

    /// Whether time-outs and changes of the ring are looked after on a thread aside, one for all
    /// clients of a process; yes. Without it the caller's runtime does that too, by timers that make
    /// each small get cost a few percent more: for a process that wants no thread, and for tests
    /// that pause the runtime's time.
    pub fn thread_aside(mut self, thread: bool) -> Builder {
        self.thread = thread;
        self
    }

    /// Encrypts the connections to all nodes, those that tell their ring as well; off. The handshake
    /// counts to the time that a connection may take.
    pub fn tls(mut self, tls: Tls) -> Builder {
        self.tls = Some(tls);
        self
    }

    /// Says who this client is, first on every connection. A node that refuses it makes every command
    /// an [`Error::Unauthenticated`](crate::Error::Unauthenticated). Without TLS the password is read
    /// by whoever reads the wire.
    pub fn login(mut self, login: Login) -> Builder {
        self.login = Some(login);
        self
    }

    /// The file that keeps a copy of the last good ring from etcd, for a start while etcd is away.
    /// Of no use with other kinds of ring.
    pub fn ring_cache(mut self, path: impl Into<PathBuf>) -> Builder {
        if let Rings::Kept { cache, .. } = &mut self.rings {
            *cache = Some(path.into());
        }
        self
    }

    /// How often the nodes are asked for a newer ring; every 5 s, and at least 10 ms apart. Only
    /// where it is discovered.
    pub fn discover_every(mut self, period: Duration) -> Builder {
        if let Rings::Discovered { every, .. } = &mut self.rings {
            *every = period.max(SHORTEST_PERIOD);
        }
        self
    }

    /// Gets the ring; connections to nodes are made when they are first needed.
    ///
    /// The connections live on the tokio runtime that this is called on, which needs time and I/O
    /// and has to run for as long as the client is used; callers may be anywhere. When it ends, every
    /// command finds the nodes away.
    ///
    /// # Errors
    /// Where there is no ring, or a file that TLS needs is not in order. That nodes are away is no
    /// error here.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
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
            lanes: self.connections.unwrap_or(workers),
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
            flights: Flights::default(),
            tls,
            runtime: Handle::current(),
            _stop: stop.drop_guard(),
        }))
    }
}

impl Client {
    /// A client of the ring in a file (`ring.toml`) or in etcd (`etcd://host:port/key`). It is
    /// watched, and a newer ring taken up while the client runs.
    pub fn with_ring(origin: impl AsRef<str>) -> Builder {
        Builder::new(Rings::Kept { origin: origin.as_ref().parse(), cache: None })
    }

    /// As [`Client::with_ring`], of a file with any name.
    pub fn with_ring_file(path: impl Into<PathBuf>) -> Builder {
        Builder::new(Rings::Kept { origin: Ok(Origin::File(path.into())), cache: None })
    }

    /// A client of the ring that these nodes tell, `host:port` each. Later on the nodes of that
    /// ring are asked for newer ones.
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

    /// A client of this ring, which stays as it is.
    pub fn with_fixed_ring(ring: Ring) -> Builder {
        Builder::new(Rings::Given(ring))
    }
}
