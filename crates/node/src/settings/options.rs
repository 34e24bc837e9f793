//! The settings themselves: each is one field of [`Options`], and everything else follows from it.
//!
//! A field `memory_limit` is the flag `--memory-limit`, the key `memory_limit` of the settings file
//! and the variable `RINGBINDER_MEMORY_LIMIT`; its comment is its help; its type holds its bounds
//! and its attribute its default. Flags that have no key, because they act on one start only or
//! exist only so that memcached's command lines parse, are in [`super::flags`].

use std::path::PathBuf;

use clap::{Args, Command};
use serde::{Deserialize, Serialize};

use super::model::ForeignKeys;
use super::tls::{MinVersion, PeerTls};
use super::values::{Bounded, Delimiter, ItemSize, Mebibytes, Octal, count, one_of, one_or_many};

/// What every variable of the environment starts with.
pub(super) const VARIABLE_PREFIX: &str = "RINGBINDER_";

const NETWORK: &str = "Network";
const SECURITY: &str = "Security";
const MEMORY: &str = "Memory";
const RING: &str = "Ring";
const ADMIN: &str = "Admin port";
const RESTART: &str = "Restart and upgrade";
const COMMANDS: &str = "Commands and statistics";
const PROCESS: &str = "Process";

/// As much as memcached's own numbers hold.
const INT: i64 = i32::MAX as i64;
/// As many KiB as memcached's own buffer sizes hold.
const BUFFER: i64 = (u32::MAX >> 10) as i64;

