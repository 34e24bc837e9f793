//! The metrics that memcached_exporter has too, with its names, types and labels.

use std::sync::atomic::Ordering::Relaxed;

use nix::sys::resource::{UsageWho, getrusage};
use ringbinder_protocol::MEMCACHED_VERSION;
use ringbinder_store::Store;

use super::{family, seconds};
use crate::admin::exposition::{Exposition, Kind};
use crate::worker::shared::Shared;

/// The metrics that the exporter has for a server as a whole.
pub(super) fn memcached(shared: &Shared, page: &mut Exposition) {
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
        "The memcached version whose protocol the node \
     speaks.",
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
pub(super) fn slab(shared: &Shared, page: &mut Exposition) {
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
