//! The file at the snapshot's path, and the path where a rejected snapshot is kept.
//!
//! A file that may not be ours is never replaced, renamed or removed. A file is ours if it begins
//! as a snapshot does, or if it may be a damaged snapshot: it ends as a snapshot does, it begins
//! with nearly the right bytes, or it begins with a block of zeros, as a file system leaves it
//! after a power loss.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ringbinder_ring::regular;
use ringbinder_store::snapshot::{MAGIC, TAIL_LEN, check_tail};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// The number of bytes checked for zeros: the block of a file system.
const BLOCK: u64 = 4096;

/// The number of wrong bytes allowed at the beginning of a damaged snapshot.
const WRONG_BYTES: usize = 2;

/// The number of names tried for a rejected snapshot.
const NAMES: u32 = 9;

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No file, or an empty file, which an operator may have created in advance.
    Nothing,
    /// A file that begins as a snapshot.
    Snapshot,
    /// A damaged or unfinished snapshot.
    Damaged,
    /// Any other file.
    OtherFile,
}

/// Examines a place.
///
/// # Errors
/// The system's error, unless there is no file.
pub(super) fn found(path: &Path) -> io::Result<Found> {
    let len = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
        Ok(there) if !there.is_file() => return Ok(Found::OtherFile),
        Ok(there) => there.len(),
    };
    if len == 0 {
        return Ok(Found::Nothing);
    }
    let file = regular::open(path)?;
    let mut begin = Vec::new();
    (&file).take(BLOCK).read_to_end(&mut begin)?;
    if begin.starts_with(&MAGIC) {
        return Ok(Found::Snapshot);
    }
    let right = begin.iter().zip(MAGIC).filter(|(byte, right)| **byte == *right).count();
    if begin.iter().all(|byte| *byte == 0) || right >= MAGIC.len() - WRONG_BYTES {
        return Ok(Found::Damaged);
    }
    let mut tail = [0; TAIL_LEN];
    let ends_well = match len.checked_sub(TAIL_LEN as u64) {
        Some(start) => {
            file.read_exact_at(&mut tail, start)?;
            check_tail(&tail, len).is_ok()
        }
        None => false,
    };
    Ok(if ends_well { Found::Damaged } else { Found::OtherFile })
}

/// Moves a rejected snapshot to the place where such files are kept, and returns that place. It
/// replaces the one kept before, but never a file that may not be ours.
///
/// # Errors
/// An error if it cannot be moved.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..=NAMES {
        let mut aside = path.to_owned().into_os_string();
        aside.push(if number == 1 {
            ".rejected".to_owned()
        } else {
            format!(".rejected-{number}")
        });
        let aside = PathBuf::from(aside);
        let moved = match found(&aside)? {
            Found::OtherFile => continue,
            Found::Snapshot | Found::Damaged => fs::rename(path, &aside),
            Found::Nothing => match renameat_with(CWD, path, CWD, &aside, RenameFlags::NOREPLACE) {
                // It is empty, or was created just now.
                Err(Errno::EXIST) => continue,
                // Some file systems cannot guarantee that.
                Err(Errno::INVAL | Errno::NOSYS) => fs::rename(path, &aside),
                other => other.map_err(io::Error::from),
            },
        };
        return moved.map(|()| aside);
    }
    Err(io::Error::other(
        "all names for the rejected file are taken by files that are not snapshots",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_damage_leaves_is_told_from_what_is_somebody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot");
        let found = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            super::found(&path).unwrap()
        };
        assert_eq!(found(b""), Found::Nothing);
        assert_eq!(found(b"RBSNAP\r\nand more"), Found::Snapshot);
        assert_eq!(found(&[0; 3]), Found::Damaged);
        assert_eq!(found(&[0; 100_000]), Found::Damaged);
        assert_eq!(found(&[&[0; 4096][..], b"more"].concat()), Found::Damaged);
        assert_eq!(found(b"rBSNAP\r\nand more"), Found::Damaged);
        assert_eq!(found(b"RBSNAP\n\nand more"), Found::Damaged);
        assert_eq!(found(b"RB"), Found::OtherFile);
        assert_eq!(found(b"something dear"), Found::OtherFile);
        assert_eq!(found(&[&[0; 100][..], b"an image of a disk"].concat()), Found::OtherFile);
        fs::remove_file(&path).unwrap();
        assert_eq!(super::found(&path).unwrap(), Found::Nothing);
        assert_eq!(super::found(dir.path()).unwrap(), Found::OtherFile);
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert_eq!(super::found(&path).unwrap(), Found::OtherFile);
    }

    #[test]
    fn one_is_kept_and_nothing_of_others_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let put = |name: &str, bytes: &[u8]| fs::write(at(name), bytes).unwrap();
        put("s", b"RBSNAP\r\n1");
        assert_eq!(set_aside(&at("s")).unwrap(), at("s.rejected"));
        put("s", &[0; 10]);
        assert_eq!(set_aside(&at("s")).unwrap(), at("s.rejected"));
        assert_eq!(fs::read(at("s.rejected")).unwrap(), [0; 10]);
        put("s.rejected", b"something dear");
        put("s", b"RBSNAP\r\n2");
        assert_eq!(set_aside(&at("s")).unwrap(), at("s.rejected-2"));
        assert_eq!(fs::read(at("s.rejected")).unwrap(), b"something dear");
        for number in 2..=NAMES {
            put(&format!("s.rejected-{number}"), b"something dear");
        }
        put("s", b"RBSNAP\r\n3");
        assert!(set_aside(&at("s")).is_err());
        assert_eq!(fs::read(at("s")).unwrap(), b"RBSNAP\r\n3");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1 + NAMES as usize);
    }
}
