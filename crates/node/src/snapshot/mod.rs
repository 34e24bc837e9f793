//! Snapshots: the items of this node in a file, written at a graceful stop or on demand, and taken up
//! at the next start while the node already serves.
//!
//! What must hold is that no acknowledged write is ever replaced by an older one. So:
//!
//! - A snapshot is *clean* if it was written after the last answer and after the last connection had
//!   ended. Only such a one is taken up, unless the operator says that old values are acceptable.
//! - It is consumed: its file is gone before the first client is served. A crash later on means a cold
//!   start and never the same items again.
//! - In a ring it is taken up only by the node of that name, with the very ring in force that it was
//!   written by, and dropped as a whole where that turns out not to be everybody's
//!   (`docs/decisions/0013-warm-restart.md`).
//! - What clients do meanwhile comes first: see `ringbinder_store::Restore`.
//!
//! The format, and what is made of bytes that are none, is `ringbinder_store::snapshot`'s business.
//!
//! | file | purpose |
//! |---|---|
//! | `open`, `place` | the decision about a snapshot at the start; which files may be touched |
//! | `take`, `stream` | restoring items in the background; reading a snapshot in pieces |
//! | `write` | writing a snapshot |
//! | `progress`, `report` | progress of both; its lines in `stats` |

mod open;
mod place;
mod progress;
mod report;
mod stream;
mod take;
mod write;

use std::path::PathBuf;

pub(crate) use self::open::{longest, open, put_aside};
pub(crate) use self::progress::Progress;
pub(crate) use self::report::stats;
pub(crate) use self::stream::{ReadError, Stream};
pub(crate) use self::take::{Pending, header_fits};
pub(crate) use self::write::{
    WriteError, at_stop, check_place, check_writable, header, on_demand, write_items,
};

/// What is set about snapshots, and how they do.
#[derive(Debug)]
pub(crate) struct Snapshots {
    /// The file, absolute if the node runs in the background; `None` for no snapshots.
    path: Option<PathBuf>,
    /// Take up one that is not clean.
    stale: bool,
    pub(crate) progress: Progress,
}

impl Snapshots {
    pub(crate) fn new(path: Option<PathBuf>, stale: bool) -> Snapshots {
        Snapshots { path, stale, progress: Progress::default() }
    }

    /// Whether there is anything to tell of them.
    fn are_used(&self) -> bool {
        self.path.is_some() || self.progress.restore() != progress::RestoreState::None
    }
}
