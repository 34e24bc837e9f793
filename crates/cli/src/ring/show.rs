//! `ringbinder ring show` and `ringbinder ring check`.

use clap::Args;
use ringbinder_ring::{Ring, compare};
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::fleet::numbers::counted;
use crate::output::Output;
use crate::ring::plan::{Part, percent};
use crate::source::RingOption;
use crate::style::{BOLD, DIM, GOOD, WARN};
use crate::table::Table;

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
    let (id, nodes, warnings) = (ring.id(), nodes.collect(), ring.warnings());
    let (version, digest) = (id.version, format!("{:016x}", id.digest));
    Shown { origin, version, digest, hash: "ketama", nodes, warnings }
}

fn print(shown: &Shown, out: &mut Output) -> Result<(), CliError> {
    let (origin, nodes) = (&shown.origin, counted(shown.nodes.len(), "node"));
    out.line(format_args!("{BOLD}{origin}{BOLD:#}  version {}, {nodes}", shown.version))?;
    out.line(format_args!("{DIM}digest {}, hash {}{DIM:#}", shown.digest, shown.hash))?;
    out.line("")?;
    let mut table = Table::new(&["NODE", "ADDRESS", ">WEIGHT", ">KEYS"]);
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
        let (id, nodes, warnings) = (ring.id(), ring.nodes().len(), ring.warnings());
        let (version, digest) = (id.version, format!("{:016x}", id.digest));
        let checked = Checked { origin, version, digest, nodes, warnings };
        if out.is_json() {
            out.json(&checked)?;
        } else {
            let Checked { origin, version, nodes, .. } = &checked;
            let ok = format!("{GOOD}ok{GOOD:#} ");
            let ok = if checked.warnings.is_empty() { ok } else { String::new() };
            let nodes = counted(*nodes, "node");
            out.line(format_args!("{ok}{origin}: version {version}, {nodes}"))?;
            for warning in &checked.warnings {
                out.line(format_args!("{WARN}warning:{WARN:#} {warning}"))?;
            }
        }
        Ok(if checked.warnings.is_empty() { Answer::Yes } else { Answer::No })
    }
}
