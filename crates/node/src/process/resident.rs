//! Resident memory: its size, and an allocator that gives it back.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The variable that jemalloc reads before `main`, and never again.
const VARIABLE: &str = "_RJEM_MALLOC_CONF";

/// jemalloc's settings, unless the environment already sets them.
///
/// - Freed pages go back to the system directly after a tenth of a second. jemalloc's default of ten
///   seconds is too long for a cache: at a gigabyte of writes a second, the memory limit would miss ten
///   gigabytes.
/// - No background thread does that: it would come too late while memory is freed fast.
/// - All threads take memory from one arena, so that each can use memory that another has freed.
/// - A free range is used whatever its size: by default, a range of more than 64 times the wanted size is
///   not used, and new memory is taken.
/// - No huge pages: a page of 2 MiB is resident as a whole as soon as one byte of it is used, which the
///   memory limit would miss as well.
const VALUE: &str = "dirty_decay_ms:100,muzzy_decay_ms:0,background_thread:false,narenas:1,\
    lg_extent_max_active_fit:30,thp:never";

/// The number of allocations in [`give_back`], and their size in bytes: larger than jemalloc keeps
/// for a thread. jemalloc checks one of about seventy sizes that it keeps once in 64 KiB, and its
/// free pages once in a thousand allocations on average.
const ROUNDS: usize = 500;
const BYTES: usize = 40 << 10;

/// Resident bytes beyond the accounted ones from which on the allocator must give memory back. The
/// program itself has half of them.
const KEPT: u64 = 20 << 20;

/// Starts this program again in the same process, if the allocator does not have these settings.
/// Returns if it has them, or if the system does not let the program start again; memory is then
/// used less well.
pub(crate) fn settle_allocator() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsStr::new("ringbinderd").to_owned());
    // On success, this call does not return.
    let _ = Command::new(program).arg0(name).args(arguments).env(VARIABLE, VALUE).exec();
}

/// Makes the allocator give back memory that this thread has freed, if called about ten times. The
/// allocator does so only while a thread allocates: a thread that becomes idle after work keeps its
/// free pages for ever. There is no safe function for it, so this allocates, which takes about 200
/// microseconds.
pub(crate) fn give_back() {
    for _ in 0..ROUNDS {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(BYTES)));
    }
}

/// Whether the resident bytes exceed the accounted ones by far, so that free memory must be given back.
pub(crate) fn is_much_beside(accounted: u64) -> bool {
    bytes().is_some_and(|resident| resident > accounted.saturating_add(KEPT))
}

/// Resident bytes of this process; `None` if the system does not report them.
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
