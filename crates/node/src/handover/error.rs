//! Why one process could not take over from another.

use std::io;
use std::path::PathBuf;

use crate::process::exit::ExitCode;

/// Why this process could not take over, and cannot serve either.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandOverError {
    /// The other says no, and serves on.
    #[error(
        "the process behind {} refuses to hand over: {reason}; it goes on serving, stop it to \
         replace it", path.display()
    )]
    Refused { path: PathBuf, reason: String },
    /// It says something else than it should.
    #[error(
        "the process behind {} speaks another protocol; it goes on serving, stop it to replace it",
        path.display()
    )]
    Protocol { path: PathBuf },
    /// It runs as somebody else, whose items are not to be trusted.
    #[error(
        "the process behind {} runs as user {uid}: only one of the same user, or of root, is taken \
         over from", path.display()
    )]
    Stranger { path: PathBuf, uid: u32 },
    /// It did not answer in time, or ended.
    #[error("the process behind {} does not hand over: {source}; start again", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl HandOverError {
    /// The code to end the process with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            HandOverError::Stranger { .. } => ExitCode::NoPermission,
            _ => ExitCode::OsError,
        }
    }
}
