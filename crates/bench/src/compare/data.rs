//! The measurements of `compare` as JSON.

use serde_json::{Map, Value, json};

use super::{Bench, CaseResult, rounds::FIGURES};
use crate::machine;

/// One object: the servers and the machine, and for each load every run and the ratios. Times are in
/// microseconds.
pub(super) fn data(bench: &Bench<'_>, results: &[CaseResult]) -> Value {
    let options = bench.options;
    let servers = bench.contenders.iter().map(|contender| {
        json!({ "name": contender.name, "version": contender.describe(),
                "started": contender.is_program() })
    });
    json!({
        "benchmark": "compare",
        "machine": machine::data(),
        "generator": bench.generator.describe(),
        "memory_limit_mb": options.memory_limit,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "servers": servers.collect::<Vec<_>>(),
        "loads": results.iter().map(|result| load(bench, result)).collect::<Vec<_>>(),
    })
}

fn load(bench: &Bench<'_>, result: &CaseResult) -> Value {
    let CaseResult { case, place, rounds } = result;
    let ours = bench.contenders.len() - 1;
    let (mut runs, mut ratios) = (Map::new(), Map::new());
    for (at, contender) in bench.contenders.iter().enumerate() {
        let its: Vec<Value> = rounds.done.iter().map(|round| json!(round[at])).collect();
        runs.insert(contender.name.clone(), its.into());
        if at != ours {
            let figures = FIGURES
                .map(|(name, figure)| (name.to_owned(), json!(rounds.ratio(ours, at, figure))));
            ratios.insert(contender.name.clone(), Value::Object(figures.into_iter().collect()));
        }
    }
    json!({
        "name": case.name(),
        "load": case.load(),
        "threads": bench.threads(case.group()),
        "server_cores": place.servers.to_string(),
        "load_cores": place.load.to_string(),
        "apart": place.apart,
        "runs": runs,
        "ringbinderd_to": ratios,
        "failure": rounds.failure,
    })
}
