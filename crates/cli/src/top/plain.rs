//! A single report on all nodes as a table or JSON, for scripts and for output without a terminal.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringbinder_client::Error;
use ringbinder_protocol::Standing;
use ringbinder_protocol::stats::{Rates, RingReport, is_reported, key_text};
use serde_json::{Value, json};

use super::columns::{self, figure, memory_text, quantile};
use super::model::{Condition, Entry, Model, State};
use super::poll;
use crate::fleet::Fleet;
use crate::fleet::hot::key_as_json;
use crate::fleet::numbers::{count, per_second, percent};
use crate::style::{BAD, BOLD, DIM};
use crate::table::Table;

/// Most hot keys below the table.
const KEYS: usize = 10;

/// Asks all nodes twice, `pace` apart. Also returns the failures of the first round, since a node that failed
/// then may not be asked again.
pub(super) async fn look(fleet: &Fleet, deadline: Duration, pace: Duration) -> (Model, Vec<Error>) {
    let nodes = fleet.client.nodes();
    let mut model = super::model_of(fleet);
    let mut failures = Vec::new();
    for first in [true, false] {
        let asked = nodes.iter().map(|node| async {
            let report = poll::ask(node, deadline).await;
            (Instant::now(), report)
        });
        for (index, (at, report)) in join_all(asked).await.into_iter().enumerate() {
            model.hear(index, at, report.as_ref().map_err(poll::absent).cloned());
            failures.extend(report.err().filter(|_| first));
        }
        if first {
            tokio::time::sleep(pace).await;
        }
    }
    (model, failures)
}

/// The table of nodes.
pub(super) fn table(model: &Model) -> Table {
    let mut table = Table::new(&[
        "NODE", "ADDRESS", "STATE", ">RING", ">GET/S", ">SET/S", ">HITS", ">MEMORY", ">P50",
        ">P99", ">FAIL/S", ">EVICT/S", ">CONNS", ">FRGN/S",
    ]);
    for entry in &model.nodes {
        let rate = |of: fn(&Rates) -> f64| columns::rate(entry.rates.as_ref().map(of)).0;
        table.row([
            &entry.name,
            &entry.address,
            &state(model, entry),
            &columns::ring(model, entry).0,
            &rate(|rates| rates.served_gets),
            &rate(|rates| rates.sets),
            &columns::hits(entry).0,
            &figure(entry, |it| Some(memory_text(it).replace(" of ", "/"))).0,
            &quantile(entry, 0.5).0,
            &quantile(entry, 0.99).0,
            &rate(|rates| rates.failed),
            &rate(|rates| rates.evictions),
            &figure(entry, |it| it.curr_connections.map(count)).0,
            &rate(|rates| rates.foreign),
        ]);
    }
    table
}

fn state(model: &Model, entry: &Entry) -> String {
    match model.condition(entry) {
        Condition::Waiting => "unknown".to_owned(),
        _ => columns::state(model, entry).0,
    }
}

/// The text below the table: problems, and the hottest keys.
pub(super) fn below(model: &Model) -> String {
    let mut text = String::new();
    if let Some(trouble) = model.trouble() {
        text.push_str(&format!("{BAD}{trouble}{BAD:#}\n"));
    }
    let (keys, window) = model.hot_keys();
    if let Some(seconds) = window.filter(|_| !keys.is_empty()) {
        text.push_str(&format!("\n{BOLD}hot keys, last {seconds} s{BOLD:#}\n"));
        for hot in keys.iter().take(KEYS) {
            let (rate, share) = (per_second(hot.rate), columns::or_dash(hot.share.map(percent)).0);
            text.push_str(&format!("{rate:>7} {DIM}{share:>6}{DIM:#}  {}\n", key_text(&hot.key)));
        }
    }
    text
}

fn unreached(ring: &RingReport) -> Vec<Value> {
    let unreached = ring.unreached();
    unreached.map(|(node, reason)| json!({ "node": node, "reason": reason })).collect()
}

/// All data as JSON.
pub(super) fn as_json(model: &Model) -> Value {
    let rates = |rates: &Rates| {
        json!({
            "requests": rates.requests,
            "gets": rates.served_gets,
            "hits": rates.hits,
            "sets": rates.sets,
            "evictions": rates.evictions,
            "foreign": rates.foreign,
            "failed": rates.failed,
            "failed_gets": rates.failed_gets,
        })
    };
    let nodes = model.nodes.iter().map(|entry| {
        let general = entry.general().filter(|_| entry.is_up());
        let ring = entry.ring().filter(|_| entry.is_up());
        json!({
            "node": entry.name,
            "address": entry.address,
            "state": state(model, entry),
            "error": match &entry.state { State::Away(why) => Some(why), _ => None },
            "ring_version": ring.and_then(|ring| ring.id).map(|id| id.version),
            "ring_newest": !model.disagrees(entry),
            "standing": ring.map(|ring| ring.standing().unwrap_or(Standing::Confirmed).as_str()),
            "standing_reason": ring.map(|ring| is_reported(&ring.standing_reason).unwrap_or_default()),
            "drift": ring.map(|ring| is_reported(&ring.drift).unwrap_or_default()),
            "disputed_by": model.disputed_by(entry),
            "unreached": ring.map(unreached),
            "per_second": entry.rates.as_ref().map(rates),
            "hit_ratio": entry.rates.and_then(|rates| rates.hit_ratio()),
            "p50_us": entry.latency.and_then(|latency| latency.quantile(0.5)),
            "p99_us": entry.latency.and_then(|latency| latency.quantile(0.99)),
            "bytes": general.and_then(|it| it.bytes),
            "limit_maxbytes": general.and_then(|it| it.limit_maxbytes),
            "items": general.and_then(|it| it.curr_items),
            "connections": general.and_then(|it| it.curr_connections),
            "uptime": general.and_then(|it| it.uptime),
            "version": general.and_then(|it| it.program()),
        })
    });
    let nodes: Vec<Value> = nodes.collect();
    let (keys, window) = model.hot_keys();
    let keys = keys.iter().map(|hot| {
        let nodes: Vec<&str> =
            hot.nodes.iter().map(|&node| model.nodes[node].name.as_str()).collect();
        key_as_json(hot, &nodes)
    });
    let keys: Vec<Value> = keys.collect();
    let totals = model.totals();
    json!({
        "origin": model.origin,
        "ring_version": model.ring.version,
        "nodes": nodes,
        "per_second": totals.rates.as_ref().map(rates),
        "hit_ratio": totals.rates.and_then(|rates| rates.hit_ratio()),
        "p99_us": totals.latency.quantile(0.99),
        "hot_keys": keys,
        "hot_keys_window_seconds": window,
    })
}
