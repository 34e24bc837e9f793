//! `ringbinder ring plan`.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::change::{self, Change, NewNode, NewWeight};
use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::picture;
use crate::ring::effect::Effect;
use crate::source::RingOption;

/// What a change would move, without making it.
#[derive(Args, Debug)]
#[command(override_usage = "ringbinder ring plan [OPTIONS] --add|--remove|--weight ...")]
#[group(id = "changes", required = true, multiple = true)]
pub(crate) struct Plan {
    /// A node more; several times for several
    #[arg(long, value_name = "NAME=HOST:PORT[*WEIGHT]", group = "changes")]
    add: Vec<NewNode>,

    /// A node less; several times for several. Nodes are removed before others are added
    #[arg(long, value_name = "NAME", group = "changes")]
    remove: Vec<String>,

    /// Another weight for a node; several times for several
    #[arg(long, value_name = "NAME=WEIGHT", group = "changes")]
    weight: Vec<NewWeight>,

    /// Draw the ring before and after into this file
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
