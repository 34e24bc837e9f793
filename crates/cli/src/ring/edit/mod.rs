//! `ringbinder ring add`, `remove` and `weight`: in-place changes to a ring file. Comments, order and layout
//! stay.
//!
//! A new text is the old one with a few bytes replaced. It is never trusted: it must parse as exactly
//! the ring that it is meant to be, or nothing is written.
//!
//! | file | purpose |
//! |---|---|
//! | `file` | a ring file that is being changed |
//! | `layout`, `formats` | where things are in the text; in TOML, JSON and YAML |
//! | `splice` | changing the text |

mod file;
mod formats;
mod layout;
mod splice;

use std::time::Duration;

use clap::Args;
use ringbinder_ring::source::Origin;
use ringbinder_ring::{Format, Ring};
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::ring::change::{Change, NewNode, NewWeight, number};
use crate::ring::plan::Effect;
use crate::source::RingOption;
use crate::style::DIM;

use file::{Editor, Written};
use splice::Splices;

/// The text of `old` with one change made, which parses as `new`. Returns `None` if the file is written in a
/// way that cannot be edited in place.
fn edit(text: &str, format: Format, old: &Ring, change: &Change, new: &Ring) -> Option<String> {
    // Some editors write a byte order mark.
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let layout = match format {
        Format::Toml => formats::toml(body),
        Format::Json => formats::json(body),
        Format::Yaml => formats::yaml(body),
    }?;
    if layout.nodes.len() != old.nodes().len() {
        return None;
    }
    let place = |name: &str| old.index_of_name(name).map(|index| index as usize);
    let mut splices = Splices::new(body, &layout);
    splices.version(new.id().version);
    match change {
        Change::Add(node) => splices.add(node)?,
        Change::Remove { name } => splices.remove(place(name)?),
        Change::Weight(weight) => splices.weight(place(&weight.name)?, weight.weight)?,
    }
    let text = format!("{mark}{}", splices.finish());
    let same = Ring::parse(&text, format, "it").is_ok_and(|ring| ring == *new);
    same.then_some(text)
}

/// How to change a ring file.
#[derive(Args, Debug)]
pub(crate) struct EditOptions {
    #[command(flatten)]
    ring: RingOption,

    /// Show which keys would move, and leave the file unchanged
    #[arg(long)]
    dry_run: bool,

    /// Seconds to wait while another process changes the file
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    #[arg(value_parser = clap::value_parser!(u64).range(..=3600))]
    wait: u64,
}

#[derive(Serialize)]
struct Edited {
    #[serde(flatten)]
    effect: Effect,
    /// Whether the file is changed now.
    written: bool,
}

impl EditOptions {
    /// Makes the change and prints which keys move.
    ///
    /// # Errors
    /// If the change cannot be made. The file then stays unchanged.
    pub(crate) fn make(&self, change: &Change, out: &mut Output) -> Result<Answer, CliError> {
        let path = match self.ring.origin()? {
            Origin::File(path) => path,
            Origin::Etcd { endpoints, key } => return Err(CliError::InEtcd { endpoints, key }),
        };
        let name = path.display().to_string();
        let (editor, lock) = if self.dry_run {
            (Editor::look(&path)?, None)
        } else {
            let (editor, lock) = Editor::open(&path, Duration::from_secs(self.wait))?;
            (editor, Some(lock))
        };
        let old = editor.ring().clone();
        if is_so_already(&old, change) {
            if out.is_json() {
                let effect = Effect::new(&old, &old, name);
                out.json(&Edited { effect, written: false })?;
            } else {
                out.line(format_args!("{name} is unchanged: the node already has this weight"))?;
            }
            return Ok(Answer::Yes);
        }
        let (new, text) = editor.change(change)?;
        let written = lock.map(|lock| editor.write(&text, lock)).transpose()?;
        let effect = Effect::new(&old, &new, name.clone());
        if out.is_json() {
            out.json(&Edited { effect, written: !self.dry_run })?;
        } else {
            effect.print(out)?;
            out.line("")?;
            let follow = "nodes that watch it adopt it within a second";
            out.line(match written {
                None => format!("{DIM}--dry-run: {name} is unchanged{DIM:#}"),
                Some(Written::Replaced) => format!("{name} is written; {follow}"),
                Some(Written::InPlace) => {
                    format!("{name} is a mount and was written in place; {follow}")
                }
            })?;
        }
        Ok(Answer::Yes)
    }
}

/// Whether the node already has this weight. That needs no new version.
fn is_so_already(ring: &ringbinder_ring::Ring, change: &Change) -> bool {
    let Change::Weight(new) = change else { return false };
    ring.nodes().iter().any(|node| node.name == new.name && node.weight == new.weight)
}

/// A node more.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// The node
    #[arg(value_name = "NAME=HOST:PORT[*WEIGHT]")]
    node: NewNode,

    #[command(flatten)]
    options: EditOptions,
}

impl Add {
    pub(crate) fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        self.options.make(&Change::Add(self.node.0), out)
    }
}

/// A node less.
#[derive(Args, Debug)]
pub(crate) struct Remove {
    /// The node
    name: String,

    #[command(flatten)]
    options: EditOptions,
}

impl Remove {
    pub(crate) fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        self.options.make(&Change::Remove { name: self.name }, out)
    }
}

/// Another weight.
#[derive(Args, Debug)]
pub(crate) struct Weight {
    /// The node
    name: String,

    /// Its share of the keys relative to the other nodes, 1 to 65535
    #[arg(value_parser = number, allow_negative_numbers = true)]
    weight: i128,

    #[command(flatten)]
    options: EditOptions,
}

impl Weight {
    pub(crate) fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        let weight = NewWeight::new(&self.name, self.weight).map_err(CliError::Usage)?;
        self.options.make(&Change::Weight(weight), out)
    }
}

#[cfg(test)]
mod tests;
