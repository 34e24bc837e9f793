//! The shared flags and steps of `ringbinder ring add`, `remove` and `weight`.

use std::time::Duration;

use clap::Args;
use ringbinder_ring::source::Origin;
use serde::Serialize;

use crate::change::Change;
use crate::edit::{Editor, Written};
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::ring::effect::Effect;
use crate::source::RingOption;
use crate::style::DIM;

/// How to change a ring file.
#[derive(Args, Debug)]
pub(crate) struct EditOptions {
    #[command(flatten)]
    ring: RingOption,

    /// Show what would move, and leave the file as it is
    #[arg(long)]
    dry_run: bool,

    /// Seconds to wait for somebody else who is changing the file
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
                out.line(format_args!("{name} says so already: nothing to change"))?;
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
            let follow = "nodes that watch it follow within a second";
            out.line(match written {
                None => format!("{DIM}--dry-run: {name} is as it was{DIM:#}"),
                Some(Written::Replaced) => format!("{name} is written; {follow}"),
                Some(Written::InPlace) => {
                    format!("{name} is a mount of its own and is written in place; {follow}")
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
