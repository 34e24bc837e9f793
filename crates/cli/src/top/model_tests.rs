//! Tests of the model: reports in, rates and problems out.

use ringbinder_protocol::Instance;
use ringbinder_protocol::stats::{HotKey, HotKeys, Latency, PeerReport};

use super::*;

const START: u64 = 1000;

fn nodes(names: &[&str]) -> Vec<Node> {
    let node = |(index, name): (usize, &&str)| Node {
        name: (*name).to_owned(),
        host: format!("10.0.0.{}", index + 1),
        port: 11211,
        weight: 1,
    };
    names.iter().enumerate().map(node).collect()
}

/// Three nodes of a ring with version 7.
pub(in crate::top) fn three() -> Model {
    let ring = Stamp { version: 7, digest: 0xaa };
    Model::new("ring.toml".to_owned(), ring, &nodes(&["cache-a", "cache-b", "cache-c"]))
}

/// A report of a node that has served `gets` gets a second for this long.
pub(in crate::top) fn sample(seconds: u64, gets: u64, ring: u64) -> NodeReport {
    let general = General {
        pid: Some(5),
        uptime: Some(START + seconds),
        ringbinder_version: Some("0.1.0".to_owned()),
        cmd_get: Some(gets * seconds),
        get_hits: Some(gets * seconds * 9 / 10),
        get_misses: Some(gets * seconds - gets * seconds * 9 / 10),
        cmd_set: Some(gets * seconds / 10),
        evictions: Some(2 * seconds),
        bytes: Some(536_870_912),
        limit_maxbytes: Some(1_073_741_824),
        curr_items: Some(1_000_000),
        curr_connections: Some(12),
        max_connections: Some(1024),
        ..General::default()
    };
    let ring = RingReport { foreign_gets: Some(seconds), ..of_ring(ring) };
    let key = |key: &[u8], rate, share| HotKey { key: key.into(), rate, share: Some(share) };
    let keys = vec![key(b"user:42", 5123.4, 0.12), key(b"\x1b[31mred", 99.5, 0.0023)];
    NodeReport {
        general,
        ring: Some(ring),
        latency: Some(latency(&[(64, 1000 * seconds), (1024, 10 * seconds)])),
        hot_keys: Some(HotKeys { window: 45, keys }),
    }
}

/// A settled node's report about the ring with this version.
fn of_ring(version: u64) -> RingReport {
    let id = Some(Stamp { version, digest: 0xaa });
    RingReport { id, settled: Some(true), ..RingReport::default() }
}

/// A latency with these samples, each a bound and a number.
fn latency(samples: &[(u64, u64)]) -> Latency {
    let mut histogram = Histogram::default();
    for (bound, number) in samples {
        histogram.buckets[bound.ilog2() as usize] = *number;
    }
    Latency { classes: [("get".to_owned(), histogram)].into() }
}

pub(in crate::top) fn away(why: &str) -> Result<NodeReport, Absent> {
    Err(Absent { why: why.to_owned(), resting: false })
}

#[test]
fn two_reports_make_rates() {
    let mut model = three();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    model.hear(0, at(0), Ok(sample(10, 1000, 7)));
    assert_eq!((model.nodes[0].rates, &model.nodes[0].state), (None, &State::Up));
    model.hear(0, at(2), Ok(sample(12, 1000, 7)));
    let rates = model.nodes[0].rates.unwrap();
    assert_eq!((rates.gets, rates.sets, rates.requests), (1000.0, 100.0, 1100.0));
    assert_eq!((rates.evictions, rates.foreign, rates.hit_ratio()), (2.0, 1.0, Some(0.9)));
    let p99 = model.nodes[0].latency.unwrap().quantile(0.99).unwrap();
    assert!((60.0..=64.0).contains(&p99), "{p99}");
    assert_eq!(model.nodes[0].history, [0, 1100]);
    assert_eq!(model.nodes[0].memory_used(), Some(0.5));
    // Two answers at the same moment give no rate.
    model.hear(0, at(2), Ok(sample(12, 1000, 7)));
    assert_eq!(model.nodes[0].rates, None);
}

#[test]
fn a_node_that_starts_anew_has_no_rates_of_the_old() {
    let mut model = three();
    let start = Instant::now();
    model.hear(0, start, Ok(sample(100, 1000, 7)));
    model.hear(0, start + Duration::from_secs(1), Ok(sample(1, 1000, 7)));
    assert_eq!((model.nodes[0].rates, model.nodes[0].latency), (None, None));
    model.hear(0, start + Duration::from_secs(2), Ok(sample(2, 1000, 7)));
    assert_eq!(model.nodes[0].rates.unwrap().gets, 1000.0);
    // `stats reset`: the same process, and smaller counters.
    let mut reset = sample(3, 1000, 7);
    reset.general.cmd_get = Some(0);
    model.hear(0, start + Duration::from_secs(3), Ok(reset));
    assert_eq!(model.nodes[0].rates, None);
}

