//! `/metrics`.
//!
//! A metric of memcached_exporter has the same name, type and labels here, so that dashboards and
//! alerts made for memcached keep working. Metrics of memcached's machinery without a counterpart
//! here (chunks of slab classes, LRU queues, external storage) are left out. All other metrics are
//! named `ringbinder_...`. Keys are never labels, because their number is unlimited.

use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use ringbinder_protocol::{MEMCACHED_VERSION, Standing};
use ringbinder_store::Store;

use super::exposition::{Exposition, Form, Kind, Labels};
use super::figures::{Answer, BOUNDS, Latency, as_float, bound};
use super::said::of_snapshots;
use super::share::Circle;
use crate::memory::Accounts;
use crate::observe::logging;
use crate::process::resident;
use crate::ring::Situation;
use crate::worker::shared::Shared;

/// In a larger ring there are no metrics for each peer, because their number would be the square of
/// this.
const MAX_PEERS_TOLD: usize = 128;

/// Writes the page.
pub(super) fn page(
    shared: &Shared,
    latency: &Latency,
    ring_of: Option<(&Situation, &Circle)>,
    form: Form,
) -> String {
    let mut page = Exposition::new(form);
    memcached(shared, &mut page);
    slab(shared, &mut page);
    process(shared, &mut page);
    limits(shared, &mut page);
    guards(shared, &mut page);
    snapshots(&of_snapshots(shared), &mut page);
    requests(shared, latency, &mut page);
    if let Some((situation, circle)) = ring_of {
        ring(shared, situation, circle, &mut page);
        peers(situation, &mut page);
    }
    page.finish()
}

