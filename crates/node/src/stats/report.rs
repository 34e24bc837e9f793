//! The answers of `stats`: memcached's names, with accurate values.
//!
//! Names for machinery that does not exist here (slab pages, LRU queues, a hash table) are kept,
//! because readers look for them. Their values say that the machinery is absent. The whole store is
//! reported as one slab class, number 1, whose pages are 1 MiB and whose chunks are the items.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{UsageWho, getrusage};
use ringbinder_protocol::{MEMCACHED_VERSION, answer};
use ringbinder_store::{Counters as StoreCounters, Store};

use crate::memory::Accounts;
use crate::net::connections::Remote;
use crate::observe::logging;
use crate::snapshot;
use crate::stats::MAX_PREFIXES;
use crate::worker::shared::Shared;

/// Bytes of a slab page in memcached.
const PAGE: u64 = 1 << 20;

/// Appends `STAT` lines from pairs of names and values.
macro_rules! stats {
    ($out:expr, $($name:expr => $value:expr,)*) => {
        $(answer::stat($out, $name, $value);)*
    };
}

/// A time of the processor in seconds, as memcached writes it.
pub(crate) fn seconds(time: nix::sys::time::TimeVal) -> String {
    format!("{}.{:06}", time.tv_sec(), time.tv_usec())
}

