//! The pid file (`-P`): one line with the process number, for scripts that signal the server.
//!
//! It is written to a temporary file and renamed, so that a reader never finds it empty. It is
//! removed when the server stops, unless another process has put its own number there meanwhile.
//! memcached writes one only together with `-d`; here `-P` is enough. As in memcached, a pid file
//! that cannot be written causes a warning, and the node still serves.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use ringbinder_ring::regular;

/// The most bytes read of a pid file: more than any number has.
const MAX_LEN: u64 = 64;

/// The pid file could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write the pid file {}: {source}; the node serves without one: name another place with -P",
    path.display()
)]
pub(crate) struct PidFileError {
    /// The requested path.
    pub(crate) path: PathBuf,
    /// The system's error.
    pub(crate) source: io::Error,
}

/// A pid file of this process, removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    pid: u32,
}

impl PidFile {
    /// Writes the number of this process to `path`.
    ///
    /// The second part of the result is a warning, if the old file named a process that is still
    /// alive.
    pub(crate) fn create(path: &Path) -> Result<(Self, Option<String>), PidFileError> {
        Self::write(path).map_err(|source| PidFileError { path: path.into(), source })
    }

    /// Checks that [`PidFile::create`] could write `path`, and changes nothing.
    pub(crate) fn check(path: &Path) -> Result<(), PidFileError> {
        let try_out = || {
            let path = std::path::absolute(path)?;
            replaceable(&path)?;
            let pid = std::process::id();
            let aside = aside(&path, pid);
            write_new(&aside, pid)?;
            fs::remove_file(&aside)
        };
        try_out().map_err(|source| PidFileError { path: path.into(), source })
    }

    fn write(path: &Path) -> io::Result<(Self, Option<String>)> {
        // Absolute, because a daemon leaves the directory to which a relative path refers.
        let path = std::path::absolute(path)?;
        replaceable(&path)?;
        let pid = std::process::id();
        let warning = read_pid(&path).filter(|&old| old != pid && is_alive(old)).map(|old| {
            format!("the pid file {} named process {old}, which is running", path.display())
        });

        let aside = aside(&path, pid);
        let written = write_new(&aside, pid).and_then(|()| fs::rename(&aside, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&aside);
            return Err(error);
        }
        Ok((Self { path, pid }, warning))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read_pid(&self.path) == Some(self.pid)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("cannot remove the pid file {}: {error}", self.path.display());
        }
    }
}

/// The temporary file of this process.
fn aside(path: &Path, pid: u32) -> PathBuf {
    let mut aside = path.to_owned().into_os_string();
    aside.push(format!(".{pid}.tmp"));
    aside.into()
}

/// Writes a file that must not exist yet, so that a link planted in a shared directory is not
/// followed.
fn write_new(path: &Path, pid: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    writeln!(file, "{pid}")
}

/// Whether a file may be replaced. A pipe, or a device such as `/dev/null`, may not.
fn replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() && !there.is_symlink() => {
            Err(io::Error::other("what is there is not a regular file"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn read_pid(path: &Path) -> Option<u32> {
    let text = regular::read(path, MAX_LEN).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

fn is_alive(pid: u32) -> bool {
    match i32::try_from(pid) {
        Ok(pid) if pid > 0 => !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_this_process_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ringbinderd.pid");
        let (file, warning) = PidFile::create(&path).unwrap();
        assert_eq!(warning, None);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left aside");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn warns_of_a_living_predecessor_and_not_of_a_dead_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let parent = std::os::unix::process::parent_id();
        fs::write(&path, format!("{parent}\n")).unwrap();
        let (_file, warning) = PidFile::create(&path).unwrap();
        assert!(warning.unwrap().contains(&format!("named process {parent}")));

        for stale in ["", "rubbish", "0", "-1", "2147483647"] {
            fs::write(&path, stale).unwrap();
            let (_file, warning) = PidFile::create(&path).unwrap();
            assert_eq!(warning, None, "{stale:?}");
        }
    }

    #[test]
    fn leaves_the_file_of_a_successor_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let (file, _) = PidFile::create(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("pid");
        let error = PidFile::create(&path).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert_eq!(PidFile::check(&path).unwrap_err().to_string(), error.to_string());
    }

    #[test]
    fn what_is_no_regular_file_is_neither_waited_for_nor_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("pipe", &link).unwrap();
        for path in [pipe.as_path(), dir.path()] {
            assert!(PidFile::create(path).unwrap_err().to_string().contains("not a regular file"));
            assert!(PidFile::check(path).is_err());
        }
        // A link is replaced, and its target is left alone.
        let (file, warning) = PidFile::create(&link).unwrap();
        assert_eq!(warning, None);
        drop(file);
        assert!(pipe.exists() && !link.exists());
    }

    #[test]
    fn a_check_fails_as_a_start_would_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "1\n").unwrap();
        PidFile::check(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let (checked, created) = (PidFile::check(dir.path()), PidFile::create(dir.path()));
        assert_eq!(checked.unwrap_err().to_string(), created.unwrap_err().to_string());
    }
}
