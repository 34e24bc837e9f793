//! Errors that keep local nodes from running.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::exit::Exit;

/// The reason why there are no nodes. Every message is one line. The end of a node's log is printed before
/// it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    /// The server was not found.
    #[error(
        "there is no ringbinderd {looked}; build it (cargo build --release --bin ringbinderd) or \
         name it with --program FILE"
    )]
    NoProgram {
        /// The places that were searched.
        looked: String,
    },
    /// cargo did not build the server.
    #[error("cargo could not build ringbinderd ({0}); see above, or name one with --program FILE")]
    Build(String),
    /// A program cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The ring is not in a file.
    #[error("up starts the nodes of a ring file, and {0} is none; name one with --ring FILE")]
    NoFile(String),
    /// The address cannot be dialled.
    #[error("--host {0} is no address that a client could dial; name one of this machine")]
    Host(IpAddr),
    /// `--nodes` conflicts with a ring file that exists.
    #[error(
        "{} exists, and its own nodes are started; leave --nodes out, or name another file with \
         --ring FILE",
        .0.display()
    )]
    NodesOfFile(PathBuf),
    /// The ring has no node on this machine.
    #[error(
        "{} has no node on this machine (no loopback address, none at {host}); for new nodes name \
         another file with --ring FILE",
        path.display()
    )]
    NotLocal {
        /// The ring file.
        path: PathBuf,
        /// The value of `--host`.
        host: IpAddr,
    },
    /// The port of a node in an existing ring is in use.
    #[error(
        "cannot start {node}: {address} is in use; stop what listens there (another `ringbinder \
         up`?), or give the node another port in the ring file"
    )]
    InUse {
        /// The node.
        node: String,
        /// Its address.
        address: String,
    },
    /// A port or address is unavailable for another reason.
    #[error("cannot listen on {address}: {source}; choose another with --host or --port")]
    Listen {
        /// The address.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// Too few ports are free.
    #[error("there are not {count} free ports from {port} upward; choose another --port")]
    NoPorts {
        /// The number of ports needed.
        count: u16,
        /// The first port tried.
        port: u16,
    },
    /// A node does not start.
    #[error("{node} did not start: {how}; its log is above, and all nodes are stopped")]
    NotStarted {
        /// The node.
        node: String,
        /// The reason.
        how: String,
    },
    /// The directory for logs cannot be created.
    #[error("cannot make a directory for the nodes' logs: {0}")]
    Logs(io::Error),
}

impl UpError {
    /// The exit code of the process.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoProgram { .. } | Self::Build(_) | Self::NotStarted { .. } => Exit::Unavailable,
            Self::NoFile(_) | Self::Host(_) | Self::NodesOfFile(_) => Exit::Usage,
            Self::NotLocal { .. } => Exit::Data,
            Self::Spawn { source, .. } | Self::Listen { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::NoPermission
            }
            Self::Spawn { .. }
            | Self::Listen { .. }
            | Self::InUse { .. }
            | Self::NoPorts { .. }
            | Self::Logs(_) => Exit::Os,
        }
    }
}
