//! Errors that keep local nodes from running.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::error::of_io;
use crate::exit::Exit;

/// The reason why there are no nodes. Every message is one line. The end of a node's log is printed before
/// it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpError {
    #[error(
        "cannot find ringbinderd {looked}; build it (cargo build --release --bin ringbinderd), or \
         name it with --program FILE"
    )]
    NoProgram { looked: String },
    #[error(
        "cannot build ringbinderd: cargo failed ({0}); see above, or name one with --program \
        FILE"
    )]
    Build(String),
    #[error("cannot start {}: {source}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("cannot start the nodes of {0}: it is not a file; name a ring file with --ring FILE")]
    NoFile(String),
    #[error(
        "cannot use --host {0}: clients cannot connect to it; name an address of this \
        machine"
    )]
    Host(IpAddr),
    #[error(
        "cannot use --nodes: {} exists, and its own nodes are started; leave --nodes out, or name \
         another file with --ring FILE",
        .0.display()
    )]
    NodesOfFile(PathBuf),
    #[error(
        "cannot start nodes of {}: none is on this machine (at a loopback address or {host}); for \
         new nodes, name another file with --ring FILE",
        path.display()
    )]
    NotLocal { path: PathBuf, host: IpAddr },
    #[error(
        "cannot start {node}: {address} is in use; stop what listens there (another `ringbinder \
         up`?), or give the node another port in the ring file"
    )]
    InUse { node: String, address: String },
    #[error("cannot listen on {address}: {source}; choose another with --host or --port")]
    Listen { address: String, source: io::Error },
    #[error("cannot find {count} free ports from {port} upward; choose another --port")]
    NoPorts { count: u16, port: u16 },
    #[error("cannot start {node}: {how}; its log is above, and all nodes are stopped")]
    NotStarted { node: String, how: String },
    #[error("cannot create the nodes' logs: {0}")]
    Logs(io::Error),
}

impl UpError {
    /// The exit code of the process.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoProgram { .. } | Self::Build(_) | Self::NotStarted { .. } => Exit::Unavailable,
            Self::NoFile(_) | Self::Host(_) | Self::NodesOfFile(_) => Exit::Usage,
            Self::NotLocal { .. } => Exit::Data,
            Self::Spawn { source, .. } | Self::Listen { source, .. } => {
                of_io(source.kind(), Exit::Os)
            }
            Self::InUse { .. } | Self::NoPorts { .. } | Self::Logs(_) => Exit::Os,
        }
    }
}
