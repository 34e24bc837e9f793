//! Tests of the model: samples in, figures out.

use super::super::latency::tests::told;
use super::super::sample::tests::pairs;
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
    let ring = (7, "aa".to_owned());
    Model::new("ring.toml".to_owned(), ring, &nodes(&["cache-a", "cache-b", "cache-c"]))
}

/// A sample of a node that has served `gets` gets a second for this long.
pub(in crate::top) fn sample(seconds: u64, gets: u64, ring: u64) -> Sample {
    let general = format!(
        "pid 5\nuptime {}\nringbinder_version 0.1.0\ncmd_get {}\nget_hits {}\ncmd_set {}\n\
         evictions {}\nbytes 536870912\nlimit_maxbytes 1073741824\ncurr_items 1000000\n\
         curr_connections 12\nmax_connections 1024\n",
        START + seconds,
        gets * seconds,
        gets * seconds * 9 / 10,
        gets * seconds / 10,
        2 * seconds,
    );
    let ring =
        format!("ring_version {ring}\nring_digest aa\nring_settled yes\nforeign_gets {seconds}\n");
    let heat = "window_seconds 45\n1:key user%3A42\n1:rate 5123.4\n1:share 0.12\n\
                2:key %1B%5B31mred\n2:rate 99.5\n2:share 0.0023\n";
    let latency = told("get", &[(64, 1000 * seconds), (1024, 10 * seconds)]);
    Sample::parse(&pairs(&general), &Some(pairs(&ring)), &Some(pairs(heat)), &Some(latency))
}

pub(in crate::top) fn away(why: &str) -> Result<Sample, Absent> {
    Err(Absent { why: why.to_owned(), resting: false })
}

#[test]
fn two_samples_make_rates() {
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
    reset.counters = Counters::default();
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
            let told = if node == 1 && seconds == 2 {
                away("no answer within 1s")
            } else {
                Ok(sample(seconds + 1, 1000, 7))
            };
            model.hear(node, at, told);
        }
        model.remember();
    }
    assert_eq!(model.nodes[1].state, State::Away("no answer within 1s".into()));
    let totals = model.totals();
    assert_eq!((totals.up, totals.away), (2, 1));
    assert_eq!((totals.rates.unwrap().gets, totals.bytes), (2000.0, 1 << 30));
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
    model.hear(0, start, Ok(Sample { ring: None, ..sample(1, 1, 7) }));
    model.hear(2, start, away("gone"));
    assert!(!model.disagrees(&model.nodes[0]) && !model.disagrees(&model.nodes[2]));
    assert_eq!(model.trouble().unwrap(), "cache-c gone");
}

/// A sample with these additional lines of `stats ring`.
fn told_of(ring: &str) -> Sample {
    let ring = format!("ring_version 7\nring_digest aa\nring_settled yes\n{ring}");
    Sample { ring: Sample::parse(&[], &Some(pairs(&ring)), &None, &None).ring, ..sample(1, 1, 7) }
}

#[test]
fn gets_that_no_owner_answers_are_misses_of_the_ring() {
    let mut model = three();
    let start = Instant::now();
    for seconds in 0..2 {
        let at = start + Duration::from_secs(seconds);
        let mut first = sample(seconds + 1, 1000, 7);
        first.counters.hits = first.counters.gets;
        let mut second = first.clone();
        (first.counters.failed_gets, first.counters.failed) = (500 * seconds, 700 * seconds);
        model.hear(0, at, Ok(first));
        second.counters.failed_gets = 0;
        model.hear(1, at, Ok(second));
    }
    let ratio = |rates: Option<Rates>| rates.unwrap().hit_ratio().unwrap();
    assert!((ratio(model.nodes[0].rates) - 1000.0 / 1500.0).abs() < 1e-9);
    assert_eq!(ratio(model.nodes[1].rates), 1.0);
    assert_eq!(model.nodes[0].rates.unwrap().failed, 700.0);
    assert_eq!(ratio(model.totals().rates), 0.8);
    assert_eq!(model.trouble().unwrap(), "20.0% of gets miss because no owner answers");
    // A node that only forwards has no gets of its own.
    let rates = Rates { failed_gets: 5.0, ..Rates::default() };
    assert_eq!((rates.hit_ratio(), rates.failing()), (Some(0.0), Some(1.0)));
    assert_eq!((Rates::default().hit_ratio(), Rates::default().failing()), (None, None));
}

