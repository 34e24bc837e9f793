//! Resident memory: how much it is, and an allocator that gives it back.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What mimalloc is told, unless the environment has told it something else already.
///
/// - How long freed pages wait before they go back to the system, in milliseconds. Its own second is an
///   age for a cache: at a gigabyte a second of writes it would be a gigabyte that the memory limit
///   does not know of.
/// - How many allocations there are between two times that a thread looks through its free pages, and
///   the system gets those back that have waited long enough. Nothing else gives any back.
/// - No huge pages: one of 2 MiB is resident as a whole as soon as a byte of it is used, which the
///   memory limit does not know of either.
const ALLOCATOR: [(&str, &str); 3] = [
    ("MIMALLOC_PURGE_DELAY", "10"),
    ("MIMALLOC_GENERIC_COLLECT", "1000"),
    ("MIMALLOC_ALLOW_THP", "0"),
];

/// Allocations after which the allocator looks through a thread's free pages, as it is told above, and
/// how often it has to for most pages to be given up.
const COLLECT: usize = 1000;
const ROUNDS: usize = 4;

/// Bytes of an allocation that counts for that: smaller ones do not.
const COUNTED: usize = 2048;

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

/// Has the allocator give back what this thread has freed. It does so only while a thread allocates:
/// one that has been busy and is idle keeps its free pages for ever. There is no safe function for it,
/// so this allocates as often as it takes, which is some 100 microseconds of work.
pub(crate) fn give_back() {
    for _ in 0..ROUNDS * COLLECT {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(COUNTED)));
    }
}

/// Bytes of this process that are in memory; `None` where the system does not tell.
pub(crate) fn bytes() -> Option<u64> {
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
        let resident = bytes().unwrap();
        assert!((1 << 18..1 << 40).contains(&resident), "{resident}");
    }
}