/// `stats`
pub(crate) fn general(shared: &Shared, out: &mut Vec<u8>) {
    let sums = shared.counters.sums();
    let store = shared.store.counters();
    let connections = &shared.connections;
    let accounts = Accounts::of(store.held, &shared.memory);
    let (log_written, log_skipped, log_sent) = shared.watch.figures();
    let on = |condition: bool| u8::from(condition);
    let full = connections.clients() >= connections.limit();
    let (peers, max_peers) = connections.peers();
    let recorded = shared.prefixes.recorded();
    stats!(out,
        "pid" => std::process::id(),
        "uptime" => shared.clock.uptime(),
        "time" => shared.clock.unix(shared.clock.now()),
        "version" => MEMCACHED_VERSION,
        "ringbinder_version" => env!("CARGO_PKG_VERSION"),
        "pointer_size" => usize::BITS,
    );
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        stats!(out,
            "rusage_user" => seconds(usage.user_time()),
            "rusage_system" => seconds(usage.system_time()),
        );
    }
    stats!(out,
        "max_connections" => connections.limit(),
        "curr_connections" => connections.clients(),
        "total_connections" => connections.total(),
        "rejected_connections" => connections.rejected(),
        "connection_structures" => connections.all(),
        "peer_connections" => peers,
        "max_peer_connections" => max_peers,
        "response_obj_oom" => 0,
        "response_obj_count" => 0,
        "response_obj_bytes" => 0,
        "read_buf_count" => 0,
        "read_buf_bytes" => shared.memory.held(),
        "read_buf_bytes_free" => 0,
        "read_buf_oom" => 0,
        "memory_items" => accounts.items,
        "memory_connections" => accounts.connections,
        "memory_connections_limit" => shared.memory.limit(),
        "memory_fixed" => accounts.fixed,
        "memory_waits" => shared.memory.waits(),
        "memory_closed_connections" => shared.memory.closed(),
        "reserved_fds" => shared.settings.threads,
        "cmd_get" => sums.cmd_get,
        "cmd_set" => sums.cmd_set,
        "cmd_flush" => sums.cmd_flush,
        "cmd_touch" => sums.cmd_touch,
        "cmd_meta" => sums.cmd_meta,
        "get_hits" => sums.get_hits,
        "get_misses" => sums.get_misses,
        "get_expired" => store.met_expired,
        "get_flushed" => store.met_flushed,
        "delete_misses" => sums.delete_misses,
        "delete_hits" => sums.delete_hits,
        "incr_misses" => sums.incr_misses,
        "incr_hits" => sums.incr_hits,
        "decr_misses" => sums.decr_misses,
        "decr_hits" => sums.decr_hits,
        "cas_misses" => sums.cas_misses,
        "cas_hits" => sums.cas_hits,
        "cas_badval" => sums.cas_badval,
        "touch_hits" => sums.touch_hits,
        "touch_misses" => sums.touch_misses,
        "store_too_large" => sums.store_too_large,
        "store_no_memory" => sums.store_no_memory,
        "auth_cmds" => sums.auth_cmds,
        "auth_errors" => sums.auth_errors,
        "auth_slowed" => sums.auth_slowed,
        "idle_kicks" => sums.idle_kicks,
        "bytes_read" => sums.bytes_read,
        "bytes_written" => sums.bytes_written,
        "limit_maxbytes" => store.max_bytes,
        "accepting_conns" => on(shared.settings.maxconns_fast || !full),
        "listen_disabled_num" => connections.suspended(),
        "time_in_listen_disabled_us" => 0,
        "threads" => shared.settings.threads,
        "conn_yields" => sums.conn_yields,
        "hash_power_level" => 0,
        "hash_bytes" => 0,
        "hash_is_expanding" => 0,
        "slab_reassign_rescues" => 0,
        "slab_reassign_chunk_rescues" => 0,
        "slab_reassign_evictions_nomem" => 0,
        "slab_reassign_inline_reclaim" => 0,
        "slab_reassign_busy_items" => 0,
        "slab_reassign_busy_deletes" => 0,
        "slab_reassign_busy_nomem" => 0,
        "slab_reassign_last_busy_status" => "none",
        "slab_reassign_running" => 0,
        "slabs_moved" => 0,
        "lru_crawler_running" => on(shared.crawls.load(Relaxed) > 0),
        "lru_crawler_starts" => shared.crawler_starts.load(Relaxed),
        "lru_maintainer_juggles" => 0,
        "malloc_fails" => 0,
        "log_worker_dropped" => 0,
        "log_worker_written" => log_written,
        "log_watcher_skipped" => log_skipped,
        "log_watcher_sent" => log_sent,
        "log_watchers" => shared.watch.watchers(),
        "log_lines_lost" => logging::lost(),
        "unexpected_napi_ids" => 0,
        "round_robin_fallback" => 0,
        "bytes" => store.bytes,
        "curr_items" => store.items,
        "total_items" => store.total_items,
        "slab_global_page_pool" => 0,
        "expired_unfetched" => store.expired_unfetched,
        "evicted_unfetched" => store.evicted_unfetched,
        "evicted_active" => 0,
        "evictions" => store.evictions,
        "reclaimed" => store.reclaimed,
        "crawler_reclaimed" => store.sweep_reclaimed,
        "crawler_items_checked" => store.sweep_checked,
        "lrutail_reflocked" => 0,
        "moves_to_cold" => 0,
        "moves_to_warm" => 0,
        "moves_within_lru" => 0,
        "direct_reclaims" => 0,
        "lru_bumps_dropped" => 0,
        "detail_prefixes" => recorded.prefixes,
        "detail_unrecorded" => recorded.unrecorded,
    );
    if let Some(tls) = &shared.tls {
        if shared.settings.tls().is_some_and(|tls| tls.session_cache) {
            answer::stat(out, "ssl_new_sessions", tls.new_sessions.load(Relaxed));
        }
        stats!(out,
            "ssl_handshake_errors" => tls.handshake_errors.load(Relaxed),
            "ssl_proto_errors" => tls.proto_errors.load(Relaxed),
            "time_since_server_cert_refresh" => shared.clock.now().saturating_sub(tls.read_at()),
        );
        if let Some(expires) = tls.expires() {
            answer::stat(out, "ssl_cert_expires", expires);
        }
    }
    if shared.ring.is_some() {
        stats!(out,
            "foreign_get_failed" => sums.foreign_get_failed,
            "foreign_failed" => sums.foreign_failed(),
        );
    }
    snapshot::stats(&shared.snapshots, out);
    answer::line(out, "END");
}

