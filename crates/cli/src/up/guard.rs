//! What stops the nodes when this command cannot: after SIGKILL, or a crash.
//!
//! A shell leads the nodes' process group and reads from a pipe that only this process holds open.
//! The pipe ends with this process, whatever ended it, and the shell then ends its group. As long
//! as the leader lives, the group's number is nobody else's. That the nodes are in a group of their
//! own also keeps Ctrl-C at the terminal from reaching them: they are stopped by this command, in
//! order.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Where POSIX has its shell.
const SHELL: &str = "/bin/sh";

/// Ends the group gracefully, then for good, unless a line says that there is no need.
const SCRIPT: &str =
    "trap '' HUP INT TERM; read -r line || { kill -TERM 0; sleep 5; kill -KILL 0; }";

/// The leader of the nodes' process group.
pub(super) struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts it; none where there is no shell, as in a container with nothing but the programs.
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
        // Process numbers are positive and fit.
        i32::try_from(self.shell.id()).unwrap_or(0)
    }

    /// Sends it home, once all nodes have ended.
    pub(super) fn dismiss(mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // Where it is gone already, there is nobody to tell.
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.shell.wait();
    }
}
