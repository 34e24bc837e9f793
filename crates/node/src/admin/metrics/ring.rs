//! The ring, requests for keys of other nodes, and peers.

use std::sync::atomic::Ordering::Relaxed;

use ringbinder_protocol::Standing;

use crate::admin::exposition::{Exposition, Kind};
use crate::admin::share::Circle;
use crate::ring::Situation;
use crate::ring::peer::Peer;
use crate::stats::Sums;

/// In a larger ring there are no metrics for each peer, because their number would be the square of
/// this.
const MAX_PEERS: usize = 128;

/// The ring, and the requests for keys of other nodes.
pub(super) fn ring(sums: &Sums, situation: &Situation, circle: &Circle, page: &mut Exposition) {
    let Situation { view, name, peers, status, is_renamed: _ } = situation;
    let standing = status.standing;
    let id = view.id();
    page.family("ringbinder_ring_info", Kind::Info, "The current ring and this node's name in it.");
    let (version, digest) = (id.version.to_string(), format!("{:016x}", id.digest));
    page.sample(
        "ringbinder_ring_info",
        &[("node", name), ("version", &version), ("digest", &digest), ("source", &status.source)],
        1,
    );
    let is_member = matches!(standing, Standing::Confirmed | Standing::Unconfirmed);
    metrics!(page,
        gauge "ringbinder_ring_version" = id.version, "The version of the current ring.";
        gauge "ringbinder_ring_nodes" = view.ring.nodes().len(), "Nodes of the current ring.";
        gauge "ringbinder_ring_member" = u8::from(is_member),
            "Whether the current ring lists this node, and no other process has replaced it.";
    );
    page.by_label(
        ("ringbinder_ring_standing", Kind::Gauge, "standing"),
        "Standing of this node in the ring: 1 for the current standing.",
        Standing::ALL.map(|known| (known.as_str(), u8::from(known == standing))),
    );
    let share = view.me.map_or(0.0, |me| circle.shares[me as usize]);
    metrics!(page,
        gauge "ringbinder_ring_rival" = u8::from(status.rival.is_some()),
            "Whether another process claims to be this node.";
        gauge "ringbinder_ring_owned_ratio" = share,
            "Part of all keys that this node owns, from 0 to 1.";
        gauge "ringbinder_ring_settled" = u8::from(view.is_settled()),
            "Whether this node serves all of its keys without waiting for other nodes.";
        gauge "ringbinder_ring_awaited_peers" = status.awaited.len(),
            "Nodes for which this one waits before it serves some of its keys.";
        counter "ringbinder_ring_changes_total" = status.changes, "Changes of the ring.";
        counter "ringbinder_ring_peers_given_up_total" = status.given_up,
            "Unreachable nodes that were declared failed.";
        gauge "ringbinder_ring_source_ok" = u8::from(status.last_error.is_empty()),
            "Whether the newest text of the ring's source was accepted.";
        gauge "ringbinder_ring_drift" = u8::from(!status.drift(view.id()).is_empty()),
            "Whether the ring's source differs from the current ring.";
    );
    if let Some(version) = status.file.map(|file| file.version) {
        metrics!(page,
            gauge "ringbinder_ring_file_version" = version,
                "The version of the newest valid ring that the source had.";
        );
    }
    page.by_label(
        ("ringbinder_foreign_keys_total", Kind::Counter, "outcome"),
        "Keys of other nodes that clients requested from this one: forwarded to their owners; \
         failed, which counts those of the forwarded that nobody answered; refused.",
        [
            ("forwarded", sums.foreign_gets + sums.foreign_requests),
            ("failed", sums.foreign_failed()),
            ("refused", sums.foreign_refused),
        ],
    );
    page.by_label(
        ("ringbinder_foreign_failed_total", Kind::Counter, "command"),
        "The failed keys of ringbinder_foreign_keys_total: keys of get, gets and mg, which were \
         misses, and other requests. memcached_commands_total has none of them.",
        [("get", sums.foreign_get_failed), ("other", sums.foreign_request_failed)],
    );
    page.by_label(
        ("ringbinder_peer_requests_total", Kind::Counter, "outcome"),
        "Requests that other nodes forwarded to this one: all received; moved, which counts those \
         of them whose keys it does not serve by a newer ring.",
        [("received", sums.foreign_received), ("moved", sums.foreign_moved)],
    );
    let away = peers.iter().filter(|peer| peer.is_unreachable()).count();
    let disputed = peers.iter().filter(|peer| peer.has_rival()).count();
    metrics!(page,
        gauge "ringbinder_peers" = peers.len(), "Other nodes to which this one sends requests.";
        gauge "ringbinder_peers_away" = away, "Other nodes that do not answer.";
        gauge "ringbinder_peers_disputed" = disputed,
            "Other nodes whose name or address two processes claim.";
    );
}

/// The metrics of each peer.
pub(super) fn peers(situation: &Situation, page: &mut Exposition) {
    let peers = &situation.peers;
    if peers.is_empty() || peers.len() > MAX_PEERS {
        return;
    }
    let mut family = |name, kind, help, value: fn(&Peer) -> u64| {
        let samples = peers.iter().map(|peer| (&peer.name, value(peer)));
        page.by_label((name, kind, "peer"), help, samples);
    };
    let help = "Whether another node answers.";
    family("ringbinder_peer_up", Kind::Gauge, help, |peer| u64::from(!peer.is_unreachable()));
    let help = "Requests sent to another node.";
    let name = "ringbinder_peer_forwarded_total";
    family(name, Kind::Counter, help, |peer| peer.forwarded.load(Relaxed));
    let help = "Requests that another node did not answer.";
    let name = "ringbinder_peer_failed_total";
    family(name, Kind::Counter, help, |peer| peer.failed.load(Relaxed));
    let help = "Answers of another node that arrived after --peer-timeout.";
    let name = "ringbinder_peer_slow_total";
    family(name, Kind::Counter, help, |peer| peer.slow.load(Relaxed));
    let help = "Whether another process claims the node's name or answers at its address.";
    family("ringbinder_peer_rival", Kind::Gauge, help, |peer| u64::from(peer.has_rival()));
}
