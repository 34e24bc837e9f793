//! The process, its limits and how close it is to them, TLS and logins, snapshots, and latency.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ringbinder_protocol::stats::float;

use super::Counted;
use crate::admin::exposition::{Exposition, Kind};
use crate::memory::Accounts;
use crate::observe::logging;
use crate::process::resident;
use crate::sampling::SAMPLED_EVERY;
use crate::snapshot::{RestoreState, Snapshots};
use crate::stats::seconds;

/// The metrics that every exporter for Prometheus has for its process.
pub(super) fn process(counted: &Counted<'_>, page: &mut Exposition) {
    let Counted { shared, usage, open_files, max_files, .. } = counted;
    if let Some(resident) = resident::bytes() {
        page.gauge("process_resident_memory_bytes", "Resident memory.", resident);
    }
    if let Some(usage) = usage {
        let both = usage.user_time() + usage.system_time();
        page.counter("process_cpu_seconds_total", "Processor time.", seconds(both));
    }
    metrics!(page,
        gauge "process_start_time_seconds" = shared.clock.unix(shared.clock.started()),
            "When the process started, Unix.";
    );
    if let Some(open) = open_files {
        page.gauge("process_open_fds", "Open files.", open);
    }
    if let Some(allowed) = max_files {
        page.gauge("process_max_fds", "Open files allowed.", allowed);
    }
    metrics!(page,
        counter "ringbinder_log_lines_lost_total" = logging::lost(),
            "Log lines lost because the reader of the log was too slow.";
    );
    let family = ("ringbinder_build_info", Kind::Info, "version");
    page.by_label(family, "The version of ringbinderd.", [(env!("CARGO_PKG_VERSION"), 1)]);
}

/// The limits of the node, and how close it is to them.
pub(super) fn limits(counted: &Counted<'_>, page: &mut Exposition) {
    let Counted { shared, store, open_files, max_files, .. } = counted;
    let accounts = Accounts::of(store.held, &shared.memory);
    let Accounts { items, connections, fixed } = accounts;
    page.by_label(
        ("ringbinder_memory_bytes", Kind::Gauge, "account"),
        "Resident memory by use: items, connections, and everything else.",
        [("items", items), ("connections", connections), ("fixed", fixed)],
    );
    let limit = (shared.memory.held(), shared.memory.limit());
    page.by_label(
        ("ringbinder_memory_limit_bytes", Kind::Gauge, "account"),
        "Memory limits: -m for items, --connection-memory for connections.",
        [("items", store.max_bytes), ("connections", limit.1)],
    );
    metrics!(page,
        counter "ringbinder_memory_waits_total" = shared.memory.waits(),
            "Times a connection waited because the memory for connections was full.";
        counter "ringbinder_memory_closed_connections_total" = shared.memory.closed(),
            "Connections closed because they neither read nor sent while others waited for memory.";
    );
    let connections = &shared.connections;
    let (peers, max_peers) = connections.peers();
    let files = open_files.zip(*max_files);
    let limits = [
        ("memory", (store.bytes, store.max_bytes)),
        ("connections", (connections.clients() as u64, connections.limit() as u64)),
        ("peer_connections", (peers as u64, max_peers as u64)),
        ("connection_memory", limit),
        ("open_files", files.map_or((0, 0), |(open, allowed)| (open as u64, allowed))),
    ];
    let limits = limits.into_iter().filter(|(_, (_, allowed))| *allowed > 0);
    page.by_label(
        ("ringbinder_limit_used_ratio", Kind::Gauge, "limit"),
        "Used part of a limit, from 0 to 1. A cache uses all of its memory.",
        limits.map(|(name, (used, allowed))| (name, float(used) / float(allowed))),
    );
    metrics!(page,
        gauge "ringbinder_evictions_enabled" = u8::from(!shared.settings.disable_evictions),
            "Whether a full cache evicts items (1) or refuses to store (0).";
    );
}

/// Certificates and passwords.
pub(super) fn guards(counted: &Counted<'_>, page: &mut Exposition) {
    let Counted { shared, sums, .. } = counted;
    if let Some(tls) = &shared.tls {
        metrics!(page,
            counter "ringbinder_tls_handshake_errors_total" = tls.handshake_errors.load(Relaxed),
                "TLS handshakes that failed.";
        );
        if let Some(expires) = tls.expires() {
            metrics!(page,
                gauge "ringbinder_certificate_not_after_seconds" = expires,
                    "When the node's certificate, or one above it in its chain, expires, Unix.";
            );
        }
    }
    if shared.auth.is_some() {
        metrics!(page,
            counter "ringbinder_auth_attempts_total" = sums.auth_cmds, "Passwords that were sent.";
            counter "ringbinder_auth_errors_total" = sums.auth_errors, "Passwords that were wrong.";
            counter "ringbinder_auth_slowed_total" = sums.auth_slowed,
                "Logins delayed because of wrong ones from the same address.";
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
    let number = |number: &AtomicU64| number.load(Relaxed);
    page.by_label(
        ("ringbinder_restore_state", Kind::Gauge, "state"),
        "State of restoring a snapshot: 1 for the current state.",
        RestoreState::ALL.map(|(state, label)| (label, u8::from(state == restore))),
    );
    metrics!(page,
        gauge "ringbinder_restore_items" = number(&progress.restore_items), "Items restored.";
        gauge "ringbinder_restore_skipped_items" = number(&progress.restore_skipped),
            "Items skipped: expired, or no longer this node's.";
        gauge "ringbinder_restore_expected_items" = number(&progress.restore_total_items),
            "Items in the snapshot, by its header.";
    );
    if !snapshots.are_written() {
        return;
    }
    let seconds = float(number(&progress.last_duration_ms)) / 1e3;
    metrics!(page,
        gauge "ringbinder_snapshot_running" = u8::from(progress.writing.load(Relaxed)),
            "Whether a snapshot is being written.";
        gauge "ringbinder_snapshot_items" = number(&progress.snapshot_items),
            "Items in the newest snapshot.";
        gauge "ringbinder_snapshot_bytes" = number(&progress.snapshot_bytes),
            "Size of the newest snapshot.";
        counter "ringbinder_snapshot_failures_total" = number(&progress.failures),
            "Snapshots that failed.";
        gauge "ringbinder_snapshot_last_success_timestamp_seconds" = number(&progress.last_success),
            "When the last snapshot was written, Unix; 0 for none since the start.";
        gauge "ringbinder_snapshot_last_duration_seconds" = seconds,
            "How long writing the last snapshot took.";
    );
}

/// Latency by class of commands.
pub(super) fn requests(counted: &Counted<'_>, page: &mut Exposition) {
    const NAME: &str = "ringbinder_request_duration_seconds";
    let Counted { shared, sums, .. } = counted;
    metrics!(page,
        counter "ringbinder_idle_connections_closed_total" = sums.idle_kicks,
            "Connections closed because they were idle for longer than idle_timeout.";
    );
    let latency = shared.latency();
    if latency.iter().next().is_none() {
        return;
    }
    metrics!(page,
        gauge "ringbinder_request_duration_sampled_every" = SAMPLED_EVERY,
            "One of this many requests is timed.";
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
