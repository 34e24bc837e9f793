//! The copy of the newest ring that was ever current here, for a start whose source has no ring or
//! an older one.
//!
//! The copy is written completely or not at all: to a temporary file beside it, which is flushed to
//! the disk and then renamed.
//!
//! Comments at its beginning record the origin of the ring: the source, and the last ring of that
//! source that was current. A start uses them to judge whether the copy belongs to the source (see
//! [`super::choice`]). They are comments, so the copy is a ring file like any other.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::choice::shares_most_nodes;
use super::{Origin, SourceError, text};
use crate::{Format, Ring, RingId};

const NOTICE: &str =
    "# The newest ring that was in force here. Ringbinder replaces this file with every change.\n";
const SOURCE: &str = "# source: ";
const SOURCE_RING: &str = "# source-ring: ";

/// The location of a copy. Clones share the location and never write at the same time.
#[derive(Clone, Debug)]
pub struct Cache {
    path: PathBuf,
    /// The source, as written in the copy: without control characters.
    source: String,
    writing: Arc<Mutex<()>>,
}

/// The contents of a cache file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) ring: Ring,
    /// The source for which the ring was kept; `None` if the file does not name one.
    pub(super) source: Option<String>,
    /// The last ring of that source that was current here.
    pub(super) source_ring: Option<RingId>,
}

impl Cache {
    pub(super) fn new(path: PathBuf, origin: &Origin) -> Cache {
        let source = origin.to_string().escape_debug().to_string();
        Cache { path, source, writing: Arc::default() }
    }

    /// The path of the copy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a copy of the current ring, and returns the ring that the file holds afterwards.
    ///
    /// A newer copy with the same nodes stays: another process has written it. `source_ring` is the
    /// last ring of the source that was current here; `None` keeps the file's own record of it.
    /// Blocks until the disk has the copy.
    ///
    /// # Errors
    /// If the file cannot be written; the previous copy is then still there.
    pub fn keep(&self, ring: &Ring, source_ring: Option<RingId>) -> io::Result<RingId> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // A copy that cannot be read is replaced.
        let Ok(before) = self.read() else {
            return self.write(ring, source_ring);
        };
        let newer = before.ring.id().version > ring.id().version;
        if newer && shares_most_nodes(&before.ring, ring) {
            return Ok(before.ring.id());
        }
        let recorded = before.source.as_deref() == Some(&self.source);
        let source_ring = source_ring.or(before.source_ring.filter(|_| recorded));
        if before.ring == *ring && recorded && before.source_ring == source_ring {
            return Ok(ring.id());
        }
        self.write(ring, source_ring)
    }

    /// Keeps a copy of a ring, whatever the previous copy holds.
    #[cfg(feature = "etcd")]
    pub(super) fn replace(&self, ring: &Ring) -> io::Result<RingId> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(ring, Some(ring.id()))
    }

    /// Reads the copy.
    ///
    /// # Errors
    /// If there is no file, or it holds no valid ring.
    pub(super) fn read(&self) -> Result<Kept, SourceError> {
        let text = text::read(&self.path)?;
        let ring = parse(&self.path, &text)?;
        let said = |key: &str| {
            let comments = text.lines().take_while(|line| line.starts_with('#'));
            comments.filter_map(|line| line.strip_prefix(key)).next()
        };
        let source_ring = said(SOURCE_RING).and_then(|text| {
            let (version, digest) = text.split_once(' ')?;
            let version = version.parse().ok()?;
            Some(RingId { version, digest: u64::from_str_radix(digest, 16).ok()? })
        });
        Ok(Kept { ring, source: said(SOURCE).map(str::to_owned), source_ring })
    }

    /// Whether a copy was kept for this source, or does not name one.
    pub(super) fn is_of_this_source(&self, kept: &Kept) -> bool {
        kept.source.as_ref().is_none_or(|source| *source == self.source)
    }

    fn write(&self, ring: &Ring, source_ring: Option<RingId>) -> io::Result<RingId> {
        let mut text = format!("{NOTICE}{SOURCE}{}\n", self.source);
        if let Some(RingId { version, digest }) = source_ring {
            text += &format!("{SOURCE_RING}{version} {digest:016x}\n");
        }
        text += &ring.to_toml();
        write_whole(&self.path, &text)?;
        Ok(ring.id())
    }
}

/// Keeps a copy of `ring` at `path`, for no source in particular. It replaces the previous copy.
///
/// The file is readable by everyone, since a ring is not secret. Blocks until the disk has the
/// copy.
///
/// # Errors
/// If the file cannot be written; the previous copy is then still there.
pub fn write_cache(path: &Path, ring: &Ring) -> io::Result<()> {
    write_whole(path, &ring.to_toml())
}

/// Reads the ring kept at `path`.
///
/// # Errors
/// If there is none, or it is not valid.
pub fn read_cache(path: &Path) -> Result<Ring, SourceError> {
    parse(path, &text::read(path)?)
}

