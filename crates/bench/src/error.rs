//! What can keep a benchmark from its figures, by who is at fault.
//!
//! Inside, errors travel as `anyhow::Error` and gather context; those that are somebody's fault are
//! made as a [`BenchError`] and found again at the end, whatever was said around them.

use std::io;
use std::path::PathBuf;

use crate::stop::Interrupted;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The command line parses and still makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A program is not there, or a server that was named does not answer.
    #[error("{0}")]
    NoServer(String),
    /// There is no trace to read.
    #[error("{0}")]
    NoTrace(String),
    /// A trace is not what its format says.
    #[error("{0}")]
    BadTrace(String),
    /// A file with the results cannot be written.
    #[error("cannot write {}: {source}; name a file in a folder that you may write", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Standard output does not take what is printed.
    #[error("cannot print: {0}")]
    Print(io::Error),
    /// Somebody asked for the end.
    #[error("interrupted; the servers are stopped")]
    Interrupted,
    /// It began, and did not come to its end.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for BenchError {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<Interrupted>() {
            return Self::Interrupted;
        }
        error.downcast().unwrap_or_else(Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_at_fault_is_found_again_below_what_was_said_around_it() {
        let of = |error: anyhow::Error| BenchError::from(error.context("on the way"));
        assert!(matches!(of(Interrupted.into()), BenchError::Interrupted));
        assert!(matches!(of(BenchError::Usage("x".into()).into()), BenchError::Usage(_)));
        let other = of(anyhow::anyhow!("it broke"));
        assert_eq!(other.to_string(), "on the way: it broke");
    }
}
