//! Snapshots: the items of this node in a file, written at a graceful stop or on demand, and
//! restored at the next start while the node already serves.
//!
//! A restore must never replace an acknowledged write by an older one. So:
//!
//! - A snapshot is *clean* if it was written after the last answer and after the last connection
//!   had ended. Only a clean snapshot is restored, unless the operator accepts old values.
//! - It is consumed: its file is removed before the first client is served. A later crash means a
//!   cold start, and the same items are never restored again.
//! - In a ring, only the node of that name restores it, and only if the current ring is the very
//!   ring under which it was written. If it turns out that other nodes had another ring, all of it
//!   is dropped (`docs/decisions/0013-warm-restart.md`).
//! - Writes of clients during a restore take precedence: see `ringbinder_store::Restore`.
//!
//! `ringbinder_store::snapshot` defines the format and handles invalid bytes.
//!
//! | file | purpose |
//! |---|---|
//! | `open`, `file` | the decision about a snapshot at the start; which files may be touched |
//! | `restore`, `stream` | restoring items in the background; reading a snapshot in pieces |
//! | `write` | writing a snapshot |
//! | `progress`, `report` | progress of both; its lines in `stats` |

mod file;
mod open;
mod progress;
mod report;
mod restore;
mod stream;
mod write;

use std::path::PathBuf;

pub(crate) use self::open::{longest, open, put_aside};
pub(crate) use self::progress::{Progress, RestoreState};
pub(crate) use self::report::stats;
pub(crate) use self::restore::{Pending, header_fits};
pub(crate) use self::stream::{ReadError, Stream};
pub(crate) use self::write::{
    WriteError, at_stop, check_file, check_writable, header, on_demand, write_items,
};

/// The settings of snapshots, and their progress.
#[derive(Debug)]
pub(crate) struct Snapshots {
    /// The file, absolute if the node runs in the background; `None` without snapshots.
    path: Option<PathBuf>,
    /// Restore a snapshot that is not clean.
    stale: bool,
    pub(crate) progress: Progress,
}

impl Snapshots {
    pub(crate) fn new(path: Option<PathBuf>, stale: bool) -> Snapshots {
        Snapshots { path, stale, progress: Progress::default() }
    }

    /// Whether there is anything to report about snapshots.
    pub(crate) fn are_used(&self) -> bool {
        self.path.is_some() || self.progress.restore() != RestoreState::None
    }

    /// Whether the node writes snapshots.
    pub(crate) fn are_written(&self) -> bool {
        self.path.is_some()
    }
}
