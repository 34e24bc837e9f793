//! The errors of commands and the exit code of each.

use std::io;
use std::path::PathBuf;

use ringbinder_bench::BenchError;
use ringbinder_client::{LoginError, TlsError};
use ringbinder_ring::source::{OriginError, SourceError};

use crate::exit::Exit;
use crate::fleet::error::FleetError;
use crate::shell::{self, quoted};
use crate::up::error::UpError;

/// The reason why a command failed.
///
/// Every message says, on one line, what happened, to what, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line parses but is inconsistent.
    #[error("{0}")]
    Usage(String),
    /// No ring was named, and the default file does not exist.
    #[error(
        "there is no ring: no --ring, no RINGBINDER_RING, and no {default} here; name one with \
         --ring FILE, or write one (docs/ring.md has an example)"
    )]
    NoRing {
        /// The default file.
        default: &'static str,
    },
    /// The name given for the ring is invalid.
    #[error("--ring: {0}")]
    Origin(#[from] OriginError),
    /// The ring cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The change does not fit the ring.
    #[error("cannot change {origin}: {reason}")]
    Change {
        /// The ring.
        origin: String,
        /// The reason, and what to do.
        reason: String,
    },
    /// A key that memcached would reject.
    #[error("{place}: {reason}")]
    Key {
        /// The place of the key: an argument, or a line of standard input.
        place: String,
        /// The reason, and what to do.
        reason: String,
    },
    /// The ring file is written in a way that cannot be edited in place.
    #[error(
        "cannot change {} without touching what is around it: make the change in an editor, raise \
         the version, and run `{}`; nothing was changed",
        path.display(),
        shell::command("ring check", &path.to_string_lossy(), "")
    )]
    Layout {
        /// The file.
        path: PathBuf,
    },
    /// The ring is in etcd, so there is no file to change.
    #[error("{}", in_etcd(endpoints, key))]
    InEtcd {
        /// The endpoints of etcd.
        endpoints: Vec<String>,
        /// The key that holds the ring.
        key: String,
    },
    /// Another process holds the lock of the file for too long.
    #[error(
        "somebody else is changing {} (its lock is held): try again; nothing was changed",
        path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Another program wrote the file meanwhile without taking the lock.
    #[error(
        "{} was changed by something else at the same moment: look at it and try again; it is as \
         it was left",
        path.display()
    )]
    Touched {
        /// The file.
        path: PathBuf,
    },
    /// The client cannot be configured for this ring.
    #[error("{0}")]
    Export(String),
    /// A file cannot be written.
    #[error("cannot write {}: {source}; {hint}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
        /// The remedy.
        hint: &'static str,
    },
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    /// A file for TLS is invalid or missing.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The login file is invalid or missing.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Nodes did not do what the command asked.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// Local nodes do not run.
    #[error(transparent)]
    Up(#[from] UpError),
    /// A benchmark failed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The system provides no means to wait for input and output.
    #[error("the system refuses what this program needs to run: {0}")]
    Runtime(io::Error),
}

impl CliError {
    /// The exit code of the process.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Origin(_) | Self::InEtcd { .. } => Exit::Usage,
            Self::Busy { .. } | Self::Touched { .. } => Exit::TryAgain,
            Self::NoRing { .. } => Exit::NoInput,
            Self::Source(error) => of_source(error),
            Self::Key { .. } | Self::Change { .. } | Self::Layout { .. } | Self::Export(_) => {
                Exit::Data
            }
            Self::Write { source, .. } => of_write(source),
            Self::Print(_) | Self::Input(_) => Exit::Io,
            Self::Tls(error) => of_tls(error),
            Self::Login(LoginError::Unreadable { source, .. }) => of_read(source),
            Self::Login(_) => Exit::Data,
            Self::Fleet(error) => error.exit(),
            Self::Up(error) => error.exit(),
            Self::Bench(error) => of_bench(error),
            Self::Runtime(_) => Exit::Os,
        }
    }

    /// Whether the reader of the output is gone, as behind `| head`. That is not an error.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        match self {
            Self::Print(error) | Self::Bench(BenchError::Print(error)) => {
                error.kind() == io::ErrorKind::BrokenPipe
            }
            _ => false,
        }
    }
}

fn in_etcd(endpoints: &[String], key: &str) -> String {
    let etcdctl = format!("etcdctl --endpoints {}", quoted(&endpoints.join(",")));
    let file = match key.rsplit_once('/') {
        Some((_, file)) if file.contains('.') => file,
        _ => "ring.toml",
    };
    let (key, file) = (quoted(key), quoted(file));
    format!(
        "a ring in etcd is not changed in place; take it out ({etcdctl} get --print-value-only \
         {key} > {file}), change {file}, and put it back ({etcdctl} put {key} < {file})"
    )
}

fn of_source(error: &SourceError) -> Exit {
    match error {
        SourceError::Missing(_) => Exit::NoInput,
        SourceError::Empty(_) | SourceError::Invalid(_) | SourceError::OtherSource { .. } => {
            Exit::Data
        }
        SourceError::Unreadable { kind: io::ErrorKind::PermissionDenied, .. }
        | SourceError::Refused { .. } => Exit::NoPermission,
        SourceError::Unreadable { .. } => Exit::NoInput,
        SourceError::Away { .. } | SourceError::Stranded { .. } | SourceError::NotBuilt => {
            Exit::Unavailable
        }
    }
}

fn of_tls(error: &TlsError) -> Exit {
    match error {
        TlsError::Unreadable { source, .. } => of_read(source),
        TlsError::NoSystemRoots { .. } => Exit::NoInput,
        TlsError::ServerName { .. } => Exit::Usage,
        _ => Exit::Data,
    }
}

/// The code of a file that cannot be read.
fn of_read(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        _ => Exit::NoInput,
    }
}

/// The code of a file that cannot be written.
pub(crate) fn of_write(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::NoPermission,
        _ => Exit::CannotCreate,
    }
}

/// The code for an error of a benchmark, by its cause.
fn of_bench(error: &BenchError) -> Exit {
    match error {
        BenchError::Usage(_) => Exit::Usage,
        BenchError::NoTrace(_) => Exit::NoInput,
        BenchError::BadTrace(_) => Exit::Data,
        BenchError::Write { source, .. } => of_write(source),
        BenchError::Print(_) => Exit::Io,
        BenchError::Interrupted => Exit::Interrupted,
        // A server that cannot be reached, that exits, or that does not answer.
        _ => Exit::Unavailable,
    }
}
