//! `ringbinder stats`.

mod columns;
mod overview;

use std::collections::HashSet;

use clap::Args;
use futures_util::future::join_all;
use ringbinder_client::{Error, NodeHandle};
use serde_json::{Map, Value};

use super::{Fleet, FleetOptions};
use crate::error::CliError;
use crate::escape::printable;
use crate::exit::Answer;
use crate::output::Output;
use columns::Columns;

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

/// What one node says.
struct Told {
    node: NodeHandle,
    stats: Result<Vec<(String, String)>, Error>,
}

impl Stats {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let fleet = self.fleet.connect().await?;
        let nodes = fleet.nodes(self.node.as_deref())?;
        let argument = self.argument.as_deref().unwrap_or_default();
        let asked = join_all(nodes.iter().map(|node| node.stats(argument))).await;
        let told = nodes.into_iter().zip(asked).map(|(node, stats)| Told { node, stats });
        let told: Vec<Told> = told.collect();
        if out.is_json() {
            out.json(&as_json(&fleet, &told, argument))?;
        } else if self.all {
            lines(&told, out)?;
        } else if told.iter().any(|told| told.stats.is_ok()) {
            let names = told.iter().map(|told| told.node.node().name.clone()).collect();
            let rows = match argument {
                "" => overview::rows(&told),
                _ => rows(&told, argument),
            };
            if rows.is_empty() {
                out.note("done; there is nothing to show")?;
            } else {
                out.text(Columns { nodes: names, rows }.render(out.columns()))?;
            }
        }
        let asked = told.len();
        fleet.failed(told.into_iter().filter_map(|told| told.stats.err()).collect(), asked)?;
        Ok(Answer::Yes)
    }
}

impl Told {
    fn get(&self, name: &str) -> Option<&str> {
        let stats = self.stats.as_ref().ok()?;
        stats.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

fn lines(told: &[Told], out: &mut Output) -> Result<(), CliError> {
    for told in told {
        for (name, value) in told.stats.iter().flatten() {
            let (name, value) = (printable(name), printable(value));
            out.line(format_args!("{} {name} {value}", told.node.node().name))?;
        }
    }
    Ok(())
}

/// All names that any node reports, in the order of their first appearance.
fn names(told: &[Told]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let all = told.iter().flat_map(|told| told.stats.iter().flatten());
    all.map(|(name, _)| name.as_str()).filter(|name| seen.insert(*name)).collect()
}

fn rows(told: &[Told], argument: &str) -> Vec<columns::Row> {
    let row = |name: &str| columns::Row {
        name: printable(name).into_owned(),
        sum: sum(told, argument, name).map(|sum| sum.to_string()).unwrap_or_default(),
        cells: told
            .iter()
            .map(|told| printable(told.get(name).unwrap_or("-")).into_owned())
            .collect(),
    };
    names(told).into_iter().map(row).collect()
}

/// The sum over all nodes, if the statistic adds up and every node that answered reports a number.
fn sum(told: &[Told], argument: &str, name: &str) -> Option<u64> {
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
    let answered: Vec<&Told> = told.iter().filter(|told| told.stats.is_ok()).collect();
    if !adds_up || answered.len() < 2 {
        return None;
    }
    answered.iter().try_fold(0u64, |sum, told| sum.checked_add(told.number(name)?))
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

fn as_json(fleet: &Fleet, told: &[Told], argument: &str) -> Value {
    let nodes = told.iter().map(|told| {
        let node = told.node.node();
        let mut object = Map::new();
        object.insert("node".into(), node.name.as_str().into());
        object.insert("address".into(), node.to_string().into());
        match &told.stats {
            Ok(stats) => {
                let stats = stats.iter();
                let stats: Map<String, Value> =
                    stats.map(|(name, value)| (name.clone(), json_value(name, value))).collect();
                object.insert("stats".into(), stats.into());
            }
            Err(error) => {
                object.insert("error".into(), error.to_string().into());
            }
        }
        Value::Object(object)
    });
    let nodes: Vec<Value> = nodes.collect();
    let sums: Map<String, Value> = names(told)
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), sum(told, argument, name)?.into())))
        .collect();
    serde_json::json!({ "origin": fleet.origin, "nodes": nodes, "sum": sums })
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
