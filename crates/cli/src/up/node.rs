//! A node as a child process.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringbinder_ring::Node;

use crate::escape::printable;
use crate::fleet::security::Security;
use crate::shell::quoted;
use crate::up::UpError;

/// Settings shared by all nodes.
pub(super) struct Settings {
    /// The server program.
    pub(super) program: PathBuf,
    /// Memory of each node.
    pub(super) memory: Option<String>,
    /// Further arguments.
    pub(super) arguments: Vec<OsString>,
    /// The absolute path of the ring file.
    pub(super) ring: PathBuf,
    /// The address, besides loopback addresses, whose nodes are started here.
    pub(super) host: IpAddr,
    /// TLS and login settings for connections to them.
    pub(super) security: Security,
}

impl Settings {
    /// The arguments of one node.
    fn arguments_of(&self, node: &Node) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec!["-l".into(), node.host.clone().into()];
        all.extend(["-p".into(), node.port.to_string().into()]);
        all.extend(["--ring".into(), self.ring.clone().into()]);
        // With an IP address a node finds itself in the ring, even under a new name.
        if node.host.parse::<IpAddr>().is_err() {
            all.extend(["--node".into(), node.name.clone().into()]);
        }
        if let Some(memory) = &self.memory {
            all.extend(["-m".into(), memory.clone().into()]);
        }
        all.extend(self.arguments.iter().cloned());
        all
    }

    /// The command line that starts a node by hand.
    pub(super) fn command_line(&self, node: &Node) -> String {
        let mut line = quoted(&self.program.to_string_lossy()).into_owned();
        for argument in self.arguments_of(node) {
            line.push(' ');
            line.push_str(&quoted(&argument.to_string_lossy()));
        }
        line
    }
}

/// The process of a started node.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a node in a process group; 0 creates a new group. Its output is appended to `<name>.log` in
    /// `logs`.
    ///
    /// # Errors
    /// If the program cannot be started, or the log cannot be written.
    pub(super) fn start(
        node: &Node,
        settings: &Settings,
        logs: &Path,
        group: i32,
    ) -> Result<Process, UpError> {
        let log = logs.join(format!("{}.log", node.name));
        let output =
            OpenOptions::new().create(true).append(true).open(&log).map_err(UpError::Logs)?;
        let errors = output.try_clone().map_err(UpError::Logs)?;
        let child = Command::new(&settings.program)
            .args(settings.arguments_of(node))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(group)
            .spawn()
            .map_err(|source| UpError::Spawn { program: settings.program.clone(), source })?;
        Ok(Process { child, log })
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The path of its log.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The way it ended; `None` while it runs.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(status) => status.map(describe),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Sends SIGTERM.
    pub(super) fn terminate(&self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // The process has not been reaped, so the id is still its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Kills it.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(name) => format!("{name} killed it"),
            Err(_) => format!("signal {signal} killed it"),
        },
        (None, None) => "it ended".to_owned(),
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &Path, lines: usize) -> Vec<String> {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    let plain =
        |line: &&str| printable(&anstream::adapter::strip_str(line).to_string()).into_owned();
    all[from..].iter().map(plain).collect()
}

/// The path of the POSIX shell.
const SHELL: &str = "/bin/sh";

/// Ends the group gracefully, then by force, unless it reads a line.
const SCRIPT: &str =
    "trap '' HUP INT TERM; read -r line || { kill -TERM 0; sleep 5; kill -KILL 0; }";

/// The leader of the nodes' process group.
pub(super) struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts the guard. Returns `None` if there is no shell, as in a minimal container.
    pub(super) fn start() -> Option<Guard> {
        let mut shell = Command::new(SHELL)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .ok()?;
        let pipe = shell.stdin.take();
        Some(Guard { shell, pipe })
    }

    /// The process group.
    pub(super) fn group(&self) -> i32 {
        // Process ids are positive and fit.
        i32::try_from(self.shell.id()).unwrap_or(0)
    }

    /// Dismisses the guard after all nodes have ended.
    pub(super) fn dismiss(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // If the guard is gone already, there is nothing to do.
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_can_be_started_by_hand() {
        let settings = Settings {
            program: "/opt/my programs/ringbinderd".into(),
            memory: Some("2g".into()),
            arguments: vec!["-t".into(), "1".into()],
            ring: "/r/ring.toml".into(),
            host: "127.0.0.1".parse().unwrap(),
            security: Security::default(),
        };
        let node = Node::new("cache-a", "[::1]:7", 1).unwrap();
        assert_eq!(
            settings.command_line(&node),
            "'/opt/my programs/ringbinderd' -l ::1 -p 7 --ring /r/ring.toml -m 2g -t 1"
        );
        let node = Node::new("cache-a", "localhost:7", 1).unwrap();
        assert!(settings.command_line(&node).contains(" --node cache-a "));
    }

    #[test]
    fn the_end_of_a_log_is_what_counts() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        fs::write(&log, "1\n2\n\x1b[31m3\x1b[0m\n").unwrap();
        assert_eq!(tail(&log, 2), ["2", "3"]);
        assert_eq!(tail(&log, 9), ["1", "2", "3"]);
        assert!(tail(&directory.path().join("none"), 9).is_empty());
    }
}
