//! Restores a snapshot in the background.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ringbinder_ring::{NodeIndex, Ring};
use ringbinder_store::snapshot::{Decoded, Header, Items, SavedItem};
use ringbinder_store::{Expiry, Restore, Restored, Seconds};
use tracing::{info, warn};

use super::progress::RestoreState;
use super::stream::{ReadError, Stream};
use crate::ring::ForeignKeys;
use crate::worker::shared::Shared;

/// The interval at which the log reports the progress.
const REPORT_EVERY: Duration = Duration::from_secs(3);

/// The number of consecutive items without room after which the memory counts as full. Shards fill
/// up one by one.
const FULL_IN_A_ROW: u32 = 4096;

/// A snapshot with a matching header that no other process will restore.
pub(crate) struct Pending {
    stream: Stream<Box<dyn Read + Send>>,
    restore: Restore,
    /// Its origin, for people.
    from: String,
    /// Its length in bytes, if known.
    len: Option<u64>,
    /// The seconds that the clock went back since it was written.
    back: Seconds,
    /// The ring and this node's place in it, which decide the keys to restore.
    keys: Option<(Arc<Ring>, Option<NodeIndex>)>,
}

/// The result of a restore.
#[derive(Debug, Default)]
struct Sums {
    kept: u64,
    outdated: u64,
    expired: u64,
    too_large: u64,
    full: u64,
    foreign: u64,
    full_in_a_row: u32,
}

impl Sums {
    fn skipped(&self) -> u64 {
        self.outdated + self.expired + self.too_large + self.full + self.foreign
    }

    /// Counts an item; returns the reason if it was the last one.
    fn count(&mut self, restored: Restored) -> ControlFlow<End> {
        if restored != Restored::Full {
            self.full_in_a_row = 0;
        }
        match restored {
            Restored::Kept => self.kept += 1,
            Restored::Outdated => self.outdated += 1,
            Restored::Expired => self.expired += 1,
            Restored::TooLarge => self.too_large += 1,
            Restored::Full => {
                self.full += 1;
                self.full_in_a_row += 1;
                if self.full_in_a_row > FULL_IN_A_ROW {
                    return ControlFlow::Break(End::Full);
                }
            }
            Restored::Over => return ControlFlow::Break(End::Over),
        }
        ControlFlow::Continue(())
    }
}

/// The reason why a restore ended.
enum End {
    All,
    Full,
    Over,
}

/// Checks whether a snapshot belongs to this node under the current ring; if not, returns the
/// reason.
pub(crate) fn header_fits(shared: &Shared, header: &Header) -> Result<(), String> {
    match (&shared.ring, &header.origin) {
        (None, None) => Ok(()),
        (None, Some(origin)) => Err(format!(
            "it belongs to node {} of a ring of version {}, but this node has no ring",
            origin.node, origin.version
        )),
        (Some(_), None) => Err("it was written without a ring, but this node has one".to_owned()),
        (Some(ring), Some(origin)) => {
            let (id, name) = (ring.view().id(), ring.name());
            if origin.node != name {
                Err(format!("it belongs to node {}, but this is {name}", origin.node))
            } else if (origin.version, origin.digest) != (id.version, id.digest) {
                Err(format!(
                    "the ring has changed since: from version {} (digest {:016x}) to {} ({:016x})",
                    origin.version, origin.digest, id.version, id.digest
                ))
            } else {
                Ok(())
            }
        }
    }
}

impl Pending {
    /// Prepares the store for the items after the header. `None` if there is nothing left to
    /// restore, because a flush came due meanwhile.
    pub(crate) fn new(
        shared: &Shared,
        stream: Stream<Box<dyn Read + Send>>,
        header: &Header,
        from: String,
        len: Option<u64>,
    ) -> Option<Pending> {
        use ringbinder_store::Store;

        let now = shared.clock.now();
        let back = header.written_at.saturating_sub(now);
        if back > 0 {
            warn!(
                "the clock is {back} seconds earlier than when {from} was written: its items keep \
                 the lifetime that they had left then"
            );
        }
        let restore = shared.store.begin_restore(header.items, header.last_cas, now)?;
        if let Some(due) = header.flush_due {
            let due = due.saturating_sub(back);
            if due <= now {
                info!("{from}: all items were flushed while this node was down");
                shared.store.end_restore();
                return None;
            }
            shared.store.flush(due, now);
        }
        // Clients that do not follow the ring may have stored any key.
        let keys = shared.ring.as_ref().filter(|it| it.settings.foreign_keys != ForeignKeys::Serve);
        let keys = keys.map(|ring| {
            let view = ring.view();
            (Arc::clone(&view.ring), view.me)
        });
        shared.snapshots.progress.begin(header.items, shared.ring.is_some());
        Some(Pending { stream, restore, from, len, back, keys })
    }