#[test]
fn a_node_that_is_away_hides_nothing_of_the_others() {
    let mut model = three();
    let start = Instant::now();
    for seconds in 0..3 {
        for node in 0..3 {
            let at = start + Duration::from_secs(seconds);
            let report = if node == 1 && seconds == 2 {
                away("no answer within 1s")
            } else {
                Ok(sample(seconds + 1, 1000, 7))
            };
            model.hear(node, at, report);
        }
        model.remember();
    }
    assert_eq!(model.nodes[1].state, State::Away("no answer within 1s".into()));
    let totals = model.totals();
    assert_eq!((totals.up, totals.away), (2, 1));
    assert_eq!((totals.rates.unwrap().gets, totals.general.bytes), (2000.0, Some(1 << 30)));
    assert_eq!(model.history, [0, 3300, 2200]);
    assert_eq!(model.trouble().unwrap(), "cache-b no answer within 1s");
    // If the node was not asked again, the first reason stays.
    let resting = Absent { why: "resting".into(), resting: true };
    model.hear(1, start + Duration::from_secs(3), Err(resting));
    assert_eq!(model.nodes[1].state, State::Away("no answer within 1s".into()));
    model.hear(0, start + Duration::from_secs(3), away("x"));
    assert_eq!(
        model.trouble().unwrap(),
        "2 nodes are away: cache-a, cache-b; cache-a x; cache-b no answer within 1s"
    );
    assert_eq!(model.hot_keys().0[0].nodes, [2]);
    // After its return, rates start with its second answer.
    model.hear(1, start + Duration::from_secs(4), Ok(sample(5, 1000, 7)));
    assert_eq!((&model.nodes[1].state, model.nodes[1].rates), (&State::Up, None));
}

#[test]
fn rings_that_disagree_are_seen() {
    let mut model = three();
    let start = Instant::now();
    for (node, version) in [7, 7, 6].into_iter().enumerate() {
        model.hear(node, start, Ok(sample(1, 1, version)));
    }
    assert!(!model.disagrees(&model.nodes[0]) && model.disagrees(&model.nodes[2]));
    assert_eq!(model.trouble().unwrap(), "ring 7 is the newest, but cache-c holds 6");
    // A node may hold a newer ring than the file.
    model.hear(1, start, Ok(sample(1, 1, 8)));
    assert!(model.disagrees(&model.nodes[0]) && !model.disagrees(&model.nodes[1]));
    // A node that reports no ring, or is unreachable, does not disagree.
    model.hear(0, start, Ok(NodeReport { ring: None, ..sample(1, 1, 7) }));
    model.hear(2, start, away("gone"));
    assert!(!model.disagrees(&model.nodes[0]) && !model.disagrees(&model.nodes[2]));
    assert_eq!(model.trouble().unwrap(), "cache-c gone");
}

#[test]
fn gets_that_no_owner_answers_are_misses_of_the_ring() {
    let mut model = three();
    let start = Instant::now();
    for seconds in 0..2 {
        let at = start + Duration::from_secs(seconds);
        let mut first = sample(seconds + 1, 1000, 7);
        (first.general.get_hits, first.general.get_misses) = (first.general.cmd_get, Some(0));
        let second = first.clone();
        first.general.foreign_get_failed = Some(500 * seconds);
        first.general.foreign_failed = Some(700 * seconds);
        model.hear(0, at, Ok(first));
        model.hear(1, at, Ok(second));
    }
    let ratio = |rates: Option<Rates>| rates.unwrap().hit_ratio().unwrap();
    assert!((ratio(model.nodes[0].rates) - 1000.0 / 1500.0).abs() < 1e-9);
    assert_eq!(ratio(model.nodes[1].rates), 1.0);
    assert_eq!(model.nodes[0].rates.unwrap().failed, 700.0);
    assert_eq!(ratio(model.totals().rates), 0.8);
    assert_eq!(model.trouble().unwrap(), "20.0% of gets miss because no owner answers");
}

