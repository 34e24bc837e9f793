//! All settings: each is one field of [`Settings`] or of a group in it, and everything else follows
//! from that field.
//!
//! A field `memory_limit` is the flag `--memory-limit`, the key `memory_limit` of the settings file
//! and the variable `RINGBINDER_MEMORY_LIMIT`. Its comment is the help. Its parser in
//! [`super::values`] holds the bounds and converts to the unit that the server computes with. In a
//! group, `id` and `long` name the key and the flag if the field's name alone would not.
//!
//! Flags without a key are in [`super::flags`]: those that act on one start only, and those that
//! exist only so that memcached's command lines parse.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Command, ValueEnum};

use super::figures::Figures;
use super::listen::{self, ListenAddress};
use super::tls::{PeerTls, TlsSettings};
use super::values::{
    backlog, delimiter, item_size, kibibytes, mebibytes, milliseconds, octal, whole,
};
use crate::memory::default_limit;

const NETWORK: &str = "Network";
pub(super) const SECURITY: &str = "Security";
const MEMORY: &str = "Memory";
const RING: &str = "Ring";
const ADMIN: &str = "Admin port";
const RESTART: &str = "Restart and upgrade";
const COMMANDS: &str = "Commands and statistics";
const PROCESS: &str = "Process";

/// The largest number that memcached accepts.
pub(super) const INT: i64 = i32::MAX as i64;

