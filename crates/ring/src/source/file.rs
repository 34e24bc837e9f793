//! A ring in a file: reads it, and watches it for changes.
//!
//! The watch is on the directory, not on the file: a file that is replaced by renaming is another
//! file, and the files of a Kubernetes ConfigMap change by a symbolic link beside them. If no event
//! comes (network filesystems, a link that leads to another directory), a check of the file every
//! [`LOOK_EVERY`] detects the change.
//!
//! **A half-written file is not a ring**, even if its first half happens to parse. A text counts
//! once it is at rest: the file was not touched for [`REST`], or two readings that far apart are
//! the same, and, as far as events show, no writer has it open. An invalid ring, or an unreadable
//! file, always gets the second reading. Renaming a complete file into place is still the
//! recommended way.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, UNIX_EPOCH};

use notify::event::{AccessKind, AccessMode, EventKind, Flag, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::warn;

use super::SourceError;
use super::report::Reporter;
use super::text::{self, on_blocking_thread};
use crate::{Format, Ring};

/// Time for which a text must stay the same to count.
const REST: Duration = Duration::from_millis(50);

/// Number of readings after which a text that does not come to rest is used as it is.
const MOST_READINGS: u32 = 40;

/// Interval of checks of the file without any event.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Reads the ring in the file at `path`, once it is at rest.
pub(super) async fn read(path: &Path) -> Result<Ring, SourceError> {
    rested(path, &Seen::default()).await.1
}

/// Watches the file at `path`, which is absolute, as long as it is polled.
pub(super) async fn watch(path: &Path, reporter: Reporter, reload: &Notify) {
    let events = Events::of(path)
        .inspect_err(|error| {
            warn!(
                "cannot watch the directory of {} for changes ({error}): checking the file every \
                 {} ms instead",
                path.display(),
                LOOK_EVERY.as_millis()
            );
        })
        .ok();
    run(path, events, LOOK_EVERY, reporter, reload).await;
}

async fn run(
    path: &Path,
    events: Option<Events>,
    look_every: Duration,
    mut reporter: Reporter,
    reload: &Notify,
) {
    let seen = events.as_ref().map(|events| Arc::clone(&events.seen)).unwrap_or_default();
    let mut looks = interval(look_every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = false;
    loop {
        let (stamp, reading) = rested(path, &seen).await;
        reporter.report(reading, asked).await;
        asked = loop {
            tokio::select! {
                () = reload.notified() => break true,
                () = seen.bell.notified() => {
                    if seen.touched.swap(false, SeqCst) || Stamp::of(path) != stamp {
                        break false;
                    }
                }
                _ = looks.tick() => if Stamp::of(path) != stamp {
                    break false;
                }
            }
        };
        if asked {
            // A caller that asks for a reload declares the file complete.
            seen.being_written.store(false, SeqCst);
        }
    }
}

/// One reading of a file.
#[derive(Clone, Debug)]
struct Reading {
    text: Result<String, SourceError>,
    /// The file's stamp just before the reading.
    stamp: Option<Stamp>,
    /// Whether nothing had happened to the file for [`REST`], nor happened while it was read.
    at_rest: bool,
}

impl Reading {
    async fn of(path: PathBuf) -> Reading {
        on_blocking_thread(move || {
            let stamp = Stamp::of(&path);
            let old = stamp.is_some_and(Stamp::is_old);
            let text = text::read(&path);
            let at_rest = old && Stamp::of(&path) == stamp;
            Reading { text, stamp, at_rest }
        })
        .await
    }
}

/// The contents of the file at `path` once it is at rest, and its stamp then.
async fn rested(path: &Path, seen: &Seen) -> (Option<Stamp>, Result<Ring, SourceError>) {
    settle(path, seen, || Reading::of(path.to_owned())).await
}

/// Repeats `read` until its result for the file at `path` is at rest.
async fn settle<F: Future<Output = Reading>>(
    path: &Path,
    seen: &Seen,
    mut read: impl FnMut() -> F,
) -> (Option<Stamp>, Result<Ring, SourceError>) {
    let mut before = None;
    let mut readings = 0;
    loop {
        readings += 1;
        let last = readings == MOST_READINGS;
        // The reading may miss changes from here on.
        seen.touched.store(false, SeqCst);
        let Reading { text, stamp, at_rest } = read().await;
        let again = before.as_ref() == Some(&text);
        // In this order: a thread that sees the writer's close also sees that the file was touched,
        // and that the reading may be older.
        let rests = !seen.being_written.load(SeqCst) && !seen.touched.load(SeqCst);
        if last || ((again || at_rest) && rests) {
            let ring = match &text {
                Ok(text) => parse(path, text.clone()).await,
                Err(error) => Err(error.clone()),
            };
            if ring.is_ok() || again || last {
                if last {
                    // Wait for a writer that never closes only once, not with every change.
                    seen.being_written.store(false, SeqCst);
                }
                return (stamp, ring);
            }
        }
        before = Some(text);
        sleep(REST).await;
    }
}

async fn parse(path: &Path, text: String) -> Result<Ring, SourceError> {
    let path = path.to_owned();
    let ring = on_blocking_thread(move || {
        Ring::parse(&text, Format::of(&path)?, &path.display().to_string())
    });
    ring.await.map_err(SourceError::Invalid)
}

/// Tells two states of a file apart without reading it, after following all symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
    /// Time of the last change of contents, name, owner or permissions; no program can set it back.
    changed: (i64, i64),
}

impl Stamp {
    /// `None` if the file does not exist.
    fn of(path: &Path) -> Option<Stamp> {
        let metadata = path.metadata().ok()?;
        Some(Stamp {
            file: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether nothing has happened to the file for [`REST`]. A file with a time in the future, for
    /// example by a server's clock, is not old.
    fn is_old(self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let Ok(seconds) = u64::try_from(seconds) else { return false };
        let Ok(nanoseconds) = u64::try_from(nanoseconds) else { return false };
        let since_epoch = Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
        let age = (UNIX_EPOCH + since_epoch).elapsed();
        age.is_ok_and(|age| age > REST)
    }
}

/// The events of the directory of a file.
#[derive(Debug)]
struct Events {
    seen: Arc<Seen>,
    /// Watches until it is dropped.
    _watcher: RecommendedWatcher,
}

/// The events that are not handled yet.
#[derive(Debug, Default)]
struct Seen {
    /// An event in the directory.
    bell: Notify,
    /// Whether an event concerned the file, by its name.
    touched: AtomicBool,
    /// Whether the file was written to and not closed since.
    being_written: AtomicBool,
}

impl Events {
    /// Starts to watch for the file at `path`.
    fn of(path: &Path) -> notify::Result<Events> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(notify::Error::generic("it is in no directory"));
        };
        let (seen, name) = (Arc::new(Seen::default()), name.to_owned());
        let witness = Arc::clone(&seen);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error here may stand for any event.
            let event = event.unwrap_or_else(|_| Event::default().set_flag(Flag::Rescan));
            witness.take(&event, &name);
        })?;
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(Events { seen, _watcher: watcher })
    }
}