    /// Starts the restore on a thread of its own.
    pub(crate) fn start(self, shared: &Arc<Shared>) {
        let thread = std::thread::Builder::new().name("restore".to_owned());
        let own = Arc::clone(shared);
        if let Err(error) = thread.spawn(move || self.run(&own)) {
            warn!("cannot restore the snapshot: cannot start a thread: {error}");
            drop(Ending { shared, state: RestoreState::Failed });
        }
    }

    /// Restores the snapshot. Not even a stop interrupts this, because the remaining items would be
    /// lost.
    pub(crate) fn run(mut self, shared: &Shared) {
        let ending = Ending { shared, state: RestoreState::Failed };
        self.take_all(shared, ending);
    }

    fn take_all(&mut self, shared: &Shared, mut ending: Ending<'_>) {
        let begun = Instant::now();
        let (mut sums, mut bytes) = (Sums::default(), 0_u64);
        let mut reported = begun;
        info!("restoring the items of {} in the background", self.from);
        let end = loop {
            match self.take_some(shared, &mut sums) {
                Ok((len, end)) => {
                    bytes += len as u64;
                    self.show(shared, &sums, bytes);
                    if let Some(end) = end {
                        break Ok(end);
                    }
                }
                Err(error) => break Err(error),
            }
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                self.report(&sums, bytes);
            }
        };
        let took = begun.elapsed();
        let Sums { kept, outdated, expired, too_large, full, foreign, .. } = sums;
        let left_out = format!(
            "{outdated} were changed meanwhile, {expired} expired, {too_large} too large, {full} \
             without room, {foreign} of other nodes"
        );
        let from = &self.from;
        let figures =
            format!("{kept} items ({} MiB) in {took:.1?}; left out: {left_out}", bytes >> 20);
        ending.state = match &end {
            Ok(End::All) => RestoreState::Done,
            Ok(End::Full | End::Over) => RestoreState::Stopped,
            Err(_) => RestoreState::Failed,
        };
        match end {
            Ok(End::All) => info!("restored {from}: {figures}"),
            Ok(End::Full) => {
                warn!("restored a part of {from}: the memory is full (see -m): {figures}");
            }
            Ok(End::Over) => {
                info!(
                    "restored a part of {from}: the rest was flushed, or dropped when the ring \
                     changed: {figures}"
                );
            }
            Err(error) => warn!(
                "restored a part of {from}: {error}; the items before the error stay: {figures}"
            ),
        }
    }

    fn show(&self, shared: &Shared, sums: &Sums, bytes: u64) {
        let progress = &shared.snapshots.progress;
        progress.restore_items.store(sums.kept, Relaxed);
        progress.restore_skipped.store(sums.skipped(), Relaxed);
        progress.restore_bytes.store(bytes, Relaxed);
    }

    fn report(&self, sums: &Sums, bytes: u64) {
        let share = self.len.filter(|len| *len > 0).map(|len| bytes * 100 / len);
        let share = share.map_or_else(String::new, |share| format!(", {share} %"));
        info!("{}: {} items, {} MiB{share}", self.from, sums.kept, bytes >> 20);
    }

    /// Restores the next part.
    fn take_some(
        &mut self,
        shared: &Shared,
        sums: &mut Sums,
    ) -> Result<(usize, Option<End>), ReadError> {
        let block = Block { shared, restore: &self.restore, keys: &self.keys, back: self.back };
        self.stream.next(|decoded| match decoded {
            Decoded::Items(items) => block.take(items, sums),
            Decoded::Passed { items } => {
                sums.too_large += u64::from(items);
                None
            }
            Decoded::End(_) => Some(End::All),
            Decoded::Header(_) | Decoded::Incomplete(_) => None,
        })
    }
}

type Keys = Option<(Arc<Ring>, Option<NodeIndex>)>;

/// The conditions under which the items of a block are restored.
struct Block<'a> {
    shared: &'a Shared,
    restore: &'a Restore,
    keys: &'a Keys,
    back: Seconds,
}

impl Block<'_> {
    /// Restores the items of a block; returns the reason if one of them was the last.
    fn take(&self, items: Items<'_>, sums: &mut Sums) -> Option<End> {
        let now = self.shared.clock.now();
        let mut foreign = 0;
        let own = items.filter_map(|mut item: SavedItem<'_>| {
            if let Some((ring, me)) = self.keys
                && *me != Some(ring.owner(item.key))
            {
                foreign += 1;
                return None;
            }
            let meta = &mut item.meta;
            if let Some(at) = meta.expiry.unix() {
                meta.expiry = Expiry::at(at.saturating_sub(self.back));
            }
            meta.last_access = meta.last_access.saturating_sub(self.back).min(now);
            Some(item)
        });
        let store = &self.shared.store;
        let end = store.restore_all(self.restore, own, now, |restored| sums.count(restored));
        sums.foreign += foreign;
        end.break_value()
    }
}

/// Ends the restore when it is dropped, whatever the reason.
struct Ending<'a> {
    shared: &'a Shared,
    state: RestoreState,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.shared.store.end_restore();
        self.shared.snapshots.progress.end(self.state);
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("from", &self.from).finish_non_exhaustive()
    }
}
