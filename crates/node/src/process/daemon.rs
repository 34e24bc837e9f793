//! Runs the process in the background (`-d`).
//!
//! The process starts its own program again, with the same arguments, in a session of its own, and
//! waits until that second process reports that clients can connect. So an error such as a port in
//! use appears where `-d` was typed, with the right exit code, and a script may use the cache as
//! soon as the command returns. memcached returns before it has bound its port.
//!
//! Starting the program again instead of forking keeps this crate free of `unsafe`, and is sound
//! whatever threads the libraries have started.
//!
//! The second process is recognised by [`MARKER`] in its environment, which holds the process
//! number of the first. A marker inherited from anywhere else does not match the parent and is
//! ignored.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::unistd::{chdir, dup2_stderr, dup2_stdout, setsid};
use rustix::fs::fstat;

use super::exit::ExitCode;

/// The environment variable by which the background process recognises itself.
pub(crate) const MARKER: &str = "RINGBINDERD_DETACHED_BY";

/// The line that the background process writes to its standard output once clients can connect.
const READY: &[u8] = b"ready\n";

/// One of the two processes.
#[derive(Debug)]
pub(crate) enum Detached {
    /// The process that the operator started. The other one serves, or has failed and reported why.
    /// Exit with this number.
    Parent(u8),
    /// The background process: continue, and use the token once clients can connect.
    Child(Ready),
}

/// The process could not move to the background.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// The program could not be started again.
    #[error("cannot start the process for the background (-d): {0}; start without -d")]
    Start(#[source] io::Error),
    /// The new process could not leave its terminal.
    #[error("cannot leave the terminal (-d): {0}; start without -d")]
    Session(#[source] Errno),
    /// The standard streams could not be redirected to the null device.
    #[error("cannot detach from the terminal (-d): {0}; start without -d")]
    Streams(#[source] io::Error),
}

impl DaemonError {
    /// The process's exit code for this error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::OsError
    }
}

/// Moves to the background. Must be called before any thread is started and before warnings are
/// printed, because both processes run this code with the same arguments.
pub(crate) fn detach() -> Result<Detached, DaemonError> {
    if env::var(MARKER).is_ok_and(|parent| parent == parent_id().to_string()) {
        setsid().map_err(DaemonError::Session)?;
        return Ok(Detached::Child(Ready { _private: () }));
    }
    let program = env::current_exe().map_err(DaemonError::Start)?;
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(MARKER, std::process::id().to_string());
    start_and_wait(command).map(Detached::Parent).map_err(DaemonError::Start)
}

/// Starts the process and waits until it is ready (0) or has ended (its exit code).
fn start_and_wait(mut command: Command) -> io::Result<u8> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut heard = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        let mut buffer = [0; 64];
        loop {
            match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => heard.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if heard.ends_with(READY) {
                return Ok(ExitCode::Ok.number());
            }
        }
    }
    let status = child.wait()?;
    Ok(match (status.code(), status.signal()) {
        // A process that exits with success before it was ready has not done its task.
        (Some(0), _) => ExitCode::Failure.number(),
        (Some(code), _) => u8::try_from(code).unwrap_or(ExitCode::Failure.number()),
        // The code that a shell reports for a process ended by a signal.
        (None, Some(signal)) => 128_u8.saturating_add(u8::try_from(signal).unwrap_or(0)),
        (None, None) => ExitCode::Failure.number(),
    })
}

/// The background process's channel to the process that waits for it.
#[derive(Debug)]
pub(crate) struct Ready {
    _private: (),
}

/// The parts of its environment that the background process keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Standard error stays open, as in memcached with `-v`, and if it is the journal.
    pub(crate) standard_error: bool,
    /// The working directory stays, as in memcached with `-r`, because core files go there.
    pub(crate) directory: bool,
}

/// Whether standard error leads to the journal. A service manager names the stream for which that
/// is true (`JOURNAL_STREAM`), and a process that writes there has no terminal to leave.
pub(crate) fn writes_to_journal() -> bool {
    let Ok(journal) = env::var("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|it| journal == format!("{}:{}", it.st_dev, it.st_ino))
}

impl Ready {
    /// Reports that clients can connect, and leaves the terminal and the working directory.
    ///
    /// Relative paths have another meaning afterwards, so the caller must make those it still needs
    /// absolute.
    pub(crate) fn announce(self, keep: Keep) -> Result<(), DaemonError> {
        let nothing = OpenOptions::new().read(true).write(true).open("/dev/null");
        let nothing = nothing.map_err(DaemonError::Streams)?;
        if !keep.directory {
            chdir("/").map_err(|errno| DaemonError::Streams(errno.into()))?;
        }
        let mut output = io::stdout().lock();
        // The node still serves if the waiting process is gone.
        let _ = output.write_all(READY).and_then(|()| output.flush());
        dup2_stdout(&nothing).map_err(|errno| DaemonError::Streams(errno.into()))?;
        if !keep.standard_error {
            dup2_stderr(&nothing).map_err(|errno| DaemonError::Streams(errno.into()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn returns_as_soon_as_the_other_process_is_ready() {
        // After the ready line, the exit code of the other process does not matter to the waiting
        // process.
        assert_eq!(start_and_wait(shell("printf 'ready\\n'; exit 9")).unwrap(), 0);
        assert_eq!(start_and_wait(shell("printf 'rea'; printf 'dy\\n'")).unwrap(), 0);
    }

    #[test]
    fn passes_on_the_code_of_a_process_that_fails_before() {
        assert_eq!(start_and_wait(shell("exit 71")).unwrap(), 71);
        assert_eq!(start_and_wait(shell("echo something else; exit 67")).unwrap(), 67);
    }

    #[test]
    fn ending_well_without_being_ready_is_a_failure() {
        assert_eq!(start_and_wait(shell("exit 0")).unwrap(), 1);
    }

    #[test]
    fn a_process_ended_by_a_signal_is_reported_as_a_shell_would() {
        assert_eq!(start_and_wait(shell("kill -9 $$")).unwrap(), 137);
    }

    #[test]
    fn a_program_that_cannot_start_is_an_error() {
        assert!(start_and_wait(Command::new("/nonexistent/ringbinderd")).is_err());
    }
}
