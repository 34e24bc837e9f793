//! The copy of the last good ring, for a start while etcd is away.
//!
//! It is written whole or not at all: a temporary file beside it, flushed to the disk, then renamed.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Origin, SourceError, text};
use crate::{Format, Ring};

/// Keeps a copy of `ring` at `path`, in place of the one before.
///
/// The file is readable by everyone, as a ring is no secret. Blocks until the disk has it.
///
/// # Errors
/// Where it cannot be written; the copy before is then still there.
pub fn write_cache(path: &Path, ring: &Ring) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut beside = tempfile::Builder::new()
        .prefix(".ring-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    beside.write_all(ring.to_toml().as_bytes())?;
    beside.as_file().sync_all()?;
    beside.persist(path).map_err(|error| error.error)?;
    // The new name too is to survive a crash.
    File::open(directory)?.sync_all()
}

/// The ring that [`write_cache`] kept at `path`.
///
/// # Errors
/// Where there is none, or none that is good.
pub fn read_cache(path: &Path) -> Result<Ring, SourceError> {
    let text = text::read(path)?;
    let origin = Origin::File(path.to_owned());
    Ring::parse(&text, Format::Toml, &origin.to_string()).map_err(SourceError::Invalid)
}

/// Keeps a copy of `ring`, if there is a place for it, and gives it back. A copy that cannot be
/// written is logged: the ring is good all the same.
#[cfg(feature = "etcd")]
pub(super) async fn keep(path: Option<&Path>, ring: Ring) -> Ring {
    let Some(path) = path else { return ring };
    let path = path.to_owned();
    text::on_blocking_thread(move || {
        if let Err(error) = write_cache(&path, &ring) {
            tracing::warn!(
                "cannot keep a copy of the ring in {}: {error}; without it a start fails while \
                 etcd is away: check that its directory exists and is writable",
                path.display()
            );
        }
        ring
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn ring(version: u64) -> Ring {
        let text = format!("version = {version}\n[[node]]\nname = \"a\"\naddress = \"a:1\"\n");
        Ring::parse(&text, Format::Toml, "test").unwrap()
    }

    #[test]
    fn a_copy_replaces_the_one_before_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        // The ending says nothing: a copy is always TOML.
        let path = directory.path().join("ring.copy");
        for version in [1, 2] {
            write_cache(&path, &ring(version)).unwrap();
            assert_eq!(read_cache(&path).unwrap(), ring(version));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn a_copy_that_cannot_be_written_or_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        assert!(matches!(read_cache(&path), Err(SourceError::Missing(_))));
        fs::write(&path, "version = 0\n").unwrap();
        assert!(matches!(read_cache(&path), Err(SourceError::Invalid(_))));
        assert!(write_cache(&directory.path().join("none/ring.toml"), &ring(1)).is_err());
        // A directory is in the place of the file: what was written beside it goes away again.
        fs::create_dir(directory.path().join("taken")).unwrap();
        assert!(write_cache(&directory.path().join("taken"), &ring(1)).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
