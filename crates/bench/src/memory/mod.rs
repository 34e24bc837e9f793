//! `memory`: the memory of servers.
//!
//! `cost` measures an item and an idle connection. `hostile` (`--hostile`) measures items and resident memory
//! while clients send and request data that takes much memory. The server is restarted for each figure of
//! `cost` and each input of `hostile`.

mod cost;
mod hostile;

use anyhow::{Context, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Verdict;
use crate::cli::MemoryOptions;
use crate::error::BenchError;
use crate::progress::Look;
use crate::servers::Contender;
use crate::stop::Stop;

/// Runs `ringbinder bench memory`.
pub(crate) fn run(options: &MemoryOptions, look: Look, stop: &Stop) -> anyhow::Result<Verdict> {
    let mut contenders = Contender::others(&options.others)?;
    if let Some(running) = contenders.iter().find(|contender| !contender.is_program()) {
        let text = format!(
            "{} runs already, and memory starts a server afresh for each figure: name a program",
            running.name
        );
        return Err(BenchError::Usage(text).into());
    }
    contenders.push(Contender::ringbinderd(&options.node)?);
    match options.hostile {
        true => hostile::run(options, &contenders, look, stop),
        false => cost::run(options, &contenders, look, stop),
    }
}

/// Raises the limit of open files as far as needed; servers inherit it.
fn allow_files(needed: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if needed <= soft {
        return Ok(());
    }
    if needed > hard {
        bail!(
            "cannot open {needed} files: the limit is {hard}; raise it (ulimit -Hn), or use fewer \
             --connections"
        );
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard).context("cannot raise the limit of open files")
}