#[test]
fn nodes_that_are_not_what_the_ring_says_are_seen() {
    let mut model = three();
    let now = Instant::now();
    let hear = |model: &mut Model, node, ring| {
        model.hear(node, now, Ok(NodeReport { ring: Some(ring), ..sample(1, 1, 7) }));
    };
    let standing = |standing, reason: &str| RingReport {
        reported_standing: Some(standing),
        standing_reason: Some(reason.to_owned()),
        ..of_ring(7)
    };
    let about =
        |name: &str, peer| RingReport { peers: [(name.to_owned(), peer)].into(), ..of_ring(7) };
    let unreachable = |reason: Option<&str>| PeerReport {
        away: Some(true),
        reason: reason.map(str::to_owned),
        ..PeerReport::default()
    };
    let conditions = |model: &Model| [0, 1, 2].map(|node| model.condition(&model.nodes[node]));
    use Condition::{Absent, Away, Disputed, Moves, Ok as Fine, Replaced, Unconfirmed, Waiting};
    assert_eq!(conditions(&model), [Waiting; 3]);
    hear(&mut model, 0, standing(Standing::Confirmed, ""));
    hear(&mut model, 1, standing(Standing::Unconfirmed, "it is asking"));
    hear(&mut model, 2, standing(Standing::Absent, ""));
    assert_eq!(conditions(&model), [Fine, Unconfirmed, Absent]);
    let trouble = "cache-b is unconfirmed: it is asking; cache-c is absent from its own ring";
    assert_eq!(model.trouble().unwrap(), trouble);
    let rival = PeerReport { rival: Some(Instance(0x1f)), ..PeerReport::default() };
    hear(&mut model, 0, about("cache-b", rival));
    hear(&mut model, 1, of_ring(7));
    hear(&mut model, 2, standing(Standing::Replaced, "10.0.0.9 has its name"));
    assert_eq!(conditions(&model), [Fine, Disputed, Replaced]);
    let trouble = "two processes claim to be cache-b, as cache-a see it; \
                   cache-c is replaced: 10.0.0.9 has its name";
    assert_eq!(model.trouble().unwrap(), trouble);
    // Unreachable peers, and a file with another ring.
    hear(&mut model, 0, about("cache-c", unreachable(Some("certificate expired"))));
    let drift = Some("its file has ring 6".to_owned());
    hear(&mut model, 1, RingReport { drift, ..about("cache-c", unreachable(None)) });
    hear(&mut model, 2, of_ring(7));
    assert_eq!(conditions(&model), [Fine; 3]);
    let trouble = "cache-b: its file has ring 6; \
                   cache-c is away for cache-a, cache-b: certificate expired";
    assert_eq!(model.trouble().unwrap(), trouble);
    model.hear(2, now, away("is away: refused"));
    assert_eq!(conditions(&model), [Fine, Fine, Away]);
    assert_eq!(model.trouble().unwrap(), "cache-c is away: refused; cache-b: its file has ring 6");
    hear(&mut model, 0, RingReport { settled: Some(false), ..of_ring(7) });
    assert_eq!(conditions(&model)[0], Moves);
}

#[test]
fn few_samples_are_taken_together_with_older_ones() {
    let mut model = three();
    let start = Instant::now();
    // 101 samples a second, so two seconds have enough.
    for seconds in 0..10 {
        let report = NodeReport { latency: few(seconds), ..sample(seconds + 1, 1, 7) };
        model.hear(0, start + Duration::from_secs(seconds), Ok(report));
    }
    assert_eq!(model.nodes[0].latency.unwrap().count(), 202);
    // An idle node shows its last latencies until they are too old.
    let at = start + Duration::from_secs(25);
    model.hear(0, at, Ok(NodeReport { latency: few(9), ..sample(26, 1, 7) }));
    assert_eq!(model.nodes[0].latency.unwrap().count(), 202);
    let at = start + Duration::from_secs(70);
    model.hear(0, at, Ok(NodeReport { latency: few(9), ..sample(71, 1, 7) }));
    assert_eq!(model.nodes[0].latency, None);
}

/// The latency after this many seconds with 101 samples each.
fn few(seconds: u64) -> Option<Latency> {
    Some(latency(&[(64, 100 * seconds), (128, seconds)]))
}

#[test]
fn another_ring_keeps_what_is_known_of_nodes_that_stay() {
    let mut model = three();
    model.hear(2, Instant::now(), Ok(sample(1, 1, 7)));
    let mut next = nodes(&["cache-a", "cache-b", "cache-c", "cache-d"]);
    next.remove(0);
    model.follow(Stamp { version: 8, digest: 0xbb }, &next);
    let names: Vec<&str> = model.nodes.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["cache-b", "cache-c", "cache-d"]);
    assert_eq!(model.nodes[1].state, State::Up);
    assert_eq!(model.nodes[2].state, State::Waiting);
    // A sample of a removed node is ignored.
    model.hear(9, Instant::now(), away("x"));
}

#[test]
fn histories_are_bounded() {
    let mut model = three();
    for _ in 0..2 * HISTORY {
        model.hear(0, Instant::now(), away("x"));
        model.remember();
    }
    assert_eq!((model.nodes[0].history.len(), model.history.len()), (HISTORY, HISTORY));
}
