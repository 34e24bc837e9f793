//! The effect of a change to the ring: each node's share before and after, and the keys that move.

use ringbinder_ring::{NodeChange, Ring, Share, compare};
use serde::Serialize;

use crate::error::CliError;
use crate::output::Output;
use crate::ring::share::{Part, difference, percent};
use crate::style::{BAD, BOLD, DIM, GOOD};
use crate::table::{Align, Table};

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
        let moves = moves.collect();
        let moved = comparison.moved().into();
        let nodes = nodes.iter().map(|change| row(old, new, change)).collect();
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
        let mut table = Table::new(&[
            ("NODE", Align::Left),
            ("ADDRESS", Align::Left),
            ("WEIGHT", Align::Right),
            ("BEFORE", Align::Right),
            ("AFTER", Align::Right),
            ("CHANGE", Align::Right),
        ]);
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
        let mut table =
            Table::new(&[("FROM", Align::Left), ("TO", Align::Left), ("KEYS", Align::Right)]);
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

fn row(old: &Ring, new: &Ring, change: &NodeChange) -> Row {
    let side = |ring: &Ring, index: Option<u32>, share: Share| {
        let weight = ring.nodes()[index? as usize].weight;
        Some(Side { weight, part: share.into() })
    };
    let before = side(old, change.old, change.before);
    let after = side(new, change.new, change.after);
    let kind = match (before, after) {
        (None, _) => Kind::Added,
        (_, None) => Kind::Removed,
        (Some(before), Some(after)) if before.weight != after.weight => Kind::Weight,
        _ => Kind::Kept,
    };
    Row {
        name: change.node.name.clone(),
        address: change.node.to_string(),
        change: kind,
        before,
        after,
    }
}
