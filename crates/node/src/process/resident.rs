//! Resident memory: how much it is, and an allocator that gives it back.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The variable that jemalloc reads before `main`, and never again.
const VARIABLE: &str = "_RJEM_MALLOC_CONF";

/// What jemalloc is told, unless the environment has told it something else already.
///
/// - Freed pages go back to the system after a tenth of a second, without a stay in between. Its own ten
///   seconds are an age for a cache: at a gigabyte a second of writes the memory limit would not know of
///   ten gigabytes.
/// - No thread of its own does that: it would come too late where memory is freed fast.
/// - All threads take memory from one arena, so that each can use what another has freed.
/// - What is free is used whatever the size of the free range: by default a range of more than 64 times the
///   wanted size is not, and new memory is taken.
/// - No huge pages: one of 2 MiB is resident as a whole as soon as a byte of it is used, which the
///   memory limit does not know of either.
const VALUE: &str = "dirty_decay_ms:100,muzzy_decay_ms:0,background_thread:false,narenas:1,\
    lg_extent_max_active_fit:30,thp:never";

/// How often [`give_back`] allocates, and how many bytes: more than jemalloc keeps for a thread. It looks at
/// what it keeps once in 64 KiB, at one size of some seventy, and at its free pages once in a thousand
/// allocations on average.
const ROUNDS: usize = 500;
const BYTES: usize = 40 << 10;

/// Resident bytes beside those that somebody answers for, from which on the allocator is to give back what
/// it keeps: the program itself has half of them.
const KEPT: u64 = 20 << 20;

/// Starts this program once more, in this very process, where the allocator was not told all that.
/// Returns where it was told, or where the system does not let the program start again; then memory is
/// merely used less well.
pub(crate) fn settle_allocator() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsStr::new("ringbinderd").to_owned());
    // On success this does not return.
    let _ = Command::new(program).arg0(name).args(arguments).env(VARIABLE, VALUE).exec();
}

/// Has the allocator give back what this thread has freed, if it is called some ten times. It does so only
/// while a thread allocates: one that has been busy and is idle keeps its free pages for ever. There is no
/// safe function for it, so this allocates, which is some 200 microseconds of work.
pub(crate) fn give_back() {
    for _ in 0..ROUNDS {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(BYTES)));
    }
}

/// Resident bytes, of which others answer for so many. The allocator gives some back first, if there are
/// many beside those: left to itself it does so once in a thousand pieces of values, which may be much.
pub(crate) fn bytes_beside(accounted: u64) -> Option<u64> {
    let resident = bytes()?;
    if !is_much_beside(resident, accounted) {
        return Some(resident);
    }
    give_back();
    bytes()
}

/// Whether so many resident bytes are many more than others answer for.
fn is_much_beside(resident: u64, accounted: u64) -> bool {
    resident > accounted.saturating_add(KEPT)
}

/// Has the allocator give memory back, if there is much that nobody answers for.
pub(crate) fn settle(accounted: u64) {
    if bytes().is_some_and(|resident| is_much_beside(resident, accounted)) {
        give_back();
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
