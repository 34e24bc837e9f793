//! A guard that stops the nodes if this command cannot, after SIGKILL or a crash.
//!
//! A shell leads the nodes' process group and reads from a pipe whose other end only this process holds open.
//! The pipe closes when this process ends, for any reason, and the shell then ends its group. As long as the
//! leader lives, the group's number cannot be reused. The separate group also keeps Ctrl-C at the terminal
//! from reaching the nodes: this command stops them in order.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

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
