//! The state that all workers share: the store, the settings, the clock and the counters.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};

use ringbinder_protocol::stats::HotKeys;
use ringbinder_store::SegmentStore;
use tokio::sync::Notify;
use tracing::warn;

use crate::memory::ConnectionMemory;
use crate::net::connections::{Connections, Shares};
use crate::observe::watch::Watch;
use crate::process::clock::Clock;
use crate::process::stop::Stop;
use crate::ring::RingNode;
use crate::sampling::{KeyCounts, Latency, LatencySums};
use crate::security::auth::Auth;
use crate::security::tls::Tls;
use crate::settings::Settings;
use crate::snapshot::Snapshots;
use crate::stats::{AllCounters, Prefixes};
use crate::takeover::Gate;

/// The storage engine.
pub(crate) type Engine = SegmentStore;

/// The shared state of one node.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) store: Engine,
    pub(crate) clock: Clock,
    pub(crate) counters: AllCounters,
    pub(crate) connections: Arc<Connections>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) prefixes: Prefixes,
    pub(crate) key_counts: KeyCounts,
    pub(crate) latency: Latency,
    /// The memory of connections.
    pub(crate) memory: Arc<ConnectionMemory>,
    pub(crate) snapshots: Snapshots,
    /// Whether connections are accepted.
    pub(crate) gate: Gate,
    /// The ring, if this node has one.
    pub(crate) ring: Option<Arc<RingNode>>,
    /// TLS, if any listener or link uses it.
    pub(crate) tls: Option<Arc<Tls>>,
    /// The users, if clients must authenticate.
    pub(crate) auth: Option<Arc<Auth>>,
    /// `verbosity`, as set by `-v` or the command.
    pub(crate) verbosity: AtomicU8,
    /// `lru_crawler enable`, `disable`.
    pub(crate) crawler_enabled: AtomicBool,
    pub(crate) crawler_starts: AtomicU64,
    /// Wakes the sweeper early.
    pub(crate) sweep_wanted: Notify,
    /// The number of `lru_crawler` dumps in progress.
    pub(crate) crawls: AtomicUsize,
    /// The time at which the items of the last flush expire, as [`Clock`] counts; 0 if there was
    /// none.
    pub(crate) flushed_at: AtomicU32,
    /// The second in which a connection with another protocol was last logged.
    pub(crate) foreign_logged: AtomicU32,
    /// The number of connections of other nodes that open files allow.
    pub(crate) room_for_peers: usize,
    /// Whether the node must stop, and the cause.
    pub(crate) stop: Stop,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    /// Whether single commands are logged.
    #[inline]
    pub(crate) fn logs_commands(&self) -> bool {
        self.verbosity.load(Relaxed) > 1
    }

    /// Reserves connection slots for the nodes of the ring, by the present rings.
    pub(crate) fn make_room(&self) {
        let Some(ring) = &self.ring else { return };
        let (nodes, threads) = (ring.node_count(), self.settings.threads);
        let shares = Shares::of(nodes, threads, self.room_for_peers);
        let wanted = Shares::of(nodes, threads, usize::MAX).total;
        if shares.total < wanted {
            warn!(
                "the limit of open files allows {} connections of other nodes, but {nodes} nodes \
                 may need {wanted}: raise it (ulimit -n, LimitNOFILE=), or lower -c",
                shares.total
            );
        }
        self.connections.share(shares);
    }

    /// The keys with most requests at present.
    pub(crate) fn hot_keys(&self) -> HotKeys {
        self.key_counts.hottest(self.clock.nanos())
    }

    /// The latency of answers since the start or the last reset.
    pub(crate) fn latency(&self) -> LatencySums {
        self.latency.sums()
    }
}