/// The settings of a node, after all layers are merged and checked. Paths are absolute if the node
/// runs in the background.
#[derive(Args, Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// TCP port; -1 lets the system choose one. 0 turns TCP off and requires -s
    #[arg(short = 'p', long, value_name = "PORT", default_value = "11211")]
    #[arg(value_parser = whole::<i32>(-1, 65535), help_heading = NETWORK)]
    pub(crate) port: i32,

    /// Address to listen on: a host, host:port, an IPv6 address (in brackets before a port), or *
    /// for every interface. Repeat or separate with commas for several. 0.0.0.0 opens the cache to
    /// the network
    #[arg(short = 'l', long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    #[arg(help_heading = NETWORK)]
    pub(crate) listen: Vec<String>,

    /// Unix socket to listen on instead of TCP
    #[arg(short = 's', long, value_name = "FILE", help_heading = NETWORK)]
    pub(crate) unix_socket: Option<PathBuf>,

    /// Permissions of the Unix socket, in octal
    #[arg(short = 'a', long, value_name = "MODE", default_value = "0700")]
    #[arg(value_parser = octal, help_heading = NETWORK)]
    pub(crate) unix_mask: u32,

    /// Connections that may wait to be accepted; -1 for as many as the system allows
    #[arg(short = 'b', long, value_name = "N", default_value = "1024")]
    #[arg(value_parser = backlog, help_heading = NETWORK)]
    pub(crate) listen_backlog: u32,

    /// Clients that may be connected at once; other nodes of a ring have slots in addition
    #[arg(short = 'c', long, value_name = "N", default_value = "1024")]
    #[arg(value_parser = whole::<u32>(1, INT), help_heading = NETWORK)]
    pub(crate) conn_limit: u32,

    /// Refuse new connections at once if the limit is reached; false lets them wait
    #[arg(long, value_name = "BOOL", default_value = "true", action = ArgAction::Set)]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    #[arg(help_heading = NETWORK)]
    pub(crate) maxconns_fast: bool,

    /// Close a client's connection after this many seconds without a byte in either direction; 0 for
    /// never
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    #[arg(value_parser = whole::<u32>(0, INT), help_heading = NETWORK)]
    pub(crate) idle_timeout: u32,

    /// Requests to answer on one connection before others get their turn
    #[arg(short = 'R', long, value_name = "N", default_value = "20")]
    #[arg(value_parser = whole::<u32>(1, INT), help_heading = NETWORK)]
    pub(crate) max_reqs_per_event: u32,

    /// Worker threads
    #[arg(short = 't', long, value_name = "N", default_value = "4")]
    #[arg(value_parser = whole::<u16>(1, 1024), help_heading = NETWORK)]
    pub(crate) threads: u16,

    #[command(flatten)]
    pub(super) ssl: TlsSettings,

    /// File with up to 8 lines user:password; clients then have to authenticate first
    #[arg(short = 'Y', long, value_name = "FILE", help_heading = SECURITY)]
    pub(crate) auth_file: Option<PathBuf>,

    /// Memory for items and their bookkeeping, in megabytes, or with a unit such as 2g
    #[arg(short = 'm', long, value_name = "MB", default_value = "64")]
    #[arg(value_parser = mebibytes, help_heading = MEMORY)]
    pub(crate) memory_limit: u64,

    /// Memory for connections, in megabytes, in addition to that for items [default: an eighth of
    /// that for items, and at least 32]
    #[arg(long, value_name = "MB", value_parser = mebibytes, help_heading = MEMORY)]
    connection_memory: Option<u64>,

    /// Largest item, with k, m or g; from 1k to 1024m and at most half of the memory
    #[arg(short = 'I', long, value_name = "SIZE", default_value = "1m")]
    #[arg(value_parser = item_size, help_heading = MEMORY)]
    pub(crate) max_item_size: u64,

    /// When memory is full, refuse to store instead of removing items
    #[arg(short = 'M', long, help_heading = MEMORY)]
    pub(crate) disable_evictions: bool,

    /// Keep items without a CAS unique: gets shows 0, cas does not work
    #[arg(short = 'C', long, help_heading = MEMORY)]
    pub(crate) disable_cas: bool,

    /// Keep all memory out of swap
    #[arg(short = 'k', long, help_heading = MEMORY)]
    pub(crate) lock_memory: bool,

    /// `None` without `--ring`.
    #[command(flatten)]
    pub(crate) ring: Option<RingSettings>,

    /// `None` without `--admin`.
    #[command(flatten)]
    pub(crate) admin: Option<AdminSettings>,

    /// File that keeps the items over a restart: written at a graceful stop and on SIGUSR2, restored
    /// at the next start
    #[arg(short = 'e', long, value_name = "FILE", alias = "memory-file", help_heading = RESTART)]
    pub(crate) snapshot: Option<PathBuf>,

    /// Restore a snapshot that was written while the node served, although its items may have
    /// changed since
    #[arg(long, help_heading = RESTART)]
    pub(crate) snapshot_stale: bool,

    /// Do not start if the snapshot is damaged; without this flag the node renames the file and
    /// starts with an empty cache
    #[arg(long, help_heading = RESTART)]
    pub(crate) snapshot_strict: bool,

    /// Unix socket on which a new process takes over the listening sockets and the items of the
    /// process that runs with this setting
    #[arg(long, value_name = "SOCKET", help_heading = RESTART)]
    pub(crate) hand_over: Option<PathBuf>,

    /// Let clients stop the server with the shutdown command
    #[arg(short = 'A', long, help_heading = COMMANDS)]
    pub(crate) enable_shutdown: bool,

    /// Refuse flush_all
    #[arg(short = 'F', long, help_heading = COMMANDS)]
    pub(crate) disable_flush_all: bool,

    /// Refuse the commands that list keys
    #[arg(short = 'X', long, help_heading = COMMANDS)]
    pub(crate) disable_dumping: bool,

    /// Refuse watch
    #[arg(short = 'W', long, help_heading = COMMANDS)]
    pub(crate) disable_watch: bool,

    /// Character that ends a key's prefix in "stats detail" [default: a colon]; setting it starts
    /// that count at once
    #[arg(short = 'D', long, value_name = "CHAR", value_parser = delimiter)]
    #[arg(help_heading = COMMANDS)]
    pub(crate) prefix_delimiter: Option<u8>,

    /// Enable "stats sizes", which scans every item
    #[arg(long, help_heading = COMMANDS)]
    pub(crate) track_sizes: bool,

    /// Buffer of one watcher, in kilobytes
    #[arg(long, value_name = "KB", default_value = "256")]
    #[arg(value_parser = kibibytes, help_heading = COMMANDS)]
    pub(crate) watcher_logbuf_size: u64,

    /// Shown in "stats settings"; without effect, because workers write to watchers directly
    #[arg(long, value_name = "KB", default_value = "64")]
    #[arg(value_parser = kibibytes, help_heading = COMMANDS)]
    pub(crate) worker_logbuf_size: u64,

    /// Run in the background; the command returns once clients can connect
    #[arg(short = 'd', long, help_heading = PROCESS)]
    pub(crate) daemon: bool,

    /// Write the process number to this file while running
    #[arg(short = 'P', long, value_name = "FILE", help_heading = PROCESS)]
    pub(crate) pidfile: Option<PathBuf>,

    /// Become this user once the ports are open, if started as root
    #[arg(short = 'u', long, value_name = "USER", help_heading = PROCESS)]
    pub(crate) user: Option<String>,

    /// Make core files as large as the system allows
    #[arg(short = 'r', long, help_heading = PROCESS)]
    pub(crate) enable_coredumps: bool,

    /// Log more: -v errors of connections, -vv requests and answers, -vvv internal states
    #[arg(short = 'v', long, action = ArgAction::Count, help_heading = PROCESS)]
    pub(crate) verbose: u8,

    /// The addresses of `listen`, in their order; empty if a Unix socket is served.
    #[arg(skip)]
    pub(crate) addresses: Vec<ListenAddress>,

    /// The lines of `stats settings` about memcached's machinery.
    #[arg(skip)]
    pub(crate) figures: Figures,
}

impl Settings {
    /// The memory for connections, in bytes: 1 MiB or more.
    pub(crate) fn connection_memory(&self) -> u64 {
        self.connection_memory.unwrap_or_else(|| default_limit(self.memory_limit))
    }

