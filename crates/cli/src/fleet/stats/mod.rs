//! `ringbinder stats`.

mod columns;
mod overview;

use std::collections::HashSet;

use clap::Args;
use futures_util::future::join_all;
use ringbinder_client::{Error, NodeHandle};
use serde_json::{Map, Value, json};

use super::{Fleet, FleetOptions};
use crate::error::CliError;
use crate::escape::printable;
use crate::exit::Answer;
use crate::output::Output;

/// What nodes count.
#[derive(Args, Debug)]
#[command(after_help = "\
Without an argument, an overview; `ringbinder stats --all` has everything, one `node name \
value` a line. Arguments are those of the protocol's `stats`: ring, settings, items, slabs, \
conns, ... Numbers of several nodes are added up where that makes sense.")]
pub(crate) struct Stats {
    #[command(flatten)]
    fleet: FleetOptions,

    /// Which statistics, such as ring or settings; the general ones if left out
    argument: Option<String>,

    /// Ask only this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// Print everything, as lines of `node name value`
    #[arg(long)]
    all: bool,
}

/// The answer of one node.
struct NodeStats {
    node: NodeHandle,
    stats: Result<Vec<(String, String)>, Error>,
}

impl Stats {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let fleet = self.fleet.connect().await?;
        let nodes = fleet.nodes(self.node.as_deref())?;
        let argument = self.argument.as_deref().unwrap_or_default();
        let asked = join_all(nodes.iter().map(|node| node.stats(argument))).await;
        let answers = nodes.into_iter().zip(asked).map(|(node, stats)| NodeStats { node, stats });
        let answers: Vec<NodeStats> = answers.collect();
        if out.is_json() {
            out.json(&as_json(&fleet, &answers, argument))?;
        } else if self.all {
            lines(&answers, out)?;
        } else if answers.iter().any(|one| one.stats.is_ok()) {
            let names: Vec<&str> =
                answers.iter().map(|one| one.node.node().name.as_str()).collect();
            let rows = match argument {
                "" => overview::rows(&answers),
                _ => rows(&answers, argument),
            };
            if rows.is_empty() {
                out.note("done; there is nothing to show")?;
            } else {
                out.text(columns::render(&names, &rows, out.columns()))?;
            }
        }
        let asked = answers.len();
        fleet.failed(answers.into_iter().filter_map(|one| one.stats.err()).collect(), asked)?;
        Ok(Answer::Yes)
    }
}

impl NodeStats {
    fn get(&self, name: &str) -> Option<&str> {
        let stats = self.stats.as_ref().ok()?;
        stats.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

fn lines(answers: &[NodeStats], out: &mut Output) -> Result<(), CliError> {
    for one in answers {
        for (name, value) in one.stats.iter().flatten() {
            let (name, value) = (printable(name), printable(value));
            out.line(format_args!("{} {name} {value}", one.node.node().name))?;
        }
    }
    Ok(())
}

/// All names that any node reports, in the order of their first appearance.
fn names(answers: &[NodeStats]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let all = answers.iter().flat_map(|one| one.stats.iter().flatten());
    all.map(|(name, _)| name.as_str()).filter(|name| seen.insert(*name)).collect()
}

fn rows(answers: &[NodeStats], argument: &str) -> Vec<columns::Row> {
    let row = |name: &str| columns::Row {
        name: printable(name).into_owned(),
        sum: sum(answers, argument, name).map(|sum| sum.to_string()).unwrap_or_default(),
        cells: answers
            .iter()
            .map(|one| printable(one.get(name).unwrap_or("-")).into_owned())
            .collect(),
    };
    names(answers).into_iter().map(row).collect()
}

/// The sum over all nodes, if the statistic adds up and every node that answered reports a number.
fn sum(answers: &[NodeStats], argument: &str, name: &str) -> Option<u64> {
    /// General statistics that describe one process only.
    const OF_ONE: [&str; 5] = ["pid", "uptime", "time", "pointer_size", "hash_power_level"];
    /// Numbers of a slab class or of the ring that do not add up.
    const NO_COUNTS: [&str; 12] = [
        "chunk_size",
        "chunks_per_page",
        "age",
        "age_hot",
        "age_warm",
        "outofmemory_time",
        "ring_version",
        "ring_nodes",
        "ring_file_version",
        "ring_cache_version",
        "ring_list_version",
        "unresolved",
    ];
    let adds_up = match argument {
        "" => !OF_ONE.contains(&name),
        "items" | "slabs" | "ring" => !NO_COUNTS.contains(&last(name)) && !is_hexadecimal(name),
        _ => false,
    };
    let answered: Vec<&NodeStats> = answers.iter().filter(|one| one.stats.is_ok()).collect();
    if !adds_up || answered.len() < 2 {
        return None;
    }
    answered.iter().try_fold(0u64, |sum, one| sum.checked_add(one.number(name)?))
}

/// The last part of a name such as `peer:cache-a:state`.
fn last(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// Whether the value is hexadecimal. Such a value is text even if it has only decimal digits.
fn is_hexadecimal(name: &str) -> bool {
    const NAMES: [&str; 6] =
        ["ring_digest", "ring_file_digest", "ring_instance", "ring_rival", "instance", "rival"];
    NAMES.contains(&last(name))
}

/// Converts numbers to JSON numbers, and all other values to text.
fn json_value(name: &str, value: &str) -> Value {
    match value.parse::<u64>() {
        Ok(number) if !is_hexadecimal(name) => number.into(),
        _ => value.into(),
    }
}

fn as_json(fleet: &Fleet, answers: &[NodeStats], argument: &str) -> Value {
    let nodes = answers.iter().map(|one| {
        let (name, address) = (&one.node.node().name, one.node.node().to_string());
        match &one.stats {
            Ok(stats) => {
                let stats = stats.iter();
                let stats: Map<String, Value> =
                    stats.map(|(name, value)| (name.clone(), json_value(name, value))).collect();
                json!({ "node": name, "address": address, "stats": stats })
            }
            Err(error) => json!({ "node": name, "address": address, "error": error.to_string() }),
        }
    });
    let nodes: Vec<Value> = nodes.collect();
    let sums: Map<String, Value> = names(answers)
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), sum(answers, argument, name)?.into())))
        .collect();
    json!({ "origin": fleet.origin, "nodes": nodes, "sum": sums })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_values_are_text() {
        assert_eq!(json_value("foreign_gets", "17"), 17);
        for name in
            ["ring_digest", "ring_file_digest", "ring_instance", "peer:a:instance", "peer:a:rival"]
        {
            assert_eq!(json_value(name, "0000000000000017"), "0000000000000017", "{name}");
        }
    }
}
