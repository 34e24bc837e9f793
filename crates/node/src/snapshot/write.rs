//! Writes a snapshot to a temporary file, makes it durable, and only then gives it its name.
//!
//! If anything goes wrong, the previous snapshot is intact and no other file is left behind. A file
//! that is not a snapshot is never replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ringbinder_store::snapshot::{Encoder, Header, Origin, Totals};
use ringbinder_store::{Expiry, ItemRef, Meta, Store, ValueRef};
use tracing::{error, info};

use super::file::{self, Found};
use super::open::{damage, sync_directory};
use crate::process::clock::Clock;
use crate::process::exit::ExitCode;
use crate::process::supervisor;
use crate::worker::shared::Shared;

/// The interval at which the service manager is reported that this process is still busy.
const REPORT_EVERY: Duration = Duration::from_secs(3);

/// The result of writing a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Its path.
    pub(crate) path: PathBuf,
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { path, items, bytes, took } = self;
        let mib = bytes >> 20;
        write!(f, "{} holds {items} items ({mib} MiB), written in {took:.1?}", path.display())
    }
}

/// The reason why no snapshot was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("cannot write a snapshot: no file is set; name one with -e, --snapshot")]
    NoFile,
    #[error("cannot write a snapshot: another one is being written; wait until it is complete")]
    Busy,
    #[error("cannot write a snapshot: the node is stopping, which writes one")]
    Stopping,
    #[error(
        "cannot write the snapshot {}: a file of that name is not a snapshot; move it, or choose \
         another name with -e", path.display()
    )]
    OtherFile { path: PathBuf },
    #[error(
        "cannot restore the snapshot {}: {reason}; remove the file, or start without \
         --snapshot-strict", path.display()
    )]
    Damaged { path: PathBuf, reason: String },
    #[error("cannot write the snapshot {} ({doing}): {source}; {advice}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error, advice: &'static str },
    /// There were items, but their snapshot could not be guaranteed to be current.
    #[error("cannot write a snapshot: {0}; the next start is cold")]
    Unsafe(&'static str),
}

impl WriteError {
    /// The process's exit code for this error.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            WriteError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ExitCode::NoPermission
            }
            WriteError::Unsafe(_) => ExitCode::Failure,
            _ => ExitCode::CannotCreate,
        }
    }

    fn io(path: &Path, doing: &'static str, source: io::Error) -> WriteError {
        let advice = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space, or choose another place with -e"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "let the node's user write to that directory"
            }
            io::ErrorKind::NotFound => "create its directory first",
            _ => "check the path, or choose another with -e",
        };
        WriteError::Io { path: path.to_owned(), doing, source, advice }
    }
}

/// The header of a snapshot of this node; `None` while its ring is changing, because the owner of
/// its keys is unknown then.
pub(crate) fn header(shared: &Shared, is_clean: bool) -> Option<Header> {
    let origin = match &shared.ring {
        None => None,
        Some(ring) => {
            let view = ring.view();
            if !view.joined || !view.clean {
                return None;
            }
            let (id, node) = (view.id(), ring.name());
            Some(Origin { version: id.version, digest: id.digest, node })
        }
    };
    Some(Header {
        is_clean,
        written_at: shared.clock.unix(shared.clock.now()),
        last_cas: shared.store.last_cas(),
        items: shared.store.counters().items,
        flush_due: shared.store.flush_due().map(|due| shared.clock.unix(due)),
        origin,
    })
}

/// Writes a snapshot while the node serves.
///
/// # Errors
/// An error if that fails, or if a snapshot is already being written.
pub(crate) async fn on_demand(shared: &Arc<Shared>) -> Result<Report, WriteError> {
    let shared = Arc::clone(shared);
    let written = tokio::task::spawn_blocking(move || write(&shared, false)).await;
    match written {
        Ok(written) => written,
        Err(_) => Err(WriteError::Stopping),
    }
}

/// Writes the snapshot of a node that has stopped serving. `all_ended` says that no connection can
/// change an item any more.
///
/// # Errors
/// An error if a snapshot was due but was not written.
pub(crate) fn at_stop(shared: &Shared, all_ended: bool) -> Result<(), WriteError> {
    // The process that took over has the items.
    if shared.snapshots.path.is_none() || shared.gate.is_given() {
        return Ok(());
    }
    if !all_ended {
        return Err(WriteError::Unsafe("some connections did not end"));
    }
    // Items that are not restored yet would be lost.
    supervisor::while_waiting(|| shared.snapshots.progress.wait_for_restore());
    // A snapshot on demand gives way when the node stops.
    while shared.snapshots.progress.writing.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let report = write(shared, true)?;
    info!("the snapshot {report}");
    Ok(())
}

fn write(shared: &Shared, is_clean: bool) -> Result<Report, WriteError> {
    let snapshots = &shared.snapshots;
    let path = snapshots.path.as_deref().ok_or(WriteError::NoFile)?;
    let progress = &snapshots.progress;
    if progress.writing.swap(true, Relaxed) {
        return Err(WriteError::Busy);
    }
    let begun = Instant::now();
    let written = write_aside(shared, path, is_clean);
    let took = begun.elapsed();
    match &written {
        Ok(_) => {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            progress.written(shared.clock.unix(shared.clock.now()).into(), took);
        }
        Err(_) => progress.not_written(),
    }
    progress.writing.store(false, Relaxed);
    let (items, bytes) = written?;
    Ok(Report { path: path.to_owned(), items, bytes, took })
}

