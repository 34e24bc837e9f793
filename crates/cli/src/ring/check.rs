//! `ringbinder ring check`.

use clap::Args;
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Answer;
use crate::output::Output;
use crate::source::RingOption;
use crate::style::{GOOD, WARN};

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
