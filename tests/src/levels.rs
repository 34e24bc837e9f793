//! The resources of a process: open files, threads, memory. After a fault, all resources used for it must
//! have been released.

use std::fmt;
use std::fs;

use crate::process::{rss_kib, status_kib};
use crate::wait;

/// Threads that a node may have beyond its initial ones: blocking work leaves threads that end after some
/// idle seconds.
const IDLE_THREADS: usize = 8;

/// Open files that may exist at any moment: for a handshake, or a file that is being read.
const PASSING_FILES: usize = 8;

/// The resources of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Open files.
    pub files: usize,
    /// Threads.
    pub threads: usize,
    /// Resident size in KiB.
    pub resident: u64,
}

impl Levels {
    /// Reads the current values.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn of(pid: u32) -> Levels {
        let count = |what: &str| {
            let entries = fs::read_dir(format!("/proc/{pid}/{what}"));
            entries.unwrap_or_else(|error| panic!("process {pid}: {error}")).count()
        };
        Levels { files: count("fd"), threads: count("task"), resident: rss_kib(pid) }
    }

    /// Waits until the process has no more files and threads than in `before`, except for temporary ones.
    /// Returns the current values.
    ///
    /// # Panics
    /// If it still has more after some time.
    pub fn back_to(pid: u32, before: Levels) -> Levels {
        let mut last = before;
        let returned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("files and threads to be given back", || {
                last = Levels::of(pid);
                (last.files <= before.files + PASSING_FILES
                    && last.threads <= before.threads + IDLE_THREADS)
                    .then_some(last)
            })
        }));
        returned.unwrap_or_else(|_| panic!("before: {before:?}; now: {last:?}"))
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} files, {} threads, {} MiB",
            self.files,
            self.threads,
            self.resident.div_ceil(1024)
        )
    }
}

/// The peak of a process's resident size, in KiB.
///
/// # Panics
/// If the process is gone.
pub fn peak_kib(pid: u32) -> u64 {
    status_kib(pid, "VmHWM").unwrap_or_else(|| panic!("process {pid} is gone"))
}