/// Samples of one family, by labels.
fn family(
    page: &mut Exposition,
    (name, kind, help): (&str, Kind, &str),
    samples: &[(Labels<'_>, u64)],
) {
    page.family(name, kind, help);
    for (labels, value) in samples {
        page.sample(name, labels, value);
    }
}

/// The metrics that the exporter has for a server as a whole.
fn memcached(shared: &Shared, page: &mut Exposition) {
    let sums = shared.counters.sums();
    let store = shared.store.counters();
    let connections = &shared.connections;
    let time = shared.clock.unix(shared.clock.now());
    page.gauge("memcached_up", "Whether the server answers.", 1);
    page.counter("memcached_uptime_seconds", "Seconds since the start.", shared.clock.uptime());
    page.gauge("memcached_time_seconds", "The server's time, Unix.", time);
    page.family(
        "memcached_version",
        Kind::Gauge,
        "The memcached version whose protocol the node speaks.",
    );
    page.sample("memcached_version", &[("version", MEMCACHED_VERSION)], 1);
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        page.counter(
            "memcached_process_user_cpu_seconds_total",
            "Processor time in user mode.",
            seconds(usage.user_time()),
        );
        page.counter(
            "memcached_process_system_cpu_seconds_total",
            "Processor time in the kernel.",
            seconds(usage.system_time()),
        );
    }
    page.counter("memcached_read_bytes_total", "Bytes read from clients.", sums.bytes_read);
    page.counter("memcached_written_bytes_total", "Bytes written to clients.", sums.bytes_written);
    let current = connections.clients();
    page.gauge(
        "memcached_current_connections",
        "Open connections of clients, without those of other nodes.",
        current,
    );
    page.gauge("memcached_max_connections", "Connections allowed.", connections.limit());
    page.counter("memcached_connections_total", "Connections opened.", connections.total());
    page.counter(
        "memcached_connections_rejected_total",
        "Connections refused because the limit was reached.",
        connections.rejected(),
    );
    page.counter(
        "memcached_connections_yielded_total",
        "Times a connection yielded to others after -R requests.",
        sums.conn_yields,
    );
    page.counter(
        "memcached_connections_listener_disabled_total",
        "Times the node stopped accepting because the limit of connections was reached.",
        connections.suspended(),
    );
    let full = current >= connections.limit();
    page.gauge(
        "memcached_accepting_connections",
        "Whether new connections are accepted.",
        u8::from(shared.settings.maxconns_fast || !full),
    );
    page.gauge("memcached_current_bytes", "Bytes of items and all bookkeeping.", store.bytes);
    page.gauge("memcached_limit_bytes", "Bytes allowed for them.", store.max_bytes);
    page.gauge("memcached_current_items", "Items stored.", store.items);
    page.counter("memcached_items_total", "Items stored since the start.", store.total_items);
    page.counter("memcached_items_evicted_total", "Items evicted to make room.", store.evictions);
    page.counter("memcached_items_reclaimed_total", "Dead items removed.", store.reclaimed);
    page.counter(
        "memcached_item_too_large_total",
        "Values refused because they were too large.",
        sums.store_too_large,
    );
    page.counter(
        "memcached_item_no_memory_total",
        "Values refused because memory was full.",
        sums.store_no_memory,
    );
    // In memcached, and in this server, a cas also counts as a set.
    let cas = sums.cas_hits.wrapping_add(sums.cas_misses).wrapping_add(sums.cas_badval);
    family(
        page,
        ("memcached_commands_total", Kind::Counter, "Requests by command and result."),
        &[
            (&[("command", "get"), ("status", "hit")], sums.get_hits),
            (&[("command", "get"), ("status", "miss")], sums.get_misses),
            (&[("command", "delete"), ("status", "hit")], sums.delete_hits),
            (&[("command", "delete"), ("status", "miss")], sums.delete_misses),
            (&[("command", "incr"), ("status", "hit")], sums.incr_hits),
            (&[("command", "incr"), ("status", "miss")], sums.incr_misses),
            (&[("command", "decr"), ("status", "hit")], sums.decr_hits),
            (&[("command", "decr"), ("status", "miss")], sums.decr_misses),
            (&[("command", "cas"), ("status", "hit")], sums.cas_hits),
            (&[("command", "cas"), ("status", "miss")], sums.cas_misses),
            (&[("command", "cas"), ("status", "badval")], sums.cas_badval),
            (&[("command", "touch"), ("status", "hit")], sums.touch_hits),
            (&[("command", "touch"), ("status", "miss")], sums.touch_misses),
            (&[("command", "set"), ("status", "hit")], sums.cmd_set.saturating_sub(cas)),
            (&[("command", "flush"), ("status", "hit")], sums.cmd_flush),
        ],
    );
    page.gauge(
        "memcached_lru_crawler_enabled",
        "Whether the crawler searches for dead items in the background.",
        u8::from(shared.crawler_enabled.load(Relaxed)),
    );
    page.counter(
        "memcached_lru_crawler_starts_total",
        "Passes of the crawler.",
        shared.crawler_starts.load(Relaxed),
    );
    page.counter(
        "memcached_lru_crawler_reclaimed_total",
        "Dead items that the crawler removed.",
        store.sweep_reclaimed,
    );
    page.counter(
        "memcached_lru_crawler_items_checked_total",
        "Items that the crawler visited.",
        store.sweep_checked,
    );
}

/// The metrics that the exporter has by slab class. The whole store counts as one, number 1, as in
/// `stats items`.
fn slab(shared: &Shared, page: &mut Exposition) {
    let store = shared.store.counters();
    for (name, kind, help, value) in [
        ("current_items", Kind::Gauge, "Items stored.", store.items),
        ("items_evicted_total", Kind::Counter, "Items evicted to make room.", store.evictions),
        (
            "items_evicted_nonzero_total",
            Kind::Counter,
            "Evicted items that had an expiry time.",
            store.evicted_nonzero,
        ),
        (
            "items_evicted_unfetched_total",
            Kind::Counter,
            "Evicted items that were never read.",
            store.evicted_unfetched,
        ),
        (
            "items_expired_unfetched_total",
            Kind::Counter,
            "Items that expired and were never read.",
            store.expired_unfetched,
        ),
        (
            "items_outofmemory_total",
            Kind::Counter,
            "Values refused because memory was full.",
            store.out_of_memory,
        ),
        ("items_reclaimed_total", Kind::Counter, "Dead items removed.", store.reclaimed),
        (
            "items_crawler_reclaimed_total",
            Kind::Counter,
            "Dead items removed in the background.",
            store.sweep_reclaimed,
        ),
    ] {
        let name = format!("memcached_slab_{name}");
        family(page, (&name, kind, help), &[(&[("slab", "1")], value)]);
    }
}

/// The metrics that every exporter for Prometheus has for its process.
fn process(shared: &Shared, page: &mut Exposition) {
    if let Some(resident) = resident::bytes() {
        page.gauge("process_resident_memory_bytes", "Resident memory.", resident);
    }
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let both = usage.user_time() + usage.system_time();
        page.counter("process_cpu_seconds_total", "Processor time.", seconds(both));
    }
    page.gauge(
        "process_start_time_seconds",
        "When the process started, Unix.",
        shared.clock.unix(shared.clock.started()),
    );
    if let Some(open) = open_files() {
        page.gauge("process_open_fds", "Open files.", open);
    }
    if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        page.gauge("process_max_fds", "Open files allowed.", soft);
    }
    page.counter(
        "ringbinder_log_lines_lost_total",
        "Log lines lost because the reader of the log was too slow.",
        logging::lost(),
    );
    page.family("ringbinder_build_info", Kind::Info, "The version of ringbinderd.");
    page.sample("ringbinder_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
}