    /// The byte that ends the prefix of a key in `stats detail`.
    pub(crate) fn delimiter(&self) -> u8 {
        self.prefix_delimiter.unwrap_or(b':')
    }

    /// The settings about TLS, if a listener or a link to another node uses it.
    pub(crate) fn tls(&self) -> Option<&TlsSettings> {
        let by_peers = self.ring.as_ref().is_some_and(|ring| ring.peer_tls == PeerTls::On);
        (self.ssl.enabled || by_peers).then_some(&self.ssl)
    }

    /// Whether the crawler visits the items, for dumps and to remove expired ones, until
    /// `lru_crawler enable` or `disable`.
    pub(crate) fn crawler_enabled(&self) -> bool {
        self.figures.get("lru_crawler") != Some("no")
    }
}

/// The settings about the ring. Except for `ring_cache`, they have no effect without `--ring`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingSettings {
    /// The ring this node is part of: a TOML, YAML or JSON file, or etcd://host:port/key. Without
    /// it the node stands alone
    #[arg(id = "ring", long = "ring", value_name = "FILE", required = false, help_heading = RING)]
    pub(crate) source: String,

    /// This node's name in the ring; without it the node is found by its listening address
    #[arg(long, value_name = "NAME", help_heading = RING)]
    pub(crate) node: Option<String>,

    /// What to do with requests for keys that another node owns: forward asks the owner and relays
    /// its answer, serve answers them here as memcached would, refuse is an error
    #[arg(long, value_name = "POLICY", default_value = "forward", ignore_case = true)]
    #[arg(help_heading = RING)]
    pub(crate) foreign_keys: ForeignKeys,

    /// Milliseconds to wait for another node's answer; then a get misses and a write fails
    #[arg(long, value_name = "MS", default_value = "200")]
    #[arg(value_parser = milliseconds(60_000), help_heading = RING)]
    pub(crate) peer_timeout: Duration,

    /// Milliseconds to wait for an unreachable node when the ring changes; then its keys are served
    /// under the new ring without its confirmation
    #[arg(long, value_name = "MS", default_value = "2000")]
    #[arg(value_parser = milliseconds(3_600_000), help_heading = RING)]
    pub(crate) peer_give_up: Duration,

    /// File with a secret, the same on every node. It proves that a node belongs to the ring, and lets
    /// a node that the ring does not list yet bring a newer ring
    #[arg(long, value_name = "FILE", help_heading = RING)]
    pub(crate) peer_secret_file: Option<PathBuf>,

    /// Whether to use TLS to other nodes: on, off, or auto, which uses it if this node's own address
    /// in the ring does
    #[arg(long, value_name = "WHEN", default_value = "auto", ignore_case = true)]
    #[arg(help_heading = RING)]
    pub(crate) peer_tls: PeerTls,

    /// File that keeps a copy of the newest ring, for a start whose ring file is older, invalid or
    /// missing, or while etcd is unreachable. Under systemd the default is ring.toml in the first
    /// StateDirectory
    #[arg(long, value_name = "FILE", help_heading = RING)]
    pub(crate) ring_cache: Option<PathBuf>,
}

/// The settings about the admin port, which have no effect without `--admin`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminSettings {
    /// HTTP port for metrics, health checks and a page that shows the whole ring: a port of
    /// 127.0.0.1, or host:port. It has no authentication and shows names of keys
    #[arg(id = "admin", long = "admin", value_name = "ADDRESS", required = false)]
    #[arg(value_parser = listen::parse_admin, help_heading = ADMIN)]
    pub(crate) address: ListenAddress,

    /// Host names, separated by commas, that requests to the admin port may name: in addition to IP
    /// addresses, localhost and, if it listens on more than loopback, the hosts of the ring
    #[arg(id = "admin_hosts", long = "admin-hosts", value_name = "NAMES")]
    #[arg(value_parser = listen::host_names, help_heading = ADMIN)]
    pub(crate) hosts: Option<listen::HostNames>,
}

/// What to do with requests for keys that another node owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum ForeignKeys {
    /// Ask the owner and relay its answer.
    Forward,
    /// Serve them here, as memcached would.
    Serve,
    /// Refuse them.
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

/// The flags of a group of settings.
pub(super) fn command_of<G: Args>() -> Command {
    G::augment_args(Command::new("ringbinderd").args_override_self(true))
}

/// The keys of a group of settings, in the order of the help.
pub(super) fn keys_of<G: Args>() -> Vec<String> {
    command_of::<G>().get_arguments().map(|argument| argument.get_id().to_string()).collect()
}

/// What every variable of the environment starts with.
pub(super) const VARIABLE_PREFIX: &str = "RINGBINDER_";

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase())
}

/// The flag that sets a key.
pub(super) fn long_flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}
