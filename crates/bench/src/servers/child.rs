//! A process that does not outlive its guard.
//!
//! Dropping the guard ends the process and waits for it. A panic does not unwind in a release
//! build, so [`end_children_on_panic`] does the same from the panic hook.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stop::Stop;

/// The processes that have a guard and were not waited for yet: their numbers are still theirs.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A running process of ours.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts it, without anything to read.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.stdin(std::process::Stdio::null()).spawn()?;
        running().push(child.id());
        Ok(Self { child, status: None })
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            // Off the list first: once waited for, the number may be another process's.
            let pid = self.child.id();
            running().retain(|&other| other != pid);
            self.status = self.child.try_wait()?;
            if self.status.is_none() {
                running().push(pid);
            }
        }
        Ok(self.status)
    }

    /// How it ended, or None if it has not within `time`.
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
        // Neither can fail but for a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn running() -> std::sync::MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on a panic of this program ends its children too.
pub(crate) fn end_children_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Whoever panics while holding the list must not wait for itself.
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