#[test]
fn nodes_that_are_not_what_the_ring_says_are_seen() {
    let mut model = three();
    let now = Instant::now();
    let hear = |model: &mut Model, node, ring| model.hear(node, now, Ok(told_of(ring)));
    let conditions = |model: &Model| [0, 1, 2].map(|node| model.condition(&model.nodes[node]));
    use Condition::{Absent, Away, Disputed, Moves, Ok as Fine, Replaced, Unconfirmed, Waiting};
    assert_eq!(conditions(&model), [Waiting; 3]);
    hear(&mut model, 0, "ring_standing confirmed\n");
    hear(&mut model, 1, "ring_standing unconfirmed\nring_standing_reason it is asking\n");
    hear(&mut model, 2, "ring_standing absent\n");
    assert_eq!(conditions(&model), [Fine, Unconfirmed, Absent]);
    let trouble = "cache-b is unconfirmed: it is asking; cache-c is absent from its own ring";
    assert_eq!(model.trouble().unwrap(), trouble);
    hear(&mut model, 0, "peer:cache-b:rival 1f\n");
    hear(&mut model, 1, "");
    hear(&mut model, 2, "ring_standing replaced\nring_standing_reason 10.0.0.9 has its name\n");
    assert_eq!(conditions(&model), [Fine, Disputed, Replaced]);
    let trouble = "two processes claim to be cache-b, as cache-a see it; \
                   cache-c is replaced: 10.0.0.9 has its name";
    assert_eq!(model.trouble().unwrap(), trouble);
    // Unreachable peers, and a file with another ring.
    hear(&mut model, 0, "peer:cache-c:state away\npeer:cache-c:reason certificate expired\n");
    hear(&mut model, 1, "ring_drift its file has ring 6\npeer:cache-c:state away\n");
    hear(&mut model, 2, "");
    assert_eq!(conditions(&model), [Fine; 3]);
    let trouble = "cache-b: its file has ring 6; \
                   cache-c is away for cache-a, cache-b: certificate expired";
    assert_eq!(model.trouble().unwrap(), trouble);
    model.hear(2, now, away("is away: refused"));
    assert_eq!(conditions(&model), [Fine, Fine, Away]);
    assert_eq!(model.trouble().unwrap(), "cache-c is away: refused; cache-b: its file has ring 6");
    model.nodes[0].sample.as_mut().unwrap().ring.as_mut().unwrap().settled = false;
    assert_eq!(conditions(&model)[0], Moves);
}

#[test]
fn few_samples_are_taken_together_with_older_ones() {
    let mut model = three();
    let start = Instant::now();
    // 101 samples a second, so two seconds have enough.
    for seconds in 0..10 {
        let told = Sample {
            latency: Some(Latency::parse(&told("get", &[(64, 100 * seconds), (128, seconds)]))),
            ..sample(seconds + 1, 1, 7)
        };
        model.hear(0, start + Duration::from_secs(seconds), Ok(told));
    }
    assert_eq!(model.nodes[0].latency.unwrap().count(), 202);
    // An idle node shows its last latencies until they are too old.
    let at = start + Duration::from_secs(25);
    model.hear(0, at, Ok(Sample { latency: model_latency(9), ..sample(26, 1, 7) }));
    assert_eq!(model.nodes[0].latency.unwrap().count(), 202);
    let at = start + Duration::from_secs(70);
    model.hear(0, at, Ok(Sample { latency: model_latency(9), ..sample(71, 1, 7) }));
    assert_eq!(model.nodes[0].latency, None);
}

fn model_latency(seconds: u64) -> Option<Latency> {
    Some(Latency::parse(&told("get", &[(64, 100 * seconds), (128, seconds)])))
}

#[test]
fn another_ring_keeps_what_is_known_of_nodes_that_stay() {
    let mut model = three();
    model.hear(2, Instant::now(), Ok(sample(1, 1, 7)));
    let mut next = nodes(&["cache-a", "cache-b", "cache-c", "cache-d"]);
    next.remove(0);
    model.follow((8, "bb".to_owned()), &next);
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
