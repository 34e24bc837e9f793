//! Resident memory: how much it is, and an allocator that gives it back.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What mimalloc is told, unless the environment has told it something else already.
///
/// - How long freed pages wait before they go back to the system, in milliseconds. Its own second is an
///   age for a cache: at a gigabyte a second of writes it would be a gigabyte that the memory limit
///   does not know of.
/// - No huge pages: one of 2 MiB is resident as a whole as soon as a byte of it is used, which the
///   memory limit does not know of either.
const ALLOCATOR: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "10"), ("MIMALLOC_ALLOW_THP", "0")];

/// Starts this program once more, in this very process, where the allocator was not told all that:
/// it reads its variables before `main` and never again. Returns where it was told, or where the
/// system does not let the program start again; then memory is merely used less well.
pub(crate) fn settle_allocator() {
    let untold = ALLOCATOR.iter().filter(|(name, _)| std::env::var_os(name).is_none());
    let untold: Vec<_> = untold.copied().collect();
    if untold.is_empty() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsStr::new("ringbinderd").to_owned());
    // On success this does not return.
    let _ = Command::new(program).arg0(name).args(arguments).envs(untold).exec();
}

/// Bytes of this process that are in memory; `None` where the system does not tell.
pub(crate) fn resident() -> Option<u64> {
    const PAGE: u64 = 4096;

    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_size().unwrap_or(PAGE))
}

fn page_size() -> Option<u64> {
    use nix::unistd::{SysconfVar, sysconf};

    u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_memory() {
        let resident = resident().unwrap();
        assert!((1 << 18..1 << 40).contains(&resident), "{resident}");
    }
}