impl Seen {
    /// Records an event in the directory, for the file with this name.
    fn take(&self, event: &Event, name: &OsStr) {
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        if event.kind.is_access() && event.kind != closed {
            // A read, such as this program's own.
            return;
        }
        if event.need_rescan() || event.paths.iter().any(|path| path.file_name() == Some(name)) {
            self.touched.store(true, SeqCst);
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) => self.being_written.store(true, SeqCst),
                // Changes of permissions and owner do not show a writer.
                EventKind::Modify(ModifyKind::Metadata(_)) => {}
                // The file was closed; or the name now has another file, or none.
                _ => self.being_written.store(false, SeqCst),
            }
        }
        self.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::time::Instant;

    use tokio::sync::mpsc::{Receiver, channel};

    use super::super::Update;
    use super::super::report::Reported;
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);
    const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

    fn text(version: u64, nodes: u16) -> String {
        let mut text = format!("version = {version}\n");
        for node in 1..=nodes {
            text += &format!("[[node]]\nname = \"n{node}\"\naddress = \"10.0.0.{node}:1\"\n");
        }
        text
    }

    async fn until(what: &str, mut probe: impl FnMut() -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !probe() {
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The version and number of nodes of the next ring; skips failures.
    async fn next(updates: &mut Receiver<Result<Update, SourceError>>) -> (u64, usize) {
        loop {
            let update = tokio::time::timeout(TIMEOUT, updates.recv()).await;
            match update.expect("an update in time").expect("the watch goes on") {
                Ok(Update::Ring(ring)) => return (ring.id().version, ring.nodes().len()),
                Ok(Update::Unchanged(_)) => panic!("nobody asked"),
                Err(_) => {}
            }
        }
    }

    /// Changes the file in every possible way, and expects each change to be noticed.
    async fn notices_every_change(events: bool, look_every: Duration) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        let beside = directory.path().join("beside");
        fs::write(&path, text(1, 1)).unwrap();

        let (sender, mut updates) = channel(1);
        let watched = path.clone();
        let events = events.then(|| Events::of(&path).unwrap());
        let watch = tokio::spawn(async move {
            let reporter = Reporter::new(Reported::default(), sender);
            run(&watched, events, look_every, reporter, &Notify::new()).await;
        });
        assert_eq!(next(&mut updates).await, (1, 1));

        fs::write(&path, text(2, 1)).unwrap();
        assert_eq!(next(&mut updates).await, (2, 1), "rewritten");

        fs::write(&beside, text(3, 1)).unwrap();
        fs::rename(&beside, &path).unwrap();
        assert_eq!(next(&mut updates).await, (3, 1), "renamed over");

        fs::remove_file(&path).unwrap();
        let gone = tokio::time::timeout(TIMEOUT, updates.recv()).await.unwrap().unwrap();
        assert!(matches!(gone, Err(SourceError::Missing(_))), "{gone:?}");
        fs::write(&path, text(4, 1)).unwrap();
        assert_eq!(next(&mut updates).await, (4, 1), "created again");

        // A ConfigMap: the file leads through a link that leads to one directory, then another.
        let data = directory.path().join("..data");
        for version in [5, 6] {
            let name = format!("..{version}");
            fs::create_dir(directory.path().join(&name)).unwrap();
            fs::write(directory.path().join(&name).join("ring.toml"), text(version, 1)).unwrap();
            symlink(&name, &beside).unwrap();
            fs::rename(&beside, &data).unwrap();
            if version == 5 {
                symlink("..data/ring.toml", &beside).unwrap();
                fs::rename(&beside, &path).unwrap();
            }
            assert_eq!(next(&mut updates).await, (version, 1), "link swapped");
        }
        watch.abort();
    }

    #[tokio::test]
    async fn events_alone_notice_every_change() {
        notices_every_change(true, NEVER).await;
    }

    #[tokio::test]
    async fn looking_alone_notices_every_change() {
        notices_every_change(false, Duration::from_millis(20)).await;
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        let (whole, half) = (text(2, 2), text(2, 1));
        let events = Events::of(&path).unwrap();
        let seen = Arc::clone(&events.seen);

        // Half of it is a ring too, and a wrong one.
        let mut writer = File::create(&path).unwrap();
        writer.write_all(half.as_bytes()).unwrap();
        until("the event of a write", || seen.being_written.load(SeqCst)).await;
        let reader = tokio::spawn({
            let (path, seen) = (path.clone(), Arc::clone(&seen));
            async move { rested(&path, &seen).await.1 }
        });
        // Every reading sets this mark: at the third, two have seen the same half.
        for _ in 0..3 {
            seen.touched.store(true, SeqCst);
            until("a reading", || !seen.touched.load(SeqCst)).await;
        }
        writer.write_all(&whole.as_bytes()[half.len()..]).unwrap();
        drop(writer);
        assert_eq!(reader.await.unwrap().unwrap().nodes().len(), 2);
    }

    /// The result of these readings, `true` for those of a file at rest, and how many are used.
    async fn settled(readings: &[(bool, &str)]) -> (Result<Ring, SourceError>, usize) {
        let mut taken = 0;
        let read = || {
            let (at_rest, text) = readings[taken];
            taken += 1;
            let text = Ok(text.to_owned());
            std::future::ready(Reading { text, stamp: None, at_rest })
        };
        let (_, ring) = settle(Path::new("ring.toml"), &Seen::default(), read).await;
        (ring, taken)
    }

    #[tokio::test]
    async fn a_text_counts_once_it_rests() {
        let (half, whole, bad) = (text(2, 1), text(2, 2), "version = 2\n[[no");
        let nodes = async |readings: &[(bool, &str)]| {
            let (ring, taken) = settled(readings).await;
            (ring.unwrap().nodes().len(), taken)
        };
        assert_eq!(nodes(&[(true, &whole)]).await, (2, 1));
        assert_eq!(nodes(&[(false, &whole), (false, &whole)]).await, (2, 2));
        assert_eq!(nodes(&[(false, &half), (false, &whole), (false, &whole)]).await, (2, 3));
        assert_eq!(nodes(&[(false, bad), (false, &half), (true, &whole)]).await, (2, 3));
        assert_eq!(nodes(&[(true, bad), (true, &whole)]).await, (2, 2), "a second reading");
        let (ring, taken) = settled(&[(true, bad), (true, bad)]).await;
        assert!(matches!(ring, Err(SourceError::Invalid(_))), "{ring:?}");
        assert_eq!(taken, 2);
    }

    #[tokio::test]
    async fn a_file_that_was_just_written_does_not_rest_yet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        fs::write(&path, text(1, 1)).unwrap();
        // A slow machine may take longer between writing and reading.
        let fresh = async || {
            fs::write(&path, text(1, 1)).unwrap();
            !Reading::of(path.clone()).await.at_rest
        };
        let found = async { while !fresh().await {} };
        tokio::time::timeout(TIMEOUT, found).await.expect("a fresh file is reported");
        let old = async { while !Reading::of(path.clone()).await.at_rest {} };
        tokio::time::timeout(TIMEOUT, old).await.expect("an old file is reported");
        assert!(!Reading::of(directory.path().join("none")).await.at_rest);
    }

    #[tokio::test]
    async fn a_writer_that_never_closes_is_not_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ring.toml");
        fs::write(&path, text(1, 1)).unwrap();
        let seen = Seen { being_written: true.into(), ..Seen::default() };
        assert_eq!(rested(&path, &seen).await.1.unwrap().id().version, 1);
    }

    #[test]
    fn events_tell_writers_from_readers() {
        use notify::event::{CreateKind, DataChange, MetadataKind, RenameMode};

        let name = OsStr::new("ring.toml");
        let event = |kind| Event::new(kind).add_path("/d/ring.toml".into());
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let rights = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));

        let seen = Seen::default();
        seen.take(&event(EventKind::Access(AccessKind::Open(AccessMode::Any))), name);
        assert!(!seen.touched.load(SeqCst), "this program opens it too");
        for (kind, being_written) in [
            (written, true),
            (rights, true),
            (closed, false),
            (written, true),
            (renamed, false),
            (written, true),
            (EventKind::Create(CreateKind::File), false),
        ] {
            seen.take(&event(kind), name);
            assert_eq!(seen.being_written.load(SeqCst), being_written, "{kind:?}");
            assert!(seen.touched.swap(false, SeqCst), "{kind:?}");
        }
        seen.take(&Event::new(written).add_path("/d/other.toml".into()), name);
        assert!(!seen.touched.load(SeqCst) && !seen.being_written.load(SeqCst), "another file");
        seen.take(&Event::default().set_flag(Flag::Rescan), name);
        assert!(seen.touched.load(SeqCst), "events were lost");
    }
}
