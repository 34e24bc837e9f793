//! What can keep a command from being carried out, and the exit code each of it means.

use std::io;
use std::path::PathBuf;

use ringbinder_bench::BenchError;
use ringbinder_client::{LoginError, TlsError};
use ringbinder_ring::source::{OriginError, SourceError};

use crate::exit::Exit;
use crate::fleet::error::FleetError;
use crate::shell::{self, quoted};
use crate::up::error::UpError;

/// Why a command failed.
///
/// Every message says what happened, to what, and what to do, on one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line parses and still makes no sense.
    #[error("{0}")]
    Usage(String),
    /// No ring was named, and there is none in the place that is looked at then.
    #[error(
        "there is no ring: no --ring, no RINGBINDER_RING, and no {default} here; name one with \
         --ring FILE, or write one (docs/ring.md has an example)"
    )]
    NoRing {
        /// The file that is taken where none is named.
        default: &'static str,
    },
    /// What was named as a ring is no name of one.
    #[error("--ring: {0}")]
    Origin(#[from] OriginError),
    /// The ring cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A change that does not fit the ring.
    #[error("cannot change {origin}: {reason}")]
    Change {
        /// The ring.
        origin: String,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// A key that memcached would not take.
    #[error("{place}: {reason}")]
    Key {
        /// Where it was written: an argument, or a line of standard input.
        place: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A ring file is written so that it cannot be changed and all else kept.
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
    /// A ring in etcd is nobody's file.
    #[error("{}", in_etcd(endpoints, key))]
    InEtcd {
        /// Where etcd is.
        endpoints: Vec<String>,
        /// The key that holds the ring.
        key: String,
    },
    /// Somebody else is changing the file and does not come to an end.
    #[error(
        "somebody else is changing {} (its lock is held): try again; nothing was changed",
        path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Something wrote the file meanwhile, without asking for the lock.
    #[error(
        "{} was changed by something else at the same moment: look at it and try again; it is as \
         it was left",
        path.display()
    )]
    Touched {
        /// The file.
        path: PathBuf,
    },
    /// A ring that a client cannot be configured for.
    #[error("{0}")]
    Export(String),
    /// A file cannot be written.
    #[error("cannot write {}: {source}; {hint}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// Standard output does not take what is printed.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    /// A file that TLS needs is not in order.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file with the login is not in order.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Nodes that do not do what they are asked.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// Local nodes that do not run.
    #[error(transparent)]
    Up(#[from] UpError),
    /// What could not be measured.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The system gives no means to wait for input and output.
    #[error("the system refuses what this program needs to run: {0}")]
    Runtime(io::Error),
}

impl CliError {
    /// The code to end the process with.
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

    /// Whether nobody reads any more what is printed, as behind `| head`: no reason to complain.
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

/// The code of a benchmark's error: who is at fault.
fn of_bench(error: &BenchError) -> Exit {
    match error {
        BenchError::Usage(_) => Exit::Usage,
        BenchError::NoTrace(_) => Exit::NoInput,
        BenchError::BadTrace(_) => Exit::Data,
        BenchError::Write { source, .. } => of_write(source),
        BenchError::Print(_) => Exit::Io,
        BenchError::Interrupted => Exit::Interrupted,
        // A server that is not there, that ends, or that does not answer.
        _ => Exit::Unavailable,
    }
}
