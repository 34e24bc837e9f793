//! A control group with a memory limit, like a container's.
//!
//! Version 2 of the interface is tried first, then version 1. In both, the group is created below this
//! process's group, or below one of its ancestors.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// The version of the interface, which decides the names of a group's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A control group that is removed when this is dropped. All its processes must have ended by then.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    version: Version,
}

impl Cgroup {
    /// Creates a group whose processes may use this many bytes of memory together, and no swap.
    ///
    /// # Errors
    /// The reason why the group cannot be created on this machine.
    pub fn with_limit(bytes: u64) -> Result<Cgroup, String> {
        let mounts = read(Path::new("/proc/self/mounts"))?;
        let own = read(Path::new("/proc/self/cgroup"))?;
        let mut why = "no control groups are mounted".to_owned();
        for (version, mount, own) in places(&mounts, &own) {
            // This process's group may not permit groups with limits; an ancestor, up to the root, may.
            for parent in own.ancestors() {
                let parent = mount.join(parent.strip_prefix("/").unwrap_or(parent));
                match Cgroup::below(&parent, version, bytes) {
                    Ok(group) => return Ok(group),
                    Err(error) => why = error,
                }
            }
        }
        Err(why)
    }

    fn below(parent: &Path, version: Version, bytes: u64) -> Result<Cgroup, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if version == Version::Two {
            let control = parent.join("cgroup.subtree_control");
            if !read(&control)?.split_whitespace().any(|name| name == "memory") {
                write(&control, "+memory")?;
            }
        }
        let (id, number) = (std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let folder = parent.join(format!("ringbinder-{id}-{number}"));
        fs::create_dir(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        // From this point on, dropping the value removes the folder.
        let group = Cgroup { folder, version };
        let limit = bytes.to_string();
        match version {
            Version::Two => {
                write(&group.folder.join("memory.max"), &limit)?;
                // Without swap this file does not exist.
                let _ = write(&group.folder.join("memory.swap.max"), "0");
            }
            Version::One => {
                write(&group.folder.join("memory.limit_in_bytes"), &limit)?;
                let _ = write(&group.folder.join("memory.memsw.limit_in_bytes"), &limit);
            }
        }
        Ok(group)
    }

    /// Moves a process into the group. Its present memory stays charged to its old group.
    ///
    /// # Errors
    /// The reason why the process cannot be moved.
    pub fn take(&self, pid: u32) -> Result<(), String> {
        write(&self.folder.join("cgroup.procs"), &pid.to_string())
    }

    /// The peak of the group's memory in bytes, if the kernel reports it.
    pub fn peak(&self) -> Option<u64> {
        let name = match self.version {
            Version::Two => "memory.peak",
            Version::One => "memory.max_usage_in_bytes",
        };
        read(&self.folder.join(name)).ok()?.trim().parse().ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that has just ended leaves the group a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{} cannot be removed", self.folder.display());
    }
}

/// Places where groups may be created: the version, the mount point, and this process's group below it.
fn places(mounts: &str, own: &str) -> Vec<(Version, PathBuf, PathBuf)> {
    let mut places = Vec::new();
    for (version, kind) in [(Version::Two, "cgroup2"), (Version::One, "cgroup")] {
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (mount, found, options) = (words.next()?, words.next()?, words.next()?);
            let fits = version == Version::Two || options.split(',').any(|it| it == "memory");
            (found == kind && fits).then(|| PathBuf::from(mount))
        });
        let own = own.lines().find_map(|line| {
            let mut words = line.splitn(3, ':').skip(1);
            let (controllers, path) = (words.next()?, words.next()?);
            let fits = match version {
                Version::Two => controllers.is_empty(),
                Version::One => controllers.split(',').any(|it| it == "memory"),
            };
            fits.then(|| PathBuf::from(path))
        });
        places.extend(mount.zip(own).map(|(mount, own)| (version, mount, own)));
    }
    places
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_where_they_are_mounted() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let own = "8:cpu:/init\n4:memory:/a/b\n0::/c\n";
        let [two, one] = &places(mounts, own)[..] else { panic!("not both") };
        assert_eq!(*two, (Version::Two, "/sys/fs/cgroup/unified".into(), "/c".into()));
        assert_eq!(*one, (Version::One, "/sys/fs/cgroup/memory".into(), "/a/b".into()));
        assert!(places("proc /proc proc rw 0 0\n", "0::/\n").is_empty());
    }
}
