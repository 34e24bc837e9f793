//! Looks for a snapshot at the start, and decides about it before the first client is served.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ringbinder_store::snapshot::{Decoded, Header, SnapshotError, TAIL_LEN, Totals, check_tail};
use rustix::fs::{Advice, fadvise};
use tracing::{info, warn};

use super::file;
use super::restore::{Pending, header_fits};
use super::stream::{ReadError, Stream};
use crate::worker::shared::Shared;

/// Opens the snapshot that the settings name, if it may be restored. Otherwise logs the reason. A
/// snapshot that may not be restored is moved away, so that it is never restored later, unless it
/// needs a decision of the operator.
pub(crate) fn open(shared: &Shared) -> Option<Pending> {
    let path = shared.snapshots.path.as_deref()?;
    let found = match look(path, longest(shared)) {
        Ok(Some(found)) => found,
        Ok(None) => {
            info!("no snapshot at {}: the cache starts empty", path.display());
            return None;
        }
        Err(error) => {
            refuse(shared, path, &error.to_string(), error.is_ours(path));
            return None;
        }
    };
    let Found { stream, header, totals, len } = found;
    if let Err(reason) = header_fits(shared, &header) {
        refuse(shared, path, &reason, header.is_clean);
        return None;
    }
    if !header.is_clean && !shared.snapshots.stale {
        let reason = "it was written while the node served, so clients may have changed its items \
                      since; --snapshot-stale restores old values too";
        refuse(shared, path, reason, false);
        return None;
    }
    if header.is_clean
        && let Err(error) = consume(path)
    {
        refuse(shared, path, &format!("cannot remove the file first: {error}"), false);
        return None;
    }
    let header = Header { items: totals.items, ..header };
    let from = format!("the snapshot {}", path.display());
    Pending::new(shared, stream, &header, from, Some(len))
}

/// Prevents a snapshot from being restored at a later start, if this node has its items from
/// another process.
pub(crate) fn put_aside(shared: &Shared) {
    if let Some(path) = shared.snapshots.path.as_deref()
        && let Ok(Some(found)) = look(path, longest(shared))
        && found.header.is_clean
    {
        refuse(shared, path, "another process handed over its items", true);
    }
}

/// The reason why a file's beginning or end makes it unusable; `None` if both are valid, or if
/// there is no file.
pub(super) fn damage(path: &Path) -> Option<String> {
    look(path, usize::MAX).err().map(|error| error.to_string())
}

/// The size in bytes of the largest item that is read.
pub(crate) fn longest(shared: &Shared) -> usize {
    usize::try_from(shared.settings.max_item_size).unwrap_or(usize::MAX)
}

fn refuse(shared: &Shared, path: &Path, reason: &str, aside: bool) {
    shared.snapshots.progress.refuse();
    let left = match aside.then(|| file::set_aside(path)) {
        None => "the file stays in its place".to_owned(),
        Some(Ok(place)) => format!("the file is kept as {}", place.display()),
        Some(Err(error)) => format!("cannot rename the file: {error}"),
    };
    warn!("cannot restore the snapshot {}: {reason}; {left}", path.display());
}

/// Removes the snapshot in a way that survives a failure of the machine.
fn consume(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_directory(path)
}

/// Makes changes of the names in a file's directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// A snapshot with a valid header and end.
struct Found {
    stream: Stream<Box<dyn io::Read + Send>>,
    header: Header,
    totals: Totals,
    len: u64,
}

/// The reason why a file is not restored.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("not a regular file")]
    NoFile,
}

impl LookError {
    /// Whether the file was written as a snapshot, so that this node may move it.
    fn is_ours(&self, path: &Path) -> bool {
        match self {
            LookError::Read(ReadError::Snapshot(SnapshotError::Foreign)) => {
                file::found(path).is_ok_and(|found| found == file::Found::Damaged)
            }
            LookError::Read(ReadError::Snapshot(_)) => true,
            LookError::Read(ReadError::Io(_)) | LookError::NoFile => false,
        }
    }
}

impl From<io::Error> for LookError {
    fn from(error: io::Error) -> Self {
        LookError::Read(error.into())
    }
}

/// Checks a file's header and end.
fn look(path: &Path, longest: usize) -> Result<Option<Found>, LookError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if !metadata.is_file() {
        return Err(LookError::NoFile);
    }
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    // This call only makes the system read ahead.
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    let mut tail = [0; TAIL_LEN];
    let end = len.checked_sub(TAIL_LEN as u64);
    let end = end.map(|start| file.read_exact_at(&mut tail, start)).transpose()?;
    let mut stream = Stream::new(Box::new(file) as Box<dyn io::Read + Send>, longest);
    let (_, header) = stream.next(|decoded| match decoded {
        Decoded::Header(header) => header,
        _ => Header::default(),
    })?;
    let totals = end.map(|()| check_tail(&tail, len)).unwrap_or(Err(SnapshotError::CutOff));
    let totals = totals.map_err(ReadError::from)?;
    Ok(Some(Found { stream, header, totals, len }))
}