fn parse(path: &Path, text: &str) -> Result<Ring, SourceError> {
    let origin = Origin::File(path.to_owned());
    Ring::parse(text, Format::Toml, &origin.to_string()).map_err(SourceError::Invalid)
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut beside = tempfile::Builder::new()
        .prefix(".ring-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    beside.write_all(text.as_bytes())?;
    beside.as_file().sync_all()?;
    beside.persist(path).map_err(|error| error.error)?;
    // Flush the directory, so that the new name survives a crash too.
    File::open(directory)?.sync_all()
}

/// Keeps a copy of `ring` by `how`, if there is a location for it, and returns the ring. A failure
/// to write is logged: the ring is good nevertheless.
#[cfg(feature = "etcd")]
pub(super) async fn keep(
    cache: Option<Cache>,
    ring: Ring,
    how: fn(&Cache, &Ring) -> io::Result<RingId>,
) -> Ring {
    let Some(cache) = cache else { return ring };
    text::on_blocking_thread(move || {
        if let Err(error) = how(&cache, &ring) {
            tracing::warn!(
                "cannot write a copy of the ring to {}: {error}; without it, a start fails while \
                 etcd is unreachable: check that its directory exists and is writable",
                cache.path.display()
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
        ring_of(version, &["a:1"])
    }

    fn ring_of(version: u64, addresses: &[&str]) -> Ring {
        let mut text = format!("version = {version}\n");
        for (number, address) in addresses.iter().enumerate() {
            text += &format!("[[node]]\nname = \"n{number}\"\naddress = \"{address}\"\n");
        }
        Ring::parse(&text, Format::Toml, "test").unwrap()
    }

    #[test]
    fn a_copy_replaces_the_one_before_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        // The extension does not matter: a copy is always TOML.
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
        // A directory has the file's name: the temporary file is removed again.
        fs::create_dir(directory.path().join("taken")).unwrap();
        assert!(write_cache(&directory.path().join("taken"), &ring(1)).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_copy_says_where_it_is_from() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        let cache = Cache::new(path.clone(), &Origin::File("/etc/a\nversion = 9".into()));
        let kept = |source_ring| Kept {
            ring: ring(2),
            source: Some("/etc/a\\nversion = 9".to_owned()),
            source_ring,
        };
        cache.keep(&ring(2), None).unwrap();
        assert_eq!(cache.read().unwrap(), kept(None));
        cache.keep(&ring(2), Some(ring(1).id())).unwrap();
        assert_eq!(cache.read().unwrap(), kept(Some(ring(1).id())));
        cache.keep(&ring(2), None).unwrap();
        assert_eq!(cache.read().unwrap(), kept(Some(ring(1).id())), "what it says stays");
        assert_eq!(read_cache(&path).unwrap(), ring(2));

        // Another source: the record of the previous source does not count.
        let other = Cache::new(path.clone(), &Origin::File("/etc/b".into()));
        assert!(!other.is_of_this_source(&other.read().unwrap()));
        other.keep(&ring(2), None).unwrap();
        assert_eq!(other.read().unwrap().source_ring, None);
        assert!(other.is_of_this_source(&other.read().unwrap()));

        write_cache(&path, &ring(2)).unwrap();
        let bare = other.read().unwrap();
        assert_eq!((bare.source.as_ref(), bare.source_ring), (None, None));
        assert!(other.is_of_this_source(&bare));
    }

    #[test]
    fn an_older_ring_never_replaces_a_newer_one_of_the_same_nodes() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("copy"), &Origin::File("ring.toml".into()));
        let old = ring_of(4, &["a:1", "b:1", "c:1"]);
        let new = ring_of(5, &["a:1", "b:1", "d:1"]);
        assert_eq!(cache.keep(&new, None).unwrap(), new.id());
        assert_eq!(cache.keep(&old, None).unwrap(), new.id());
        assert_eq!(cache.read().unwrap().ring, new);
        // The same version with other content comes from the source, which decides.
        let other = ring_of(5, &["a:1", "b:1"]);
        assert_eq!(cache.keep(&other, None).unwrap(), other.id());
        assert_eq!(cache.keep(&new, None).unwrap(), new.id());
        // Another fleet's copy, with a higher version, does not stay.
        let foreign = ring_of(3, &["a:1", "x:1", "y:1"]);
        assert_eq!(cache.keep(&foreign, None).unwrap(), foreign.id());
        assert_eq!(cache.read().unwrap().ring, foreign);
    }

    #[test]
    fn a_copy_that_says_the_same_is_not_written_again() {
        use std::os::unix::fs::MetadataExt as _;

        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("copy"), &Origin::File("ring.toml".into()));
        let inode = || cache.path().metadata().unwrap().ino();
        cache.keep(&ring(1), Some(ring(1).id())).unwrap();
        let first = inode();
        cache.keep(&ring(1), Some(ring(1).id())).unwrap();
        assert_eq!(inode(), first);
        fs::write(cache.path(), "half").unwrap();
        cache.keep(&ring(1), None).unwrap();
        assert_eq!(cache.read().unwrap().ring, ring(1), "a broken copy is replaced");
    }
}
