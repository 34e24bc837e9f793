//! `ringbinder ring plan`, and the effect of a change: each node's share before and after, and the keys that
//! move.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use ringbinder_ring::{NodeChange, Ring, Share, compare};
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::ring::change::{self, Change, NewNode, NewWeight};
use crate::ring::picture;
use crate::source::RingOption;
use crate::style::{BAD, BOLD, DIM, GOOD};
use crate::table::Table;

/// What a change would move, without making it.
#[derive(Args, Debug)]
#[command(override_usage = "ringbinder ring plan [OPTIONS] --add|--remove|--weight ...")]
#[group(id = "changes", required = true, multiple = true)]
pub(crate) struct Plan {
    /// Node to add; may be repeated
    #[arg(long, value_name = "NAME=HOST:PORT[*WEIGHT]", group = "changes")]
    add: Vec<NewNode>,

    /// Node to remove; may be repeated. Nodes are removed before others are added
    #[arg(long, value_name = "NAME", group = "changes")]
    remove: Vec<String>,

    /// New weight of a node; may be repeated
    #[arg(long, value_name = "NAME=WEIGHT", group = "changes")]
    weight: Vec<NewWeight>,

    /// Draw the ring before and after the change into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    #[command(flatten)]
    ring: RingOption,
}

impl Plan {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let origin = self.ring.origin()?.to_string();
        let old = self.ring.load().await?;
        let removed = self.remove.into_iter().map(|name| Change::Remove { name });
        let weighed = self.weight.into_iter().map(Change::Weight);
        let added = self.add.into_iter().map(|node| Change::Add(node.0));
        let changes: Vec<Change> = removed.chain(weighed).chain(added).collect();
        let new = change::apply(&old, &changes, &origin)?;
        let effect = Effect::new(&old, &new, origin.clone());
        if let Some(path) = &self.svg {
            fs::write(path, picture::svg(&old, &new, &origin)).map_err(|source| {
                let hint = "name a file that you may write";
                CliError::Write { path: path.clone(), source, hint }
            })?;
        }
        if out.is_json() {
            out.json(&effect)?;
        } else {
            effect.print(out)?;
            if let Some(path) = &self.svg {
                out.line(format_args!("\n{} shows it", path.display()))?;
            }
        }
        Ok(Answer::Yes)
    }
}

/// Most moves listed on a terminal, the largest first.
const LISTED: usize = 12;

/// The effect of a change.
#[derive(Debug, Serialize)]
pub(crate) struct Effect {
    origin: String,
    before: Version,
    after: Version,
    nodes: Vec<Row>,
    moves: Vec<Step>,
    moved: Part,
    /// Warnings about the new ring.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Version {
    version: u64,
    digest: String,
}

/// A node, before and after.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    address: String,
    change: Kind,
    before: Option<Side>,
    after: Option<Side>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Side {
    weight: u32,
    #[serde(flatten)]
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Kept,
    Added,
    Removed,
    Weight,
}

/// A move of keys from one node to another.
#[derive(Debug, Serialize)]
struct Step {
    from: String,
    to: String,
    #[serde(flatten)]
    part: Part,
}

impl Effect {
    /// Compares the two rings; `origin` names the old one.
    pub(crate) fn new(old: &Ring, new: &Ring, origin: String) -> Effect {
        let comparison = compare(old, new);
        let nodes = comparison.nodes();
        let name = |place: usize| nodes[place].node.name.clone();
        let moves = comparison.moves().iter().map(|step| Step {
            from: name(step.from),
            to: name(step.to),
            part: step.share.into(),
        });
        let (moves, moved) = (moves.collect(), comparison.moved().into());
        let nodes = nodes.iter().map(|node| row(old, new, node)).collect();
        let (before, after, warnings) = (version(old), version(new), new.warnings());
        Effect { origin, before, after, nodes, moves, moved, warnings }
    }

    /// Prints the effect for people.
    pub(crate) fn print(&self, out: &mut Output) -> Result<(), CliError> {
        let Effect { origin, before, after, moved, .. } = self;
        out.line(format_args!(
            "{BOLD}{origin}{BOLD:#}  version {} -> {}, {} of the keys move",
            before.version,
            after.version,
            percent(moved.share)
        ))?;
        out.line("")?;
        self.print_nodes(out)?;
        if !self.moves.is_empty() {
            out.line("")?;
            self.print_moves(out)?;
        }
        for warning in &self.warnings {
            out.warn(warning)?;
        }
        Ok(())
    }

