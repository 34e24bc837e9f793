//! `/api/ring` and `/api/history`: the data of the page, as JSON. `docs/observing.md` describes the
//! format.

use std::collections::{BTreeMap, HashMap};

use ringbinder_protocol::stats::{
    Histogram, HotKeys, Latency, MAX_HOT_KEYS, RingHotKey, RingReport, float, key_text, merge,
};
use ringbinder_protocol::{MEMCACHED_VERSION, Standing};
use ringbinder_ring::printable::words;
use serde::Serialize;

use super::fleet::{Fleet, Record, Stretch, WINDOW, interval};
use super::poll::{Target, now, targets};
use super::share::{Circle, Circles};
use crate::ring::{Peer, Situation};
use crate::worker::shared::Shared;

/// The answer of `/api/ring`.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    /// Milliseconds since the Unix epoch.
    now: u64,
    /// The interval in seconds at which a node is asked.
    interval_seconds: u64,
    ringbinder_version: &'static str,
    protocol_version: &'static str,
    /// The name of the node that answers.
    node: String,
    pub(super) ring: Option<RingState>,
    pub(super) nodes: Vec<NodeState>,
    hot_keys: Vec<HotKeyState>,
    /// Latency by class of commands over the last minute, of all nodes.
    latency: BTreeMap<String, LatencyState>,
    /// The problems to show; see [`super::advice`].
    pub(super) warnings: Vec<Advice>,
}

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Requests fail, or nodes act by different rings.
    Error,
    /// Such an error may follow.
    Warning,
}

/// One problem to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Advice {
    pub(super) level: Level,
    pub(super) text: String,
}

/// The current ring of the node that answers.
#[derive(Debug, Serialize)]
pub(super) struct RingState {
    pub(super) version: u64,
    pub(super) digest: String,
    source: String,
    taken_from: String,
    pub(super) last_error: String,
    pub(super) settled: bool,
    member: bool,
    /// This node's standing towards its place in the ring.
    pub(super) standing: &'static str,
    /// The problem with its standing; empty if there is none.
    pub(super) standing_reason: String,
    /// The difference between the source and the current ring; empty if there is none.
    drift: String,
    pub(super) awaited: Vec<String>,
    /// The policy for keys of other nodes.
    foreign_keys: String,
    /// The circle in equal parts: the number of the node that owns the middle of each.
    circle: Vec<u32>,
}

/// One node.
#[derive(Debug, Default, Serialize)]
pub(super) struct NodeState {
    pub(super) name: String,
    address: String,
    /// True for the node that answers.
    own: bool,
    weight: Option<u32>,
    /// Its share of all keys, from 0 to 1; `null` for a node that the ring does not list.
    pub(super) share: Option<f64>,
    /// `up`, `away`, or `unknown` before it was asked for the first time.
    pub(super) state: &'static str,
    /// The reason why it is unreachable.
    pub(super) fault: Option<String>,
    /// The time since which it is up or unreachable, in milliseconds since the Unix epoch.
    since: u64,
    /// The time of its last answer.
    heard: Option<u64>,
    version: String,
    pub(super) uptime_seconds: u64,
    pub(super) ring_version: Option<u64>,
    pub(super) ring_digest: String,
    pub(super) ring_settled: bool,
    pub(super) ring_error: String,
    /// Its standing towards its place in the ring, as it reports it: `confirmed`, `unconfirmed`,
    /// `replaced`, `absent`; empty for a node that does not report it.
    pub(super) standing: &'static str,
    /// The problem with its standing; empty if there is none.
    pub(super) standing_reason: String,
    /// The difference between its ring's source and its ring; empty if there is none.
    pub(super) ring_drift: String,
    /// The nodes that see two processes claim its name or its address.
    pub(super) disputed_by: Vec<String>,
    /// The nodes that it cannot reach.
    pub(super) unreached: Vec<Unreached>,
    pub(super) requests_per_second: Option<f64>,
    pub(super) gets_per_second: Option<f64>,
    /// Gets that were misses because no owner answered.
    pub(super) failed_gets_per_second: Option<f64>,
    /// All requests that got no answer from an owner.
    failed_per_second: Option<f64>,
    hit_ratio: Option<f64>,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    items: u64,
    pub(super) evictions_per_second: Option<f64>,
    pub(super) refused_for_memory_per_second: Option<f64>,
    forwarded_per_second: Option<f64>,
    traffic_bytes_per_second: Option<f64>,
    pub(super) connections: u64,
    pub(super) max_connections: u64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
}

