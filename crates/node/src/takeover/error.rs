//! The reasons why one process could not take over from another.

use std::io;
use std::path::PathBuf;

use crate::process::exit::ExitCode;

/// The reason why this process could not take over and must not serve either.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeoverError {
    /// The other process refuses, and continues to serve.
    #[error(
        "cannot take over from the process at {}: {reason}; it keeps serving: stop it to replace \
         it", path.display()
    )]
    Refused { path: PathBuf, reason: String },
    /// It answered with an unexpected line.
    #[error(
        "cannot take over from the process at {}: it has another protocol; it keeps serving: stop \
         it to replace it",
        path.display()
    )]
    Protocol { path: PathBuf },
    /// It runs as another user, whose items are not trusted.
    #[error(
        "cannot take over from the process at {}: it runs as user {uid}; only a process of the \
         same user or of root is trusted", path.display()
    )]
    Untrusted { path: PathBuf, uid: u32 },
    /// It did not answer in time, or it ended.
    #[error("cannot take over from the process at {}: {source}; start again", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl TakeoverError {
    /// The process's exit code for this error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            TakeoverError::Untrusted { .. } => ExitCode::NoPermission,
            _ => ExitCode::OsError,
        }
    }
}
