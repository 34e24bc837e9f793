//! `ringbinder ring export`.

use clap::Args;

use crate::error::CliError;
use crate::exit::Answer;
use crate::export::{self, Target};
use crate::output::Output;
use crate::source::RingOption;

/// The configuration of a client or proxy.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// What it is for
    #[arg(long = "for", value_name = "TARGET")]
    target: Target,

    #[command(flatten)]
    ring: RingOption,
}

impl Export {
    pub(crate) async fn run(self, out: &mut Output) -> Result<Answer, CliError> {
        // With --json, the user wants a configuration in JSON.
        let ring = self.ring.load().await?;
        let text = export::render(&ring, self.target)
            .map_err(|error| CliError::Export(error.to_string()))?;
        if out.is_json() && self.target != Target::Json {
            out.json(&serde_json::json!({ "configuration": text }))?;
        } else {
            out.text(text)?;
        }
        Ok(Answer::Yes)
    }
}
