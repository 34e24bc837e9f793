//! The metrics that memcached_exporter has too, with its names, types and labels.

use std::sync::atomic::Ordering::Relaxed;

use ringbinder_protocol::MEMCACHED_VERSION;
use ringbinder_store::Counters as StoreCounters;

use super::Counted;
use crate::admin::exposition::Exposition;
use crate::admin::exposition::Kind::{Counter, Gauge};
use crate::stats::seconds;

/// The metrics that the exporter has for a server as a whole.
pub(super) fn memcached(counted: &Counted<'_>, page: &mut Exposition) {
    let Counted { shared, store, sums, usage, .. } = counted;
    let connections = &shared.connections;
    let time = shared.clock.unix(shared.clock.now());
    page.gauge("memcached_up", "Whether the server answers.", 1);
    page.counter("memcached_uptime_seconds", "Seconds since the start.", shared.clock.uptime());
    page.gauge("memcached_time_seconds", "The server's time, Unix.", time);
    let help = "The memcached version whose protocol the node speaks.";
    page.by_label(("memcached_version", Gauge, "version"), help, [(MEMCACHED_VERSION, 1)]);
    if let Some(usage) = usage {
        metrics!(page,
            counter "memcached_process_user_cpu_seconds_total" = seconds(usage.user_time()),
                "Processor time in user mode.";
            counter "memcached_process_system_cpu_seconds_total" = seconds(usage.system_time()),
                "Processor time in the kernel.";
        );
    }
    let current = connections.clients();
    let accepts = shared.settings.maxconns_fast || current < connections.limit();
    metrics!(page,
        counter "memcached_read_bytes_total" = sums.bytes_read, "Bytes read from clients.";
        counter "memcached_written_bytes_total" = sums.bytes_written, "Bytes written to clients.";
        gauge "memcached_current_connections" = current,
            "Open connections of clients, without those of other nodes.";
        gauge "memcached_max_connections" = connections.limit(), "Connections allowed.";
        counter "memcached_connections_total" = connections.total(), "Connections opened.";
        counter "memcached_connections_rejected_total" = connections.rejected(),
            "Connections refused because the limit was reached.";
        counter "memcached_connections_yielded_total" = sums.conn_yields,
            "Times a connection yielded to others after -R requests.";
        counter "memcached_connections_listener_disabled_total" = connections.suspended(),
            "Times the node stopped accepting because the limit of connections was reached.";
        gauge "memcached_accepting_connections" = u8::from(accepts),
            "Whether new connections are accepted.";
        gauge "memcached_current_bytes" = store.bytes, "Bytes of items and all bookkeeping.";
        gauge "memcached_limit_bytes" = store.max_bytes, "Bytes allowed for them.";
        gauge "memcached_current_items" = store.items, "Items stored.";
        counter "memcached_items_total" = store.total_items, "Items stored since the start.";
        counter "memcached_items_evicted_total" = store.evictions, "Items evicted to make room.";
        counter "memcached_items_reclaimed_total" = store.reclaimed, "Dead items removed.";
        counter "memcached_item_too_large_total" = sums.store_too_large,
            "Values refused because they were too large.";
        counter "memcached_item_no_memory_total" = sums.store_no_memory,
            "Values refused because memory was full.";
    );
    // In memcached, and in this server, a cas also counts as a set.
    let cas = sums.cas_hits.wrapping_add(sums.cas_misses).wrapping_add(sums.cas_badval);
    let name = "memcached_commands_total";
    page.family(name, Counter, "Requests by command and result.");
    for (command, status, value) in [
        ("get", "hit", sums.get_hits),
        ("get", "miss", sums.get_misses),
        ("delete", "hit", sums.delete_hits),
        ("delete", "miss", sums.delete_misses),
        ("incr", "hit", sums.incr_hits),
        ("incr", "miss", sums.incr_misses),
        ("decr", "hit", sums.decr_hits),
        ("decr", "miss", sums.decr_misses),
        ("cas", "hit", sums.cas_hits),
        ("cas", "miss", sums.cas_misses),
        ("cas", "badval", sums.cas_badval),
        ("touch", "hit", sums.touch_hits),
        ("touch", "miss", sums.touch_misses),
        ("set", "hit", sums.cmd_set.saturating_sub(cas)),
        ("flush", "hit", sums.cmd_flush),
    ] {
        page.sample(name, &[("command", command), ("status", status)], value);
    }
    metrics!(page,
        gauge "memcached_lru_crawler_enabled" = u8::from(shared.crawler_enabled.load(Relaxed)),
            "Whether the crawler searches for dead items in the background.";
        counter "memcached_lru_crawler_starts_total" = shared.crawler_starts.load(Relaxed),
            "Passes of the crawler.";
        counter "memcached_lru_crawler_reclaimed_total" = store.sweep_reclaimed,
            "Dead items that the crawler removed.";
        counter "memcached_lru_crawler_items_checked_total" = store.sweep_checked,
            "Items that the crawler visited.";
    );
}

/// The metrics that the exporter has by slab class. The whole store counts as one, number 1, as in
/// `stats items`.
pub(super) fn slab(store: &StoreCounters, page: &mut Exposition) {
    let mut family = |name: &str, kind, value: u64, help: &str| {
        let name = format!("memcached_slab_{name}");
        page.by_label((&name, kind, "slab"), help, [("1", value)]);
    };
    family("current_items", Gauge, store.items, "Items stored.");
    family("items_evicted_total", Counter, store.evictions, "Items evicted to make room.");
    let help = "Evicted items that had an expiry time.";
    family("items_evicted_nonzero_total", Counter, store.evicted_nonzero, help);
    let help = "Evicted items that were never read.";
    family("items_evicted_unfetched_total", Counter, store.evicted_unfetched, help);
    let help = "Items that expired and were never read.";
    family("items_expired_unfetched_total", Counter, store.expired_unfetched, help);
    let help = "Values refused because memory was full.";
    family("items_outofmemory_total", Counter, store.out_of_memory, help);
    family("items_reclaimed_total", Counter, store.reclaimed, "Dead items removed.");
    let help = "Dead items removed in the background.";
    family("items_crawler_reclaimed_total", Counter, store.sweep_reclaimed, help);
}
