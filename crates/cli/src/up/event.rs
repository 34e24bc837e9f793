//! What happens to local nodes, as lines for people and objects for programs.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::shell::INDENT;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// Ports that somebody else listens on were left out.
    PortsSkipped {
        /// These.
        ports: Vec<u16>,
    },
    /// The ring whose nodes are started.
    Ring {
        /// Its file, from the root.
        file: PathBuf,
        /// Its version.
        version: u64,
        /// Whether the file was written by this command.
        written: bool,
    },
    /// A node was started; it does not answer yet.
    Started {
        /// Its name.
        node: String,
        /// Its address.
        address: String,
        /// Its process.
        pid: u32,
    },
    /// A node of the ring is not of this machine.
    Elsewhere {
        /// Its name.
        node: String,
        /// Its address.
        address: String,
    },
    /// Nothing stops the nodes should this process be killed.
    Unguarded,
    /// All nodes answer.
    Ready {
        /// How many.
        nodes: usize,
        /// Where their logs are.
        logs: PathBuf,
    },
    /// A node answers, that did not before.
    Up {
        /// Its name.
        node: String,
        /// Its process.
        pid: u32,
    },
    /// A node that runs does not answer any more.
    Away {
        /// Its name.
        node: String,
    },
    /// A node ended, and nobody had asked it to.
    Ended {
        /// Its name.
        node: String,
        /// What ended it.
        how: String,
        /// Its log.
        log: PathBuf,
        /// The command that starts it again; none where that happens by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        again: Option<String>,
    },
    /// A node could not be started.
    NotStarted {
        /// Its name.
        node: String,
        /// Why.
        why: String,
    },
    /// The ring file has changed.
    RingChanged {
        /// The new version.
        version: u64,
        /// How many nodes the ring has now.
        nodes: usize,
    },
    /// The ring file has changed to what is no ring.
    RingRefused {
        /// What is wrong.
        why: String,
    },
    /// A node is no longer in the ring; it is stopped once its keys have moved.
    Leaving {
        /// Its name.
        node: String,
    },
    /// A node was stopped.
    Stopped {
        /// Its name.
        node: String,
        /// Whether it had to be forced.
        killed: bool,
    },
    /// A node that somebody else started goes on.
    GoesOn {
        /// Its name.
        node: String,
        /// Its process.
        pid: u32,
    },
    /// All is over.
    Done {
        /// The ring file.
        file: PathBuf,
        /// Whether it was removed.
        removed: bool,
        /// The logs, where they are kept since a node has ended by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        logs: Option<PathBuf>,
    },
}

impl Event {
    /// Whether it should still be read when the live table is gone.
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