fn seconds(time: nix::sys::time::TimeVal) -> String {
    format!("{}.{:06}", time.tv_sec(), time.tv_usec())
}

fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// The limits of the node, and how close it is to them.
fn limits(shared: &Shared, page: &mut Exposition) {
    let store = shared.store.counters();
    let accounts = Accounts::of(store.held, &shared.memory);
    page.family(
        "ringbinder_memory_bytes",
        Kind::Gauge,
        "Resident memory by use: items, connections, and everything else.",
    );
    for (account, bytes) in [
        ("items", accounts.items),
        ("connections", accounts.connections),
        ("fixed", accounts.fixed),
    ] {
        page.sample("ringbinder_memory_bytes", &[("account", account)], bytes);
    }
    page.family(
        "ringbinder_memory_limit_bytes",
        Kind::Gauge,
        "Memory limits: -m for items, --connection-memory for connections.",
    );
    let limit = (shared.memory.held(), shared.memory.limit());
    for (account, bytes) in [("items", store.max_bytes), ("connections", limit.1)] {
        page.sample("ringbinder_memory_limit_bytes", &[("account", account)], bytes);
    }
    page.counter(
        "ringbinder_memory_waits_total",
        "Times a connection waited because the memory for connections was full.",
        shared.memory.waits(),
    );
    page.counter(
        "ringbinder_memory_closed_connections_total",
        "Connections closed because they neither read nor sent while others waited for memory.",
        shared.memory.closed(),
    );
    page.family(
        "ringbinder_limit_used_ratio",
        Kind::Gauge,
        "Used part of a limit, from 0 to 1. A cache uses all of its memory.",
    );
    let connections = &shared.connections;
    let used = |limit, (used, allowed): (u64, u64), page: &mut Exposition| {
        if allowed > 0 {
            let ratio = as_float(used) / as_float(allowed);
            page.sample("ringbinder_limit_used_ratio", &[("limit", limit)], ratio);
        }
    };
    used("memory", (store.bytes, store.max_bytes), page);
    used("connections", (connections.clients() as u64, connections.limit() as u64), page);
    let (peers, max_peers) = connections.peers();
    used("peer_connections", (peers as u64, max_peers as u64), page);
    used("connection_memory", limit, page);
    if let (Some(open), Ok((soft, _))) = (open_files(), getrlimit(Resource::RLIMIT_NOFILE)) {
        used("open_files", (open as u64, soft), page);
    }
    page.gauge(
        "ringbinder_evictions_enabled",
        "Whether a full cache evicts items (1) or refuses to store (0).",
        u8::from(!shared.settings.disable_evictions),
    );
}

/// Restoring and writing a snapshot. Writes nothing if there is no snapshot.
fn snapshots(said: &Answer, page: &mut Exposition) {
    const STATES: [&str; 6] = ["none", "refused", "running", "done", "stopped", "failed"];
    let number = |name| said.number(name).unwrap_or(0);
    if let Some(state) = said.get("restore_state") {
        let name = "ringbinder_restore_state";
        page.family(name, Kind::Gauge, "State of restoring a snapshot: 1 for the current state.");
        for known in STATES {
            page.sample(name, &[("state", known)], u8::from(known == state));
        }
        for (name, help, value) in [
            ("ringbinder_restore_items", "Items restored.", number("restore_items")),
            (
                "ringbinder_restore_skipped_items",
                "Items skipped: expired, or no longer this node's.",
                number("restore_skipped"),
            ),
            (
                "ringbinder_restore_expected_items",
                "Items in the snapshot, by its header.",
                number("restore_total_items"),
            ),
        ] {
            page.gauge(name, help, value);
        }
    }
    let Some(state) = said.get("snapshot_state") else {
        return;
    };
    page.gauge(
        "ringbinder_snapshot_running",
        "Whether a snapshot is being written.",
        u8::from(state == "writing"),
    );
    page.gauge(
        "ringbinder_snapshot_items",
        "Items in the newest snapshot.",
        number("snapshot_items"),
    );
    page.gauge(
        "ringbinder_snapshot_bytes",
        "Size of the newest snapshot.",
        number("snapshot_bytes"),
    );
    page.counter(
        "ringbinder_snapshot_failures_total",
        "Snapshots that failed.",
        number("snapshot_failures"),
    );
    page.gauge(
        "ringbinder_snapshot_last_success_timestamp_seconds",
        "When the last snapshot was written, Unix; 0 for none since the start.",
        number("snapshot_last_success_time"),
    );
    page.gauge(
        "ringbinder_snapshot_last_duration_seconds",
        "How long writing the last snapshot took.",
        as_float(number("snapshot_last_duration_ms")) / 1e3,
    );
}

