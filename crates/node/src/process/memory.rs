//! Resident memory: how much it is, and an allocator that gives it back.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// mimalloc's variable for how long freed pages wait before they go back to the system.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

/// Milliseconds they wait here. mimalloc's own second is an age for a cache: at a gigabyte a second
/// of writes it would be a gigabyte that the memory limit does not know of.
const PURGE_DELAY_MS: &str = "10";

/// Starts this program once more, in this very process, where the allocator was not told its purge
/// delay: it reads it before `main` and never again. Returns where it was told, or where the system
/// does not let the program start again; then memory is merely given back later.
pub(crate) fn settle_allocator() {
    if std::env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsStr::new("ringbinderd").to_owned());
    // On success this does not return.
    let _ =
        Command::new(program).arg0(name).args(arguments).env(PURGE_DELAY, PURGE_DELAY_MS).exec();
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
