//! What the settings come to: plain values for the server, in the units it computes with.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::figures::Figures;
use super::tls::{Guard, PeerTls, TlsSettings};

/// Everything that can be set about a node, after all layers are merged and checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Where to accept TCP connections, in the order given; empty if a Unix socket is served.
    pub(crate) listen: Vec<ListenAddress>,
    /// The port of every listen address that names none; 0 lets the system choose.
    pub(crate) port: u16,
    /// The listen addresses as they were written, comma separated: `inter` in `stats settings`.
    pub(crate) interfaces: String,
    /// The Unix socket to serve instead of TCP. Absolute if the node runs in the background.
    pub(crate) unix_socket: Option<PathBuf>,
    /// The permissions of the Unix socket, 0 to 0o7777.
    pub(crate) unix_mask: u32,
    /// The queue of connections not yet accepted, per listener, 0 to `i32::MAX`. The system may
    /// cut it down.
    pub(crate) listen_backlog: u32,
    /// How many clients may be connected at once, 1 to `i32::MAX`.
    pub(crate) conn_limit: u32,
    /// Beyond `conn_limit`: answer and close at once (true), or leave clients waiting (false).
    pub(crate) maxconns_fast: bool,
    /// Seconds without a request after which a connection is closed; 0 for never.
    pub(crate) idle_timeout: u32,
    /// How many requests of one connection are answered before others get their turn, 1 or more.
    pub(crate) max_reqs_per_event: u32,
    /// The worker threads, 1 to 1024.
    pub(crate) threads: u16,
    /// The memory for items and all their bookkeeping, in bytes: 1 MiB or more.
    pub(crate) memory_limit_bytes: u64,
    /// The memory for what connections hold, in bytes: 1 MiB or more.
    pub(crate) connection_memory_bytes: u64,
    /// The largest item, in bytes: 1 KiB to 1 GiB, and at most half of `memory_limit_bytes`.
    pub(crate) max_item_size: u64,
    /// Whether a full cache makes room (true) or refuses to store (false).
    pub(crate) evictions: bool,
    /// Whether items carry a CAS unique.
    pub(crate) cas_enabled: bool,
    /// Keep all memory out of swap.
    pub(crate) lock_memory: bool,
    /// Whether `flush_all` is obeyed.
    pub(crate) flush_enabled: bool,
    /// Whether commands that list keys are obeyed.
    pub(crate) dump_enabled: bool,
    /// Whether the items are gone over at all, for dumps and for those that have expired, until
    /// `lru_crawler enable` or `disable`.
    pub(crate) crawler_enabled: bool,
    /// Whether `watch` is obeyed.
    pub(crate) watch_enabled: bool,
    /// Whether `shutdown` is obeyed.
    pub(crate) shutdown_enabled: bool,
    /// How much to log: 0 warnings, 1 errors of connections too, 2 requests and answers, 3 the
    /// inner states. Larger numbers mean 3.
    pub(crate) verbosity: u8,
    /// The byte that ends the prefix of a key in `stats detail`.
    pub(crate) prefix_delimiter: u8,
    /// Whether `stats detail` counts from the start.
    pub(crate) detail_enabled: bool,
    /// Whether `stats sizes` counts from the start.
    pub(crate) track_sizes: bool,
    /// The buffer of one watcher, in bytes: 1 KiB to just below 4 GiB.
    pub(crate) watcher_logbuf_size: u64,
    /// The buffer of one worker for all watchers, in bytes: 1 KiB to just below 4 GiB.
    pub(crate) worker_logbuf_size: u64,
    /// What is set about TLS, where anybody speaks it.
    pub(crate) tls: Option<TlsSettings>,
    /// The file with users and passwords, where clients must authenticate. Absolute if the node runs
    /// in the background.
    pub(crate) auth_file: Option<PathBuf>,
    /// The ring this node is part of.
    pub(crate) ring: Option<RingSettings>,
    /// The admin port.
    pub(crate) admin: Option<AdminSettings>,
    /// The file that keeps the items over a restart. Absolute if the node runs in the background.
    pub(crate) snapshot: Option<PathBuf>,
    /// Take up a snapshot that was written while the node served.
    pub(crate) snapshot_stale: bool,
    /// A damaged snapshot ends the start.
    pub(crate) snapshot_strict: bool,
    /// The Unix socket by which one process takes over from another. Absolute if the node runs in the
    /// background.
    pub(crate) hand_over: Option<PathBuf>,
    /// Run in the background.
    pub(crate) daemon: bool,
    /// Where to write the process number. Absolute if the node runs in the background.
    pub(crate) pidfile: Option<PathBuf>,
    /// The user to become when started as root.
    pub(crate) user: Option<String>,
    /// Make core files as large as the system allows.
    pub(crate) coredumps: bool,
    /// What `stats settings` shows of memcached's machinery, on which nothing here depends.
    pub(crate) figures: Figures,
}