/// A node that does not answer another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Unreached {
    pub(super) node: String,
    /// Empty if the reason is unknown.
    pub(super) reason: String,
}

impl Unreached {
    fn of((node, reason): (&str, &str)) -> Unreached {
        Unreached { node: node.to_owned(), reason: reason.to_owned() }
    }
}

#[derive(Debug, Serialize)]
struct HotKeyState {
    /// A readable form, which may differ from the key's bytes.
    key: String,
    /// Estimated requests per second.
    rate: f64,
    /// Its share of the requests of all nodes, from 0 to 1; `null` if these are not known.
    share: Option<f64>,
    /// The node that owns it.
    owner: Option<String>,
}

#[derive(Debug, Serialize)]
struct LatencyState {
    samples: u64,
    p50_us: Option<f64>,
    p90_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
}

impl LatencyState {
    fn of(histogram: &Histogram) -> LatencyState {
        let at = |part| histogram.quantile(part).map(short);
        LatencyState {
            samples: histogram.count(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
        }
    }
}

/// Rounds a number to the digits that matter.
fn short(number: f64) -> f64 {
    let scale = if number.abs() < 10.0 { 1e4 } else { 1e2 };
    (number * scale).round() / scale
}

/// Builds `/api/ring`.
pub(super) fn overview(shared: &Shared, fleet: &Fleet, circles: &Circles) -> Overview {
    let situation = shared.ring.as_ref().map(|ring| ring.situation());
    let circle = situation.as_ref().map(|situation| circles.of(&situation.view.ring));
    let targets = targets(shared, fleet);
    let mut hot_keys: Vec<(usize, HotKeys)> = Vec::new();
    let mut all = Latency::default();
    let mut nodes = Vec::with_capacity(targets.len());
    for (index, target) in targets.iter().enumerate() {
        let node = fleet.with(&target.address, |record| {
            if let Some(record) = record.filter(|record| record.fault.is_none()) {
                let keys = record.report.as_ref().and_then(|report| report.hot_keys.clone());
                hot_keys.extend(keys.map(|keys| (index, keys)));
                all.add(&record.latency());
            }
            node(target, index, record, situation.as_ref(), circle.as_deref())
        });
        nodes.push(node);
    }
    dispute(&mut nodes, &targets, fleet);
    let timed = all.classes.iter().filter(|(_, histogram)| histogram.count() > 0);
    let mut latency: BTreeMap<String, LatencyState> =
        timed.map(|(class, histogram)| (class.clone(), LatencyState::of(histogram))).collect();
    if !latency.is_empty() {
        latency.insert("all".to_owned(), LatencyState::of(&all.together()));
    }
    let hottest = merge(hot_keys.iter().map(|(index, keys)| (*index, keys)));
    let interval = interval(targets.len());
    Overview {
        now: now().wall,
        interval_seconds: interval.as_secs(),
        ringbinder_version: env!("CARGO_PKG_VERSION"),
        protocol_version: MEMCACHED_VERSION,
        node: targets
            .iter()
            .find(|target| target.own)
            .map_or_else(String::new, |it| it.name.clone()),
        ring: situation.as_ref().zip(circle).map(|(it, circle)| ring_state(shared, it, &circle)),
        hot_keys: hottest
            .iter()
            .take(MAX_HOT_KEYS)
            .map(|hot| hot_key(hot, &nodes, situation.as_ref()))
            .collect(),
        nodes,
        latency,
        warnings: Vec::new(),
    }
}

/// Adds to each node the list of nodes that see two processes claim its name or address.
fn dispute(nodes: &mut [NodeState], targets: &[Target], fleet: &Fleet) {
    let index: HashMap<&str, usize> =
        targets.iter().zip(0..).map(|(target, index)| (target.name.as_str(), index)).collect();
    for target in targets {
        fleet.with(&target.address, |record| {
            let report = record.filter(|it| it.fault.is_none()).and_then(|it| it.report.as_ref());
            let ring = report.and_then(|report| report.ring.as_ref());
            for name in ring.into_iter().flat_map(RingReport::disputed) {
                if let Some(node) = index.get(name).and_then(|&index| nodes.get_mut(index)) {
                    node.disputed_by.push(target.name.clone());
                }
            }
        });
    }
}

fn ring_state(shared: &Shared, situation: &Situation, circle: &Circle) -> RingState {
    let id = situation.view.id();
    let status = &situation.status;
    RingState {
        version: id.version,
        digest: format!("{:016x}", id.digest),
        source: status.source.clone(),
        taken_from: status.taken_from.clone(),
        last_error: status.last_error.clone(),
        settled: situation.view.is_settled(),
        member: situation.view.me.is_some(),
        standing: status.standing.as_str(),
        standing_reason: status.standing_reason.clone(),
        drift: status.drift(id),
        awaited: status.awaited.iter().map(ToString::to_string).collect(),
        foreign_keys: shared
            .ring
            .as_ref()
            .map(|ring| ring.settings.foreign_keys.to_string())
            .unwrap_or_default(),
        circle: circle.picture.clone(),
    }
}

/// The reason why requests to a peer fail although it answers questions, whose connection is older
/// than the fault.
fn why_away(peer: &Peer) -> String {
    match peer.reason() {
        reason if reason.is_empty() => "it does not answer requests".to_owned(),
        reason => words(&reason),
    }
}

fn node(
    target: &Target,
    index: usize,
    record: Option<&Record>,
    situation: Option<&Situation>,
    circle: Option<&Circle>,
) -> NodeState {
    let in_ring = situation.and_then(|it| it.view.ring.nodes().get(index));
    // Links notice within milliseconds what the next question would find out.
    let peer = situation.and_then(|it| it.peers.iter().find(|it| *it.address == *target.address));
    let fault = record.and_then(|record| record.fault.clone());
    let cut_off = peer.is_some_and(|peer| peer.is_unreachable());
    let state = match record {
        _ if cut_off || fault.is_some() => "away",
        Some(record) if record.report.is_some() => "up",
        _ => "unknown",
    };
    let mut node = NodeState {
        name: target.name.clone(),
        address: target.address.clone(),
        own: target.own,
        weight: in_ring.map(|node| node.weight),
        share: in_ring.and(circle).and_then(|circle| circle.shares.get(index).copied()),
        state,
        fault: fault.or_else(|| peer.filter(|_| cut_off).map(|peer| why_away(peer))),
        since: record.map_or(0, |record| record.since),
        heard: record.and_then(Record::heard),
        ..NodeState::default()
    };
    let Some(record) = record.filter(|_| state == "up") else { return node };
    if let Some(report) = &record.report {
        let general = &report.general;
        let number = Option::unwrap_or_default;
        node.version = general.ringbinder_version.clone().unwrap_or_default();
        node.uptime_seconds = number(general.uptime);
        node.bytes = number(general.bytes);
        node.max_bytes = number(general.limit_maxbytes);
        node.items = number(general.curr_items);
        node.connections = number(general.curr_connections);
        node.max_connections = number(general.max_connections);
        if let Some(ring) = &report.ring {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            node.ring_version = ring.id.map(|id| id.version);
            node.ring_digest = ring.id.map(|id| format!("{:016x}", id.digest)).unwrap_or_default();
            node.ring_settled = !ring.is_waiting();
            node.ring_error = text(&ring.last_error);
            node.standing = ring.standing().map_or("", Standing::as_str);
            node.standing_reason = text(&ring.standing_reason);
            node.ring_drift = text(&ring.drift);
            node.unreached = ring.unreached().map(Unreached::of).collect();
        }
    }
    if let Some(Stretch { rates, p50, p99, .. }) = record.last() {
        node.requests_per_second = Some(short(rates.requests));
        node.gets_per_second = Some(short(rates.gets));
        node.failed_gets_per_second = Some(short(rates.failed_gets));
        node.failed_per_second = Some(short(rates.failed));
        node.hit_ratio = rates.hit_ratio().map(short);
        node.evictions_per_second = Some(short(rates.evictions));
        node.refused_for_memory_per_second = Some(short(rates.no_memory));
        node.forwarded_per_second = Some(short(rates.forwarded));
        node.traffic_bytes_per_second = Some(short(rates.traffic));
        node.p50_us = p50.map(short);
        node.p99_us = p99.map(short);
    }
    node
}

/// A hot key of the ring, with its owner.
fn hot_key(hot: &RingHotKey, nodes: &[NodeState], situation: Option<&Situation>) -> HotKeyState {
    let owner = situation.and_then(|it| nodes.get(it.view.ring.owner(&hot.key) as usize));
    HotKeyState {
        key: shown(&hot.key),
        rate: short(hot.rate),
        share: hot.share.map(short),
        owner: owner.map(|node| node.name.clone()),
    }
}

/// A key in readable form: as it is if it has only printable ASCII and letters and digits of any
/// script, so that no character can hide or reverse the text around it. Otherwise percent-encoded.
fn shown(key: &[u8]) -> String {
    let plain = |c: char| c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric());
    match std::str::from_utf8(key) {
        Ok(text) if text.chars().all(plain) => text.to_owned(),
        _ => key_text(key),
    }
}

