//! Atomic changes to a ring file, one at a time.
//!
//! - The process that changes a file holds a lock on it (`flock`). A change replaces the file, so a process
//!   that gets the lock checks that the name still leads to the locked file, and starts again if not. It
//!   reads the text under the lock, so two concurrent changes both take effect.
//! - The new text is written to a file beside the old one, flushed to disk, and renamed over it. At every
//!   moment, even after a power failure, the name leads to the old text or to the new one.
//! - An editor does not take the lock. A text that it writes meanwhile is detected just before the new text
//!   would replace it.
//! - A file that is itself a mount, such as a file mounted into a container, cannot be replaced. It is
//!   written in place: see [`overwrite`].
//! - Symbolic links stay: the file behind them is replaced. The mode stays, and so does the owner if the
//!   system permits.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid, fchown};
use ringbinder_ring::source::{Origin, SourceError, read_text};
use ringbinder_ring::{Format, Ring};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use super::edit;
use crate::error::CliError;
use crate::ring::change::{self, Change};

/// Interval between attempts to take a lock that another process holds.
const RETRY: Duration = Duration::from_millis(20);

/// An exclusive lock on a ring file, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(Flock<File>);

/// The way a new text was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A new file replaced the old one.
    Replaced,
    /// The file was overwritten in place.
    InPlace,
}

/// A ring file and its text, from which changes are made.
#[derive(Debug)]
pub(crate) struct Editor {
    /// The name that the user gave, for messages.
    name: PathBuf,
    /// The path behind all links.
    path: PathBuf,
    format: Format,
    text: String,
    ring: Ring,
}

impl Editor {
    /// Opens and locks the file for a change. If another process holds the lock, waits for at most `wait`.
    ///
    /// # Errors
    /// If there is no such file, it does not hold a valid ring, it cannot be written, or the lock stays held.
    pub(crate) fn open(name: &Path, wait: Duration) -> Result<(Editor, Lock), CliError> {
        let deadline = Instant::now() + wait;
        loop {
            let path = resolve(name)?;
            let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|source| {
                let hint = match source.kind() {
                    io::ErrorKind::ReadOnlyFilesystem => {
                        "it is mounted read-only here: change it where the mount comes from; nothing \
                         was changed"
                    }
                    _ => "check who may write it; nothing was changed",
                };
                CliError::Write { path: name.to_owned(), source, hint }
            })?;
            let lock = lock(file, name, deadline)?;
            let locked = lock.metadata().map_err(|error| unreadable(name, &error))?;
            if path.metadata().is_ok_and(|now| same_file(&now, &locked)) {
                return Ok((Editor::read(name, path)?, Lock(lock)));
            }
            // Another process replaced the file during the wait.
        }
    }

    /// Opens the file for reading, without a lock.
    ///
    /// # Errors
    /// If there is no such file, or it does not hold a valid ring.
    pub(crate) fn look(name: &Path) -> Result<Editor, CliError> {
        Editor::read(name, resolve(name)?)
    }

    fn read(name: &Path, path: PathBuf) -> Result<Editor, CliError> {
        // The format follows from the name that the user gave, even if it is a link.
        let format = Format::of(name).map_err(SourceError::Invalid)?;
        let text = read_text(&path)?;
        let ring = Ring::parse(&text, format, &name.display().to_string());
        let ring = ring.map_err(SourceError::Invalid)?;
        Ok(Editor { name: name.to_owned(), path, format, text, ring })
    }

    /// The current ring.
    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The changed ring, and the text of the file for it.
    ///
    /// # Errors
    /// If the change does not fit the ring, or the file cannot be edited in place.
    pub(crate) fn change(&self, change: &Change) -> Result<(Ring, String), CliError> {
        let origin = self.name.display().to_string();
        let new = change::apply(&self.ring, std::slice::from_ref(change), &origin)?;
        let text = edit(&self.text, self.format, &self.ring, change, &new);
        let text = text.ok_or_else(|| CliError::Layout { path: self.name.clone() })?;
        Ok((new, text))
    }

    /// Replaces the text of the locked file with `text`.
    ///
    /// # Errors
    /// If the file cannot be written, or another program has changed it. The file then keeps its text.
    pub(crate) fn write(&self, text: &str, lock: Lock) -> Result<Written, CliError> {
        if is_mount(&self.path) {
            return self.write_in_place(text, lock);
        }
        let hint = "its directory must be writable, because a new file replaces the old one; \
            nothing was changed";
        let failed = |source| CliError::Write { path: self.name.clone(), source, hint };
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let before = lock.0.metadata().map_err(failed)?;
        let mut beside = tempfile::Builder::new()
            .prefix(".ring-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(directory)
            .map_err(failed)?;
        beside.write_all(text.as_bytes()).map_err(failed)?;
        dress(beside.as_file(), &before).map_err(failed)?;
        beside.as_file().sync_all().map_err(failed)?;
        self.untouched(&before)?;
        match beside.persist(&self.path) {
            Ok(_) => {}
            // An old kernel does not report beforehand that the file is a mount.
            Err(error) if error.error.kind() == io::ErrorKind::ResourceBusy => {
                drop(error);
                return self.write_in_place(text, lock);
            }
            Err(error) => return Err(failed(error.error)),
        }
        // The new name must survive a crash too. If a directory cannot be flushed, the system does that
        // later.
        if let Ok(directory) = File::open(directory) {
            let _ = directory.sync_all();
        }
        Ok(Written::Replaced)
    }

    /// Overwrites the locked file in place.
    fn write_in_place(&self, text: &str, lock: Lock) -> Result<Written, CliError> {
        let failed = |hint| move |source| CliError::Write { path: self.name.clone(), source, hint };
        let nothing = "it is a mount and cannot be replaced; nothing was changed";
        let before = lock.0.metadata().map_err(failed(nothing))?;
        self.untouched(&before)?;
        if let Err(error) = overwrite(&lock.0, text) {
            // Writing may fail on a full disk. The old text needs no more room than it had.
            let hint = match overwrite(&lock.0, &self.text) {
                Ok(()) => nothing,
                Err(_) => {
                    "it is a mount, and writing it in place failed halfway: restore it; nodes \
                     keep their current ring"
                }
            };
            return Err(failed(hint)(error));
        }
        Ok(Written::InPlace)
    }

    /// Checks that the file has not been written since it was read.
    fn untouched(&self, before: &Metadata) -> Result<(), CliError> {
        let now = self.path.metadata();
        let is_same = now.is_ok_and(|now| same_file(&now, before))
            && read_text(&self.path).is_ok_and(|now| now == self.text);
        if is_same { Ok(()) } else { Err(CliError::Touched { path: self.name.clone() }) }
    }
}

