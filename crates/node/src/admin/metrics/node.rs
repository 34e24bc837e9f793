//! The process, its limits and how close it is to them, TLS and logins, snapshots, and latency.

use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use ringbinder_protocol::stats::float;
use ringbinder_store::Store;

use super::seconds;
use crate::admin::exposition::{Exposition, Kind};
use crate::memory::Accounts;
use crate::observe::logging;
use crate::process::resident;
use crate::sampling::SAMPLED_EVERY;
use crate::snapshot::{RestoreState, Snapshots};
use crate::worker::shared::Shared;

/// The metrics that every exporter for Prometheus has for its process.
pub(super) fn process(shared: &Shared, page: &mut Exposition) {
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

fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// The limits of the node, and how close it is to them.
pub(super) fn limits(shared: &Shared, page: &mut Exposition) {
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
            let ratio = float(used) / float(allowed);
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

/// Certificates and passwords.
pub(super) fn guards(shared: &Shared, page: &mut Exposition) {
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

/// Restoring and writing a snapshot. Writes nothing if there is no snapshot.
pub(super) fn snapshots(snapshots: &Snapshots, page: &mut Exposition) {
    if !snapshots.are_used() {
        return;
    }
    let progress = &snapshots.progress;
    let restore = progress.restore();
    let name = "ringbinder_restore_state";
    page.family(name, Kind::Gauge, "State of restoring a snapshot: 1 for the current state.");
    for (state, label) in RestoreState::ALL {
        page.sample(name, &[("state", label)], u8::from(state == restore));
    }
    for (name, help, value) in [
        ("ringbinder_restore_items", "Items restored.", &progress.restore_items),
        (
            "ringbinder_restore_skipped_items",
            "Items skipped: expired, or no longer this node's.",
            &progress.restore_skipped,
        ),
        (
            "ringbinder_restore_expected_items",
            "Items in the snapshot, by its header.",
            &progress.restore_total_items,
        ),
    ] {
        page.gauge(name, help, value.load(Relaxed));
    }
    if !snapshots.are_written() {
        return;
    }
    page.gauge(
        "ringbinder_snapshot_running",
        "Whether a snapshot is being written.",
        u8::from(progress.writing.load(Relaxed)),
    );
    page.gauge(
        "ringbinder_snapshot_items",
        "Items in the newest snapshot.",
        progress.snapshot_items.load(Relaxed),
    );
    page.gauge(
        "ringbinder_snapshot_bytes",
        "Size of the newest snapshot.",
        progress.snapshot_bytes.load(Relaxed),
    );
    page.counter(
        "ringbinder_snapshot_failures_total",
        "Snapshots that failed.",
        progress.failures.load(Relaxed),
    );
    page.gauge(
        "ringbinder_snapshot_last_success_timestamp_seconds",
        "When the last snapshot was written, Unix; 0 for none since the start.",
        progress.last_success.load(Relaxed),
    );
    page.gauge(
        "ringbinder_snapshot_last_duration_seconds",
        "How long writing the last snapshot took.",
        float(progress.last_duration_ms.load(Relaxed)) / 1e3,
    );
}

/// Latency by class of commands.
pub(super) fn requests(shared: &Shared, page: &mut Exposition) {
    const NAME: &str = "ringbinder_request_duration_seconds";
    let sums = shared.counters.sums();
    page.counter(
        "ringbinder_idle_connections_closed_total",
        "Connections closed because they were idle for longer than idle_timeout.",
        sums.idle_kicks,
    );
    let latency = shared.latency();
    if latency.iter().next().is_none() {
        return;
    }
    page.gauge(
        "ringbinder_request_duration_sampled_every",
        "One of this many requests is timed.",
        SAMPLED_EVERY,
    );
    page.family(
        NAME,
        Kind::Histogram,
        "Time from reading a request to writing its answer to the socket, for a sample of all \
         requests.",
    );
    for (class, histogram) in latency.iter() {
        let class = class.name();
        for (bound, upto) in histogram.cumulative() {
            let le =
                bound.map_or_else(|| "+Inf".to_owned(), |bound| format!("{}", float(bound) / 1e6));
            page.sample(&format!("{NAME}_bucket"), &[("command", class), ("le", &le)], upto);
        }
        let sum = float(histogram.sum / 1000) / 1e6;
        page.sample(&format!("{NAME}_sum"), &[("command", class)], sum);
        page.sample(&format!("{NAME}_count"), &[("command", class)], histogram.count());
    }
}