/// The answer of `/api/history`.
#[derive(Debug, Serialize)]
pub(super) struct History {
    /// Milliseconds since the Unix epoch.
    now: u64,
    interval_seconds: u64,
    window_seconds: u64,
    nodes: Vec<Series>,
}

/// The columns of one node, oldest first.
#[derive(Debug, Serialize)]
struct Series {
    name: String,
    /// Milliseconds since the Unix epoch.
    at: Vec<u64>,
    requests: Vec<f64>,
    gets: Vec<f64>,
    failed: Vec<f64>,
    hit_ratio: Vec<Option<f64>>,
    bytes: Vec<u64>,
    evictions: Vec<f64>,
    p50_us: Vec<Option<f64>>,
    p99_us: Vec<Option<f64>>,
}

/// Builds `/api/history` from the stretches that ended after `since`.
pub(super) fn history(shared: &Shared, fleet: &Fleet, since: u64) -> History {
    let targets = targets(shared, fleet);
    let interval_seconds = interval(targets.len()).as_secs();
    let nodes = targets.into_iter().map(|target| {
        fleet.with(&target.address, |record| {
            let stretches = record.into_iter().flat_map(|record| &record.stretches);
            let new: Vec<&Stretch> = stretches.filter(|stretch| stretch.at > since).collect();
            Series {
                name: target.name,
                at: new.iter().map(|it| it.at).collect(),
                requests: new.iter().map(|it| short(it.rates.requests)).collect(),
                gets: new.iter().map(|it| short(it.rates.gets)).collect(),
                failed: new.iter().map(|it| short(it.rates.failed)).collect(),
                hit_ratio: new.iter().map(|it| it.rates.hit_ratio().map(short)).collect(),
                bytes: new.iter().map(|it| it.bytes).collect(),
                evictions: new.iter().map(|it| short(it.rates.evictions)).collect(),
                p50_us: new.iter().map(|it| it.p50.map(short)).collect(),
                p99_us: new.iter().map(|it| it.p99.map(short)).collect(),
            }
        })
    });
    History {
        now: now().wall,
        interval_seconds,
        window_seconds: WINDOW.as_secs(),
        nodes: nodes.collect(),
    }
}

/// A share of a whole; `None` if the whole is 0.
pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(part) / float(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_without_tricks() {
        assert_eq!(shown(b"user:42"), "user:42");
        assert_eq!(shown(b"a b%2"), "a%20b%252");
        assert_eq!(shown("größe".as_bytes()), "größe");
        assert_eq!(shown("a\u{202e}b".as_bytes()), "a%E2%80%AEb", "no text runs backwards");
        assert_eq!(shown(b"\xff\n"), "%FF%0A");
    }
}
