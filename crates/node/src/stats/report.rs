//! The answers of `stats`: memcached's names, with true figures.
//!
//! Names that describe machinery which does not exist here (slab pages, LRU queues, a hash table)
//! are kept, because readers look for them, and say what is true of it: that there is none of it.
//! The whole store stands for one slab class, number 1, whose pages are of 1 MiB and whose chunks
//! are the items.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{UsageWho, getrusage};
use ringbinder_protocol::{MEMCACHED_VERSION, answer};
use ringbinder_store::{Counters as StoreCounters, Store};

use crate::connections::Peer;
use crate::logging;
use crate::shared::Shared;
use crate::snapshot;

/// Bytes of a slab page in memcached.
const PAGE: u64 = 1 << 20;

/// Appends `STAT` lines from pairs of names and values.
macro_rules! stats {
    ($out:expr, $($name:expr => $value:expr,)*) => {
        $(answer::stat($out, $name, $value);)*
    };
}

fn seconds(time: nix::sys::time::TimeVal) -> String {
    format!("{}.{:06}", time.tv_sec(), time.tv_usec())
}

/// `stats`
pub(crate) fn general(shared: &Shared, out: &mut Vec<u8>) {
    let sums = shared.counters.sums();
    let store = shared.store.counters();
    let connections = &shared.connections;
    let (log_written, log_skipped, log_sent) = shared.watch.figures();
    let on = |condition: bool| u8::from(condition);
    let full = connections.clients() >= connections.limit();
    let (peers, max_peers) = connections.peers();
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
        "read_buf_bytes" => shared.values.held(),
        "read_buf_bytes_free" => 0,
        "read_buf_oom" => 0,
        "reserved_fds" => shared.settings.threads,
        "cmd_get" => sums.cmd_get,
        "cmd_set" => sums.cmd_set,
        "cmd_flush" => sums.cmd_flush,
        "cmd_touch" => sums.cmd_touch,
        "cmd_meta" => sums.cmd_meta,
        "get_hits" => sums.get_hits,
        "get_misses" => sums.get_misses,
        "get_expired" => sums.get_expired,
        "get_flushed" => sums.get_flushed,
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
        "slab_reassign_running" => 0,
        "slabs_moved" => 0,
        "lru_crawler_running" => on(shared.dumping.load(Relaxed)),
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
    );
    if let Some(tls) = &shared.tls {
        if shared.settings.tls.as_ref().is_some_and(|tls| tls.session_cache) {
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
    let interfaces = if settings.interfaces.is_empty() { "NULL" } else { &settings.interfaces };
    stats!(out,
        "maxbytes" => shared.store.counters().max_bytes,
        "maxconns" => settings.conn_limit,
        "tcpport" => settings.port,
        "udpport" => 0,
        "inter" => interfaces,
        "verbosity" => shared.verbosity.load(Relaxed),
        "oldest" => 0,
        "evictions" => if settings.evictions { "on" } else { "off" },
        "domain_socket" => socket,
        "umask" => format_args!("{:o}", settings.unix_mask),
        "shutdown_command" => yes(settings.shutdown_enabled),
        "num_threads" => settings.threads,
        "num_threads_per_udp" => 0,
        "stat_key_prefix" => char::from(settings.prefix_delimiter),
        "detail_enabled" => yes(shared.prefixes.is_enabled()),
        "reqs_per_event" => settings.max_reqs_per_event,
        "cas_enabled" => yes(settings.cas_enabled),
        "tcp_backlog" => settings.listen_backlog,
        "binding_protocol" => "ascii",
        "auth_enabled_sasl" => "no",
        "auth_enabled_ascii" => path(settings.auth_file.as_ref(), "no"),
        "item_size_max" => settings.max_item_size,
        "maxconns_fast" => yes(settings.maxconns_fast),
        "flush_enabled" => yes(settings.flush_enabled),
        "dump_enabled" => yes(settings.dump_enabled),
        "idle_timeout" => settings.idle_timeout,
        "watcher_logbuf_size" => settings.watcher_logbuf_size,
        "worker_logbuf_size" => settings.worker_logbuf_size,
        "track_sizes" => yes(settings.track_sizes),
    );
    for (name, value) in settings.figures.iter() {
        answer::stat(out, name, value);
    }
    let tls = settings.tls.as_ref();
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

/// Chunks as readers of slab figures expect them: of the average item's size, in whole pages.
fn chunks(store: &StoreCounters) -> (u64, u64, u64) {
    let chunk_size = store.bytes.checked_div(store.items).unwrap_or(0).clamp(1, PAGE);
    let pages = store.bytes.div_ceil(PAGE).max(1);
    (chunk_size, PAGE / chunk_size, pages)
}

/// `stats slabs`
pub(crate) fn slabs(shared: &Shared, out: &mut Vec<u8>) {
    let store = shared.store.counters();
    let sums = shared.counters.sums();
    if store.items > 0 {
        let (chunk_size, chunks_per_page, pages) = chunks(&store);
        let total = (pages * chunks_per_page).max(store.items);
        for (name, value) in [
            ("chunk_size", chunk_size),
            ("chunks_per_page", chunks_per_page),
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
        "active_slabs" => u8::from(store.items > 0),
        "total_malloced" => store.bytes,
    );
    answer::line(out, "END");
}

/// `stats sizes` without `-o track_sizes`.
pub(crate) fn sizes_disabled(out: &mut Vec<u8>) {
    answer::stat(out, "sizes_status", "disabled");
    answer::line(out, "END");
}

/// `stats conns`
pub(crate) fn connections(shared: &Shared, out: &mut Vec<u8>) {
    let now = shared.clock.now();
    for entry in shared.connections.list() {
        let id = entry.id;
        let listen = match &entry.peer {
            Peer::Tcp { to, .. } => format!("tcp:{to}"),
            Peer::Unix => shared
                .settings
                .unix_socket
                .as_ref()
                .map_or_else(|| "unix:".to_owned(), |path| format!("unix:{}", path.display())),
        };
        answer::stat(out, &format!("{id}:addr"), &entry.peer);
        answer::stat(out, &format!("{id}:listen_addr"), listen);
        answer::stat(out, &format!("{id}:state"), entry.state().as_str());
        let idle = now.saturating_sub(entry.last_command());
        answer::stat(out, &format!("{id}:secs_since_last_cmd"), idle);
    }
    answer::line(out, "END");
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
    shared.heat.reset(shared.clock.nanos());
    shared.latency.reset();
}