/// `stats settings`
pub(crate) fn settings(shared: &Shared, out: &mut Vec<u8>) {
    let settings = &shared.settings;
    let yes = |condition: bool| if condition { "yes" } else { "no" };
    let path = |path: Option<&PathBuf>, none: &str| {
        path.map_or_else(|| none.to_owned(), |path| path.display().to_string())
    };
    let socket = path(settings.unix_socket.as_ref(), "NULL");
    let interfaces = settings.listen.join(",");
    let interfaces = if interfaces.is_empty() { "NULL" } else { &interfaces };
    stats!(out,
        "maxbytes" => shared.store.counters().max_bytes,
        "maxconns" => settings.conn_limit,
        "tcpport" => settings.port.max(0),
        "udpport" => 0,
        "inter" => interfaces,
        "verbosity" => shared.verbosity.load(Relaxed),
        "oldest" => oldest(shared),
        "evictions" => if settings.disable_evictions { "off" } else { "on" },
        "domain_socket" => socket,
        "umask" => format_args!("{:o}", settings.unix_mask),
        "shutdown_command" => yes(settings.enable_shutdown),
        "num_threads" => settings.threads,
        "num_threads_per_udp" => 0,
        "stat_key_prefix" => char::from(settings.delimiter()),
        "detail_enabled" => yes(shared.prefixes.is_enabled()),
        "detail_max_prefixes" => MAX_PREFIXES,
        "reqs_per_event" => settings.max_reqs_per_event,
        "cas_enabled" => yes(!settings.disable_cas),
        "tcp_backlog" => settings.listen_backlog,
        "auth_enabled_sasl" => "no",
        "auth_enabled_ascii" => path(settings.auth_file.as_ref(), "no"),
        "item_size_max" => settings.max_item_size,
        "maxconns_fast" => yes(settings.maxconns_fast),
        "flush_enabled" => yes(!settings.disable_flush_all),
        "dump_enabled" => yes(!settings.disable_dumping),
        "idle_timeout" => settings.idle_timeout,
        "watcher_logbuf_size" => settings.watcher_logbuf_size,
        "worker_logbuf_size" => settings.worker_logbuf_size,
        "track_sizes" => yes(settings.track_sizes),
    );
    let crawler = yes(shared.crawler_enabled.load(Relaxed));
    for (name, value) in settings.figures.iter() {
        answer::stat(out, name, if name == "lru_crawler" { crawler } else { value });
    }
    let tls = settings.tls();
    stats!(out,
        "ssl_enabled" => yes(tls.is_some_and(|tls| tls.enabled)),
        "ssl_chain_cert" => path(tls.and_then(|tls| tls.chain.as_ref()), "NULL"),
        "ssl_key" => path(tls.and_then(|tls| tls.key.as_ref().or(tls.chain.as_ref())), "NULL"),
        // In the bits of OpenSSL: 1 asks, 2 requires, 4 asks once.
        "ssl_verify_mode" => [0, 1, 3, 7][usize::from(tls.map_or(0, |tls| tls.verify_mode).min(3))],
        "ssl_keyformat" => 1,
        "ssl_ciphers" => "NULL",
        "ssl_ca_cert" => path(tls.and_then(|tls| tls.authorities.as_ref()), "NULL"),
        "ssl_session_cache" => yes(tls.is_some_and(|tls| tls.session_cache)),
        "ssl_kernel_tls" => "no",
        "ssl_min_version" => tls.map_or("tlsv1.2".to_owned(), |tls| tls.min_version.spoken()),
    );
    answer::line(out, "END");
}

/// The time at which the items of the last flush expire or expired, in seconds since the start; 0
/// if there was none.
fn oldest(shared: &Shared) -> u32 {
    match shared.flushed_at.load(Relaxed) {
        0 => 0,
        at => shared.clock.uptime().saturating_add(at).saturating_sub(shared.clock.now()).max(1),
    }
}

/// `stats items`
pub(crate) fn items(shared: &Shared, out: &mut Vec<u8>) {
    let store = shared.store.counters();
    if store.items > 0 {
        for (name, value) in [
            ("number", store.items),
            ("number_hot", 0),
            ("number_warm", 0),
            ("number_cold", store.items),
            ("age_hot", 0),
            ("age_warm", 0),
            ("age", store.evicted_time),
            ("mem_requested", store.bytes),
            ("evicted", store.evictions),
            ("evicted_nonzero", store.evicted_nonzero),
            ("evicted_time", store.evicted_time),
            ("outofmemory", store.out_of_memory),
            ("tailrepairs", 0),
            ("reclaimed", store.reclaimed),
            ("expired_unfetched", store.expired_unfetched),
            ("evicted_unfetched", store.evicted_unfetched),
            ("evicted_active", 0),
            ("crawler_reclaimed", store.sweep_reclaimed),
            ("crawler_items_checked", store.sweep_checked),
            ("lrutail_reflocked", 0),
            ("moves_to_cold", 0),
            ("moves_to_warm", 0),
            ("moves_within_lru", 0),
            ("direct_reclaims", 0),
            ("hits_to_hot", 0),
            ("hits_to_warm", 0),
            ("hits_to_cold", shared.counters.sums().get_hits),
            ("hits_to_temp", 0),
        ] {
            answer::stat(out, &format!("items:1:{name}"), value);
        }
    }
    answer::line(out, "END");
}

