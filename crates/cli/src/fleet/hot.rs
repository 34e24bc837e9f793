//! `ringbinder hot`.

use clap::Args;
use futures_util::future::join_all;
use ringbinder_client::{Error, NodeHandle};
use ringbinder_protocol::stats::{HotKeys, RingHotKey, key_text, merge};
use serde_json::{Value, json};

use super::FleetOptions;
use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet::numbers::{per_second, percent};
use crate::output::Output;
use crate::table::Table;

/// Which keys are asked for most.
#[derive(Args, Debug)]
#[command(after_help = "\
The keys of all nodes together, the hottest first, with the requests a second that they get and \
their share of all requests. Nodes estimate these from one request in 128, over the last 30 to 60 \
seconds; docs/top.md says how true they are. Bytes that are not printable are shown as %XX.")]
pub(crate) struct Hot {
    #[command(flatten)]
    fleet: FleetOptions,

    /// How many keys to print
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
    count: usize,

    /// Ask only this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

impl Hot {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let fleet = self.fleet.connect().await?;
        let nodes = fleet.nodes(self.node.as_deref())?;
        let asked = join_all(nodes.iter().map(|node| node.stats("hotkeys"))).await;
        let reports: Vec<Result<HotKeys, Error>> =
            asked.into_iter().map(|stats| Ok(HotKeys::read(&stats?))).collect();
        let answers = reports.iter().enumerate();
        let answers = answers.filter_map(|(index, report)| Some((index, report.as_ref().ok()?)));
        let mut keys = merge(answers);
        keys.truncate(self.count);
        if out.is_json() {
            out.json(&as_json(&fleet.origin, &nodes, &reports, &keys))?;
        } else if !keys.is_empty() {
            out.table(&table(&nodes, &keys))?;
        } else if reports.iter().any(Result::is_ok) {
            out.note("no key was asked for in the last minute, or too rarely to be sampled")?;
        }
        let asked = reports.len();
        fleet.failed(reports.into_iter().filter_map(Result::err).collect(), asked)?;
        Ok(Answer::Yes)
    }
}

fn names<'a>(nodes: &'a [NodeHandle], hot: &RingHotKey) -> Vec<&'a str> {
    hot.nodes.iter().map(|&node| nodes[node].node().name.as_str()).collect()
}

fn table(nodes: &[NodeHandle], keys: &[RingHotKey]) -> Table {
    let mut table = Table::new(&[">REQ/S", ">SHARE", "NODE", "KEY"]);
    for hot in keys {
        let share = hot.share.map_or_else(|| "-".to_owned(), percent);
        let nodes = names(nodes, hot).join(",");
        table.row([&per_second(hot.rate), &share, &nodes, &key_text(&hot.key)]);
    }
    table
}

/// A hot key, as `hot` and `top` print it. `nodes` are those that are asked for it.
pub(crate) fn key_as_json(hot: &RingHotKey, nodes: &[&str]) -> Value {
    json!({ "key": hot.encoded(), "rate": hot.rate, "share": hot.share, "nodes": nodes })
}

fn as_json(
    origin: &str,
    nodes: &[NodeHandle],
    reports: &[Result<HotKeys, Error>],
    keys: &[RingHotKey],
) -> Value {
    let keys: Vec<Value> = keys.iter().map(|hot| key_as_json(hot, &names(nodes, hot))).collect();
    let nodes = nodes.iter().zip(reports).map(|(node, report)| {
        let name = &node.node().name;
        match report {
            Ok(report) => json!({ "node": name, "window_seconds": report.window }),
            Err(error) => json!({ "node": name, "error": error.to_string() }),
        }
    });
    let nodes: Vec<Value> = nodes.collect();
    json!({ "origin": origin, "nodes": nodes, "keys": keys })
}
