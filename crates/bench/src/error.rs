//! Errors that keep a benchmark from its figures, by cause.
//!
//! Internally, errors travel as `anyhow::Error` and gather context. An error with a known cause is created as
//! a [`BenchError`] and found again at the end, whatever context was added.

use std::io;
use std::path::PathBuf;

use crate::stop::Interrupted;

/// The reason why there are no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The command line parses but is inconsistent.
    #[error("{0}")]
    Usage(String),
    /// A program is missing, or a named server does not answer.
    #[error("{0}")]
    NoServer(String),
    /// The trace does not exist or cannot be read.
    #[error("{0}")]
    NoTrace(String),
    /// The trace does not match its format.
    #[error("{0}")]
    BadTrace(String),
    /// A file with the results cannot be written.
    #[error("cannot write {}: {source}; name a file in a folder that you may write", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Print(io::Error),
    /// A signal ended the benchmark.
    #[error("interrupted; the servers are stopped")]
    Interrupted,
    /// The benchmark started and failed.
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