/// The store's one slab class, in the form that readers of slab figures expect.
struct Chunks {
    /// The size of the average item in bytes, or of memcached's smallest chunk if there is no item.
    size: u64,
    per_page: u64,
    pages: u64,
}

impl Chunks {
    fn of(store: &StoreCounters) -> Chunks {
        const SMALLEST: u64 = 96;

        let size = store.bytes.checked_div(store.items).unwrap_or(SMALLEST).clamp(1, PAGE);
        Chunks { size, per_page: PAGE / size, pages: store.bytes.div_ceil(PAGE).max(1) }
    }
}

/// `stats slabs`
pub(crate) fn slabs(shared: &Shared, out: &mut Vec<u8>) {
    let store = shared.store.counters();
    let sums = shared.counters.sums();
    // As in memcached, a class that was ever used stays.
    let is_used = store.total_items > 0;
    if is_used {
        let Chunks { size, per_page, pages } = Chunks::of(&store);
        let total = (pages * per_page).max(store.items);
        for (name, value) in [
            ("chunk_size", size),
            ("chunks_per_page", per_page),
            ("total_pages", pages),
            ("total_chunks", total),
            ("used_chunks", store.items),
            ("free_chunks", total - store.items),
            ("free_chunks_end", 0),
            ("mem_requested", store.bytes),
            ("get_hits", sums.get_hits),
            ("cmd_set", sums.cmd_set),
            ("delete_hits", sums.delete_hits),
            ("incr_hits", sums.incr_hits),
            ("decr_hits", sums.decr_hits),
            ("cas_hits", sums.cas_hits),
            ("cas_badval", sums.cas_badval),
            ("touch_hits", sums.touch_hits),
        ] {
            answer::stat(out, &format!("1:{name}"), value);
        }
    }
    stats!(out,
        "active_slabs" => u8::from(is_used),
        "total_malloced" => store.bytes,
    );
    answer::line(out, "END");
}

/// `stats sizes` without `-o track_sizes`.
pub(crate) fn sizes_disabled(out: &mut Vec<u8>) {
    answer::stat(out, "sizes_status", "disabled");
    answer::line(out, "END");
}

/// The number of connections in one piece of `stats conns`.
const CONNECTIONS: usize = 128;

/// Appends a piece of `stats conns` for the connection that asks: first the listeners, then the
/// connections from `next` on. Returns whether another piece follows.
pub(crate) fn connections(
    shared: &Shared,
    asker: u32,
    next: &mut Option<u32>,
    out: &mut Vec<u8>,
) -> bool {
    let from = next.unwrap_or(0);
    if next.is_none() {
        for (id, place) in shared.connections.listeners().iter().enumerate() {
            stats!(out,
                &format!("{id}:addr") => place,
                &format!("{id}:state") => "conn_listening",
                &format!("{id}:secs_since_last_cmd") => shared.clock.uptime(),
            );
        }
    }
    let now = shared.clock.now();
    let some = shared.connections.some(from, CONNECTIONS);
    for entry in &some {
        let id = entry.id;
        let listen = match &entry.remote {
            Remote::Tcp { to: to @ SocketAddr::V4(_), .. } => format!("tcp:{to}"),
            Remote::Tcp { to: to @ SocketAddr::V6(_), .. } => format!("tcp6:{to}"),
            Remote::Unix => shared
                .settings
                .unix_socket
                .as_ref()
                .map_or_else(|| "unix:".to_owned(), |path| format!("unix:{}", path.display())),
        };
        let state = if id == asker { "conn_parse_cmd" } else { entry.state().as_str() };
        stats!(out,
            &format!("{id}:addr") => &entry.remote,
            &format!("{id}:listen_addr") => listen,
            &format!("{id}:state") => state,
            &format!("{id}:secs_since_last_cmd") => now.saturating_sub(entry.last_command()),
        );
    }
    match some.last().filter(|_| some.len() == CONNECTIONS) {
        Some(last) => {
            *next = Some(last.id.saturating_add(1));
            true
        }
        None => {
            answer::line(out, "END");
            false
        }
    }
}

/// `stats reset`
pub(crate) fn reset(shared: &Shared) {
    shared.counters.reset();
    if let Some(tls) = &shared.tls {
        for counter in [&tls.new_sessions, &tls.handshake_errors, &tls.proto_errors] {
            counter.store(0, Relaxed);
        }
    }
    shared.store.reset_counters();
    shared.prefixes.reset();
    shared.key_counts.reset(shared.clock.nanos());
    shared.latency.reset();
}
