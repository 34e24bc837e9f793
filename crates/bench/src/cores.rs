//! The cores on which the servers and the load run.
//!
//! A process inherits its affinity from the thread that starts it. So this program moves itself to the
//! servers' cores, starts them, and then moves to the load's cores and stays there.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use anyhow::{Context, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// A set of cores, as `0`, `0,2` or `0-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores(Vec<usize>);

impl FromStr for Cores {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let number = |digits: &str| -> anyhow::Result<usize> {
            let core = digits
                .trim()
                .parse()
                .with_context(|| format!("{digits:?} is not a core number"))?;
            if core >= CpuSet::count() {
                bail!("core {core} is too large for the system");
            }
            Ok(core)
        };
        let mut cores = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                Some((first, last)) => cores.extend(number(first)?..=number(last)?),
                None => cores.push(number(part)?),
            }
        }
        cores.sort_unstable();
        cores.dedup();
        if cores.is_empty() {
            bail!("{text:?} contains no core number");
        }
        Ok(Self(cores))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "core " } else { "cores " })?;
        for (at, core) in self.0.iter().enumerate() {
            write!(f, "{}{core}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// The cores of the servers and of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The servers' cores. They are never under load at the same time.
    pub(crate) servers: Cores,
    /// The load's cores.
    pub(crate) load: Cores,
    /// Whether the two have no core in common.
    pub(crate) apart: bool,
    /// Cores that this program was allowed to use when it started.
    pub(crate) allowed: usize,
}

impl Placement {
    /// Takes the cores that the user named. Chooses the rest to suit servers with `threads` worker threads.
    pub(crate) fn choose(
        servers: Option<Cores>,
        load: Option<Cores>,
        threads: usize,
    ) -> anyhow::Result<Self> {
        let allowed = allowed()?;
        for core in servers.iter().chain(&load).flat_map(|cores| &cores.0) {
            if !allowed.contains(core) {
                bail!(
                    "core {core} is not one that this process may use: {}",
                    Cores(allowed.clone())
                );
            }
        }
        let (default_servers, default_load) = split(&allowed, threads);
        let servers = servers.unwrap_or(default_servers);
        let load = load.unwrap_or(default_load);
        let apart = !servers.0.iter().any(|core| load.0.contains(core));
        Ok(Self { servers, load, apart, allowed: allowed.len() })
    }

    /// Takes the cores that the user named. The rest is one core for each worker, as far as there are cores.
    /// If no other cores are left, the load shares them.
    pub(crate) fn for_workers(
        servers: Option<Cores>,
        load: Option<Cores>,
        workers: usize,
    ) -> anyhow::Result<Self> {
        let (all, rest) = spread(&allowed()?, workers);
        Self::choose(Some(servers.unwrap_or(all)), Some(load.unwrap_or(rest)), workers)
    }

    /// Threads of the load generator: one on each of its cores.
    pub(crate) fn load_threads(&self) -> usize {
        self.load.0.len()
    }
}

/// Takes the first cores for the servers, one for each thread, and the same number of others for the load. A
/// single core is shared by all.
fn split(allowed: &[usize], threads: usize) -> (Cores, Cores) {
    let servers = threads.min(allowed.len() / 2).max(1);
    let load = threads.min(allowed.len().saturating_sub(servers)).max(1);
    let of = |cores: &mut dyn Iterator<Item = &usize>| Cores(cores.copied().collect());
    let first = of(&mut allowed.iter().take(servers));
    let next = of(&mut allowed.iter().cycle().skip(servers).take(load));
    (first, next)
}

/// Takes a core for each worker and the same number of others for the load. If there are no others, the load
/// shares the workers' cores.
fn spread(allowed: &[usize], workers: usize) -> (Cores, Cores) {
    let (servers, rest) = allowed.split_at(workers.min(allowed.len()));
    let load = if rest.is_empty() { servers } else { &rest[..workers.min(rest.len())] };
    (Cores(servers.to_vec()), Cores(load.to_vec()))
}

/// The cores that this program was allowed to use at the first call. Later calls must not ask the system: the
/// thread may have been moved, and the system reports its current cores.
fn allowed() -> anyhow::Result<Vec<usize>> {
    static AT_FIRST: OnceLock<Vec<usize>> = OnceLock::new();

    if let Some(cores) = AT_FIRST.get() {
        return Ok(cores.clone());
    }
    let set = sched_getaffinity(Pid::from_raw(0)).context("cannot read the allowed cores")?;
    let now = (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect();
    Ok(AT_FIRST.get_or_init(|| now).clone())
}

/// Moves the calling thread, and with it every process and thread that it starts later.
pub(crate) fn move_to(cores: &Cores) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for &core in &cores.0 {
        set.set(core).with_context(|| format!("core {core} does not exist"))?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot move to {cores}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges() {
        let cores = |text: &str| text.parse::<Cores>();
        assert_eq!(cores("3").unwrap().to_string(), "core 3");
        assert_eq!(cores("4,0-2,1").unwrap().to_string(), "cores 0,1,2,4");
        for wrong in ["", "a", "1-", "3-1", "1,,2", "99999999"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn servers_and_load_get_cores_of_their_own_where_there_are_enough() {
        let text = |allowed: &[usize], threads| {
            let (servers, load) = split(allowed, threads);
            format!("{servers} / {load}")
        };
        assert_eq!(text(&[0, 1], 1), "core 0 / core 1");
        assert_eq!(text(&[0, 1], 4), "core 0 / core 1");
        assert_eq!(text(&[2, 3, 5, 7], 2), "cores 2,3 / cores 5,7");
        assert_eq!(text(&[0, 1, 2, 3], 1), "core 0 / core 1");
        assert_eq!(text(&[6], 2), "core 6 / core 6");
    }

    #[test]
    fn workers_have_cores_of_their_own_before_the_load_has() {
        let text = |allowed: &[usize], workers| {
            let (servers, load) = spread(allowed, workers);
            format!("{servers} / {load}")
        };
        assert_eq!(text(&[0, 1], 2), "cores 0,1 / cores 0,1");
        assert_eq!(text(&[0, 1, 2], 2), "cores 0,1 / core 2");
        assert_eq!(text(&[0, 1, 2, 3, 4], 2), "cores 0,1 / cores 2,3");
        assert_eq!(text(&[6], 2), "core 6 / core 6");
    }

    #[test]
    fn what_is_allowed_does_not_change_with_where_the_program_is_moved() {
        let at_first = allowed().unwrap();
        let last = Cores(vec![at_first[at_first.len() - 1]]);
        // Uses a thread of its own, so that the threads of other tests stay where they are.
        let then = std::thread::spawn(move || {
            move_to(&last).unwrap();
            allowed().unwrap()
        });
        assert_eq!(then.join().unwrap(), at_first);
    }
}