/// Certificates and passwords.
fn guards(shared: &Shared, page: &mut Exposition) {
    let sums = shared.counters.sums();
    if let Some(tls) = &shared.tls {
        page.counter(
            "ringbinder_tls_handshake_errors_total",
            "TLS handshakes that failed.",
            tls.handshake_errors.load(Relaxed),
        );
        if let Some(expires) = tls.expires() {
            page.gauge(
                "ringbinder_certificate_not_after_seconds",
                "When the node's certificate, or one above it in its chain, expires, Unix.",
                expires,
            );
        }
    }
    if shared.auth.is_some() {
        page.counter("ringbinder_auth_attempts_total", "Passwords that were sent.", sums.auth_cmds);
        page.counter(
            "ringbinder_auth_errors_total",
            "Passwords that were wrong.",
            sums.auth_errors,
        );
        page.counter(
            "ringbinder_auth_slowed_total",
            "Logins delayed because of wrong ones from the same address.",
            sums.auth_slowed,
        );
    }
}

/// Latency by class of commands.
fn requests(shared: &Shared, latency: &Latency, page: &mut Exposition) {
    const NAME: &str = "ringbinder_request_duration_seconds";
    let sums = shared.counters.sums();
    page.counter(
        "ringbinder_idle_connections_closed_total",
        "Connections closed because they were idle for longer than idle_timeout.",
        sums.idle_kicks,
    );
    if latency.classes.is_empty() {
        return;
    }
    page.gauge(
        "ringbinder_request_duration_sampled_every",
        "One of this many requests is timed.",
        latency.sampled_every,
    );
    page.family(
        NAME,
        Kind::Histogram,
        "Time from reading a request to writing its answer to the socket, for a sample of all \
         requests.",
    );
    for (class, histogram) in &latency.classes {
        for (index, upto) in histogram.upto.iter().enumerate() {
            let le = match index {
                index if index == BOUNDS - 1 => "+Inf".to_owned(),
                index => format!("{}", bound(index) / 1e6),
            };
            page.sample(&format!("{NAME}_bucket"), &[("command", class), ("le", &le)], upto);
        }
        let sum = as_float(histogram.sum_us) / 1e6;
        page.sample(&format!("{NAME}_sum"), &[("command", class)], sum);
        let count = histogram.upto[BOUNDS - 1];
        page.sample(&format!("{NAME}_count"), &[("command", class)], count);
    }
}

