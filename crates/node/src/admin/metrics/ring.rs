//! The ring, requests for keys of other nodes, and peers.

use std::sync::atomic::Ordering::Relaxed;

use ringbinder_protocol::Standing;

use super::family;
use crate::admin::exposition::{Exposition, Kind};
use crate::admin::share::Circle;
use crate::ring::Situation;
use crate::worker::shared::Shared;

/// In a larger ring there are no metrics for each peer, because their number would be the square of
/// this.
const MAX_PEERS: usize = 128;

/// The ring, and the requests for keys of other nodes.
pub(super) fn ring(shared: &Shared, situation: &Situation, circle: &Circle, page: &mut Exposition) {
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
            "Keys of other nodes that clients requested from this one: forwarded to their \
             owners; failed, which counts those of the forwarded that nobody answered; refused.",
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
pub(super) fn peers(situation: &Situation, page: &mut Exposition) {
    let peers = &situation.peers;
    if peers.is_empty() || peers.len() > MAX_PEERS {
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
