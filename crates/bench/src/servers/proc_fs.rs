//! Reads a process's CPU time and memory from `/proc`.

use std::time::Duration;

use anyhow::{Context, bail};
use nix::unistd::{SysconfVar, sysconf};

/// User and system time of all threads of a process.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = parse_ticks(&text).with_context(|| format!("cannot parse {path}"))?;
    let per_second = match sysconf(SysconfVar::CLK_TCK) {
        Ok(Some(ticks)) if ticks > 0 => u64::try_from(ticks)?,
        _ => bail!("the system does not report the length of a clock tick"),
    };
    Ok(Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second)))
}

/// Parses utime + stime, fields 14 and 15. The name before them, in parentheses, may contain anything.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resident {
    /// The current value (`VmRSS`).
    pub(crate) now: u64,
    /// The peak (`VmHWM`).
    pub(crate) peak: u64,
}

/// Reads the resident memory of a process.
pub(crate) fn memory(pid: u32) -> anyhow::Result<Resident> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse_memory(&text).with_context(|| format!("cannot parse {path}"))
}

fn parse_memory(status: &str) -> Option<Resident> {
    let figure = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kilobytes.checked_mul(1024)
    };
    Some(Resident { now: figure("VmRSS")?, peak: figure("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let tail = "S 1 2 2 0 -1 4194560 900 0 0 0 731 269 0 0 20 0 4 0 5000 1 2 3";
        for name in ["memcached", "a b", "x) S 1 2", "((", ""] {
            assert_eq!(parse_ticks(&format!("42 ({name}) {tail}")), Some(1000), "{name}");
        }
        assert_eq!(parse_ticks("42 (x) S 1 2"), None);
        assert_eq!(parse_ticks(""), None);
    }

    #[test]
    fn resident_memory() {
        let status = "Name:\tx\nVmHWM:\t    99 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n";
        let memory = Resident { now: 2 * 1024 * 1024, peak: 99 * 1024 };
        assert_eq!(parse_memory(status), Some(memory));
        assert_eq!(parse_memory("VmRSS:\tmany kB\nVmHWM:\t1 kB\n"), None);
        assert_eq!(parse_memory("Name:\tx\n"), None);
    }

    #[test]
    fn this_process() {
        let pid = std::process::id();
        assert!(cpu_time(pid).is_ok());
        let memory = memory(pid).unwrap();
        assert!(memory.now > 100_000 && memory.peak >= memory.now);
    }
}