/// What is set about the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingSettings {
    /// A file, absolute if the node runs in the background, or `etcd://host:port/key`.
    pub(crate) source: String,
    /// This node's name in the ring; found by its listening address where it has none.
    pub(crate) node: Option<String>,
    /// What becomes of requests for keys of other nodes.
    pub(crate) foreign_keys: ForeignKeys,
    /// How long another node may take to answer a request.
    pub(crate) peer_timeout: Duration,
    /// How long a node that is out of reach is waited for when the ring changes.
    pub(crate) peer_give_up: Duration,
    /// The file with the secret that proves a node that the ring does not name yet.
    pub(crate) peer_secret_file: Option<PathBuf>,
    /// Whether other nodes are dialled with TLS.
    pub(crate) peer_tls: PeerTls,
    /// Where a copy of the newest ring that was in force is kept, for a start whose source has an older
    /// one or none. Never the ring file itself.
    pub(crate) ring_cache: Option<PathBuf>,
}

/// What is set about the admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminSettings {
    /// Where it listens.
    pub(crate) address: ListenAddress,
    /// Host names it may be asked for by, in lower case.
    pub(crate) hosts: Vec<String>,
}

/// What becomes of requests for keys that another node owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub(crate) enum ForeignKeys {
    /// The owner is asked and its answer relayed.
    Forward,
    /// They are served here, as memcached would.
    Serve,
    /// They are refused.
    Refuse,
}

impl std::fmt::Display for ForeignKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ForeignKeys::Forward => "forward",
            ForeignKeys::Serve => "serve",
            ForeignKeys::Refuse => "refuse",
        })
    }
}

/// A place to accept TCP connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// A host and a port.
    Tcp {
        /// A name, an IPv4 address, an IPv6 address without brackets, or `*` for every interface.
        host: String,
        /// The port; 0 lets the system choose.
        port: u16,
        /// What is spoken there.
        guard: Guard,
    },
}

impl ListenAddress {
    /// The socket addresses to bind, one after the other.
    ///
    /// For `*` these are both families; a machine without one of them can still serve the other.
    pub(crate) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let Self::Tcp { host, port, .. } = self;
        if host == "*" {
            return Ok(vec![
                (Ipv4Addr::UNSPECIFIED, *port).into(),
                (Ipv6Addr::UNSPECIFIED, *port).into(),
            ]);
        }
        let mut addresses: Vec<SocketAddr> = (host.as_str(), *port).to_socket_addrs()?.collect();
        addresses.dedup();
        Ok(addresses)
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str) -> ListenAddress {
        ListenAddress::Tcp { host: host.into(), port: 11211, guard: Guard::Plain }
    }

    #[test]
    fn ipv6_is_shown_in_brackets() {
        assert_eq!(tcp("::1").to_string(), "[::1]:11211");
        assert_eq!(tcp("localhost").to_string(), "localhost:11211");
    }

    #[test]
    fn the_star_means_both_families() {
        let addresses = tcp("*").resolve().unwrap();
        assert_eq!(addresses, ["0.0.0.0:11211".parse().unwrap(), "[::]:11211".parse().unwrap()]);
        assert_eq!(tcp("::1").resolve().unwrap(), ["[::1]:11211".parse().unwrap()]);
    }
}
