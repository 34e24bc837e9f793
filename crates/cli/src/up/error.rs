//! What can keep local nodes from running.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::exit::Exit;

/// Why there are no nodes. Messages are one line, as all are; the end of a node's log comes before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    /// The server is nowhere.
    #[error(
        "there is no ringbinderd {looked}; build it (cargo build --release --bin ringbinderd) or \
         name it with --program FILE"
    )]
    NoProgram {
        /// Where it was looked for.
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
        /// What the system says.
        source: io::Error,
    },
    /// A ring that is kept elsewhere.
    #[error("up starts the nodes of a ring file, and {0} is none; name one with --ring FILE")]
    NoFile(String),
    /// An address that nobody can dial.
    #[error("--host {0} is no address that a client could dial; name one of this machine")]
    Host(IpAddr),
    /// `--nodes` beside a ring that has its own.
    #[error(
        "{} exists, and its own nodes are started; leave --nodes out, or name another file with \
         --ring FILE",
        .0.display()
    )]
    NodesOfFile(PathBuf),
    /// A ring of other machines.
    #[error(
        "{} has no node on this machine (no loopback address, none at {host}); for new nodes name \
         another file with --ring FILE",
        path.display()
    )]
    NotLocal {
        /// The ring file.
        path: PathBuf,
        /// What `--host` says.
        host: IpAddr,
    },
    /// A port of a ring that exists.
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
    /// A port or address that cannot be had for another reason.
    #[error("cannot listen on {address}: {source}; choose another with --host or --port")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Too few ports are left.
    #[error("there are not {count} free ports from {port} upward; choose another --port")]
    NoPorts {
        /// How many are needed.
        count: u16,
        /// Where the search began.
        port: u16,
    },
    /// A node that does not come up.
    #[error("{node} did not start: {how}; its log is above, and all nodes are stopped")]
    NotStarted {
        /// The node.
        node: String,
        /// What happened to it.
        how: String,
    },
    /// No place for logs.
    #[error("cannot make a directory for the nodes' logs: {0}")]
    Logs(io::Error),
}

impl UpError {
    /// The code to end the process with.
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
