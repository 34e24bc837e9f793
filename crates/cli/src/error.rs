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
    #[error("{0}")]
    Usage(String),
    #[error(
        "cannot find a ring: --ring and RINGBINDER_RING are not set, and there is no {default} \
         here; name one with --ring FILE, or write one (docs/ring.md has an example)"
    )]
    NoRing { default: &'static str },
    #[error("--ring: {0}")]
    Origin(#[from] OriginError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("cannot change {origin}: {reason}")]
    Change { origin: String, reason: String },
    #[error("{place}: {reason}")]
    Key { place: String, reason: String },
    #[error(
        "cannot change {} in place: its layout is not supported; make the change in an editor, \
         raise the version, and run `{}`; nothing was changed",
        path.display(),
        shell::command("ring check", &path.to_string_lossy(), "")
    )]
    Layout { path: PathBuf },
    #[error("{}", in_etcd(endpoints, key))]
    InEtcd { endpoints: Vec<String>, key: String },
    #[error(
        "cannot change {}: another process holds its lock; try again; nothing was changed",
        path.display()
    )]
    Busy { path: PathBuf },
    #[error(
        "cannot change {}: another program changed it at the same time; check it and try again; \
         nothing was overwritten",
        path.display()
    )]
    Touched { path: PathBuf },
    #[error(
        "cannot export for PHP: with more than {limit} servers its memcached extension may abort \
         the process, as Debian's libmemcached does, and this ring has {nodes} nodes; export for \
         twemproxy or haproxy, run that beside PHP, and give PHP its address"
    )]
    TooManyForPhp { nodes: usize, limit: usize },
    #[error("cannot write {}: {source}; {hint}", path.display())]
    Write { path: PathBuf, source: io::Error, hint: &'static str },
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Up(#[from] UpError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("cannot start: the operating system refused: {0}")]
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
            Self::Key { .. } | Self::Change { .. } | Self::Layout { .. } => Exit::Data,
            Self::TooManyForPhp { .. } => Exit::Data,
            Self::Write { source, .. } => of_io(source.kind(), Exit::CannotCreate),
            Self::Print(_) | Self::Input(_) => Exit::Io,
            Self::Tls(error) => of_tls(error),
            Self::Login(LoginError::Unreadable { source, .. }) => {
                of_io(source.kind(), Exit::NoInput)
            }
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
        "cannot change a ring in etcd in place; fetch it ({etcdctl} get --print-value-only \
         {key} > {file}), change {file}, and store it ({etcdctl} put {key} < {file})"
    )
}

fn of_source(error: &SourceError) -> Exit {
    match error {
        SourceError::Missing(_) => Exit::NoInput,
        SourceError::Empty(_) | SourceError::Invalid(_) | SourceError::OtherSource { .. } => {
            Exit::Data
        }
        SourceError::Refused { .. } => Exit::NoPermission,
        SourceError::Unreadable { kind, .. } => of_io(*kind, Exit::NoInput),
        SourceError::Away { .. } | SourceError::Stranded { .. } | SourceError::NotBuilt => {
            Exit::Unavailable
        }
    }
}

fn of_tls(error: &TlsError) -> Exit {
    match error {
        TlsError::Unreadable { source, .. } => of_io(source.kind(), Exit::NoInput),
        TlsError::NoSystemRoots { .. } => Exit::NoInput,
        TlsError::ServerName { .. } => Exit::Usage,
        _ => Exit::Data,
    }
}

/// The code for a refusal of the system: `other` unless a permission is missing.
pub(crate) fn of_io(kind: io::ErrorKind, other: Exit) -> Exit {
    if kind == io::ErrorKind::PermissionDenied { Exit::NoPermission } else { other }
}

/// The code for an error of a benchmark, by its cause.
fn of_bench(error: &BenchError) -> Exit {
    match error {
        BenchError::Usage(_) => Exit::Usage,
        BenchError::NoTrace(_) => Exit::NoInput,
        BenchError::BadTrace(_) => Exit::Data,
        BenchError::Write { source, .. } => of_io(source.kind(), Exit::CannotCreate),
        BenchError::Print(_) => Exit::Io,
        BenchError::Interrupted => Exit::Interrupted,
        // A server that cannot be reached, that exits, or that does not answer.
        _ => Exit::Unavailable,
    }
}
