//! Events of local nodes, as lines for people and objects for programs.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::shell::INDENT;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// Ports in use were skipped.
    PortsSkipped {
        /// The skipped ports.
        ports: Vec<u16>,
    },
    /// The ring whose nodes are started.
    Ring {
        /// The absolute path of its file.
        file: PathBuf,
        /// Its version.
        version: u64,
        /// Whether this command wrote the file.
        written: bool,
    },
    /// A node was started; it does not answer yet.
    Started {
        /// Its name.
        node: String,
        /// Its address.
        address: String,
        /// The id of its process.
        pid: u32,
    },
    /// A node of the ring is on another machine.
    Elsewhere {
        /// Its name.
        node: String,
        /// Its address.
        address: String,
    },
    /// The nodes would survive a SIGKILL of this process.
    Unguarded,
    /// All nodes answer.
    Ready {
        /// Number of nodes.
        nodes: usize,
        /// The directory of their logs.
        logs: PathBuf,
    },
    /// A node that did not answer answers again.
    Up {
        /// Its name.
        node: String,
        /// The id of its process.
        pid: u32,
    },
    /// A running node stopped answering.
    Away {
        /// Its name.
        node: String,
    },
    /// A node exited by itself.
    Ended {
        /// Its name.
        node: String,
        /// The cause of its end.
        how: String,
        /// The path of its log.
        log: PathBuf,
        /// The command that starts it again; `None` if this command restarts it.
        #[serde(skip_serializing_if = "Option::is_none")]
        again: Option<String>,
    },
    /// A node could not be started.
    NotStarted {
        /// Its name.
        node: String,
        /// The reason.
        why: String,
    },
    /// The ring file has changed.
    RingChanged {
        /// The new version.
        version: u64,
        /// Number of nodes in the new ring.
        nodes: usize,
    },
    /// The new ring file is invalid.
    RingRefused {
        /// The reason.
        why: String,
    },
    /// A node has left the ring. It is stopped after its keys have moved.
    Leaving {
        /// Its name.
        node: String,
    },
    /// A node was stopped.
    Stopped {
        /// Its name.
        node: String,
        /// Whether it had to be killed.
        killed: bool,
    },
    /// A node that this command did not start keeps running.
    GoesOn {
        /// Its name.
        node: String,
        /// The id of its process.
        pid: u32,
    },
    /// The command is done.
    Done {
        /// The ring file.
        file: PathBuf,
        /// Whether it was removed.
        removed: bool,
        /// The directory of the logs, which is kept if a node exited by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        logs: Option<PathBuf>,
    },
}

impl Event {
    /// Whether it is worth reading after the live table is gone.
    pub(super) fn lasts(&self) -> bool {
        matches!(self, Event::Ended { .. } | Event::NotStarted { .. } | Event::RingRefused { .. })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::PortsSkipped { ports } => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                write!(f, "in use, and left out: port {}", ports.join(", "))
            }
            Event::Ring { file, version, written } => {
                let whose = if *written { "written for these nodes" } else { "as it was found" };
                write!(f, "ring file {}, version {version}, {whose}", file.display())
            }
            Event::Started { node, address, pid } => write!(f, "{node} {address} pid {pid}"),
            Event::Elsewhere { node, address } => {
                write!(f, "{node} {address} is not of this machine, and not started")
            }
            Event::Unguarded => f.write_str(
                "there is no /bin/sh: if this command is killed (SIGKILL), its nodes go on",
            ),
            Event::Ready { nodes: 1, logs } => {
                write!(f, "the node answers; its log is in {}", logs.display())
            }
            Event::Ready { nodes, logs } => {
                write!(f, "all {nodes} nodes answer; their logs are in {}", logs.display())
            }
            Event::Up { node, pid } => write!(f, "{node} is up, pid {pid}"),
            Event::Away { node } => write!(f, "{node} runs and does not answer"),
            Event::Ended { node, how, log, again } => {
                write!(f, "{node}: {how}; its log: {}; ", log.display())?;
                match again {
                    Some(command) => write!(f, "to start it again:\n{INDENT}{command}"),
                    None => f.write_str("it is started again"),
                }
            }
            Event::NotStarted { node, why } => write!(f, "{node} is not started: {why}"),
            Event::RingChanged { version, nodes } => {
                write!(f, "the ring file is now version {version}, with {nodes} nodes")
            }
            Event::RingRefused { why } => {
                write!(f, "the ring stays as it is, since its file is no ring any more: {why}")
            }
            Event::Leaving { node } => {
                write!(f, "{node} left the ring, and is stopped once its keys have moved")
            }
            Event::Stopped { node, killed: false } => write!(f, "stopped {node}"),
            Event::Stopped { node, killed: true } => {
                write!(f, "stopped {node} by force, as it did not stop when asked")
            }
            Event::GoesOn { node, pid } => {
                write!(f, "{node} (pid {pid}) was started by somebody else, and goes on")
            }
            Event::Done { file, removed, logs } => {
                match removed {
                    true => write!(f, "removed {}", file.display())?,
                    false => write!(f, "kept {}", file.display())?,
                }
                match logs {
                    Some(logs) => write!(f, "; the logs stay in {}", logs.display()),
                    None => Ok(()),
                }
            }
        }
    }
}