/// The ring, and the requests for keys of other nodes.
fn ring(shared: &Shared, situation: &Situation, circle: &Circle, page: &mut Exposition) {
    let Situation { view, name, peers, status, is_renamed: _ } = situation;
    let standing = status.standing;
    let sums = shared.counters.sums();
    let id = view.id();
    page.family("ringbinder_ring_info", Kind::Info, "The current ring and this node's name in it.");
    let (version, digest) = (id.version.to_string(), format!("{:016x}", id.digest));
    page.sample(
        "ringbinder_ring_info",
        &[("node", name), ("version", &version), ("digest", &digest), ("source", &status.source)],
        1,
    );
    page.gauge("ringbinder_ring_version", "The version of the current ring.", id.version);
    page.gauge("ringbinder_ring_nodes", "Nodes of the current ring.", view.ring.nodes().len());
    page.gauge(
        "ringbinder_ring_member",
        "Whether the current ring lists this node, and no other process has replaced it.",
        u8::from(matches!(standing, Standing::Confirmed | Standing::Unconfirmed)),
    );
    page.family(
        "ringbinder_ring_standing",
        Kind::Gauge,
        "Standing of this node in the ring: 1 for the current standing.",
    );
    for known in Standing::ALL {
        let here = u8::from(known == standing);
        page.sample("ringbinder_ring_standing", &[("standing", known.as_str())], here);
    }
    page.gauge(
        "ringbinder_ring_rival",
        "Whether another process claims to be this node.",
        u8::from(status.rival.is_some()),
    );
    let share = view.me.map_or(0.0, |me| circle.shares[me as usize]);
    page.gauge(
        "ringbinder_ring_owned_ratio",
        "Part of all keys that this node owns, from 0 to 1.",
        share,
    );
    page.gauge(
        "ringbinder_ring_settled",
        "Whether this node serves all of its keys without waiting for other nodes.",
        u8::from(view.is_settled()),
    );
    page.gauge(
        "ringbinder_ring_awaited_peers",
        "Nodes for which this one waits before it serves some of its keys.",
        status.awaited.len(),
    );
    page.counter("ringbinder_ring_changes_total", "Changes of the ring.", status.changes);
    page.counter(
        "ringbinder_ring_peers_given_up_total",
        "Unreachable nodes that were declared failed.",
        status.given_up,
    );
    page.gauge(
        "ringbinder_ring_source_ok",
        "Whether the newest text of the ring's source was accepted.",
        u8::from(status.last_error.is_empty()),
    );
    page.gauge(
        "ringbinder_ring_drift",
        "Whether the ring's source differs from the current ring.",
        u8::from(!status.drift(view.id()).is_empty()),
    );
    if let Some(version) = status.file.map(|file| file.version) {
        page.gauge(
            "ringbinder_ring_file_version",
            "The version of the newest valid ring that the source had.",
            version,
        );
    }
    family(
        page,
        (
            "ringbinder_foreign_keys_total",
            Kind::Counter,
            "Keys of other nodes that clients requested from this one: forwarded to their owners; \
             failed, which counts those of the forwarded that nobody answered; refused.",
        ),
        &[
            (&[("outcome", "forwarded")], sums.foreign_gets + sums.foreign_requests),
            (&[("outcome", "failed")], sums.foreign_failed()),
            (&[("outcome", "refused")], sums.foreign_refused),
        ],
    );
    family(
        page,
        (
            "ringbinder_foreign_failed_total",
            Kind::Counter,
            "The failed keys of ringbinder_foreign_keys_total: keys of get, gets and mg, which \
             were misses, and other requests. memcached_commands_total has none of them.",
        ),
        &[
            (&[("command", "get")], sums.foreign_get_failed),
            (&[("command", "other")], sums.foreign_request_failed),
        ],
    );
    family(
        page,
        (
            "ringbinder_peer_requests_total",
            Kind::Counter,
            "Requests that other nodes forwarded to this one: all received; moved, which counts \
             those of them whose keys it does not serve by a newer ring.",
        ),
        &[
            (&[("outcome", "received")], sums.foreign_received),
            (&[("outcome", "moved")], sums.foreign_moved),
        ],
    );
    page.gauge("ringbinder_peers", "Other nodes to which this one sends requests.", peers.len());
    let away = peers.iter().filter(|peer| peer.is_unreachable()).count();
    page.gauge("ringbinder_peers_away", "Other nodes that do not answer.", away);
    let disputed = peers.iter().filter(|peer| peer.has_rival()).count();
    page.gauge(
        "ringbinder_peers_disputed",
        "Other nodes whose name or address two processes claim.",
        disputed,
    );
}

/// The metrics of each peer.
fn peers(situation: &Situation, page: &mut Exposition) {
    let peers = &situation.peers;
    if peers.is_empty() || peers.len() > MAX_PEERS_TOLD {
        return;
    }
    page.family("ringbinder_peer_up", Kind::Gauge, "Whether another node answers.");
    for peer in peers {
        page.sample(
            "ringbinder_peer_up",
            &[("peer", &peer.name)],
            u8::from(!peer.is_unreachable()),
        );
    }
    let name = "ringbinder_peer_forwarded_total";
    page.family(name, Kind::Counter, "Requests sent to another node.");
    for peer in peers {
        page.sample(name, &[("peer", &peer.name)], peer.forwarded.load(Relaxed));
    }
    let name = "ringbinder_peer_failed_total";
    page.family(name, Kind::Counter, "Requests that another node did not answer.");
    for peer in peers {
        page.sample(name, &[("peer", &peer.name)], peer.failed.load(Relaxed));
    }
    let name = "ringbinder_peer_slow_total";
    page.family(name, Kind::Counter, "Answers of another node that arrived after --peer-timeout.");
    for peer in peers {
        page.sample(name, &[("peer", &peer.name)], peer.slow.load(Relaxed));
    }
    let name = "ringbinder_peer_rival";
    let help = "Whether another process claims the node's name or answers at its address.";
    page.family(name, Kind::Gauge, help);
    for peer in peers {
        page.sample(name, &[("peer", &peer.name)], u8::from(peer.has_rival()));
    }
}
