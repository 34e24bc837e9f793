//! A control group with a limit of memory, as a container has one.
//!
//! Version 2 of the interface is tried first, then version 1. Both are used below the group that this
//! process is in, and below its ancestors.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Which files a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A group of its own, removed when this is dropped. The processes in it have to be gone by then.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    version: Version,
}

impl Cgroup {
    /// A group whose processes may have so many bytes of memory together, and no swap.
    ///
    /// # Errors
    /// Why this machine has none for us.
    pub fn with_limit(bytes: u64) -> Result<Cgroup, String> {
        let mounts = read(Path::new("/proc/self/mounts"))?;
        let own = read(Path::new("/proc/self/cgroup"))?;
        let mut why = "no control groups are mounted".to_owned();
        for (version, mount, own) in places(&mounts, &own) {
            // An ancestor of ours may be where groups with limits can be made, up to the root.
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
        // From here on dropping it removes the folder.
        let group = Cgroup { folder, version };
        let limit = bytes.to_string();
        match version {
            Version::Two => {
                write(&group.folder.join("memory.max"), &limit)?;
                // Where there is no swap there is no such file.
                let _ = write(&group.folder.join("memory.swap.max"), "0");
            }
            Version::One => {
                write(&group.folder.join("memory.limit_in_bytes"), &limit)?;
                let _ = write(&group.folder.join("memory.memsw.limit_in_bytes"), &limit);
            }
        }
        Ok(group)
    }

    /// Puts a process into it. What it has in memory so far counts where it was before.
    ///
    /// # Errors
    /// Why the process cannot be moved.
    pub fn take(&self, pid: u32) -> Result<(), String> {
        write(&self.folder.join("cgroup.procs"), &pid.to_string())
    }

    /// The most bytes that the group had at any moment, if the kernel says so.
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
        // A process that has just ended leaves a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{} cannot be removed", self.folder.display());
    }
}

/// Where groups may be made: the version, where it is mounted, and our own place in it.
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
