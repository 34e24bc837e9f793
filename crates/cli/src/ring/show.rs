//! `ringbinder ring show` and `ringbinder ring check`.

use clap::Args;
use ringbinder_ring::{Ring, compare};
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::ring::plan::{Part, percent};
use crate::source::RingOption;
use crate::style::{BOLD, DIM, GOOD, WARN};
use crate::table::{Align, Table};

/// A ring as it stands.
#[derive(Args, Debug)]
pub(crate) struct Show {
    #[command(flatten)]
    ring: RingOption,
}

#[derive(Serialize)]
struct Shown {
    origin: String,
    version: u64,
    digest: String,
    hash: &'static str,
    nodes: Vec<ShownNode>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct ShownNode {
    name: String,
    address: String,
    weight: u32,
    #[serde(flatten)]
    part: Part,
}

impl Show {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let origin = self.ring.origin()?;
        let ring = self.ring.load().await?;
        let shown = describe(&ring, origin.to_string());
        if out.is_json() {
            out.json(&shown)?;
        } else {
            print(&shown, out)?;
        }
        Ok(Answer::Yes)
    }
}

fn describe(ring: &Ring, origin: String) -> Shown {
    // The comparison of a ring with itself shows the share of each node.
    let same = compare(ring, ring);
    let nodes = same.nodes().iter().map(|change| ShownNode {
        name: change.node.name.clone(),
        address: change.node.to_string(),
        weight: change.node.weight,
        part: Part::from(change.after),
    });
    Shown {
        origin,
        version: ring.id().version,
        digest: format!("{:016x}", ring.id().digest),
        hash: "ketama",
        nodes: nodes.collect(),
        warnings: ring.warnings(),
    }
}

fn print(shown: &Shown, out: &mut Output) -> Result<(), CliError> {
    let nodes = shown.nodes.len();
    out.line(format_args!(
        "{BOLD}{}{BOLD:#}  version {}, {nodes} node{}",
        shown.origin,
        shown.version,
        if nodes == 1 { "" } else { "s" }
    ))?;
    out.line(format_args!("{DIM}digest {}, hash {}{DIM:#}", shown.digest, shown.hash))?;
    out.line("")?;
    let mut table = Table::new(&[
        ("NODE", Align::Left),
        ("ADDRESS", Align::Left),
        ("WEIGHT", Align::Right),
        ("KEYS", Align::Right),
    ]);
    for node in &shown.nodes {
        table.row([&node.name, &node.address, &node.weight, &percent(node.part.share)]);
    }
    out.table(&table)?;
    for warning in &shown.warnings {
        out.warn(warning)?;
    }
    Ok(())
}

/// Whether a ring is one, and what is hardly meant.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    ring: RingOption,
}

#[derive(Serialize)]
struct Checked {
    origin: String,
    version: u64,
    digest: String,
    nodes: usize,
    warnings: Vec<String>,
}

impl Check {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let origin = self.ring.origin()?.to_string();
        let ring = self.ring.load().await?;
        let checked = Checked {
            origin,
            version: ring.id().version,
            digest: format!("{:016x}", ring.id().digest),
            nodes: ring.nodes().len(),
            warnings: ring.warnings(),
        };
        if out.is_json() {
            out.json(&checked)?;
        } else {
            let Checked { origin, version, nodes, .. } = &checked;
            let count = format!("{nodes} node{}", if *nodes == 1 { "" } else { "s" });
            match checked.warnings.len() {
                0 => {
                    out.line(format_args!("{GOOD}ok{GOOD:#} {origin}: version {version}, {count}"))?
                }
                _ => out.line(format_args!("{origin}: version {version}, {count}"))?,
            }
            for warning in &checked.warnings {
                out.line(format_args!("{WARN}warning:{WARN:#} {warning}"))?;
            }
        }
        Ok(if checked.warnings.is_empty() { Answer::Yes } else { Answer::No })
    }
}
