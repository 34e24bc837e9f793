//! A single report on all nodes as a table or JSON, for scripts and for output without a terminal.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringbinder_client::Error;
use serde_json::{Value, json};

use super::columns::{memory_text, percent};
use super::model::{Condition, Entry, Model, Rates, State};
use super::poll;
use super::sample::HeldRing;
use super::ui::is_up;
use crate::fleet::Fleet;
use crate::fleet::hot::keys::shown;
use crate::fleet::numbers::{count, micros, per_second};
use crate::style::{BAD, BOLD, DIM};
use crate::table::{Align, Table};

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
            let told = poll::ask(node, deadline).await;
            (Instant::now(), told)
        });
        for (index, (at, told)) in join_all(asked).await.into_iter().enumerate() {
            model.hear(index, at, told.as_ref().map_err(poll::absent).cloned());
            failures.extend(told.err().filter(|_| first));
        }
        if first {
            tokio::time::sleep(pace).await;
        }
    }
    (model, failures)
}

/// The table of nodes.
pub(super) fn table(model: &Model) -> Table {
    let columns = [
        ("NODE", Align::Left),
        ("ADDRESS", Align::Left),
        ("STATE", Align::Left),
        ("RING", Align::Right),
        ("GET/S", Align::Right),
        ("SET/S", Align::Right),
        ("HITS", Align::Right),
        ("MEMORY", Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("FAIL/S", Align::Right),
        ("EVICT/S", Align::Right),
        ("CONNS", Align::Right),
        ("FRGN/S", Align::Right),
    ];
    let mut table = Table::new(&columns);
    for entry in &model.nodes {
        let rate = |of: fn(&Rates) -> f64| dash(entry.rates.as_ref().map(|it| per_second(of(it))));
        let sample = entry.sample.as_ref().filter(|_| is_up(entry));
        let quantile =
            |part| dash(entry.latency.and_then(|latency| latency.quantile(part)).map(micros));
        let ring = entry.held().filter(|_| is_up(entry)).map(|held| {
            let mark = match () {
                () if model.disagrees(entry) => "!",
                () if !held.drift.is_empty() => "~",
                () => "",
            };
            format!("{}{mark}", held.version)
        });
        table.row([
            &entry.name,
            &entry.address,
            &state(model, entry),
            &dash(ring),
            &rate(|rates| rates.gets),
            &rate(|rates| rates.sets),
            &dash(entry.rates.and_then(|rates| rates.hit_ratio()).map(percent)),
            &dash(
                sample.map(|sample| memory_text(sample.bytes, sample.limit).replace(" of ", "/")),
            ),
            &quantile(0.5),
            &quantile(0.99),
            &rate(|rates| rates.failed),
            &rate(|rates| rates.evictions),
            &dash(sample.map(|sample| count(sample.connections))),
            &rate(|rates| rates.foreign),
        ]);
    }
    table
}

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn state(model: &Model, entry: &Entry) -> &'static str {
    match model.condition(entry) {
        Condition::Waiting => "unknown",
        Condition::Away => "away",
        Condition::Replaced => "replaced",
        Condition::Disputed => "disputed",
        Condition::Unconfirmed => "unconfirmed",
        Condition::Absent => "absent",
        Condition::Moves => "moves",
        Condition::Ok => "ok",
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
            let (rate, share) = (per_second(hot.rate), percent(hot.share));
            text.push_str(&format!("{rate:>7} {DIM}{share:>6}{DIM:#}  {}\n", shown(&hot.key)));
        }
    }
    text
}

fn unreached(ring: &HeldRing) -> Vec<Value> {
    let unreached = ring.unreached.iter();
    unreached.map(|(node, reason)| json!({ "node": node, "reason": reason })).collect()
}

/// All data as JSON.
pub(super) fn as_json(model: &Model) -> Value {
    let rates = |rates: &Rates| {
        json!({
            "requests": rates.requests,
            "gets": rates.gets,
            "hits": rates.hits,
            "sets": rates.sets,
            "evictions": rates.evictions,
            "foreign": rates.foreign,
            "failed": rates.failed,
            "failed_gets": rates.failed_gets,
        })
    };
    let nodes = model.nodes.iter().map(|entry| {
        let sample = entry.sample.as_ref().filter(|_| is_up(entry));
        let ring = sample.and_then(|sample| sample.ring.as_ref());
        json!({
            "node": entry.name,
            "address": entry.address,
            "state": state(model, entry),
            "error": match &entry.state { State::Away(why) => Some(why), _ => None },
            "ring_version": ring.map(|ring| ring.version),
            "ring_newest": !model.disagrees(entry),
            "standing": ring.map(|ring| ring.standing.word()),
            "standing_reason": ring.map(|ring| &ring.standing_reason),
            "drift": ring.map(|ring| &ring.drift),
            "disputed_by": model.disputed_by(entry),
            "unreached": ring.map(unreached),
            "per_second": entry.rates.as_ref().map(rates),
            "hit_ratio": entry.rates.and_then(|rates| rates.hit_ratio()),
            "p50_us": entry.latency.and_then(|latency| latency.quantile(0.5)),
            "p99_us": entry.latency.and_then(|latency| latency.quantile(0.99)),
            "bytes": sample.map(|sample| sample.bytes),
            "limit_maxbytes": sample.map(|sample| sample.limit),
            "items": sample.map(|sample| sample.items),
            "connections": sample.map(|sample| sample.connections),
            "uptime": sample.map(|sample| sample.uptime),
            "version": sample.map(|sample| sample.program.clone()),
        })
    });
    let nodes: Vec<Value> = nodes.collect();
    let (keys, window) = model.hot_keys();
    let keys = keys.iter().map(|hot| {
        let nodes: Vec<&str> =
            hot.nodes.iter().map(|&node| model.nodes[node].name.as_str()).collect();
        json!({ "key": hot.key, "rate": hot.rate, "share": hot.share, "nodes": nodes })
    });
    let keys: Vec<Value> = keys.collect();
    let totals = model.totals();
    json!({
        "origin": model.origin,
        "ring_version": model.ring.0,
        "nodes": nodes,
        "per_second": totals.rates.as_ref().map(rates),
        "hit_ratio": totals.rates.and_then(|rates| rates.hit_ratio()),
        "p99_us": totals.latency.quantile(0.99),
        "hot_keys": keys,
        "hot_keys_window_seconds": window,
    })
}
