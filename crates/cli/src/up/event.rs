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
    PortsSkipped { ports: Vec<u16> },
    /// The ring whose nodes are started.
    Ring { file: PathBuf, version: u64, written: bool },
    /// A node was started; it does not answer yet.
    Started { node: String, address: String, pid: u32 },
    /// A node of the ring is on another machine.
    Elsewhere { node: String, address: String },
    /// The nodes would survive a SIGKILL of this process.
    Unguarded,
    /// All nodes answer.
    Ready { nodes: usize, logs: PathBuf },
    /// A node that did not answer answers again.
    Up { node: String, pid: u32 },
    /// A running node stopped answering.
    Away { node: String },
    /// A node exited by itself.
    Ended {
        node: String,
        how: String,
        log: PathBuf,
        #[serde(skip_serializing_if = "Option::is_none")]
        again: Option<String>,
    },
    /// A node could not be started.
    NotStarted { node: String, why: String },
    /// The ring file has changed.
    RingChanged { version: u64, nodes: usize },
    /// The new ring file is invalid.
    RingRefused { why: String },
    /// A node has left the ring. It is stopped after its keys have moved.
    Leaving { node: String },
    /// A node was stopped.
    Stopped { node: String, killed: bool },
    /// A node that this command did not start keeps running.
    GoesOn { node: String, pid: u32 },
    /// The command is done.
    Done {
        file: PathBuf,
        removed: bool,
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
                write!(f, "skipped ports in use: {}", ports.join(", "))
            }
            Event::Ring { file, version, written } => {
                let whose =
                    if *written { "written for these nodes" } else { "found, and kept as it is" };
                write!(f, "ring file {}, version {version}, {whose}", file.display())
            }
            Event::Started { node, address, pid } => write!(f, "{node} {address} pid {pid}"),
            Event::Elsewhere { node, address } => {
                write!(f, "{node} {address} is on another machine, and not started")
            }
            Event::Unguarded => f.write_str(
                "there is no /bin/sh: if this command is killed (SIGKILL), its nodes keep running",
            ),
            Event::Ready { nodes: 1, logs } => {
                write!(f, "the node answers; its log is in {}", logs.display())
            }
            Event::Ready { nodes, logs } => {
                write!(f, "all {nodes} nodes answer; their logs are in {}", logs.display())
            }
            Event::Up { node, pid } => write!(f, "{node} is up, pid {pid}"),
            Event::Away { node } => write!(f, "{node} is running but does not answer"),
            Event::Ended { node, how, log, again } => {
                write!(f, "{node}: {how}; its log: {}; ", log.display())?;
                match again {
                    Some(command) => write!(f, "to start it again:\n{INDENT}{command}"),
                    None => f.write_str("it will be restarted"),
                }
            }
            Event::NotStarted { node, why } => write!(f, "{node} did not start: {why}"),
            Event::RingChanged { version, nodes } => {
                write!(f, "the ring file is now version {version}, with {nodes} nodes")
            }
            Event::RingRefused { why } => {
                write!(f, "keeping the current ring: cannot adopt its file: {why}")
            }
            Event::Leaving { node } => {
                write!(f, "{node} left the ring, and will be stopped when its keys have moved")
            }
            Event::Stopped { node, killed: false } => write!(f, "stopped {node}"),
            Event::Stopped { node, killed: true } => write!(f, "killed {node}: it did not stop"),
            Event::GoesOn { node, pid } => {
                write!(f, "{node} (pid {pid}) was not started by this command, and keeps running")
            }
            Event::Done { file, removed, logs } => {
                let verb = if *removed { "removed" } else { "kept" };
                write!(f, "{verb} {}", file.display())?;
                match logs {
                    Some(logs) => write!(f, "; the logs are kept in {}", logs.display()),
                    None => Ok(()),
                }
            }
        }
    }
}