    fn print_nodes(&self, out: &mut Output) -> Result<(), CliError> {
        let mut table = Table::new(&["NODE", "ADDRESS", ">WEIGHT", ">BEFORE", ">AFTER", ">CHANGE"]);
        for row in &self.nodes {
            let share = |side: Option<Side>| side.map_or(0.0, |side| side.part.share);
            let shown = |side: Option<Side>| side.map_or("-".into(), |s| percent(s.part.share));
            let weight = match (row.before, row.after) {
                (Some(before), Some(after)) if before.weight != after.weight => {
                    format!("{}->{}", before.weight, after.weight)
                }
                (_, Some(side)) | (Some(side), None) => side.weight.to_string(),
                (None, None) => String::new(),
            };
            let (before, after) = (share(row.before), share(row.after));
            let change = difference(before, after);
            let style = match row.change {
                Kind::Added => GOOD,
                Kind::Removed => BAD,
                Kind::Weight => BOLD,
                Kind::Kept => anstyle::Style::new(),
            };
            let name = format!("{style}{}{style:#}", row.name);
            let (before, after) = (shown(row.before), shown(row.after));
            table.row([&name, &row.address, &weight, &before, &after, &change]);
        }
        out.table(&table)
    }

    fn print_moves(&self, out: &mut Output) -> Result<(), CliError> {
        let mut table = Table::new(&["FROM", "TO", ">KEYS"]);
        let listed = if out.is_terminal() { LISTED } else { usize::MAX };
        for step in self.moves.iter().take(listed) {
            table.row([&step.from, &step.to, &percent(step.part.share)]);
        }
        out.table(&table)?;
        if let Some(rest @ [_, ..]) = self.moves.get(listed..) {
            let keys: f64 = rest.iter().map(|step| step.part.share).sum();
            out.line(format_args!(
                "{DIM}... and {} smaller moves, {} of the keys together; --json lists all{DIM:#}",
                rest.len(),
                percent(keys)
            ))?;
        }
        Ok(())
    }
}

fn version(ring: &Ring) -> Version {
    Version { version: ring.id().version, digest: format!("{:016x}", ring.id().digest) }
}

fn row(old: &Ring, new: &Ring, node: &NodeChange) -> Row {
    let side = |ring: &Ring, index: Option<u32>, share: Share| {
        let weight = ring.nodes()[index? as usize].weight;
        Some(Side { weight, part: share.into() })
    };
    let before = side(old, node.old, node.before);
    let after = side(new, node.new, node.after);
    let change = match (before, after) {
        (None, _) => Kind::Added,
        (_, None) => Kind::Removed,
        (Some(before), Some(after)) if before.weight != after.weight => Kind::Weight,
        _ => Kind::Kept,
    };
    let (name, address) = (node.node.name.clone(), node.node.to_string());
    Row { name, address, change, before, after }
}

/// A share for programs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Part {
    /// From 0 to 1.
    pub(crate) share: f64,
    /// Number of points, of 2^32.
    pub(crate) points: u64,
}

impl From<Share> for Part {
    fn from(share: Share) -> Part {
        Part { share: share.fraction(), points: share.points() }
    }
}

/// A fraction for people. A fraction above 0 never shows as 0.00%, nor one below 1 as 100.00%.
pub(crate) fn percent(fraction: f64) -> String {
    match fraction {
        f if f > 0.0 && f < 0.000_05 => "<0.01%".to_owned(),
        f if f < 1.0 && f > 0.999_95 => ">99.99%".to_owned(),
        f => format!("{:.2}%", f * 100.0),
    }
}

/// The difference of two fractions for people, with its sign.
pub(crate) fn difference(before: f64, after: f64) -> String {
    if before == after {
        return "0".to_owned();
    }
    let sign = if after > before { '+' } else { '-' };
    format!("{sign}{}", percent((after - before).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_not_nothing_and_much_is_not_all() {
        assert_eq!(percent(0.0), "0.00%");
        assert_eq!(percent(1e-9), "<0.01%");
        assert_eq!(percent(1.0 / 3.0), "33.33%");
        assert_eq!(percent(0.999_999), ">99.99%");
        assert_eq!(percent(1.0), "100.00%");
        assert_eq!(difference(0.25, 0.25), "0");
        assert_eq!(difference(0.25, 0.5), "+25.00%");
        assert_eq!(difference(0.5, 0.25), "-25.00%");
    }
}
