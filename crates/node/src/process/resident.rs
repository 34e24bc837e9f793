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
/// - No huge pages: one of 2 MiB is resident as a whole as soon as a byte of it is used, which the
///   memory limit does not know of either.
const VALUE: &str =
    "dirty_decay_ms:100,muzzy_decay_ms:0,background_thread:false,narenas:1,thp:never";

/// How often [`give_back`] allocates, and how many bytes: more than jemalloc keeps for a thread. It looks at
/// what it keeps once in 64 KiB, at one size of some seventy, and at its free pages once in a thousand
/// allocations on average.
const ROUNDS: usize = 500;
const BYTES: usize = 40 << 10;

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