/// All settings that have a flag, a key and a variable.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(super) struct Options {
    /// TCP port; -1 lets the system choose one. 0 turns TCP off, which takes -s
    #[arg(short = 'p', long, value_name = "PORT", default_value = "11211")]
    #[arg(help_heading = NETWORK)]
    pub(super) port: Bounded<i32, -1, 65535>,

    /// Address to listen on: a host, host:port, an IPv6 address (in brackets before a port), or *
    /// for every interface. Repeat or separate with commas for several. 0.0.0.0 opens the cache to
    /// the network
    #[arg(short = 'l', long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    #[arg(help_heading = NETWORK)]
    #[serde(deserialize_with = "one_or_many")]
    pub(super) listen: Vec<String>,

    /// Unix socket to listen on instead of TCP
    #[arg(short = 's', long, value_name = "FILE")]
    #[arg(help_heading = NETWORK)]
    pub(super) unix_socket: Option<PathBuf>,

    /// Permissions of the Unix socket, in octal
    #[arg(short = 'a', long, value_name = "MODE", default_value = "0700")]
    #[arg(help_heading = NETWORK)]
    pub(super) unix_mask: Octal,

    /// Connections that may wait to be accepted; -1 for as many as the system allows
    #[arg(short = 'b', long, value_name = "N", default_value = "1024")]
    #[arg(help_heading = NETWORK)]
    pub(super) listen_backlog: Bounded<i32, -1, INT>,

    /// Clients that may be connected at once; other nodes of a ring have places of their own
    #[arg(short = 'c', long, value_name = "N", default_value = "1024")]
    #[arg(help_heading = NETWORK)]
    pub(super) conn_limit: Bounded<u32, 1, INT>,

    /// Beyond the limit, refuse new connections at once rather than let them wait
    #[arg(long, value_name = "BOOL", default_value = "true", action = clap::ArgAction::Set)]
    #[arg(value_parser = clap::builder::BoolishValueParser::new(), hide_possible_values = true)]
    #[arg(help_heading = NETWORK)]
    pub(super) maxconns_fast: bool,

    /// Close a client's connection after so many seconds without a byte from it or to it; 0 for never
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    #[arg(help_heading = NETWORK)]
    pub(super) idle_timeout: Bounded<u32, 0, INT>,

    /// Requests of one connection that are answered before others get their turn
    #[arg(short = 'R', long, value_name = "N", default_value = "20")]
    #[arg(help_heading = NETWORK)]
    pub(super) max_reqs_per_event: Bounded<u32, 1, INT>,

    /// Worker threads
    #[arg(short = 't', long, value_name = "N", default_value = "4")]
    #[arg(help_heading = NETWORK)]
    pub(super) threads: Bounded<u16, 1, 1024>,

    /// Speak TLS on every TCP address without the prefix notls: (no TLS), btls: (TLS without client
    /// certificates), mtls: (with) or opttls: (TLS or plain, as the client begins)
    #[arg(short = 'Z', long)]
    #[arg(help_heading = SECURITY)]
    pub(super) enable_ssl: bool,

    /// File with this server's certificate and the chain above it, in PEM
    #[arg(long, value_name = "FILE", help_heading = SECURITY)]
    pub(super) ssl_chain_cert: Option<PathBuf>,

    /// File with the key of the certificate, in PEM; needed where the chain's file does not have it
    #[arg(long, value_name = "FILE", help_heading = SECURITY)]
    pub(super) ssl_key: Option<PathBuf>,

    /// File with the certificates of the authorities that clients, and other nodes, are trusted by
    #[arg(long, value_name = "FILE", help_heading = SECURITY)]
    pub(super) ssl_ca_cert: Option<PathBuf>,

    /// Certificates of clients: 0 asks for none, 1 asks and checks what is shown, 2 and 3 require one
    #[arg(long, value_name = "N", default_value = "0", help_heading = SECURITY)]
    pub(super) ssl_verify_mode: Bounded<u8, 0, 3>,

    /// Oldest version of TLS that is spoken: 2 or tlsv1.2, 3 or tlsv1.3
    #[arg(long, value_name = "VERSION", default_value = "tlsv1.2", help_heading = SECURITY)]
    pub(super) ssl_min_version: MinVersion,

    /// Let clients take up an earlier TLS session, where they are not asked for certificates
    #[arg(long)]
    #[arg(help_heading = SECURITY)]
    pub(super) ssl_session_cache: bool,

    /// File with up to 8 lines user:password; clients then have to authenticate before anything else
    #[arg(short = 'Y', long, value_name = "FILE", help_heading = SECURITY)]
    pub(super) auth_file: Option<PathBuf>,

    /// Memory for items and their bookkeeping, in megabytes, or with a unit such as 2g
    #[arg(short = 'm', long, value_name = "MB", default_value = "64")]
    #[arg(help_heading = MEMORY)]
    pub(super) memory_limit: Mebibytes,

    /// Memory for what connections hold, in megabytes, beside that for items [default: an eighth of
    /// that for items, and at least 32]
    #[arg(long, value_name = "MB", help_heading = MEMORY)]
    pub(super) connection_memory: Option<Mebibytes>,

    /// Largest item, with k, m or g; from 1k to 1024m and at most half of the memory
    #[arg(short = 'I', long, value_name = "SIZE", default_value = "1m")]
    #[arg(help_heading = MEMORY)]
    pub(super) max_item_size: ItemSize,

    /// When memory is full, refuse to store instead of removing items
    #[arg(short = 'M', long)]
    #[arg(help_heading = MEMORY)]
    pub(super) disable_evictions: bool,

    /// Keep items without a CAS unique: gets shows 0, cas does not work
    #[arg(short = 'C', long)]
    #[arg(help_heading = MEMORY)]
    pub(super) disable_cas: bool,

    /// Keep all memory out of swap
    #[arg(short = 'k', long)]
    #[arg(help_heading = MEMORY)]
    pub(super) lock_memory: bool,

    /// The ring this node is part of: a TOML, YAML or JSON file, or etcd://host:port/key. Without
    /// it the node stands alone
    #[arg(long, value_name = "FILE", help_heading = RING)]
    pub(super) ring: Option<String>,

    /// This node's name in the ring; without it the node is found by the address it listens on
    #[arg(long, value_name = "NAME", help_heading = RING)]
    pub(super) node: Option<String>,

    /// What becomes of requests for keys that another node owns: forward asks that node and relays
    /// its answer, serve answers them here as memcached would, refuse is an error
    #[arg(long, value_name = "POLICY", default_value = "forward")]
    #[arg(ignore_case = true, help_heading = RING)]
    #[serde(deserialize_with = "one_of")]
    pub(super) foreign_keys: ForeignKeys,

    /// Milliseconds that another node may take to answer a request; then a get misses and a write
    /// fails
    #[arg(long, value_name = "MS", default_value = "200", help_heading = RING)]
    pub(super) peer_timeout: Bounded<u32, 1, 60000>,

    /// Milliseconds that a node which is out of reach is waited for before its keys are served by
    /// a new ring without its word
    #[arg(long, value_name = "MS", default_value = "2000", help_heading = RING)]
    pub(super) peer_give_up: Bounded<u32, 1, 3600000>,

    /// File with a secret, the same on every node, by which a node proves that it is one and, if the
    /// ring does not name it yet, may bring a newer one
    #[arg(long, value_name = "FILE", help_heading = RING)]
    pub(super) peer_secret_file: Option<PathBuf>,

    /// Whether other nodes are dialled with TLS: auto does as this node's own address in the ring is
    /// served, on and off say it
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    #[arg(ignore_case = true, help_heading = RING)]
    #[serde(deserialize_with = "one_of")]
    pub(super) peer_tls: PeerTls,

    /// File that keeps a copy of the newest ring that was in force, for a start whose ring file is
    /// older, broken or missing, or while etcd is away. Under systemd ring.toml in the first
    /// StateDirectory, unless it is set
    #[arg(long, value_name = "FILE", help_heading = RING)]
    pub(super) ring_cache: Option<PathBuf>,

    /// Port of its own for metrics, health checks and a page that shows the whole ring, by HTTP:
    /// a port of 127.0.0.1, or host:port. It knows no authentication and shows names of keys
    #[arg(long, value_name = "ADDRESS")]
    #[arg(help_heading = ADMIN)]
    pub(super) admin: Option<String>,

    /// Host names, separated by commas, by which the admin port may be asked for: beside IP
    /// addresses, localhost and, where it listens on more than loopback, the hosts of the ring
    #[arg(long, value_name = "NAMES")]
    #[arg(help_heading = ADMIN)]
    pub(super) admin_hosts: Option<String>,

    /// File that keeps the items over a restart: written at a graceful stop and on SIGUSR2, taken up
    /// at the next start
    #[arg(short = 'e', long, value_name = "FILE", alias = "memory-file", help_heading = RESTART)]
    pub(super) snapshot: Option<PathBuf>,

    /// Take up a snapshot that was written while the node served, though its items may have been
    /// changed since
    #[arg(long, help_heading = RESTART)]
    pub(super) snapshot_stale: bool,

    /// Do not start where the snapshot is damaged, rather than keep it aside and begin with an empty
    /// cache
    #[arg(long, help_heading = RESTART)]
    pub(super) snapshot_strict: bool,

    /// Unix socket by which a new process takes over the listening sockets and the items of the one
    /// that runs with this setting
    #[arg(long, value_name = "SOCKET", help_heading = RESTART)]
    pub(super) hand_over: Option<PathBuf>,

    /// Let clients stop the server with the shutdown command
    #[arg(short = 'A', long)]
    #[arg(help_heading = COMMANDS)]
    pub(super) enable_shutdown: bool,

    /// Refuse flush_all
    #[arg(short = 'F', long)]
    #[arg(help_heading = COMMANDS)]
    pub(super) disable_flush_all: bool,

    /// Refuse the commands that list keys
    #[arg(short = 'X', long)]
    #[arg(help_heading = COMMANDS)]
    pub(super) disable_dumping: bool,

    /// Refuse watch
    #[arg(short = 'W', long)]
    #[arg(help_heading = COMMANDS)]
    pub(super) disable_watch: bool,

    /// Character that ends a key's prefix in "stats detail", instead of a colon; naming one starts
    /// that count at once
    #[arg(short = 'D', long, value_name = "CHAR")]
    #[arg(help_heading = COMMANDS)]
    pub(super) prefix_delimiter: Option<Delimiter>,

    /// Answer "stats sizes" by a look at every item, rather than that it is disabled
    #[arg(long)]
    #[arg(help_heading = COMMANDS)]
    pub(super) track_sizes: bool,

    /// Buffer of one watcher, in kilobytes
    #[arg(long, value_name = "KB", default_value = "256")]
    #[arg(help_heading = COMMANDS)]
    pub(super) watcher_logbuf_size: Bounded<u64, 1, BUFFER>,

    /// Shown in "stats settings"; workers hand their lines to watchers directly
    #[arg(long, value_name = "KB", default_value = "64")]
    #[arg(help_heading = COMMANDS)]
    pub(super) worker_logbuf_size: Bounded<u64, 1, BUFFER>,

    /// Run in the background; returns once clients can connect
    #[arg(short = 'd', long)]
    #[arg(help_heading = PROCESS)]
    pub(super) daemon: bool,

    /// Write the process number to this file while running
    #[arg(short = 'P', long, value_name = "FILE")]
    #[arg(help_heading = PROCESS)]
    pub(super) pidfile: Option<PathBuf>,

    /// Become this user once the ports are open; for a start as root
    #[arg(short = 'u', long, value_name = "USER")]
    #[arg(help_heading = PROCESS)]
    pub(super) user: Option<String>,

    /// Make core files as large as the system allows
    #[arg(short = 'r', long)]
    #[arg(help_heading = PROCESS)]
    pub(super) enable_coredumps: bool,

    /// Log more: -v errors of connections, -vv requests and answers, -vvv inner states
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    #[arg(help_heading = PROCESS)]
    #[serde(deserialize_with = "count")]
    pub(super) verbose: u8,
}

/// The name of every key, in the order of the help.
pub(super) fn keys() -> Vec<String> {
    let command = Options::augment_args(Command::new("ringbinderd"));
    command.get_arguments().map(|argument| argument.get_id().to_string()).collect()
}

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase())
}

/// The flag that sets a key.
pub(super) fn long_flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}
