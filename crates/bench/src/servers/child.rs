//! A child process that ends with its guard.
//!
//! Dropping the guard kills the process and waits for it. A panic does not unwind in a release build, so
//! [`end_children_on_panic`] does the same from the panic hook.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stop::Stop;

/// Ids of the guarded processes that have not been reaped. Such an id cannot be reused.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A running child process.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts the process, without input.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(std::process::Stdio::null()).spawn()?;
        running().push(child.id());
        Ok(Self { child, status: None })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            // Removed from the list first: after the process is reaped, its id may be reused.
            let pid = self.child.id();
            running().retain(|&other| other != pid);
            self.status = self.child.try_wait()?;
            if self.status.is_none() {
                running().push(pid);
            }
        }
        Ok(self.status)
    }

    /// Waits for the process to end. Returns `None` if it has not within `time`.
    pub(crate) fn wait(
        &mut self,
        time: Duration,
        stop: &Stop,
    ) -> anyhow::Result<Option<ExitStatus>> {
        let until = Instant::now() + time;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            stop.pause(Duration::from_millis(5))?;
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        let pid = self.child.id();
        running().retain(|&other| other != pid);
        // Both calls fail only if the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs a panic hook that kills all children of this program.
pub(crate) fn end_children_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // If the panic happens while this thread holds the list, waiting would deadlock.
        if let Ok(list) = RUNNING.try_lock() {
            for pid in list.iter().filter_map(|&pid| i32::try_from(pid).ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        before(info);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Guarded {
        Guarded::spawn(Command::new("sleep").arg("600")).unwrap()
    }

    fn exists(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_dropped_guard_leaves_no_process() {
        let child = sleeper();
        let pid = child.pid();
        assert!(exists(pid) && running().contains(&pid));
        drop(child);
        assert!(!exists(pid) && !running().contains(&pid));
    }

    #[test]
    fn waiting() {
        let stop = Stop::default();
        let mut child = sleeper();
        assert!(child.wait(Duration::from_millis(10), &stop).unwrap().is_none());
        let mut short = Guarded::spawn(&mut Command::new("true")).unwrap();
        assert!(short.wait(Duration::from_secs(20), &stop).unwrap().unwrap().success());
        assert!(!running().contains(&short.pid()));
    }
}
