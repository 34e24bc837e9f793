//! `stats ring`: the state of the ring and of the other nodes, for operators.

use std::sync::atomic::Ordering::Relaxed;

use ringbinder_protocol::{Instance, answer};
use ringbinder_ring::RingId;

use super::RingNode;
use super::membership::stamp;
use super::names::listed;
use super::peer::Address;
use crate::net::output::PIECE;
use crate::worker::shared::Shared;

/// Appends a piece of the report: first this node's part, if nothing is `written` yet, then the
/// peers from index `written` on. Returns whether another piece follows.
pub(crate) fn report(shared: &Shared, written: &mut Option<usize>, out: &mut Vec<u8>) -> bool {
    let Some(node) = &shared.ring else {
        answer::line(out, "END");
        return false;
    };
    if written.is_none() {
        of_this_node(shared, node, out);
    }
    let from = written.unwrap_or(0);
    let begins = out.len();
    let posted = node.posted.read();
    for (at, (address, reported)) in posted.status.reported.iter().enumerate().skip(from) {
        if out.len() - begins >= PIECE {
            *written = Some(at);
            return true;
        }
        of_peer(node, address, *reported, out);
    }
    answer::line(out, "END");
    false
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn or_dash(instance: Option<Instance>) -> String {
    instance.map_or_else(|| "-".to_owned(), |instance| instance.to_string())
}

fn of_this_node(shared: &Shared, node: &RingNode, out: &mut Vec<u8>) {
    let sums = shared.counters.sums();
    let posted = node.posted.read();
    let view = &posted.view;
    let status = &posted.status;
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let id = stamp(view.id());
    let names = |addresses: &[Address]| match addresses {
        [] => "-".to_owned(),
        some => some.join(","),
    };
    let mut stat = |name: &str, value: &dyn std::fmt::Display| answer::stat(out, name, value);
    stat("ring_version", &id.version);
    stat("ring_digest", &format!("{:016x}", id.digest));
    stat("ring_source", &status.source);
    stat("ring_taken_from", &status.taken_from);
    stat("ring_changes", &status.changes);
    stat("ring_last_error", &or_none(&status.last_error));
    let version = |id: Option<RingId>| id.map_or("-".to_owned(), |id| id.version.to_string());
    stat("ring_file_version", &version(status.file));
    let digest = status.file.map_or("-".to_owned(), |id| format!("{:016x}", id.digest));
    stat("ring_file_digest", &digest);
    stat("ring_drift", &or_none(&status.drift(view.id())));
    stat("ring_cache", &or_none(&status.cache));
    stat("ring_cache_version", &version(status.cached));
    stat("ring_cache_error", &or_none(&status.cache_error));
    stat("ring_node", &posted.line.name);
    stat("ring_member", &yes(view.me.is_some()));
    stat("ring_instance", &posted.line.instance);
    stat("ring_standing", &status.standing);
    stat("ring_standing_reason", &or_none(&status.standing_reason));
    stat("ring_address", &status.address.as_deref().unwrap_or("-"));
    stat("ring_rival", &or_dash(status.rival));
    stat("ring_nodes", &view.ring.nodes().len());
    stat("ring_joined", &yes(view.joined));
    stat("ring_settled", &yes(view.is_settled()));
    stat("ring_awaited", &names(&status.awaited));
    stat("ring_given_up", &status.given_up);
    stat("ring_list_version", &node.names().version());
    stat("foreign_keys", &node.settings.foreign_keys);
    stat("foreign_gets", &sums.foreign_gets);
    stat("foreign_requests", &sums.foreign_requests);
    stat("foreign_refused", &sums.foreign_refused);
    stat("foreign_get_failed", &sums.foreign_get_failed);
    stat("foreign_failed", &sums.foreign_failed());
    stat("foreign_moved", &sums.foreign_moved);
    stat("foreign_received", &sums.foreign_received);
}

fn of_peer(node: &RingNode, address: &Address, reported: Option<RingId>, out: &mut Vec<u8>) {
    let Some(peer) = node.peers.at(address) else { return };
    let mut stat = |name: &str, value: &dyn std::fmt::Display| answer::stat(out, name, value);
    let name = &peer.name;
    let (addresses, failing) = match crate::ring::peer::dial::split(&peer.address) {
        Some((host, _)) => node.names().standing(host),
        None => (Vec::new(), None),
    };
    let held = reported.map_or_else(|| "-".to_owned(), |id| stamp(id).to_string());
    stat(&format!("peer:{name}:address"), &peer.address);
    stat(&format!("peer:{name}:resolved"), &or_none(&listed(&addresses)));
    stat(&format!("peer:{name}:unresolved"), &failing.unwrap_or(0));
    stat(&format!("peer:{name}:state"), &if peer.is_unreachable() { "away" } else { "up" });
    let processes = peer.processes();
    stat(&format!("peer:{name}:reason"), &or_none(&peer.reason()));
    stat(&format!("peer:{name}:instance"), &or_dash(processes.accepted));
    stat(&format!("peer:{name}:rival"), &or_dash(processes.rival));
    stat(&format!("peer:{name}:ring"), &held);
    stat(&format!("peer:{name}:forwarded"), &peer.forwarded.load(Relaxed));
    stat(&format!("peer:{name}:failed"), &peer.failed.load(Relaxed));
    stat(&format!("peer:{name}:slow"), &peer.slow.load(Relaxed));
}