/// The path behind all links.
fn resolve(name: &Path) -> Result<PathBuf, CliError> {
    let path = fs::canonicalize(name).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(Origin::File(name.to_owned())).into(),
        _ => unreadable(name, &error),
    })?;
    // Checked before it is opened: opening a pipe would wait for its writer.
    let metadata = path.metadata().map_err(|error| unreadable(name, &error))?;
    if !metadata.is_file() {
        return Err(unreadable(name, &io::Error::other("it is not a regular file")));
    }
    Ok(path)
}

fn unreadable(name: &Path, error: &io::Error) -> CliError {
    let (path, kind, reason) = (name.to_owned(), error.kind(), error.to_string());
    SourceError::Unreadable { path, kind, reason }.into()
}

fn lock(mut file: File, name: &Path, deadline: Instant) -> Result<Flock<File>, CliError> {
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((same, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                if Instant::now() >= deadline {
                    return Err(CliError::Busy { path: name.to_owned() });
                }
                file = same;
                std::thread::sleep(RETRY);
            }
            Err((_, error)) => {
                let hint = "its file system does not support locks; nothing was changed";
                return Err(CliError::Write { path: name.to_owned(), source: error.into(), hint });
            }
        }
    }
}

/// Whether the file is itself a mount. False if the system does not report it.
fn is_mount(path: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    statx(CWD, path, flags, StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Overwrites the text of a file in place. At every moment, even after a crash, the file holds the old
/// text, the new text, or a text that is invalid in every format: its first byte is NUL until all other
/// bytes are on disk. Otherwise, part of a text could be a valid ring with fewer nodes. Nodes read a file
/// only when it has stopped changing, and keep their ring while the file is invalid.
fn overwrite(file: &File, text: &str) -> io::Result<()> {
    let Some((first, rest)) = text.as_bytes().split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    file.write_all_at(&[0], 0)?;
    file.sync_data()?;
    file.write_all_at(rest, 1)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()?;
    file.write_all_at(&[*first], 0)?;
    file.sync_all()
}

fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Gives a new file the mode of the old one, and its owner and group if the system permits.
fn dress(new: &File, old: &Metadata) -> io::Result<()> {
    let fresh = new.metadata()?;
    // Set separately: the system may permit one and not the other.
    if fresh.gid() != old.gid() {
        let _ = fchown(new, None, Some(Gid::from_raw(old.gid())));
    }
    if fresh.uid() != old.uid() {
        let _ = fchown(new, Some(Uid::from_raw(old.uid())), None);
    }
    new.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ring::change::NewWeight;

    const TEXT: &str = "version = 1\n[[node]]\nname = \"a\"\naddress = \"h:1\"\n";
    const NOW: Duration = Duration::ZERO;

    fn change() -> Change {
        Change::Weight(NewWeight::new("a", 2).unwrap())
    }

    #[test]
    fn a_link_and_the_mode_stay() {
        let directory = tempfile::tempdir().unwrap();
        let [real, link] = ["real.toml", "ring.toml"].map(|name| directory.path().join(name));
        fs::write(&real, TEXT).unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        symlink("real.toml", &link).unwrap();
        let (editor, lock) = Editor::open(&link, NOW).unwrap();
        let (new, text) = editor.change(&change()).unwrap();
        editor.write(&text, lock).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("real.toml"));
        assert_eq!(Ring::load(&real).unwrap(), new);
        assert_eq!(real.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_an_editor_writes_meanwhile_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        let theirs = TEXT.replace("h:1", "h:9");
        // In place, and by renaming.
        for rename in [false, true] {
            fs::write(&path, TEXT).unwrap();
            let (editor, lock) = Editor::open(&path, NOW).unwrap();
            let (_, text) = editor.change(&change()).unwrap();
            let other = if rename { directory.path().join("new") } else { path.clone() };
            fs::write(&other, &theirs).unwrap();
            fs::rename(&other, &path).unwrap();
            let error = editor.write(&text, lock).unwrap_err();
            assert!(matches!(error, CliError::Touched { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_text_written_in_place_is_a_ring_only_when_it_is_all_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        let long = TEXT.replace("h:1", "a-longer-name-of-a-host:1");
        for (old, new) in [(TEXT, long.as_str()), (&long, TEXT)] {
            fs::write(&path, old).unwrap();
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            overwrite(&file, new).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), new);
        }
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            let text = match format {
                Format::Json => r#"{"version": 1, "node": [{"name": "a", "address": "h:1"}]}"#,
                Format::Yaml => "version: 1\nnode:\n  - name: a\n    address: h:1\n",
                Format::Toml => TEXT,
            };
            // The lost first byte has no meaning, so only the NUL makes the text invalid.
            for first in ["\n", "\n\n", "# Ours\n"] {
                let whole =
                    if format == Format::Json { text.to_owned() } else { format!("{first}{text}") };
                assert!(Ring::parse(&whole, format, "it").is_ok(), "{whole:?}");
                let torn = format!("\0{}", &whole[1..]);
                assert!(Ring::parse(&torn, format, "it").is_err(), "{torn:?}");
            }
            let torn = format!("\0{text}");
            assert!(Ring::parse(&torn, format, "it").is_err(), "{torn:?}");
        }
    }

    #[test]
    fn a_file_is_one_persons_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        fs::write(&path, TEXT).unwrap();
        let (first, lock) = Editor::open(&path, NOW).unwrap();
        let error = Editor::open(&path, NOW).unwrap_err();
        assert!(matches!(error, CliError::Busy { .. }), "{error}");
        // The lock is on the file that the first change replaces, so the process that waits for it starts
        // again.
        let (_, text) = first.change(&change()).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Editor::open(&path, Duration::from_secs(60)).unwrap().0.ring().clone()
        });
        first.write(&text, lock).unwrap();
        assert_eq!(waiting.join().unwrap().id().version, 2);
    }
}