fn write_aside(shared: &Shared, path: &Path, is_clean: bool) -> Result<(u64, u64), WriteError> {
    let unsettled = "this node was about to change its ring";
    let header = header(shared, is_clean).ok_or(WriteError::Unsafe(unsettled))?;
    is_ours(path)?;
    let aside = Aside::create(path, ".new")?;
    let mut file = &aside.file;
    let mut reported = Instant::now();
    let progress = &shared.snapshots.progress;
    let written = write_items(shared, &header, &mut |bytes, totals| {
        if !is_clean && shared.stop.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        progress.snapshot_items.store(totals.items, Relaxed);
        progress.snapshot_bytes.store(totals.bytes, Relaxed);
        if is_clean && reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            supervisor::still_stopping();
            info!("writing the snapshot: {} items", totals.items);
        }
        file.write_all(bytes)
    });
    let totals = match written {
        Ok(totals) => totals,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            return Err(WriteError::Stopping);
        }
        Err(error) => return Err(WriteError::io(path, "writing", error)),
    };
    supervisor::while_waiting(|| aside.file.sync_all())
        .map_err(|error| WriteError::io(path, "writing to the disk", error))?;
    aside.rename(path)?;
    progress.snapshot_items.store(totals.items, Relaxed);
    progress.snapshot_bytes.store(totals.bytes, Relaxed);
    Ok((totals.items, totals.bytes))
}

/// An item with its times in calendar time, because another process counts from another origin.
struct ByCalendar<'a> {
    item: &'a dyn ItemRef,
    clock: &'a Clock,
}

impl ItemRef for ByCalendar<'_> {
    fn key(&self) -> &[u8] {
        self.item.key()
    }

    fn value(&self) -> ValueRef<'_> {
        self.item.value()
    }

    fn meta(&self) -> Meta {
        let meta = self.item.meta();
        let expiry = meta.expiry.unix();
        Meta {
            expiry: expiry.map_or(meta.expiry, |at| Expiry::at(self.clock.unix(at).max(1))),
            last_access: self.clock.unix(meta.last_access),
            ..meta
        }
    }
}

/// Writes all items as a snapshot. `sink` receives each buffer, with the result so far.
///
/// # Errors
/// The first error of `sink`, which ends the writing.
pub(crate) fn write_items(
    shared: &Shared,
    header: &Header,
    sink: &mut dyn FnMut(&[u8], Totals) -> io::Result<()>,
) -> io::Result<Totals> {
    let mut encoder = Encoder::new(header);
    let mut failed = None;
    shared.store.for_each(shared.clock.now(), &mut |item| {
        encoder.push(&ByCalendar { item, clock: &shared.clock });
        if encoder.is_full() {
            let totals = encoder.totals();
            failed = sink(encoder.bytes(), totals).err();
            encoder.clear();
        }
        failed.is_none()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let totals = encoder.totals();
    sink(encoder.finish(), totals)?;
    Ok(encoder.totals())
}

/// Whether a snapshot may take this place: there is no file, or an earlier snapshot.
fn is_ours(path: &Path) -> Result<(), WriteError> {
    match look_at(path)? {
        Found::Nothing | Found::Snapshot => Ok(()),
        // It was due to be moved away at the start, but could not be.
        Found::Damaged | Found::OtherFile => Err(WriteError::OtherFile { path: path.to_owned() }),
    }
}

fn look_at(path: &Path) -> Result<Found, WriteError> {
    file::found(path).map_err(|error| WriteError::io(path, "reading its directory entry", error))
}

/// Checks at the start that a snapshot can be written at the stop. A damaged file there passes
/// unless the start is `strict`: it is moved away later. If that fails, no snapshot can be written
/// either.
///
/// # Errors
/// The error that writing would return.
pub(crate) fn check_writable(path: &Path, strict: bool) -> Result<(), WriteError> {
    check(path, strict, ".new")
}

/// Does the same beside a node that may be writing its snapshot: the file being written is left
/// alone.
///
/// # Errors
/// The errors of [`check_writable`].
pub(crate) fn check_file(path: &Path, strict: bool) -> Result<(), WriteError> {
    check(path, strict, &format!(".check-{}", std::process::id()))
}

fn check(path: &Path, strict: bool, ending: &str) -> Result<(), WriteError> {
    let found = look_at(path)?;
    let damage = match found {
        Found::Snapshot | Found::Damaged if strict => damage(path),
        Found::Nothing | Found::Snapshot | Found::Damaged | Found::OtherFile => None,
    };
    match (found, damage) {
        (_, Some(reason)) => Err(WriteError::Damaged { path: path.to_owned(), reason }),
        (Found::OtherFile, None) => Err(WriteError::OtherFile { path: path.to_owned() }),
        (Found::Damaged, None) => Ok(()),
        (Found::Nothing | Found::Snapshot, None) => Aside::create(path, ending).map(drop),
    }
}

/// A temporary file beside the final one; removed unless it is renamed to it.
struct Aside {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Aside {
    fn create(path: &Path, ending: &str) -> Result<Aside, WriteError> {
        let mut aside = path.to_owned().into_os_string();
        aside.push(ending);
        let aside = PathBuf::from(aside);
        let failed = |error| WriteError::io(path, "creating a file beside it", error);
        // Left behind by a node that was killed.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&aside).map_err(failed)?;
        Ok(Aside { path: aside, file, renamed: false })
    }

    fn rename(mut self, path: &Path) -> Result<(), WriteError> {
        fs::rename(&self.path, path).map_err(|error| WriteError::io(path, "renaming", error))?;
        self.renamed = true;
        let synced = sync_directory(path);
        synced.map_err(|error| WriteError::io(path, "writing its directory to the disk", error))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(error) = fs::remove_file(&self.path)
        {
            error!("cannot remove {}: {error}", self.path.display());
        }
    }
}
